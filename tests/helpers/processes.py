"""The `lilypad` command as a process with a home, a temporary folder and a configuration of its own."""

from __future__ import annotations

import ctypes
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-c", "from testnet.cli import main; main()")
PASSPHRASE = "correct horse"
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on a process whose parent died becomes our child, so a test can see what a command left behind."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> Any:
        """What it printed on stdout, as JSON."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on stderr that says what happened; fails the test where there are none or several."""
        lines = [line for line in self.err.splitlines() if line.startswith("lilypad: ")]
        assert len(lines) == 1, f"expected one complaint, got:\n{self.err}"
        assert "Traceback" not in self.err, self.err
        return lines[0]


@dataclass
class User:
    """Somebody at a terminal: a folder that holds all that their commands may touch."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    space: str = ""
    """The network namespace that their commands run in, or the usual one."""

    def __post_init__(self) -> None:
        for place in (self.here, self.temporary, self.folder / "config"):
            place.mkdir(parents=True, exist_ok=True)

    @property
    def home(self) -> Path:
        """The data folder."""
        return self.folder / "home"

    @property
    def here(self) -> Path:
        """The working directory."""
        return self.folder / "here"

    @property
    def temporary(self) -> Path:
        """Where temporary folders go."""
        return self.folder / "tmp"

    def leftovers(self) -> list[str]:
        """Temporary files that are still there."""
        return sorted(path.name for path in self.temporary.iterdir())

    def start(self, *arguments: object, **more: Any) -> subprocess.Popen[str]:
        """Start a command and go on."""
        return subprocess.Popen(
            [*in_space(self.space), *COMMAND, *map(str, arguments)],
            cwd=self.here,
            env=self.variables(),
            stdin=subprocess.DEVNULL,
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=more.pop("stderr", subprocess.PIPE),
            text=True,
            **more,
        )

    def inside(self, *arguments: object) -> Ended:
        """Run a command within this process: what is refused before anything starts needs none of its own."""
        from node.cli.app import app

        out, err, code, here = io.StringIO(), io.StringIO(), 0, Path.cwd()
        before, began = dict(os.environ), time.monotonic()
        os.environ.clear()
        os.environ.update(self.variables())
        os.chdir(self.here)
        tempfile.tempdir = None
        try:
            with redirect_stdout(out), redirect_stderr(err):
                app([str(each) for each in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None
        return Ended(code, out.getvalue(), err.getvalue(), time.monotonic() - began)

    def variables(self) -> dict[str, str]:
        """The environment of this user's commands."""
        given = {key: value for key, value in os.environ.items() if not key.startswith(("LILYPAD_", "XDG_"))}
        return {
            **given,
            "LILYPAD_HOME": str(self.home),
            "LILYPAD_PASSPHRASE": PASSPHRASE,
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            **self.environment,
        }

    def lilypad(self, *arguments: object, timeout: float = 60.0) -> Ended:
        """Run a command to its end."""
        return finish(self.start(*arguments), timeout)


def in_space(space: str) -> tuple[str, ...]:
    """What to put before a command that runs in a network namespace; nothing for the usual one."""
    return ("ip", "netns", "exec", space) if space else ()


def finish(process: subprocess.Popen[str], timeout: float = 60.0) -> Ended:
    """Wait for a command's end; kill it when that takes too long."""
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the command did not end within {timeout:g} s:\n{err}") from None
    return Ended(process.returncode, out, err, time.monotonic() - began)


def end_process(process: subprocess.Popen[str], number: int = signal.SIGTERM, timeout: float = 60.0) -> None:
    """Signal a process and wait; kill what does not go."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("a process did not end when it was told to") from None
        finally:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def descendants() -> set[int]:
    """Every living process below this one; orphans count too after `adopt_orphans`."""
    return {child.pid for child in psutil.Process().children(recursive=True) if _lives(child)}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def assert_gone(before: set[int], within: float = 20.0) -> None:
    """Nothing lives below us that was not there before."""
    wait_until(lambda: not descendants() - before, within, "processes were left behind")


def wait_until(what: Callable[[], Any], within: float, why: str) -> Any:
    """Poll until something is true; its value."""
    until = time.monotonic() + within
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, why
        time.sleep(0.02)
