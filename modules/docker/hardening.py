"""What a container may: as little as can be, said in one place and sent to the engine in one call.

The format is that of ``POST /containers/create`` in the Docker Engine API, version 1.41.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modules.arguments import INPUTS_AT, OUTPUTS_AT
from modules.executor import MIB, Limits

PROCESSES: Final = 256
"""Processes and threads: enough for a numerical library, too few for a bomb."""
OPEN_FILES: Final = 1024
SCRATCH_VOLUME_BYTES: Final = 16 * MIB
NOBODY: Final = 65534
SCRATCH_AT: Final = "/tmp"
_TAKEN: Final = frozenset({INPUTS_AT, OUTPUTS_AT, SCRATCH_AT})


@dataclass(frozen=True, slots=True)
class Wanted:
    """One container, before the engine is asked for it."""

    image: str
    """The image's id, so that no tag can be moved under a run."""
    command: Sequence[str]
    env: Mapping[str, str]
    inputs: Path
    """Mounted read-only as ``/inputs``."""
    outputs: Path
    """Mounted as ``/outputs``."""
    labels: Mapping[str, str]
    limits: Limits
    cpu: float
    """Cores."""
    volumes: Sequence[str] = ()
    """Places that the image declares as volumes: the engine would give each a folder without a limit."""
    gpus: Sequence[str] = ()
    """Device ids."""
    runtime: str | None = None


def container(wanted: Wanted) -> dict[str, Any]:
    """The body of the call that creates this container with every wall there is."""
    user = run_as()
    disk, memory = wanted.limits.disk_bytes, wanted.limits.memory_bytes
    host: dict[str, Any] = {
        "NetworkMode": "none",
        # Beside a container without a network an engine still lays the host's list of name servers.
        "Dns": ["127.0.0.1"],
        "DnsSearch": ["."],
        "ReadonlyRootfs": True,
        "Privileged": False,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "IpcMode": "none",
        "Memory": memory,
        "MemorySwap": memory,  # as much as memory: no swap on top
        "NanoCpus": round(wanted.cpu * 1e9),
        "PidsLimit": PROCESSES,
        "OomScoreAdj": 500,
        "OomKillDisable": False,
        "Ulimits": [
            _ulimit("nofile", OPEN_FILES),
            _ulimit("core", 0),
            _ulimit("fsize", disk),
            _ulimit("memlock", 64 * 1024),
        ],
        "Init": True,  # reaps children, and lets signals end a program that expects to be no first process
        "Mounts": [
            _bind(wanted.inputs, INPUTS_AT, read_only=True),
            _bind(wanted.outputs, OUTPUTS_AT, read_only=False),
            _scratch(SCRATCH_AT, min(disk, memory)),
            *(_scratch(volume, SCRATCH_VOLUME_BYTES) for volume in wanted.volumes if volume not in _TAKEN),
        ],
        # The streams are read as they come and counted there; the engine keeps no copy that could fill its disk.
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
    }
    if wanted.runtime is not None:
        host["Runtime"] = wanted.runtime
    if wanted.gpus:
        host["DeviceRequests"] = [{"Driver": "", "DeviceIDs": list(wanted.gpus), "Capabilities": [["gpu"]]}]
    body: dict[str, Any] = {
        "Image": wanted.image,
        "User": user,
        "Env": [f"{name}={value}" for name, value in {**_environment(wanted.cpu), **wanted.env}.items()],
        "Hostname": "lilypad",
        "Tty": False,
        "OpenStdin": False,
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "StopSignal": "SIGKILL",
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(wanted.labels),
        "HostConfig": host,
    }
    if wanted.command:
        body["Cmd"] = list(wanted.command)
    return body


def run_as() -> str:
    """User and group of the program: nobody, where the node can still take over what nobody wrote.

    A node without root's rights could neither read nor remove another user's private files, so there the program
    runs as the node's own user, behind the same walls.
    """
    if os.getuid() == 0:
        return f"{NOBODY}:{NOBODY}"
    return f"{os.getuid()}:{os.getgid()}"


def _environment(cpu: float) -> dict[str, str]:
    # Numerical libraries start a thread for each core of the machine, and then wait for each other in a small share.
    threads = str(max(1, math.ceil(cpu)))
    return {"HOME": SCRATCH_AT, "TZ": "UTC", "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}


def _ulimit(name: str, most: int) -> dict[str, Any]:
    return {"Name": name, "Soft": most, "Hard": most}


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": str(source.resolve()),
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _scratch(target: str, most: int) -> dict[str, Any]:
    """A folder in memory, which counts as the container's; the engine adds noexec, nosuid and nodev."""
    return {"Type": "tmpfs", "Target": target, "TmpfsOptions": {"SizeBytes": most, "Mode": 0o1777}}
