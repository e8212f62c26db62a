"""The machine: what modules are run with, room on the disk, open files."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import trio

from node.doctor.finding import Finding, Patient, problem, warning, well
from node.strategies.walls import bubblewrap

GIB = 1024**3
LITTLE_ROOM = 5 * GIB
NO_ROOM = GIB // 4
FEW_FILES = 1024
"""A node with 256 connections, its blocks and its sandboxes needs about half of these."""


async def check_machine(patient: Patient) -> Iterable[Finding]:
    """Everything that needs no network."""
    return [*_room(patient.config.home), *_files(), *_sandbox(), *await _engine()]


def _room(home: Path) -> Iterator[Finding]:
    place = home
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / GIB:.1f} GiB are free where {home} lies"
    if free < NO_ROOM:
        yield problem("disk", said, "free some, or move the data folder with LILYPAD_HOME")
    elif free < LITTLE_ROOM:
        yield warning("disk", said, "free some: results and images are kept there")
    else:
        yield well("disk", said)


def _files() -> Iterator[Finding]:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = f"{most} files and connections may be open"
    yield well("open files", said) if most >= FEW_FILES else warning("open files", said, "say `ulimit -n 4096` first")


def _sandbox() -> Iterator[Finding]:
    if bubblewrap():
        yield well("sandbox", "bubblewrap is there and works: modules run in a sandboxed process")
    elif shutil.which("bwrap"):
        yield warning(
            "sandbox",
            "bubblewrap is there, but may not make its walls, so modules run in a process of their own without them",
            "allow unprivileged user namespaces, and no ProtectKernelTunables in a systemd unit; see "
            "`bwrap --unshare-all --ro-bind / / --proc /proc true`",
        )
    else:
        yield warning(
            "sandbox",
            "bubblewrap is missing, so modules run in a process of their own, but not in a sandbox",
            "apt-get install bubblewrap",
        )


async def _engine() -> list[Finding]:
    if not _has_engine():
        return [warning("containers", "there is no Docker engine: only WASM modules run", "apt-get install docker.io")]
    try:
        said = await trio.to_thread.run_sync(_engine_version)
    except Exception as error:  # the client raises what its transport raises
        return [
            warning(
                "containers",
                f"the Docker engine does not answer ({' '.join(str(error).split())[:120]})",
                "start it, and let this user talk to it: usermod -aG docker $USER",
            )
        ]
    return [well("containers", f"Docker {said} answers")]


def _has_engine() -> bool:
    return bool(shutil.which("docker") or os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists())


def _engine_version() -> str:
    import docker

    client = docker.from_env(timeout=8)
    try:
        return str(client.version()["Version"])
    finally:
        client.close()
