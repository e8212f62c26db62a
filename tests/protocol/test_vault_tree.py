"""Trees of shares: whatever is in them, every path leads to the root and the sum, and nothing else does."""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.deal import DealId
from protocol.errors import Misuse
from protocol.identity import Address
from protocol.vault_tree import HEIGHT, SEATS, Leaf, SeatName, Tree, climb

AMOUNTS = st.integers(0, 2**90)
LEAVES = st.builds(
    Leaf,
    st.binary(min_size=20, max_size=20).map(Address),
    AMOUNTS,
    AMOUNTS,
    st.binary(min_size=32, max_size=32).map(DealId),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LEAVES, min_size=1, max_size=20), st.data())
def test_every_path_leads_to_the_root_and_the_sum(leaves: list[Leaf], data: st.DataObject) -> None:
    tree = Tree(tuple(leaves))
    position = data.draw(st.integers(0, len(leaves) - 1))
    path = tree.path(position)
    assert len(path) == HEIGHT
    assert climb(leaves[position], position, path) == (tree.root, tree.total)


@settings(max_examples=40, deadline=None)
@given(st.lists(LEAVES, min_size=2, max_size=9, unique=True), st.data())
def test_no_leaf_climbs_from_anothers_place(leaves: list[Leaf], data: st.DataObject) -> None:
    tree = Tree(tuple(leaves))
    mine, other = data.draw(st.permutations(range(len(leaves))))[:2]
    assert climb(leaves[mine], other, tree.path(other))[0] != tree.root
    assert climb(leaves[mine], mine, tree.path(other))[0] != tree.root


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**40 - 1), st.integers(0, 255))
def test_a_seat_is_named_by_eighty_bits(slot: int, number: int, position: int) -> None:
    seat = SeatName(slot, number, position)
    assert SeatName.of(seat.word()) == seat
    assert seat.word() < 2**80


def test_a_full_tree_has_a_path_for_everybody_and_no_room_for_more() -> None:
    leaves = tuple(Leaf(Address(bytes(20)), 0, seat, DealId(keccak(bytes([seat])))) for seat in range(SEATS))
    tree = Tree(leaves)
    for seat in (0, 1, 63, 64, SEATS - 1):
        assert climb(leaves[seat], seat, tree.path(seat)) == (tree.root, sum(range(SEATS)))
    with pytest.raises(Misuse):
        Tree((*leaves, leaves[0]))


def test_an_empty_tree_locks_nothing() -> None:
    assert Tree(()).total == 0
