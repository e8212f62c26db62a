"""The walls around a worker process: bubblewrap where it works, else limits only and a lower isolation class."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from protocol.isolation import Isolation

_START: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from modules.wasm.inside.worker import main; main(*sys.argv[1:])"
)
_LIBRARIES: Final = ("wasmtime", "msgpack")
_SYSTEM: Final = (
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/alternatives",
)
_INSIDE_CODE: Final = "/code"
_INSIDE_INBOX: Final = "/in"
_INSIDE_OUTBOX: Final = "/out"
_NOBODY: Final = "65534"


@dataclass(frozen=True, slots=True)
class Scratch:
    """The folders of one worker, on the host."""

    folder: Path

    @property
    def inbox(self) -> Path:
        """What the worker may read."""
        return self.folder / "in"

    @property
    def outbox(self) -> Path:
        """What the worker may write."""
        return self.folder / "out"

    @property
    def log(self) -> Path:
        """The worker's own standard error, for people."""
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to start workers."""

    bubblewrap: str | None
    """Path of ``bwrap``; None: no walls but the limits."""
    data_bytes: int
    """The most writable memory of a worker process."""
    file_bytes: int
    """The largest file that it may write."""

    @property
    def isolation(self) -> Isolation:
        return Isolation.WASM if self.bubblewrap is None else Isolation.SANDBOXED_WASM

    def command(self, scratch: Scratch) -> list[str]:
        """The command line of a worker that lives in ``scratch``."""
        limits = [str(self.data_bytes), str(self.file_bytes)]
        if self.bubblewrap is None:
            code = scratch.folder / "code"
            code.mkdir()
            for package, place in _packages().items():
                (code / package).symlink_to(place)
            places = [str(code), str(scratch.inbox), str(scratch.outbox)]
        else:
            places = [_INSIDE_CODE, _INSIDE_INBOX, _INSIDE_OUTBOX]
        # -I and -S: neither the environment nor site packages decide what a worker imports.
        python = [os.path.realpath(sys.executable), "-I", "-S", "-c", _START, *places, *limits]
        return python if self.bubblewrap is None else [self.bubblewrap, *self._walls(scratch), "--", *python]

    def _walls(self, scratch: Scratch) -> list[str]:
        walls = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
        walls += ["--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "worker"]
        # The interpreter may live in any of these; nothing else of the host is there at all.
        for place in dict.fromkeys(
            (*_SYSTEM, os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix))
        ):
            walls += ["--ro-bind-try", place, place]
        for package, folder in _packages().items():
            walls += ["--ro-bind", str(folder), f"{_INSIDE_CODE}/{package}"]
        walls += ["--ro-bind", str(scratch.inbox), _INSIDE_INBOX, "--bind", str(scratch.outbox), _INSIDE_OUTBOX]
        return [*walls, "--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/"]


def find_bubblewrap() -> str | None:
    """The path of ``bwrap``, if this system has one."""
    return shutil.which("bwrap")


def _packages() -> dict[str, Path]:
    """The three packages that a worker imports beside the standard library, and where they lie."""
    places = {"modules": Path(__file__).resolve().parent.parent}
    for name in _LIBRARIES:
        # Found without importing: the node itself never loads the engine.
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(
                f"the package {name} is not installed; install this project with its dependencies"
            )
        places[name] = Path(spec.origin).resolve().parent
    return places
