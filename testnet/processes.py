"""A testnet of plain processes on the loopback: no container engine, no faults of the network.

Each process leads a session of its own and outlives the command that started it. Its id is kept with the moment of its
birth, so that nobody else's process is ever taken for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.owner import started
from node.errors import ExitCode, UserError
from testnet.engine import Engine, side_by_side
from testnet.layout import start_arguments, variables
from testnet.plan import CHAIN, Plan

GOES = 15.0
"""Seconds that a process gets to end in order."""
PID = "pid"
CLOCK = "clock"
"""In a peer's folder: how far its own clock is off, as libfaketime reads it."""
LIBFAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)
_ROOT = Path(__file__).resolve().parent.parent


class Processes(Engine):
    """One process a peer."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def start_chain(self) -> None:
        folder = self.plan.folder / "chain"
        self._begin(folder, [sys.executable, "-m", "testnet.chain_process", str(folder)], {})

    def rpc(self) -> str:
        return self.plan.rpc

    def start(self, names: Sequence[str]) -> None:
        for name in names:
            if self._pid(name) is not None:
                continue
            member, home = self.plan.member(name), self.plan.home(name)
            words = [sys.executable, "-m", "testnet", *start_arguments(self.plan, member)]
            self._begin(home, words, variables(self.plan, member, str(home)) | own_clock(home))

    def states(self) -> dict[str, str]:
        return {name: self._state(name) for name in self._names()}

    def kill(self, name: str) -> None:
        pid = self._pid(name)
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)
            _gone(lambda: self._pid(name) is None, GOES)

    def pause(self, name: str) -> None:
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def logs(self, name: str, follow: bool) -> list[str]:
        return ["tail", "-n", "+1", *(["-f"] if follow else []), str(self._home(name) / "log")]

    def shell(self, name: str) -> tuple[list[str], dict[str, str]]:
        home = self.plan.home(self.plan.member(name).name)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        given = variables(self.plan, self.plan.member(name), str(home))
        return [os.environ.get("SHELL") or "sh"], given | {"PATH": path, "PWD": str(home)}

    def network(self, rules: dict[str, Any]) -> None:
        if rules:
            raise UserError(
                ExitCode.USAGE,
                "processes share this machine's network, so it can't be broken between them",
                "start the testnet without --processes; kill, pause, clock and reorg work here too",
            )

    def down(self) -> None:
        side_by_side(self._end, self._names())

    # ---

    def _names(self) -> list[str]:
        return [*(member.name for member in self.plan.members), CHAIN]

    def _home(self, name: str) -> Path:
        return self.plan.folder / "chain" if name == CHAIN else self.plan.home(self.plan.member(name).name)

    def _begin(self, home: Path, words: list[str], given: dict[str, str]) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("LILYPAD_", "XDG_"))}
        if anvil := os.environ.get("LILYPAD_ANVIL"):
            kept["LILYPAD_ANVIL"] = anvil
        with (home / "log").open("ab") as log:
            process = subprocess.Popen(
                words,
                cwd=home,
                env={**kept, **given, "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (home / PID).write_text(f"{process.pid} {started(process.pid)}")

    def _pid(self, name: str) -> int | None:
        """The process that still lives; None where it does not."""
        with contextlib.suppress(OSError, ValueError):
            number, born = (self._home(name) / PID).read_text().split(" ", 1)
            if born and started(int(number)) == born:
                return int(number)
        return None

    def _state(self, name: str) -> str:
        pid = self._pid(name)
        if pid is None:
            return "gone"
        return "paused" if _ps(pid, "stat").startswith("T") else "running"

    def _signal(self, name: str, number: int) -> None:
        pid = self._pid(name)
        if pid is None:
            raise UserError(ExitCode.USAGE, f"{name} does not run", f"`lilypad testnet fault resume {name}` starts it")
        os.killpg(pid, number)

    def _end(self, name: str) -> None:
        pid = self._pid(name)
        if pid is None:
            return
        for number in (signal.SIGCONT, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)
        if not _gone(lambda: self._pid(name) is None, GOES):
            self.kill(name)
        (self._home(name) / PID).unlink(missing_ok=True)


def own_clock(home: Path) -> dict[str, str]:
    """The variables by which a process sees a clock of its own, if it was given one."""
    try:
        off = (home / CLOCK).read_text().strip()
    except FileNotFoundError:
        return {}
    library = next((each for each in LIBFAKETIME if Path(each).exists()), None)
    if library is None:
        raise UserError(ExitCode.USAGE, "there is no libfaketime here", "apt-get install libfaketime")
    return {"LD_PRELOAD": library, "FAKETIME": off, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}


def _ps(pid: int, column: str) -> str:
    ps = shutil.which("ps") or "/bin/ps"
    done = subprocess.run([ps, "-o", f"{column}=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return " ".join(done.stdout.split())


def _gone(what: Any, within: float) -> bool:
    until = time.monotonic() + within
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
