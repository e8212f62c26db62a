"""Writing a DAG that a stranger made onto our disk, without trusting a word of it.

The decoder has already refused names that lead elsewhere. Here is the rest: every byte, entry and level is counted as
it will lie on disk (a block that is linked a million times counts a million times), nothing that exists is touched, and
a tree that turns out bad leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import assert_never

from content.blocks import Blocks
from content.cid import Cid
from content.errors import TooMuch
from content.limits import Budget, Limits
from content.reading import cat, look
from content.unixfs import Branch, Directory, Leaf

_MAX_PATH_BYTES = 4000
"""Linux takes 4096, with the end."""


def export(cid: Cid, blocks: Blocks, destination: Path, limits: Limits = Limits()) -> int:  # noqa: B008  (frozen)
    """Write the file or directory to `destination`, which must not exist yet; returns the bytes of all files.

    It appears there whole or not at all. Raises `FileExistsError`, `MissingBlock`, `TooMuch`, `BadNode`, `Unsupported`,
    and `OSError` where the disk refuses.
    """
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} exists already")
    workshop = Path(tempfile.mkdtemp(prefix=".partial-", dir=destination.parent))
    try:
        budget = Budget(limits)
        made = workshop / "made"
        _write(cid, blocks, made, budget, 1)
        if os.path.lexists(destination):
            raise FileExistsError(f"{destination} exists already")
        made.rename(destination)
        return limits.max_bytes - budget.bytes
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _write(cid: Cid, blocks: Blocks, path: Path, budget: Budget, depth: int) -> None:
    budget.check_depth(depth)
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise TooMuch(f"a path of more than {_MAX_PATH_BYTES} bytes")
    item = look(cid, blocks)
    match item:
        case Directory(entries):
            budget.spend_block()
            budget.spend_entries(len(entries))
            path.mkdir()
            for entry in entries:
                _write(entry.cid, blocks, path / entry.name, budget, depth + 1)
        case Leaf(data):
            budget.spend_block()
            budget.spend_bytes(len(data))
            with path.open("xb") as file:
                file.write(data)
        case Branch(size):
            if size > budget.bytes:  # what it declares is checked piece by piece; this only saves the trouble
                raise TooMuch(f"more than {budget.limits.max_bytes} bytes of content")
            with path.open("xb") as file:
                for part in cat(cid, blocks, budget=budget):
                    file.write(part)
        case _:
            assert_never(item)
