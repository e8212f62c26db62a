"""Putting a file or a folder of this machine into a store, named by what is in it and nothing else.

Names, bytes and nesting count; times, modes and owners don't. So the same tree has the same CID on every machine.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from content.blocks import Blocks
from content.cid import Cid, Codec
from content.errors import CannotAdd
from content.layout import add_stream
from content.limits import Budget, Limits
from content.names import problem_with
from content.unixfs import Made, encode_directory

MAX_DIRECTORY_BLOCK = 256 << 10
"""Bytes. Above it the profile demands a sharded directory, which can't be written yet; a plain one would get a CID
that changes on the day it can."""

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def add_path(path: Path, blocks: Blocks, limits: Limits = Limits()) -> Cid:  # noqa: B008  (frozen)
    """Store a file or a directory; raises `CannotAdd`, `TooMuch`, and `OSError` for what can't be read.

    The tree may belong to somebody who changes it meanwhile (a job that still runs): every step goes through an open
    directory and never follows a link, so nothing outside of the tree can get in.
    """
    return _add(os.fspath(path), None, str(path), blocks, Budget(limits), 1).cid


def _add(name: str, parent: int | None, shown: str, blocks: Blocks, budget: Budget, depth: int) -> Made:
    budget.check_depth(depth)
    # Looked at before it is opened, since opening a device may already do something.
    _check_kind(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode, shown)
    handle = os.open(name, _OPEN, dir_fd=parent)
    try:
        mode = os.fstat(handle).st_mode
        _check_kind(mode, shown)
        if stat.S_ISDIR(mode):
            return _add_directory(handle, shown, blocks, budget, depth)
        with open(handle, "rb", closefd=False) as file:
            return add_stream(file, blocks, budget)
    finally:
        os.close(handle)


def _add_directory(handle: int, shown: str, blocks: Blocks, budget: Budget, depth: int) -> Made:
    names: list[str] = []
    with os.scandir(handle) as found:
        for entry in found:
            budget.spend_entries(1)
            names.append(_checked_name(entry.name, shown))
    entries = [(name, _add(name, handle, f"{shown}/{name}", blocks, budget, depth + 1)) for name in sorted(names)]
    block = encode_directory(entries)
    if len(block) > MAX_DIRECTORY_BLOCK:
        raise CannotAdd(
            f"{shown} has {len(entries)} entries, more than one block of a directory holds; "
            "put them into subdirectories or into one archive"
        )
    budget.spend_block()
    cid = blocks.add(Codec.DAG_PB, block)
    return Made(cid, 0, len(block) + sum(made.weight for _, made in entries))


def _checked_name(name: str, shown: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise CannotAdd(f"{shown} has an entry whose name is not UTF-8: {os.fsencode(name)!r}") from None
    if problem := problem_with(name):
        raise CannotAdd(f"{shown}: {problem}")
    return name


def _check_kind(mode: int, shown: str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kind = "a symlink" if stat.S_ISLNK(mode) else "neither a file nor a directory"
        raise CannotAdd(f"{shown} is {kind}; only files and directories can be added")
