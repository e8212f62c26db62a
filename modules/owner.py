"""Which process on which machine something belongs to, and whether that process is gone."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def owner() -> str:
    """This process as ``MACHINE/BOOT/PID/START``; a pid alone would be reused."""
    pid = os.getpid()
    return "/".join((*_machine(), str(pid), _started(pid)))


def is_orphan(mark: str) -> bool:
    """Whether the process of this mark ran on this machine and is gone."""
    parts = mark.split("/")
    machine, boot = _machine()
    if len(parts) != 4 or parts[0] != machine:
        return False  # another machine's, which shares what is marked
    if parts[1] != boot:
        return True
    pid = parts[2]
    return not pid.isdecimal() or _started(int(pid)) != parts[3]


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
