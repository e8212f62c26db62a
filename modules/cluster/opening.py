"""Opens the executor of a provider with more than one machine, as its ``offer.toml`` describes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.cluster.machine import Machine
from modules.cluster.several import SeveralEngines, open_several
from modules.docker.executor import DockerExecutor
from modules.docker.images import ImagePolicy

Kind = Literal["engines", "swarm", "slurm"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines behind one node."""

    kind: Kind
    folder: Path
    """For the runs' files; every machine sees it under this path."""
    machines: tuple[tuple[str, Machine], ...] = ()
    """URLs of several engines, and what may be used of each one's machine."""
    manager: str | None = None
    """URL of the engine that manages a swarm, or that makes images for Slurm; None: this machine's."""
    engines: tuple[str, ...] = ()
    """URLs of the engines of all other machines: images that are made here are copied there."""
    partition: str = ""
    """Of Slurm; empty: its default."""
    socket: str = "/var/run/docker.sock"
    """Where the engine of each of Slurm's machines listens."""


@asynccontextmanager
async def open_cluster(cluster: Cluster, policy: ImagePolicy) -> AsyncIterator[DockerExecutor | SeveralEngines]:
    """Raises `EngineFault` where a machine is not there or not fit."""
    if cluster.kind == "engines":
        async with open_several(cluster.machines, scratch=cluster.folder, policy=policy) as several:
            yield several
    elif cluster.kind == "swarm":
        from modules.cluster.swarm import open_swarm

        async with open_swarm(
            scratch=cluster.folder, policy=policy, url=cluster.manager, others=cluster.engines
        ) as swarm:
            yield swarm
    else:
        from modules.cluster.slurm import open_slurm

        async with open_slurm(
            scratch=cluster.folder,
            policy=policy,
            url=cluster.manager,
            partition=cluster.partition,
            socket=cluster.socket,
            others=cluster.engines,
        ) as slurm:
            yield slurm
