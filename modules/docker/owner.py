"""Labels that say whose a container is, and the removal of those whose node is gone."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
from pathlib import Path
from typing import Final

from modules.docker.engine import Engine, EngineFault, engine_faults

log = logging.getLogger(__name__)

JOB_LABEL: Final = "lilypad.job"
OWNER_LABEL: Final = "lilypad.owner"
"""``MACHINE/BOOT/PID/START`` of the node's process; a pid alone would be reused."""


def owner() -> str:
    """This process, as the label names it."""
    pid = os.getpid()
    return "/".join((*_machine(), str(pid), _started(pid)))


def labels(job: str) -> dict[str, str]:
    """What a container of ours is marked with."""
    return {JOB_LABEL: job[:64], OWNER_LABEL: owner()}


def is_orphan(label: str) -> bool:
    """Whether the process that this label names ran on this machine and is gone."""
    parts = label.split("/")
    machine, boot = _machine()
    if len(parts) != 4 or parts[0] != machine:
        return False  # another machine's, which shares this engine
    if parts[1] != boot:
        return True
    pid = parts[2]
    return not pid.isdecimal() or _started(int(pid)) != parts[3]


def sweep(engine: Engine) -> int:
    """Remove containers that a node left behind when it was killed; return how many. Raises `EngineFault`."""
    removed = 0
    with engine_faults("containers can't be listed"):
        found = engine.api.containers(all=True, filters={"label": OWNER_LABEL})
    for each in found:
        if not is_orphan((each.get("Labels") or {}).get(OWNER_LABEL, "")):
            continue
        try:
            remove(engine, each["Id"])
        except EngineFault as fault:
            log.warning("a container that was left behind can't be removed: %s", fault)
        else:
            removed += 1
    return removed


def remove(engine: Engine, container: str) -> None:
    """End a container and remove it with all that it made. One that is gone is no fault. Raises `EngineFault`."""
    from docker.errors import NotFound

    with engine_faults("the container can't be removed"), contextlib.suppress(NotFound):
        engine.api.remove_container(container, v=True, force=True)


def _machine() -> tuple[str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "-"  # no Linux: then only the pid tells
    return platform.node().replace("/", "-") or "-", boot


def _started(pid: int) -> str:
    """When a process started, in ticks since boot; empty if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc").is_dir() else str(pid)
    # Field 22, counted behind the name, which may hold spaces and brackets (proc(5)).
    return text.rpartition(")")[2].split()[19]
