"""An archive is read from any stream in any portions, and must hold exactly what its root needs."""

from __future__ import annotations

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.blocks import MAX_BLOCK, MemoryBlocks
from content.car import CarFramer, header, load_car, read_car, section, write_car
from content.cid import Cid, Codec
from content.errors import BadBlock, BadCar, TooMuch
from content.layout import add_stream
from content.limits import Budget, Limits
from content.walk import walk
from protocol.errors import Misuse

STORE = MemoryBlocks()
ROOT = add_stream(io.BytesIO(bytes(range(256)) * 8), STORE, Budget(Limits()), chunk=100, width=4).cid
BLOCKS = list(walk(ROOT, STORE))
CAR = b"".join(write_car(ROOT, BLOCKS))
STRAY = (Cid.of(Codec.RAW, b"stray"), b"stray")


@given(st.lists(st.integers(0, len(CAR)), max_size=8))
def test_portions_do_not_matter(cuts: list[int]) -> None:
    framer = CarFramer()
    found: list[tuple[Cid, bytes]] = []
    ends = [0, *sorted(cuts), len(CAR)]
    for start, stop in itertools.pairwise(ends):
        found += framer.receive(CAR[start:stop])
    framer.finish()
    assert found == BLOCKS
    assert framer.root == ROOT


@pytest.mark.parametrize("order", [BLOCKS, BLOCKS[::-1], [*BLOCKS, BLOCKS[1], BLOCKS[0]]])
def test_order_and_repetition_do_not_matter(order: list[tuple[Cid, bytes]]) -> None:
    mine = MemoryBlocks()
    assert load_car(io.BytesIO(b"".join(write_car(ROOT, order))), mine, ROOT) == ROOT
    assert list(walk(ROOT, mine)) == BLOCKS


def test_an_archive_that_is_cut_anywhere_is_refused() -> None:
    for end in range(len(CAR)):
        with pytest.raises(BadCar):
            load_car(io.BytesIO(CAR[:end]), MemoryBlocks(), ROOT)


def test_a_block_that_lacks_or_does_not_belong_is_refused() -> None:
    with pytest.raises(BadCar, match="lacks"):
        load_car(io.BytesIO(b"".join(write_car(ROOT, BLOCKS[:-1]))), MemoryBlocks())
    complete = MemoryBlocks()
    for cid, block in BLOCKS:
        complete.put(cid, block)
    with pytest.raises(BadCar, match="lacks"):  # what the store held before does not make the archive whole
        load_car(io.BytesIO(b"".join(write_car(ROOT, BLOCKS[:-1]))), complete)
    with pytest.raises(BadCar, match="do not belong"):
        load_car(io.BytesIO(b"".join(write_car(ROOT, [*BLOCKS, STRAY]))), MemoryBlocks())


def test_an_archive_of_another_root_is_refused() -> None:
    with pytest.raises(BadCar, match="not of"):
        list(read_car(io.BytesIO(CAR), STRAY[0]))
    with pytest.raises(BadCar, match="not of"):
        list(read_car(io.BytesIO(header(ROOT)), STRAY[0]))


def test_a_block_that_is_not_what_it_says_is_refused() -> None:
    with pytest.raises(BadBlock):
        list(read_car(io.BytesIO(header(ROOT) + section(ROOT, b"other"))))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x00",
        b"\x3b" + header(ROOT)[1:],
        header(ROOT)[:-1] + b"\x02",  # version 2
        header(ROOT).replace(b"roots", b"boots"),
        header(ROOT)[:14] + b"\x02" + header(ROOT)[15:],  # CID version 2
        header(ROOT) + b"\x00",  # padding
        header(ROOT) + b"\x23" + bytes(35),  # too short for a CID
        header(ROOT) + b"\x24" + bytes(36),
        header(ROOT) + b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # would be 8 EiB
        header(ROOT) + b"\xa4\x80",
    ],
)
def test_bad_frames_are_refused(bad: bytes) -> None:
    with pytest.raises(BadCar):
        list(read_car(io.BytesIO(bad)))


def test_no_more_is_held_than_one_block() -> None:
    """A length is refused when it is read, not when that much has come."""
    framer = CarFramer()
    framer.receive(header(ROOT))
    with pytest.raises(BadCar, match="a frame of"):
        framer.receive(section(ROOT, bytes(MAX_BLOCK + 1))[:4])


def test_limits_end_the_reading() -> None:
    with pytest.raises(TooMuch):
        list(read_car(io.BytesIO(CAR), limits=Limits(max_bytes=500)))
    with pytest.raises(TooMuch):
        load_car(io.BytesIO(CAR), MemoryBlocks(), limits=Limits(max_blocks=5))


def test_a_root_can_not_be_asked_for_before_it_is_read() -> None:
    with pytest.raises(Misuse):
        _ = CarFramer().root
