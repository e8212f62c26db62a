"""The descriptors of a program: which number stands for which stream, file or directory, and where it reads next."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Final

from modules.wasm.inside.tree import Directory, InputFile, OutputFile, Quota, TooMuch, Tree
from modules.wasm.inside.wasi_types import Errno, WasiError

MAX_DESCRIPTORS: Final = 256
ROOT: Final = 3
"""The one directory that a program starts with: ``/``, which holds ``inputs`` and ``outputs``."""


@dataclass(slots=True)
class Stream:
    """``stdout`` or ``stderr``: written as it comes, so that a run that is killed leaves what it said."""

    host: int
    left: int
    quota: Quota

    def write(self, data: bytes) -> int:
        """Write all of ``data``, or what still fits and raise `TooMuch`."""
        fits = min(len(data), self.left, self.quota.bytes_left)
        view = memoryview(data)[:fits]
        while view:
            view = view[os.write(self.host, view) :]
        self.quota.take_bytes(fits)
        self.left -= fits
        if fits < len(data):
            raise TooMuch("it says more than stdout and stderr may hold")
        return fits


@dataclass(slots=True)
class OpenFile:
    """A file and a place in it."""

    file: InputFile | OutputFile
    host: int
    readable: bool
    writable: bool
    flags: int = 0
    position: int = 0


@dataclass(slots=True)
class OpenDirectory:
    """A directory, and its listing as it was when the program began to read it."""

    directory: Directory
    listing: list[tuple[str, int, int]] = field(default_factory=list)
    """Name, inode, file type."""


@dataclass(slots=True)
class Empty:
    """Standard input when there is none."""


Open = Stream | OpenFile | OpenDirectory | Empty


class Descriptors:
    """The table of one run."""

    def __init__(self, tree: Tree, stdin: InputFile | None, stdout: Stream, stderr: Stream) -> None:
        self._tree = tree
        first: Open = Empty() if stdin is None else OpenFile(stdin, stdin.open(), readable=True, writable=False)
        self._open: dict[int, Open] = {0: first, 1: stdout, 2: stderr, ROOT: OpenDirectory(tree.root)}

    def get(self, number: int) -> Open:
        found = self._open.get(number)
        if found is None:
            raise WasiError(Errno.BADF)
        return found

    def file(self, number: int) -> OpenFile:
        """An open file. Streams and directories have no place to seek, read or resize."""
        match self.get(number):
            case OpenFile() as found:
                return found
            case OpenDirectory():
                raise WasiError(Errno.ISDIR)
            case Stream() | Empty():
                raise WasiError(Errno.SPIPE)

    def directory(self, number: int) -> OpenDirectory:
        found = self.get(number)
        if not isinstance(found, OpenDirectory):
            raise WasiError(Errno.NOTDIR)
        return found

    def add(self, opened: OpenFile | OpenDirectory) -> int:
        """Give it the lowest free number."""
        number = next(number for number in range(MAX_DESCRIPTORS + 1) if number not in self._open)
        self._open[number] = opened
        return number

    def check_room(self) -> None:
        """Raise before anything is opened that could not get a number."""
        if len(self._open) >= MAX_DESCRIPTORS:
            raise WasiError(Errno.MFILE)

    def close(self, number: int) -> None:
        self._let_go(self.get(number))
        del self._open[number]

    def move(self, number: int, to: int) -> None:
        """Close ``to`` and let it stand for what ``number`` stood for."""
        moved, old = self.get(number), self.get(to)
        if number != to:
            self._let_go(old)
            self._open[to] = moved
            del self._open[number]

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def _let_go(self, opened: Open) -> None:
        if isinstance(opened, OpenFile):
            os.close(opened.host)
            if isinstance(opened.file, OutputFile):
                opened.file.users -= 1
                self._tree.release(opened.file)
