"""What can go wrong with content: somebody's bytes break a rule, or something is simply not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import Malformed, PeerFault

if TYPE_CHECKING:
    from content.cid import Cid


class BadCid(Malformed):
    """A name that is not a CIDv1 of raw or dag-pb bytes under sha2-256, written in its one canonical way."""


class BadBlock(PeerFault):
    """Bytes that are not the ones their CID names, or more of them than a block may hold."""


class BadNode(Malformed):
    """A block that matches its CID, but is no well-formed part of a file or a directory."""


class BadCar(Malformed):
    """An archive that is cut, wrongly framed, or holds other blocks than its root needs."""


class Unsupported(PeerFault):
    """Well-formed content of a kind that this program does not handle: sharded directories, symlinks."""


class TooMuch(PeerFault):
    """Content that goes past a limit: bytes, blocks, entries or depth."""


class CannotAdd(PeerFault):
    """A path that can't become content: a link, a device, a name that others could not write to disk.

    The peer's fault and not ours, because such a tree is mostly the output of somebody's job.
    """


class MissingBlock(LookupError):
    """The store does not hold this block: nobody's fault, ask somebody who has it."""

    def __init__(self, cid: Cid) -> None:
        super().__init__(f"block {cid} is not in this store")
        self.cid = cid


class NoSuchEntry(LookupError):
    """The path leads to a name that its directory does not have, or goes on below a file."""
