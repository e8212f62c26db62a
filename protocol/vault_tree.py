"""The tree of shares behind a batch: a side anchors its root in the vault, and its partners keep a path each.

Every node is hashed together with the sums of both its children, so the shares under a root never exceed the sum that
was locked with it. The tree is always seven high and what is missing is zero: so every seat is exactly one leaf (a
tree whose paths may differ in length would let one place stand for two), and a leaf (three words) can't pass for a
node (four).
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_hash.auto import keccak

from protocol.deal import Deal, DealId
from protocol.eip712 import Domain
from protocol.errors import Misuse
from protocol.identity import Address

HEIGHT = 7
SEATS = 1 << HEIGHT
"""Most shares under one root."""
NOBODY = Address(bytes(20))

Path = tuple[tuple[bytes, int], ...]
"""From the leaf up: hash and sum of the other node, seven times."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One side's share of one deal."""

    payee: Address
    """The provider where the share is the payer's; `NOBODY` where it is the provider's own."""
    pay: int
    rest: int
    """What of the share is not pay, base units."""
    deal: DealId

    @property
    def share(self) -> int:
        """What is locked for it, base units."""
        return self.pay + self.rest

    def words(self) -> bytes:
        """As the vault takes and hashes it: payee 160 bits and pay 96, rest, deal."""
        return self.payee + self.pay.to_bytes(12, "big") + self.rest.to_bytes(32, "big") + self.deal


def payer_leaf(deal: Deal, domain: Domain) -> Leaf:
    """The job creator's share of a deal."""
    return Leaf(deal.rp, deal.pay, deal.jc_stake, deal.id(domain))


def provider_leaf(deal: Deal, domain: Domain) -> Leaf:
    """The provider's share of a deal."""
    return Leaf(NOBODY, 0, deal.rp_share, deal.id(domain))


def leaf_hash(leaf: Leaf) -> bytes:
    """The hash of a leaf."""
    return keccak(leaf.words())


def node_hash(left: tuple[bytes, int], right: tuple[bytes, int]) -> bytes:
    """The hash of two nodes, each with the sum of what is under it."""
    return keccak(left[0] + left[1].to_bytes(32, "big") + right[0] + right[1].to_bytes(32, "big"))


@dataclass(frozen=True, slots=True)
class Tree:
    """The shares of one lock, seat by seat."""

    leaves: tuple[Leaf, ...]

    def __post_init__(self) -> None:
        if len(self.leaves) > SEATS:
            raise Misuse(f"a lock has {SEATS} seats")

    @property
    def root(self) -> bytes:
        """What `commit` anchors."""
        return self._levels()[-1][0][0]

    @property
    def total(self) -> int:
        """What `commit` locks, base units."""
        return sum(leaf.share for leaf in self.leaves)

    def path(self, position: int) -> Path:
        """What the partner at a seat keeps."""
        return tuple(level[position >> height ^ 1] for height, level in enumerate(self._levels()[:-1]))

    def _levels(self) -> list[list[tuple[bytes, int]]]:
        level = [(leaf_hash(leaf), leaf.share) for leaf in self.leaves] or [_EMPTY]
        levels = []
        for _ in range(HEIGHT):
            level += [_EMPTY] * (len(level) % 2)
            levels.append(level)
            level = [
                (node_hash(left, right), left[1] + right[1])
                for left, right in zip(level[::2], level[1::2], strict=True)
            ]
        return [*levels, level]


def climb(leaf: Leaf, position: int, path: Path) -> tuple[bytes, int]:
    """Root and sum that a leaf at a seat leads to."""
    node = leaf_hash(leaf), leaf.share
    for height, other in enumerate(path):
        pair = (other, node) if position >> height & 1 else (node, other)
        node = node_hash(*pair), node[1] + other[1]
    return node


_EMPTY = bytes(32), 0


@dataclass(frozen=True, slots=True)
class SeatName:
    """A deal's one place in one lock, as `Deal.jc_seat` and `Deal.rp_seat` name it."""

    slot: int
    number: int
    """Counts the locks of a slot from 1, so a seat is never used again."""
    position: int

    def word(self) -> int:
        """Slot 32 bits, lock number 40, position 8."""
        return self.slot << 48 | self.number << 8 | self.position

    @staticmethod
    def of(word: int) -> SeatName:
        """Unpack a deal's seat."""
        return SeatName(word >> 48, word >> 8 & (1 << 40) - 1, word & 255)
