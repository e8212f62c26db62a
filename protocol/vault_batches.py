"""The batch door of the model vault: one lock for up to 128 deals, paid together; any of them can still be opened.

    commit (each side, its own tree) --settle_lock--> the payer's shares of those paid are free, seat by seat
                                     --enter--> both shares leave their locks: OPEN, or OPEN and paid; from there on
                                                the deal is like any other (see `vault`)
                                     --vacate--> a side's share of a deal that can enter no more is free
                                     --the lock ends, commit--> what never left is free

A seat leaves its lock once, by `settle_lock`, `enter` or `vacate`; that is the whole protection against paying twice. A
payer's seat that has left although its deal was never entered was paid for, or its deal can't be entered any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.deal import Bill, Deal, DealId, Result
from protocol.identity import Address
from protocol.vault_book import Call, Refused, bond, need
from protocol.vault_disputes import Disputes
from protocol.vault_state import NO_FLAGS, Account, DealState, Flag, Lock, State
from protocol.vault_tree import NOBODY, SEATS, Leaf, Path, SeatName, Tree, climb, payer_leaf, provider_leaf

MAX_LOCK = 90 * 86400
"""Longest time from ``open`` to ``claim_until``, and longest life of a lock, seconds."""
MAX_JURORS = 24
"""Largest jury and largest pool."""


class Batches(Disputes):
    """The calls that lock for many deals at once."""

    def lock(self, who: Address, slot: int) -> Lock:
        """Somebody's lock."""
        return self.locks.get((who, slot), _NEVER)

    def commit(self, call: Call, slot: int, root: bytes, amount: int, until: int) -> None:
        """Lock the sum of a tree in the place of a lock that ended or that every share has left."""
        old = self.lock(call.sender, slot)
        need(old.left == 0 or call.now > old.until, "still locked")
        need(until <= call.now + MAX_LOCK, "too long")
        need(self.account(call.sender).free + old.left >= amount, "not enough free")
        account = self.account(call.sender)
        self.accounts[call.sender] = Account(account.balance, account.locked - old.left + amount)
        self.locks[call.sender, slot] = Lock(root, amount, call.now, until, old.number + 1, amount)

    def enter(self, call: Call, deal: Deal, jc_path: Path, rp_path: Path) -> None:
        """Take both shares out of their locks and open the deal; a party or its delegate calls, before any claim."""
        need(self._speaks_for(call, deal.jc) or self._speaks_for(call, deal.rp), "not a party")
        name, standing, locks = self._entered(call, deal, jc_path, rp_path)
        self.locks.update(locks)
        self.deals[name] = standing

    def accuse_seated(
        self, call: Call, deal: Deal, paths: tuple[Path, Path], result: Result, signature: bytes | None, pool: bytes
    ) -> None:
        """``enter`` and ``accuse`` in one, for a deal still in its locks; ``paths``: the payer's, the provider's."""
        name, standing, locks = self._entered(call, deal, *paths)
        self._accuse(call, deal, name, standing, result, signature, pool)
        self.locks.update(locks)

    def vacate(self, call: Call, deal: Deal, for_provider: bool, path: Path) -> None:
        """A side takes its share home out of its lock when the deal can enter no more.

        That is after ``start_by`` where the other side's lock is not the one that the deal names (it was never made, or
        made too late, or too short, or has been replaced), and after ``claim_until`` in any case.
        """
        sides = (
            (deal.jc, deal.jc_seat, payer_leaf(deal, self.domain)),
            (deal.rp, deal.rp_seat, provider_leaf(deal, self.domain)),
        )
        (who, seat, leaf), (other, other_seat, _) = sides[::-1] if for_provider else sides
        self._need_party(call, who)
        need(call.now > deal.start_by, "too early")
        if call.now <= deal.claim_until:
            their = SeatName.of(other_seat)
            need(_fault(self.lock(other, their.slot), their, deal) is not None, "may still enter")
        lock = self._seated(who, seat, leaf, deal, path)
        if lock is None:
            raise Refused("left")
        self.locks[who, SeatName.of(seat).slot] = lock
        account = self.account(who)
        self.accounts[who] = Account(account.balance, account.locked - leaf.share)

    def settle_lock(
        self, call: Call, slot: int, leaves: Sequence[Leaf], pay: int, amounts: Sequence[int], bills: Sequence[bytes]
    ) -> None:
        """Show all leaves of a lock and pay those whose bit is set in ``pay``; what has left meanwhile is skipped.

        ``amounts`` is empty, or what each seat's payee gets; ``bills`` are the signatures for what is less, in order.
        """
        lock = self.lock(call.sender, slot)
        need(len(leaves) <= SEATS and (not amounts or len(amounts) >= len(leaves)), "")
        used = 0
        due: dict[int, tuple[Leaf, int]] = {}
        for position, leaf in enumerate(leaves):
            amount = amounts[position] if amounts else leaf.pay
            owed = bool(pay >> position & 1) and not lock.has_left(position) and leaf.payee != NOBODY
            if amount != leaf.pay:
                if owed:
                    need(amount < leaf.pay, "amount")
                    need(used < len(bills), "")
                    need(self._signed(Bill(leaf.deal, amount), bills[used], leaf.payee), "not signed")
                used += 1
            if owed:
                due[position] = leaf, amount
        tree = Tree(tuple(leaves))
        need(not leaves or (tree.root, tree.total) == (lock.root, lock.total), "not in the lock")
        need(bool(leaves) or (bytes(32), 0) == (lock.root, lock.total), "not in the lock")
        for position, (leaf, amount) in due.items():
            lock = lock.without(position, leaf.share)
            self._credit(leaf.payee, amount)
            account = self.account(call.sender)
            self.accounts[call.sender] = Account(account.balance - amount, account.locked - leaf.share)
        self.locks[call.sender, slot] = lock

    def _entered(
        self, call: Call, deal: Deal, jc_path: Path, rp_path: Path
    ) -> tuple[DealId, DealState, dict[tuple[Address, int], Lock]]:
        """The deal's id, how it opens, and the locks as both shares leave them."""
        name = self._agreed(call, deal)
        need(call.now <= deal.claim_until, "too late")
        rp = self._seated(deal.rp, deal.rp_seat, provider_leaf(deal, self.domain), deal, rp_path)
        need(rp is not None, "left")
        jc = self._seated(deal.jc, deal.jc_seat, payer_leaf(deal, self.domain), deal, jc_path)
        seats = ((deal.rp, deal.rp_seat, rp), (deal.jc, deal.jc_seat, jc))
        locks = {(who, SeatName.of(seat).slot): lock for who, seat, lock in seats if lock is not None}
        return name, DealState(State.OPEN, Flag.PAID if jc is None else NO_FLAGS), locks

    def _seated(self, who: Address, seat: int, leaf: Leaf, deal: Deal, path: Path) -> Lock | None:
        """The lock without the share; None where the share has left."""
        name = SeatName.of(seat)
        lock = self.lock(who, name.slot)
        fault = _fault(lock, name, deal)
        need(fault is None, fault or "")
        need(name.position < SEATS, "seat")
        need(climb(leaf, name.position, path) == (lock.root, lock.total), "not in the lock")
        return None if lock.has_left(name.position) else lock.without(name.position, leaf.share)

    def _agreed(self, call: Call, deal: Deal) -> DealId:
        """What any deal must keep to end well, whichever door it comes by; gives its id, which must be new."""
        name: DealId = self._id(deal)
        need(deal.jc != deal.rp, "one party")
        need(deal.claim_until <= call.now + MAX_LOCK, "too long")
        need(deal.start_by < deal.deliver_by and 0 < deal.grace <= MAX_LOCK, "order of time")
        need(deal.deliver_by + deal.grace < deal.claim_until, "order of time")
        low, high = self.windows.shortest, self.windows.longest
        need(low <= deal.answer <= high, "window")
        need(low <= deal.judge <= high, "window")
        need(deal.appeal == 0 or low <= deal.appeal <= high, "window")
        need(deal.quorum <= deal.jurors <= MAX_JURORS and deal.jurors < 2 * deal.quorum, "jury")
        need(deal.silence <= 2, "jury")
        need(deal.cheat >= deal.pay + bond(deal), "collateral")
        need(name not in self.deals, "not new")
        return name


def _fault(lock: Lock, seat: SeatName, deal: Deal) -> str | None:
    """Why a lock is not the one that a seat names, made in time and for long enough; None where it is."""
    if seat.number != lock.number:
        return "another lock"
    if lock.since > deal.start_by:
        return "locked too late"
    if deal.claim_until > lock.until:
        return "locked too short"
    return None


_NEVER = Lock()
