"""Walking a DAG depth first: the order in which a file is read, an archive written, and a transfer checked.

    wanted -> (somebody brings the block) -> supply -> wanted -> ... -> None

The walk does no I/O, so one set of rules serves a local store and a stranger's stream alike: a block that is not the
wanted one has no way in. Each block is wanted once, at its first place; later links to it are only checked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import assert_never

from content.blocks import Blocks
from content.cid import Cid
from content.errors import BadNode
from content.limits import Budget, Limits
from content.unixfs import Branch, Directory, Item, Leaf, Piece, decode, size_of
from protocol.errors import Misuse

_DIRECTORY = -1
"""What `_seen` holds in place of a size."""


class Walk:
    """The state of one walk over the distinct blocks below a root."""

    def __init__(self, root: Cid, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._budget = Budget(limits)
        self._seen: dict[Cid, int] = {}
        self._open: list[deque[Cid | Piece]] = []
        self._wanted: Cid | None = root
        self._size: int | None = None

    @property
    def wanted(self) -> Cid | None:
        """The block that must come next; None when the DAG is complete."""
        return self._wanted

    @property
    def block_count(self) -> int:
        """Distinct blocks supplied so far."""
        return len(self._seen)

    @property
    def byte_count(self) -> int:
        """Bytes of the blocks supplied so far."""
        return self._budget.limits.max_bytes - self._budget.bytes

    def upcoming(self, count: int) -> tuple[Cid, ...]:
        """The wanted block, and up to `count` - 1 others that are known to be wanted later; none if nothing is wanted.

        Looks only at the next few links, so that a node full of blocks already seen costs nothing.
        """
        if self._wanted is None:
            return ()
        links = islice(chain.from_iterable(reversed(self._open)), 4 * count)
        later = (link.cid if isinstance(link, Piece) else link for link in links)
        distinct = dict.fromkeys(chain((self._wanted,), (cid for cid in later if cid not in self._seen)))
        return tuple(islice(distinct, count))

    def supply(self, block: bytes) -> Item:
        """Bring the wanted block, whose bytes were checked against its CID; says what it is.

        Raises `BadNode`, `Unsupported` or `TooMuch`.
        """
        cid = self._wanted
        if cid is None:
            raise Misuse("nothing is wanted any more")
        self._budget.spend_block()
        self._budget.spend_bytes(len(block))
        item = decode(cid, block)
        size = size_of(item)
        self._seen[cid] = _DIRECTORY if size is None else size
        self._check_size(cid, self._size)
        match item:
            case Leaf():
                pass
            case Branch(pieces=pieces):
                self._open.append(deque(pieces))
            case Directory(entries):
                self._budget.spend_entries(len(entries))
                self._open.append(deque(entry.cid for entry in entries))
            case _:
                assert_never(item)
        self._advance()
        return item

    def _advance(self) -> None:
        while self._open:
            if not self._open[-1]:
                self._open.pop()
                continue
            child = self._open[-1].popleft()
            cid, size = (child.cid, child.size) if isinstance(child, Piece) else (child, None)
            if cid in self._seen:
                self._check_size(cid, size)
                continue
            self._budget.check_depth(len(self._open) + 1)
            self._wanted, self._size = cid, size
            return
        self._wanted = None

    def _check_size(self, cid: Cid, declared: int | None) -> None:
        if declared is not None and self._seen[cid] != declared:
            raise BadNode(f"{cid} is not the {declared} bytes of a file that its parent declares")


def walk(root: Cid, blocks: Blocks, limits: Limits = Limits()) -> Iterator[tuple[Cid, bytes]]:  # noqa: B008
    """The distinct blocks below a root, depth first, each as soon as it is read; raises also `MissingBlock`."""
    path = Walk(root, limits)
    while (cid := path.wanted) is not None:
        block = blocks.get(cid)
        path.supply(block)
        yield cid, block
