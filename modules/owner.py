"""Which process on which machine something belongs to, and whether that process is gone."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path


def owner() -> str:
    """This process as ``MACHINE/BOOT/PID/START``; a pid alone would be reused."""
    pid = os.getpid()
    return "/".join((*_machine(), str(pid), started(pid)))


def is_orphan(mark: str) -> bool:
    """Whether the process of this mark ran on this machine and is gone."""
    parts = mark.split("/")
    machine, boot = _machine()
    if len(parts) != 4 or parts[0] != machine:
        return False  # another machine's, which shares what is marked
    if parts[1] != boot:
        return True
    pid = parts[2]
    return not pid.isdecimal() or started(int(pid)) != parts[3]


def _machine() -> tuple[str, str]:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "-"  # no Linux
    return platform.node().replace("/", "-") or "-", boot


def started(pid: int) -> str:
    """When a process started, as its system counts it; empty if there is none, or nothing but its exit code is left."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc").is_dir() else _asked(pid)
    # Fields 3 and 22, counted behind the name, which may hold spaces and brackets (proc(5)).
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]


def _asked(pid: int) -> str:
    """The same where there is no /proc."""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, *when = done.stdout.split() or [""]
    return "" if state.startswith("Z") else " ".join(when)
