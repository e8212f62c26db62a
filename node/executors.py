"""The executors of one node: those that it was told to have, or all that work on this machine."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agents.shop import Sheet, Shop
from modules.docker.images import ImagePolicy
from modules.errors import ModuleFault
from modules.executor import Executor
from modules.gpus.pool import Gpu
from modules.module import Module
from node.errors import ExitCode, UserError
from protocol.job import Capacity, Gpus, Job

if TYPE_CHECKING:
    from modules.cluster.opening import Cluster
    from modules.cluster.several import SeveralEngines
    from modules.docker.executor import DockerExecutor

    Containers = DockerExecutor | SeveralEngines

log = logging.getLogger(__name__)

WASM: Final = "wasm"
DOCKER: Final = "docker"
KNOWN: Final = (WASM, DOCKER)


@dataclass(frozen=True, slots=True)
class Trade:
    """What a node runs, and for whose modules."""

    executors: tuple[str, ...] | None = None
    """None: whatever works here."""
    allow: tuple[str, ...] | None = None
    """Digests of the only modules that are run; None: any WASM module, and the catalogue's containers."""
    named: tuple[Module, ...] = ()
    """Those of them that are at hand; their images are made at the start."""
    deny: frozenset[str] = frozenset()
    """Digests of modules that are never run."""
    images: ImagePolicy = field(default_factory=ImagePolicy)
    cluster: Cluster | None = None
    """More machines than this one, for containers."""

    def takes(self, executor: str, digest: str, containers: frozenset[str]) -> bool:
        """Whether a module is run here; ``containers`` are the digests whose images are at hand."""
        if digest in self.deny:
            return False
        if self.allow is not None:
            return digest in self.allow
        # An image is fetched or built for minutes, and may be anything: only what is at hand is promised to strangers.
        return executor != DOCKER or digest in containers


@dataclass(frozen=True, slots=True)
class ChoosyShop(Shop):
    """A shop that has no price for modules which its node does not run."""

    trade: Trade = field(default_factory=Trade)
    containers: frozenset[str] = frozenset()
    """Digests of the modules whose images are at hand."""

    def sheet(self, job: Job, unit: str) -> Sheet | None:
        """The prices for a job, if its module is run here."""
        if not self.trade.takes(job.executor, job.module, self.containers):
            return None
        return Shop.sheet(self, job, unit)


@contextlib.asynccontextmanager
async def open_executors(trade: Trade, workers: int) -> AsyncIterator[dict[str, Executor]]:
    """Open them; ``workers`` is how many WASM programs run at once.

    Raises `UserError` for one that was asked for by name and does not work here.
    """
    async with contextlib.AsyncExitStack() as stack:
        found: dict[str, Executor] = {}
        if trade.executors is None or WASM in trade.executors:
            from modules.wasm.pool import open_pool

            found[WASM] = await stack.enter_async_context(open_pool(workers))
        if trade.executors is None or DOCKER in trade.executors:
            from modules.docker.engine import EngineFault

            try:
                found[DOCKER] = await stack.enter_async_context(_containers(trade))
            except EngineFault as fault:
                if trade.executors is not None or trade.cluster is not None:
                    raise UserError(
                        ExitCode.UNREACHABLE,
                        f"the docker executor can't be had: {fault}",
                        "start the engine, let this user reach it, or leave docker out of the executors",
                    ) from None
                log.info("docker is not offered: %s", fault)
        yield found


@contextlib.asynccontextmanager
async def _containers(trade: Trade) -> AsyncIterator[Containers]:
    if trade.cluster is None:
        from modules.docker.executor import open_docker

        async with open_docker(policy=trade.images) as docker:
            yield docker
    else:
        from modules.cluster.opening import open_cluster

        async with open_cluster(trade.cluster, trade.images) as cluster:
            yield cluster


def containers_of(executors: Mapping[str, Executor]) -> Containers | None:
    """The executor for containers, if there is one."""
    from modules.cluster.several import SeveralEngines
    from modules.docker.executor import DockerExecutor

    docker = executors.get(DOCKER)
    return docker if isinstance(docker, DockerExecutor | SeveralEngines) else None


