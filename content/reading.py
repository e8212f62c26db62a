"""Reading content back: the bytes of a file or a stretch of it, the names in a directory, a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from content.blocks import Blocks
from content.cid import Cid
from content.errors import BadNode, NoSuchEntry
from content.limits import Budget, Limits
from content.unixfs import Branch, Directory, Entry, Item, Leaf, decode, size_of


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a file that is still to be read."""

    cid: Cid
    start: int
    """Where in the file it begins."""
    size: int | None
    """Bytes that the parent declares; None at the root."""
    depth: int


def cat(
    cid: Cid, blocks: Blocks, start: int = 0, stop: int | None = None, *, budget: Budget | None = None
) -> Iterator[bytes]:
    """The bytes of a file from `start` to before `stop` (its end, if None), a block at a time.

    Only the blocks of that stretch are read. Raises `NoSuchEntry` for a directory, `MissingBlock`, and every fault of
    malformed content; then what came before is still right, since blocks are checked one by one.
    """
    budget = budget or Budget(Limits())
    stack = [_Stretch(cid, 0, None, 1)]
    while stack:
        here = stack.pop()
        budget.check_depth(here.depth)
        budget.spend_block()
        item = decode(here.cid, blocks.get(here.cid))
        size = size_of(item)
        if size is None and here.size is None:
            raise NoSuchEntry(f"{here.cid} is a directory, not a file")
        if here.size is not None and size != here.size:
            raise BadNode(f"{here.cid} is not the {here.size} bytes of a file that its parent declares")
        match item:
            case Leaf(data):
                end = len(data) if stop is None else stop - here.start
                part = data[max(0, start - here.start) : max(0, end)]
                budget.spend_bytes(len(part))
                if part:
                    yield part
            case Branch(pieces=pieces):
                ahead: list[_Stretch] = []
                at = here.start
                for piece in pieces:
                    if at + piece.size > start and (stop is None or at < stop):
                        ahead.append(_Stretch(piece.cid, at, piece.size, here.depth + 1))
                    at += piece.size
                stack.extend(reversed(ahead))
            case Directory():
                raise AssertionError("a directory has no size")
            case _:
                assert_never(item)


def look(cid: Cid, blocks: Blocks) -> Item:
    """What one block is; raises `MissingBlock`, `BadNode`, `Unsupported`."""
    return decode(cid, blocks.get(cid))


def ls(cid: Cid, blocks: Blocks) -> tuple[Entry, ...]:
    """The entries of a directory, sorted by name; raises `NoSuchEntry` for a file."""
    item = look(cid, blocks)
    if not isinstance(item, Directory):
        raise NoSuchEntry(f"{cid} is a file, not a directory")
    return item.entries


def resolve(cid: Cid, path: str, blocks: Blocks) -> Cid:
    """What a path ("outputs/cow.txt") below a root leads to; raises `NoSuchEntry`."""
    return trail(cid, path, blocks)[-1]


def trail(cid: Cid, path: str, blocks: Blocks, limits: Limits = Limits()) -> tuple[Cid, ...]:  # noqa: B008
    """The CIDs on the way down a path, the root first and the target last; raises `NoSuchEntry`.

    There is no "." and no "..": they are names that no directory has.
    """
    names = [name for name in path.split("/") if name]
    Budget(limits).check_depth(len(names) + 1)
    way = [cid]
    for name in names:
        found = next((entry.cid for entry in ls(way[-1], blocks) if entry.name == name), None)
        if found is None:
            raise NoSuchEntry(f"no {name[:255]!r} in {way[-1]}")
        way.append(found)
    return tuple(way)
