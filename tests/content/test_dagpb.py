"""Nodes are read in one form only: whatever else decodes to the same thing is refused, and junk never crashes us."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content import dagpb, varint
from content.cid import Cid, Codec
from content.errors import BadNode, Unsupported
from content.unixfs import Branch, Directory, Leaf, Made, decode, encode_branch
from protocol.errors import Malformed

LEAF = Cid.of(Codec.RAW, b"12345")
LINK = dagpb.Link(LEAF, "name", 5)
NODE = dagpb.encode([LINK], b"\x08\x01")

cids = st.builds(Cid, st.sampled_from(Codec), st.binary(min_size=32, max_size=32))
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
links = st.builds(dagpb.Link, cids, st.none() | text, st.none() | st.integers(0, 2**63 - 1))


def _field(number: int, value: bytes) -> bytes:
    return dagpb.bytes_field(number, value)


@given(st.lists(links, max_size=5), st.none() | st.binary(max_size=30))
def test_what_is_written_is_read(many: list[dagpb.Link], data: bytes | None) -> None:
    assert dagpb.decode(dagpb.encode(many, data)) == dagpb.Node(tuple(many), data)


@given(st.integers(0, 2**63 - 1))
def test_a_number_is_read_back_and_wanted_whole(number: int) -> None:
    data = varint.encode(number)
    assert varint.decode(data, 0) == (number, len(data))
    assert varint.decode(data[:-1], 0) is None


@pytest.mark.parametrize("data", [b"\x80\x00", b"\x81\x80\x00", b"\xff" * 9 + b"\x01", b"\x80" * 20])
def test_a_number_in_a_longer_form_than_needed_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        varint.decode(data, 0)


@pytest.mark.parametrize(
    "block",
    [
        _field(1, b"\x08\x01") + _field(2, b""),  # a link without a CID
        _field(1, b"\x08\x01") + NODE[:-4],  # data before links
        NODE + _field(1, b"\x08\x01"),  # data twice
        NODE + _field(3, b""),  # a field that does not exist
        NODE + b"\x08\x01",  # a number where bytes belong
        NODE[:-1],  # cut
        b"\x0a\x82\x00\x08\x01",  # a length in a longer form than needed
        b"\x0d1234",  # a wire type that has no place
        _field(2, _field(1, b"\x12\x20" + bytes(32))),  # a CIDv0
        _field(2, _field(1, bytes(LEAF)) + _field(2, b"\xff")),  # a name that is not text
        _field(2, _field(2, b"a") + _field(1, bytes(LEAF))),  # a name before its CID
        _field(2, _field(1, bytes(LEAF)) + _field(4, b"")),  # a field of a link that does not exist
    ],
)
def test_a_node_in_another_form_is_refused(block: bytes) -> None:
    with pytest.raises(BadNode):
        dagpb.decode(block)


@given(st.binary(max_size=200))
def test_junk_is_refused_and_nothing_worse(junk: bytes) -> None:
    for block in (junk, dagpb.encode([LINK], junk), NODE[:20] + junk):
        with suppress(BadNode, Unsupported):
            decode(Cid.of(Codec.DAG_PB, block), block)


def _unixfs(data: bytes, *pieces: dagpb.Link) -> Leaf | Branch | Directory:
    block = dagpb.encode(pieces, data)
    return decode(Cid.of(Codec.DAG_PB, block), block)


PIECE = dagpb.Link(LEAF, "", 5)


def test_a_file_of_other_tools_is_read() -> None:
    assert _unixfs(b"\x08\x02\x12\x03moo\x18\x03") == Leaf(b"moo")
    assert _unixfs(b"\x08\x00\x12\x03moo\x18\x03") == Leaf(b"moo")
    assert _unixfs(b"\x08\x02") == Leaf(b"")
    with_mode_and_time = b"\x08\x02\x12\x03moo\x18\x03\x38\xa4\x03\x42\x02\x08\x01"
    assert _unixfs(with_mode_and_time) == Leaf(b"moo")
    block = encode_branch([Made(LEAF, 5, 5)] * 2)
    assert decode(Cid.of(Codec.DAG_PB, block), block) == _unixfs(b"\x08\x02\x18\x0a\x20\x05\x20\x05", PIECE, PIECE)


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        (b"", []),  # no kind
        (b"\x08\x09", []),  # no such kind
        (b"\x18\x03\x08\x02", []),  # out of order
        (b"\x08\x02\x08\x02", []),  # twice
        (b"\x08\x02\x12\x03moo\x18\x04", []),  # a leaf of another length than it says
        (b"\x08\x02\x18\x05", [PIECE]),  # a piece without a size
        (b"\x08\x02\x18\x05\x20\x05", []),  # a size without a piece
        (b"\x08\x02\x18\x06\x20\x05", [PIECE]),  # a sum that is wrong
        (b"\x08\x02\x20\x05", [PIECE]),  # no sum
        (b"\x08\x02\x18\x00\x20\x00", [PIECE]),  # an empty piece
        (b"\x08\x02\x12\x01x\x18\x05\x20\x05", [PIECE]),  # both bytes and pieces
        (b"\x08\x02\x18\x05\x20\x05", [LINK]),  # a piece with a name
        (b"\x08\x01\x12\x01x", []),  # a directory with bytes
    ],
)
def test_a_message_that_contradicts_itself_is_refused(data: bytes, pieces: list[dagpb.Link]) -> None:
    with pytest.raises(BadNode):
        _unixfs(data, *pieces)


def test_sizes_that_overflow_are_refused() -> None:
    big = varint.encode(2**63 - 1)
    with pytest.raises(BadNode):
        _unixfs(b"\x08\x02\x18" + big + b"\x20" + big + b"\x20" + big, PIECE, PIECE)


@pytest.mark.parametrize("kind", [3, 4, 5])
def test_kinds_that_we_do_not_read_are_named(kind: int) -> None:
    with pytest.raises(Unsupported, match="not supported"):
        _unixfs(bytes([8, kind]))