def with_gpus(capacity: Capacity, executors: Mapping[str, Executor]) -> Capacity:
    """A machine's capacity with the GPUs that were probed, and no others."""
    docker = containers_of(executors)
    return replace(capacity, gpus=gpu_kinds(docker.gpus.gpus if docker is not None else ()))


def capacities(most: Capacity, executors: Mapping[str, Executor]) -> tuple[Capacity, ...]:
    """What each machine has to sell, up to ``most``, largest first; one only where there is no cluster."""
    docker = containers_of(executors)
    if docker is None or not docker.machines:
        return (with_gpus(most, executors),)
    found = [
        Capacity(
            cpu_millis=min(most.cpu_millis, int(machine.cpu * 1000)),
            memory_mib=min(most.memory_mib, machine.memory_mib),
            disk_mib=min(most.disk_mib, machine.disk_mib),
            longest=most.longest,
            gpus=gpu_kinds(machine.gpus),
        )
        for machine in docker.machines
    ]
    return tuple(sorted(found, key=_size, reverse=True))


def _size(machine: Capacity) -> tuple[int, ...]:
    return sum(kind.count for kind in machine.gpus), machine.memory_mib, machine.cpu_millis


def gpu_kinds(gpus: Iterable[Gpu]) -> tuple[Gpus, ...]:
    """Equal devices counted together, smallest first; of more than 16 kinds the largest."""
    counted = Counter((gpu.vram_mib, gpu.name) for gpu in gpus)
    return tuple(Gpus(name, vram, count) for (vram, name), count in sorted(counted.items())[-16:])


async def prepare_containers(executors: dict[str, Executor], named: Sequence[Module]) -> frozenset[str]:
    """Have the images of these modules at hand, else those of the catalogue; the digests for which it worked.

    At a node's start, so nothing large is pulled or built for what was not asked for: images are built on a base that
    is here, and the catalogue's AI modules are sold where somebody has built them.
    """
    docker = containers_of(executors)
    if docker is None:
        return frozenset()
    ready: set[str] = set()
    for module in named or catalogue_containers():
        if module.manifest.executor != DOCKER or not docker.serves(module):
            continue
        if not named and docker.policy.is_large(module) and not await docker.has_image(module):
            log.info("%s is not offered: `lilypad modules build` makes its image", module.manifest.reference)
            continue
        missing = await docker.missing_base(module) if module.build_digest else None
        if missing is not None:
            maker = "make-ai-base" if missing == docker.policy.ai_base else "make-base"
            log.warning(
                "%s is not offered: the image %s is not here; modules/images/%s makes it",
                module.manifest.reference,
                missing,
                maker,
            )
            continue
        try:
            await docker.prepare(module)
        except ModuleFault as fault:
            log.warning("%s is not offered: %s", module.manifest.reference, fault)
        else:
            ready.add(module.digest)
    return frozenset(ready)


def catalogue_containers() -> list[Module]:
    """The container modules that ship with this package."""
    from modules.catalogue import find, references

    found = [find(reference) for reference in references()]
    return [module for module in found if module.manifest.executor == DOCKER]


def parse_executors(text: str | None) -> tuple[str, ...] | None:
    """Names joined by commas; raises `UserError`."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in KNOWN]
    if unknown or not names:
        raise UserError(ExitCode.USAGE, f"unknown executor '{', '.join(unknown)}'", f"choose from {', '.join(KNOWN)}")
    return names


def digest_of(reference: str, folder: Path | None = None) -> str:
    """The digest of a module that an ``offer.toml`` names; raises `UserError`."""
    module = module_of(reference, folder)
    return reference if module is None else module.digest


def module_of(reference: str, folder: Path | None = None) -> Module | None:
    """The module that an ``offer.toml`` in ``folder`` names, None for a bare digest or ``*``; raises `UserError`."""
    if reference == "*" or reference.startswith("sha256:"):
        return None
    from modules.catalogue import find

    near = folder / reference if folder is not None and reference.startswith(".") else None
    try:
        return find(str(near) if near is not None else reference)
    except ModuleFault as fault:
        raise UserError(ExitCode.USAGE, str(fault), "name a module or its digest") from None
