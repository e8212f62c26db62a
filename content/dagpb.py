"""dag-pb: the bytes of a node that links to other blocks, read strictly.

Format: the DAG-PB spec, a protocol buffer in one canonical form. PBNode: Links (2) come before Data (1), which is how
the format grew. PBLink: Hash (1), Name (2), Tsize (3). What does not come out the same when written again is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from content import varint
from content.cid import Cid
from content.errors import BadCid, BadNode
from protocol.errors import Malformed

_VARINT, _BYTES = 0, 2


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another block."""

    cid: Cid
    name: str | None
    weight: int | None
    """Bytes of all blocks below, a block linked twice counted twice ("Tsize"). A mere claim: never rely on it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A decoded dag-pb block."""

    links: tuple[Link, ...]
    data: bytes | None


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (number, value) pairs of a protocol buffer, of the two wire types that dag-pb and UnixFS use.

    Raises `BadNode`.
    """
    at = 0
    while at < len(data):
        key, at = _number(data, at)
        match key & 7:
            case 0:
                value, at = _number(data, at)
                yield key >> 3, value
            case 2:
                length, at = _number(data, at)
                if length > len(data) - at:
                    raise BadNode("a field is longer than its message")
                yield key >> 3, data[at : at + length]
                at += length
            case wire_type:
                raise BadNode(f"wire type {wire_type} has no place here")


def number_field(number: int, value: int) -> bytes:
    """A protocol buffer field that holds a number."""
    return bytes([number << 3 | _VARINT]) + varint.encode(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """A protocol buffer field that holds bytes."""
    return bytes([number << 3 | _BYTES]) + varint.encode(len(value)) + value


def encode(links: Sequence[Link], data: bytes | None) -> bytes:
    """The canonical bytes of a node. The caller has sorted the links where their order means nothing."""
    out = b"".join(bytes_field(2, _encode_link(link)) for link in links)
    return out if data is None else out + bytes_field(1, data)


def decode(block: bytes) -> Node:
    """Read a node; raises `BadNode` for anything but canonical bytes."""
    links: list[Link] = []
    data: bytes | None = None
    for number, value in fields(block):
        match number, value:
            case 2, bytes():
                links.append(_decode_link(value))
            case 1, bytes():
                data = value
            case _:
                raise BadNode(f"dag-pb has no such field {number}")
    # One comparison stands for a dozen rules: order of fields, repeated fields, shortest numbers.
    if encode(links, data) != block:
        raise BadNode("dag-pb, but not in its canonical form")
    return Node(tuple(links), data)


def _number(data: bytes, at: int) -> tuple[int, int]:
    try:
        read = varint.decode(data, at)
    except Malformed as error:
        raise BadNode(str(error)) from error
    if read is None:
        raise BadNode("the message ends inside a number")
    return read


def _encode_link(link: Link) -> bytes:
    out = bytes_field(1, bytes(link.cid))
    if link.name is not None:
        out += bytes_field(2, link.name.encode())
    if link.weight is not None:
        out += number_field(3, link.weight)
    return out


def _decode_link(data: bytes) -> Link:
    cid: Cid | None = None
    name: str | None = None
    weight: int | None = None
    for number, value in fields(data):
        match number, value:
            case 1, bytes():
                cid = _decode_cid(value)
            case 2, bytes():
                try:
                    name = value.decode()
                except UnicodeDecodeError:
                    raise BadNode(f"a name is not UTF-8: {value[:64]!r}") from None
            case 3, int():
                weight = value
            case _:
                raise BadNode(f"a dag-pb link has no such field {number}")
    if cid is None:
        raise BadNode("a link leads nowhere")
    return Link(cid, name, weight)


def _decode_cid(data: bytes) -> Cid:
    try:
        return Cid.from_bytes(data)
    except BadCid as error:
        raise BadNode(f"a link that can't be followed: {error}") from error
