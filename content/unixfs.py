"""UnixFS: what the blocks of files and directories say, as closed types instead of protocol buffers.

Format: the UnixFS spec, whose Data message sits inside a dag-pb node. A file is one leaf of bytes, or a branch whose
children are pieces of it; a directory is a list of named links, sorted by the bytes of the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from content import dagpb
from content.cid import Cid, Codec
from content.errors import BadNode, Unsupported
from content.names import problem_with

_RAW, _DIRECTORY, _FILE, _METADATA, _SYMLINK, _SHARD = range(6)
_KIND_NAMES = {_METADATA: "metadata", _SYMLINK: "a symlink", _SHARD: "a sharded (HAMT) directory"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A whole small file, or a piece of a bigger one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One child of a branch."""

    cid: Cid
    size: int
    """Bytes of the file below it, as declared; at least one. Whoever reads the child compares."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A file, or a stretch of one, too big for a block."""

    size: int
    """Bytes of the file: the sum over its pieces."""
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a directory."""

    name: str
    cid: Cid
    weight: int | None
    """Bytes of all blocks below, as somebody claims; for show only."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; names are safe, sorted and distinct."""

    entries: tuple[Entry, ...]


Item = Leaf | Branch | Directory


@dataclass(frozen=True, slots=True)
class Made:
    """A DAG that was just built."""

    cid: Cid
    size: int
    """Bytes of the file; for a directory 0."""
    weight: int
    """Bytes of all its blocks, a block linked twice counted twice."""


def size_of(item: Item) -> int | None:
    """Bytes of a file; None for a directory."""
    match item:
        case Leaf(data):
            return len(data)
        case Branch(size):
            return size
        case Directory():
            return None


def encode_branch(children: Sequence[Made]) -> bytes:
    """The block of a file node over pieces, in the order of the file."""
    size = sum(child.size for child in children)
    data = dagpb.number_field(1, _FILE) + dagpb.number_field(3, size)
    data += b"".join(dagpb.number_field(4, child.size) for child in children)
    # The empty name is written out: the tools that share this profile do so, and the hash depends on it.
    return dagpb.encode([dagpb.Link(child.cid, "", child.weight) for child in children], data)


def encode_directory(entries: Sequence[tuple[str, Made]]) -> bytes:
    """The block of a directory; the order of `entries` does not matter."""
    ordered = sorted(entries, key=lambda entry: entry[0].encode())
    links = [dagpb.Link(made.cid, name, made.weight) for name, made in ordered]
    return dagpb.encode(links, dagpb.number_field(1, _DIRECTORY))


def decode(cid: Cid, block: bytes) -> Item:
    """Read a block whose bytes were already checked against its CID.

    Raises `BadNode` where a rule is broken, and `Unsupported` for kinds that we don't read.
    """
    if cid.codec is Codec.RAW:
        return Leaf(block)
    node = dagpb.decode(block)
    if node.data is None:
        raise BadNode("dag-pb without UnixFS data")
    message = _decode_message(node.data)
    match message.kind:
        case 1:
            return _directory(node, message)
        case 0 | 2:
            return _file(node, message)
        case kind if kind in _KIND_NAMES:
            raise Unsupported(f"{cid} is {_KIND_NAMES[kind]}, which is not supported")
        case kind:
            raise BadNode(f"UnixFS has no kind {kind}")


@dataclass(frozen=True, slots=True)
class _Message:
    """The fields of the UnixFS Data message that mean something here; mode and time are read past."""

    kind: int
    data: bytes | None
    size: int | None
    piece_sizes: tuple[int, ...]


def _decode_message(raw: bytes) -> _Message:
    kind: int | None = None
    data: bytes | None = None
    size: int | None = None
    piece_sizes: list[int] = []
    last = 0
    for number, value in dagpb.fields(raw):
        if number < last or (number == last and number != 4):
            raise BadNode("UnixFS fields are out of order or repeated")
        last = number
        match number, value:
            case 1, int():
                kind = value
            case 2, bytes():
                data = value
            case 3, int():
                size = value
            case 4, int():
                piece_sizes.append(value)
            case (5 | 6 | 7, int()) | (8, bytes()):
                pass
            case _:
                raise BadNode(f"UnixFS has no such field {number}")
    if kind is None:
        raise BadNode("UnixFS data without a kind")
    return _Message(kind, data, size, tuple(piece_sizes))


def _directory(node: dagpb.Node, message: _Message) -> Directory:
    if message.data or message.size or message.piece_sizes:
        raise BadNode("a directory holds bytes of a file")
    entries: list[Entry] = []
    before: bytes | None = None
    for link in node.links:
        name = link.name or ""
        if problem := problem_with(name):
            raise BadNode(problem)
        key = name.encode()
        if before is not None and key <= before:
            raise BadNode(f"names in a directory are not sorted and distinct: {name!r}")
        before = key
        entries.append(Entry(name, link.cid, link.weight))
    return Directory(tuple(entries))


def _file(node: dagpb.Node, message: _Message) -> Leaf | Branch:
    if len(message.piece_sizes) != len(node.links):
        raise BadNode(f"{len(node.links)} pieces, but {len(message.piece_sizes)} sizes of pieces")
    if not node.links:
        data = message.data or b""
        if message.size is not None and message.size != len(data):
            raise BadNode(f"a leaf of {len(data)} bytes declares {message.size}")
        return Leaf(data)
    if message.data:
        raise BadNode("a node has both bytes and pieces")
    if any(link.name for link in node.links):
        raise BadNode("a piece of a file has a name")
    # Empty pieces would let a reader walk for ever and get nothing.
    if min(message.piece_sizes) < 1:
        raise BadNode("an empty piece")
    size = sum(message.piece_sizes)
    if message.size != size or size >= 1 << 63:
        raise BadNode(f"a file declares {message.size} bytes, its pieces {size}")
    pairs = zip(node.links, message.piece_sizes, strict=True)
    return Branch(size, tuple(Piece(link.cid, piece) for link, piece in pairs))
