"""CAR files: a root and its blocks in one stream, written byte for byte as the IPFS tools do, and read with suspicion.

Format: CARv1. A frame is a varint length and that many bytes. The first frame is a header in DAG-CBOR, {roots: [cid],
version: 1}; each other one is the CID of a block and the block. Only archives with exactly one root are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

from content import varint
from content.blocks import MAX_BLOCK, Blocks
from content.cid import CID_BYTES, Cid
from content.errors import BadCar, BadCid, MissingBlock
from content.limits import Budget, Limits
from content.walk import walk
from protocol.errors import Malformed, Misuse

_BEFORE_ROOT = b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"
"""A map of two; "roots", a list of one; tag 42 (a CID) on 37 bytes that begin with a zero."""
_AFTER_ROOT = b"\x67version\x01"
_HEADER_BYTES = len(_BEFORE_ROOT) + CID_BYTES + len(_AFTER_ROOT)
_READ = 1 << 18


def header(root: Cid) -> bytes:
    """The first bytes of an archive."""
    return varint.encode(_HEADER_BYTES) + _BEFORE_ROOT + bytes(root) + _AFTER_ROOT


def section(cid: Cid, block: bytes) -> bytes:
    """One block in an archive."""
    return varint.encode(CID_BYTES + len(block)) + bytes(cid) + block


def write_car(root: Cid, blocks: Iterable[tuple[Cid, bytes]]) -> Iterator[bytes]:
    """The bytes of an archive, a block at a time, in the order the blocks come; `walk` gives the usual one."""
    yield header(root)
    for cid, block in blocks:
        yield section(cid, block)


class CarFramer:
    """Cuts a stream of bytes into the sections of an archive; hashes are left to whoever stores the blocks.

    Holds at most one frame, and refuses a length before it buffers for it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._root: Cid | None = None

    @property
    def root(self) -> Cid:
        """The root that the header claims, once it was read."""
        if self._root is None:
            raise Misuse("the header has not been read yet")
        return self._root

    def receive(self, data: bytes) -> list[tuple[Cid, bytes]]:
        """Take the next bytes of the stream and give the sections that are complete; raises `BadCar`."""
        self._buffer += data
        sections: list[tuple[Cid, bytes]] = []
        at = 0
        while True:
            least, most = (CID_BYTES, CID_BYTES + MAX_BLOCK) if self._root else (_HEADER_BYTES, _HEADER_BYTES)
            try:
                read = varint.decode(self._buffer, at)
            except Malformed as error:
                raise BadCar(f"a frame begins badly: {error}") from error
            if read is None:
                break
            length, begin = read
            if not least <= length <= most:
                raise BadCar(f"a frame of {length} bytes where {least} to {most} may be")
            if len(self._buffer) - begin < length:
                break
            at = begin + length
            frame = bytes(memoryview(self._buffer)[begin:at])
            if self._root is None:
                self._root = _read_header(frame)
            else:
                sections.append(_read_section(frame))
        del self._buffer[:at]
        return sections

    def finish(self) -> None:
        """The stream has ended; raises `BadCar` if it ended inside of something."""
        if self._root is None or self._buffer:
            raise BadCar("the archive is cut off")


def read_car(
    stream: BinaryIO,
    root: Cid | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> Iterator[tuple[Cid, bytes]]:
    """The blocks of an archive as they come, each checked against its CID.

    Raises `BadCar` (also where the header names another root than `root`), `BadBlock` and `TooMuch`. Whether the blocks
    make up the root is another question: see `load_car`.
    """
    for cid, block in _sections(stream, CarFramer(), root, limits):
        cid.verify(block)
        yield cid, block


def load_car(
    stream: BinaryIO,
    blocks: Blocks,
    root: Cid | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> Cid:
    """Store an archive that holds its root's blocks, all of them and no others, in any order; returns the root.

    Raises like `read_car`, and `BadCar` for a block that lacks or does not belong. Blocks stored before a fault was
    seen stay: they are what their CIDs say, and nothing names them.
    """
    framer = CarFramer()
    brought: set[Cid] = set()
    for cid, block in _sections(stream, framer, root, limits):
        blocks.put(cid, block)
        brought.add(cid)
    try:
        for cid, _ in walk(framer.root, blocks, limits):
            if cid not in brought:
                raise BadCar(f"the archive lacks {cid}")
            brought.discard(cid)
    except MissingBlock as error:
        raise BadCar(f"the archive lacks {error.cid}") from error
    if brought:
        raise BadCar(f"{len(brought)} blocks in the archive do not belong to its root")
    return framer.root


def _sections(stream: BinaryIO, framer: CarFramer, root: Cid | None, limits: Limits) -> Iterator[tuple[Cid, bytes]]:
    budget = Budget(limits)
    while data := stream.read(_READ):
        sections = framer.receive(data)
        if sections and root is not None and framer.root != root:
            break
        for cid, block in sections:
            budget.spend_block()
            budget.spend_bytes(len(block))
            yield cid, block
    else:
        framer.finish()
    if root is not None and framer.root != root:
        raise BadCar(f"the archive is of {framer.root}, not of {root}")


def _read_header(frame: bytes) -> Cid:
    root = frame[len(_BEFORE_ROOT) : -len(_AFTER_ROOT)]
    if frame != _BEFORE_ROOT + root + _AFTER_ROOT:
        raise BadCar("not the header of a CARv1 with one root")
    return _read_cid(root)


def _read_section(frame: bytes) -> tuple[Cid, bytes]:
    return _read_cid(frame[:CID_BYTES]), frame[CID_BYTES:]


def _read_cid(data: bytes) -> Cid:
    try:
        return Cid.from_bytes(data)
    except BadCid as error:
        raise BadCar(f"a block of a kind we don't take: {error}") from error
