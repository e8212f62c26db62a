"""When to lock, by the batch door: shares in one lock cost less gas each, but every deal has a moment to be locked by.

::

    reserve ──► a seat, to be named in the deal ──both signed──► add ──due, full, or gas is cheap──► take: one Commit
                     └── no deal came of it: release, and the seat stays empty

A deal names its seat before anybody signs it. So all seats that are reserved at a time are of one lock, and a deal
whose lock was taken without it needs another seat and new signatures. What was taken keeps its tree: both sides need
paths for claims, and the payer all leaves to settle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from contracts.batching import Policy
from protocol.deal import Deal, DealId
from protocol.eip712 import Domain
from protocol.errors import Misuse
from protocol.identity import Address
from protocol.vault_calls import Commit
from protocol.vault_state import Lock
from protocol.vault_tree import NOBODY, SEATS, Leaf, Path, SeatName, Tree, payer_leaf, provider_leaf

ALONE = 43_000
"""Gas of a commit in a used slot (measured: 43,753), which a share bears alone or with up to 127 others."""
SIGNING = 15
"""Seconds that a reserved seat keeps a commit that is due from leaving: both sides are signing."""
_EMPTY = Leaf(NOBODY, 0, 0, DealId(bytes(32)))


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit locks."""

    call: Commit
    tree: Tree
    seats: Mapping[DealId, SeatName]

    def path(self, name: DealId) -> Path:
        """What a claim about this deal shows, and the other side keeps."""
        return self.tree.path(self.seats[name].position)


@dataclass(slots=True)
class _Seat:
    reserved: int
    leaf: Leaf | None = None
    added: int = 0
    start_by: int = 0
    claim_until: int = 0
    is_released: bool = False

    def is_cold(self, now: int) -> bool:
        """Whether no deal came of it, or has not for so long that another may have it."""
        return self.is_released or (self.leaf is None and now >= self.reserved + SIGNING)


class Commitments:
    """One side's shares that wait to be locked together. Pure: moments are given, seconds of the chain's clock."""

    def __init__(self, who: Address, domain: Domain, policy: Policy, locks: Mapping[int, Lock]) -> None:
        """``locks``: what the vault has of this side's slots, kept up to date by the caller."""
        self.policy = policy
        self._who = who
        self._domain = domain
        self._locks = locks
        self._taken: dict[int, int] = {}
        """Slots with a commit that the chain may not show yet, and its number."""
        self._slot = 0
        self._number = 0
        self._seats: list[_Seat] = []

    def reserve(self, now: int) -> SeatName:
        """The next free seat; raises `Misuse` while all 128 of the lock have deals, or are being signed for.

        Whoever lets a reserved seat go cold loses it: a seat costs nothing, so strangers must not be able to hold all.
        """
        if not self._seats:
            self._open(now)
        position = len(self._seats)
        if position < SEATS:
            self._seats.append(_Seat(now))
        else:
            cold = (n for n, seat in enumerate(self._seats) if seat.is_cold(now))
            found = next(cold, None)
            if found is None:
                raise Misuse("every seat of the next lock is taken; take it first")
            position, self._seats[found] = found, _Seat(now)
        return SeatName(self._slot, self._number, position)

    def release(self, seat: SeatName) -> None:
        """No deal came of it. One of a lock that was taken meanwhile is none of the next's."""
        if self._is_open(seat):
            self._seats[seat.position].is_released = True

    def add(self, deal: Deal, now: int) -> None:
        """A deal that both have signed; raises `Misuse` where its seat is not one of those reserved."""
        seat = SeatName.of(deal.jc_seat if deal.jc == self._who else deal.rp_seat)
        if not self._is_open(seat) or self._seats[seat.position].is_released:
            raise Misuse("this seat is not reserved, or its lock has left: reserve another and sign again")
        found = self._seats[seat.position]
        leaf = payer_leaf(deal, self._domain) if deal.jc == self._who else provider_leaf(deal, self._domain)
        if found.leaf not in (None, leaf):
            raise Misuse("another deal has this seat")
        found.leaf, found.added, found.start_by, found.claim_until = leaf, now, deal.start_by, deal.claim_until

    def next_look(self) -> int | None:
        """The moment at which something is due by itself; None while nothing waits."""
        signed = [seat for seat in self._seats if seat.leaf is not None and not seat.is_released]
        if not signed:
            return None
        last = min(seat.start_by for seat in signed) - self.policy.margin
        wanted = min(seat.added for seat in signed) + self.policy.wait
        return min(last, max([wanted, *(seat.reserved + SIGNING for seat in self._unsigned())]))

    def take(self, now: int, gas_price: int) -> Batch | None:
        """The commit to send, if it is due; ``gas_price`` in base units a unit of gas."""
        due = self.next_look()
        if due is None:
            return None
        signing = [seat for seat in self._unsigned() if not seat.is_cold(now)]
        full = len(self._seats) == SEATS and not signing
        cheap = ALONE * gas_price < self.policy.worth and not signing
        if not (due <= now or full or cheap):
            return None
        kept = [(n, seat) for n, seat in enumerate(self._seats) if seat.leaf is not None and not seat.is_released]
        leaves = [_EMPTY] * (kept[-1][0] + 1)
        for position, seat in kept:
            assert seat.leaf is not None
            leaves[position] = seat.leaf
        tree = Tree(tuple(leaves))
        until = max(seat.claim_until for _, seat in kept)
        seats = {leaves[position].deal: SeatName(self._slot, self._number, position) for position, _ in kept}
        self._taken[self._slot] = self._number
        self._seats = []
        return Batch(Commit(self._slot, tree.root, tree.total, until), tree, seats)

    def _unsigned(self) -> list[_Seat]:
        return [seat for seat in self._seats if seat.leaf is None and not seat.is_released]

    def _is_open(self, seat: SeatName) -> bool:
        return (seat.slot, seat.number) == (self._slot, self._number) and seat.position < len(self._seats)

    def _open(self, now: int) -> None:
        """The lowest slot whose lock has ended, or was left by every share, is the next one's."""
        for slot in count():
            lock = self._locks.get(slot, Lock())
            if self._taken.get(slot, 0) <= lock.number and (lock.left == 0 or now > lock.until):
                self._slot, self._number = slot, lock.number + 1
                return
