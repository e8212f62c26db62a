"""Walks and copies folders that may come from a stranger: files and directories only, bounded, no link followed."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from modules.errors import ModuleFault

MAX_DEPTH: Final = 64
_CHUNK: Final = 1024 * 1024
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, since a pipe that lies where a file should would otherwise hold the open call forever.
_FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FolderFault(ModuleFault):
    """A folder that holds what it may not: a link, a device, too many files, too many bytes, a name that isn't text."""


class FolderTooLarge(FolderFault):
    """More files or bytes than the bounds allow."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a folder may hold."""

    files: int = 100_000
    """Files and directories together."""
    bytes: int = 1 << 40


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder."""

    path: str
    """Relative, with ``/`` between the names."""
    kind: Literal["file", "directory"]
    size: int
    """Bytes; 0 for a directory."""


class _Count:
    """What has been met so far, held against the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._files = 0
        self._bytes = 0

    def one_more(self) -> None:
        self._files += 1
        if self._files > self._bounds.files:
            raise FolderTooLarge(f"holds more than {self._bounds.files} files and directories")

    def more_bytes(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._bounds.bytes:
            raise FolderTooLarge(f"holds more than {self._bounds.bytes} bytes")


def walk(folder: Path, bounds: Bounds = Bounds()) -> Iterator[Entry]:
    """Yield all that is below ``folder``, parents first, names in order. Raises `FolderFault`, `OSError`."""
    count = _Count(bounds)
    descriptor = os.open(folder, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    try:
        yield from _walk(descriptor, "", 0, count)
    finally:
        os.close(descriptor)


def _walk(descriptor: int, prefix: str, depth: int, count: _Count) -> Iterator[Entry]:
    for name in _names(descriptor, prefix, depth, count):
        path = prefix + name
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            count.more_bytes(status.st_size)
            yield Entry(path, "file", status.st_size)
        elif stat.S_ISDIR(status.st_mode):
            yield Entry(path, "directory", 0)
            inner = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
            try:
                yield from _walk(inner, path + "/", depth + 1, count)
            finally:
                os.close(inner)
        else:
            raise FolderFault(f"holds {path!r}, {_kind(status.st_mode)}; only files and directories are allowed")


def copy(source: Path, destination: Path, bounds: Bounds = Bounds()) -> None:
    """Copy a file or a folder, contents only, to ``destination``, which must not exist yet.

    Safe while somebody else writes in the source: nothing is followed, and what is copied is what was counted.
    Raises `FolderFault`, `OSError`.
    """
    count = _Count(bounds)
    # What the caller names may be a link (a user's own path); what lies inside may not.
    source = source.resolve()
    if source.is_dir():
        descriptor = os.open(source, _DIRECTORY_FLAGS)
        try:
            destination.mkdir()
            _copy_directory(descriptor, destination, "", 0, count)
        finally:
            os.close(descriptor)
    else:
        descriptor = os.open(source.parent, _DIRECTORY_FLAGS)
        try:
            _copy_file(descriptor, source.name, destination, source.name, count)
        finally:
            os.close(descriptor)


def blocks(folder: Path, most_files: int) -> float:
    """Bytes that the files below take on the disk now; infinite when they are too many or too deep to be counted.

    For watching a folder that somebody writes in: what goes away meanwhile counts as nothing.
    """
    total, files = 0, 0
    waiting = [(folder, 0)]
    while waiting:
        at, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return math.inf
        try:
            with os.scandir(at) as entries:
                for entry in entries:
                    files += 1
                    if files > most_files:
                        return math.inf
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((Path(entry.path), depth + 1))
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue  # its owner moves files while we look; the next look finds them
    return total


def _copy_directory(descriptor: int, destination: Path, prefix: str, depth: int, count: _Count) -> None:
    for name in _names(descriptor, prefix, depth, count):
        path, target = prefix + name, destination / name
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            inner = os.open(name, _DIRECTORY_FLAGS, dir_fd=descriptor)
            try:
                target.mkdir()
                _copy_directory(inner, target, path + "/", depth + 1, count)
            finally:
                os.close(inner)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(descriptor, name, target, path, count)
        else:
            raise FolderFault(f"holds {path!r}, {_kind(status.st_mode)}; only files and directories are allowed")


def _copy_file(descriptor: int, name: str, target: Path, path: str, count: _Count) -> None:
    with open(os.open(name, _FILE_FLAGS, dir_fd=descriptor), "rb") as reader:
        if not stat.S_ISREG(os.fstat(reader.fileno()).st_mode):
            raise FolderFault(f"holds {path!r}, which is not a plain file")
        with target.open("xb") as writer:
            while chunk := reader.read(_CHUNK):
                count.more_bytes(len(chunk))
                writer.write(chunk)


def _names(descriptor: int, prefix: str, depth: int, count: _Count) -> list[str]:
    """The names in one directory in the order of their bytes, each counted before the next is read."""
    if depth > MAX_DEPTH:
        raise FolderTooLarge(f"is nested more than {MAX_DEPTH} directories deep")
    names: list[str] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            count.one_more()
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                raise FolderFault(f"holds a name in {prefix or './'} that is not UTF-8") from None
            names.append(entry.name)
    return sorted(names, key=str.encode)


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a pipe, socket or device"
