"""An exact model of the vault: who may call what when, and whose money moves, word for word as the contract.

The simulator keeps its ledger with it and the fuzzer compares the contract with it. Every method is a call of the
contract: it changes the model, or raises `Refused` with the contract's reason and changes nothing.

    NONE --open--> OPEN --absent--> ABSENT --no_inputs / finalize--> CLOSED
                   OPEN <--redeem-- ABSENT --deliver (receipt)--> DELIVERED
                   OPEN --deliver--> DELIVERED --settle / redeem / finalize--> OPEN, paid
                   OPEN --settle / redeem--> OPEN, paid
                   OPEN --settle (final) / release--> CLOSED
                   OPEN, ABSENT, DELIVERED --part--> CLOSED
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from protocol.deal import Bill, Deal, DealId, Receipt, Release, Started, Voucher
from protocol.eip712 import Domain, digest
from protocol.errors import NotSigned, PeerFault
from protocol.identity import Address
from protocol.vault_state import NO_FLAGS, Account, DealState, Flag, Outcome, State

MAX_LOCK = 90 * 86400
"""Longest time from ``open`` to ``claim_until``, seconds."""
MAX_JURORS = 24
"""Largest jury and largest pool."""
MAX_SETTLED = 32
"""Most deals in one call of ``settle``."""
_LIMIT = 1 << 128

Recover = Callable[[bytes, bytes], Address | None]
"""The signer of a digest; None or `NotSigned` where the signature is none."""


class Refused(PeerFault):
    """The vault does not do that; the reason is the contract's revert reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, and in which block."""

    sender: Address
    now: int
    """The block's time, seconds of the chain's clock."""
    block: int = 0
    """The block's number."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Bounds, in seconds, of every window for an answer, a judgement or an appeal; fixed when a vault is born."""

    shortest: int
    longest: int


class Vault:
    """The ledger of one vault on one chain."""

    def __init__(self, domain: Domain, windows: Windows, recover: Recover) -> None:
        self.domain = domain
        self.windows = windows
        self.accounts: dict[Address, Account] = {}
        self.deals: dict[DealId, DealState] = {}
        self.sealed: dict[DealId, bytes] = {}
        self.delegates: set[tuple[Address, Address]] = set()
        """Pairs of a party and who may claim and answer in its place."""
        self._recover = recover
        self._id = lru_cache(4096)(lambda deal: deal.id(domain))

    def account(self, who: Address) -> Account:
        """What somebody has here."""
        return self.accounts.get(who, _EMPTY)

    def deal(self, deal: Deal) -> DealState:
        """Where a deal stands."""
        return self.deals.get(self._id(deal), _UNKNOWN)

    def total(self) -> int:
        """All money that the vault owes, base units."""
        return sum(account.balance for account in self.accounts.values())

    # money

    def deposit(self, call: Call, to: Address, value: int) -> None:
        """Pay ``value`` in for somebody."""
        account = self.account(to)
        _need(account.balance + value < _LIMIT, "too much")
        self.accounts[to] = Account(account.balance + value, account.locked)

    def withdraw(self, call: Call, amount: int, to: Address) -> None:
        """Take out of what is free, at any moment."""
        self._take_free(call.sender, amount)

    def transfer(self, call: Call, to: Address, amount: int) -> None:
        """Move free money to another account."""
        before = self.account(call.sender)
        self._take_free(call.sender, amount)
        try:
            self.deposit(call, to, amount)
        except Refused:
            self.accounts[call.sender] = before
            raise

    def delegate(self, call: Call, who: Address, may: bool) -> None:
        """Name, or no longer, somebody who may claim and answer for the caller."""
        if may:
            self.delegates.add((call.sender, who))
        else:
            self.delegates.discard((call.sender, who))

    # the deal

    def open(self, call: Call, deal: Deal, signature: bytes) -> None:
        """Lock both shares or neither; one party calls with the other's signature of the deal."""
        other = self._other(call, deal)
        _need(deal.jc != deal.rp, "one party")
        _need(call.now <= deal.start_by, "too late")
        _need(deal.claim_until <= call.now + MAX_LOCK, "too long")
        _need(deal.start_by < deal.deliver_by and 0 < deal.grace <= MAX_LOCK, "order of time")
        _need(deal.deliver_by + deal.grace < deal.claim_until, "order of time")
        low, high = self.windows.shortest, self.windows.longest
        _need(low <= deal.answer <= high, "window")
        _need(low <= deal.judge <= high, "window")
        _need(deal.appeal == 0 or low <= deal.appeal <= high, "window")
        _need(deal.quorum <= deal.jurors <= MAX_JURORS and deal.jurors < 2 * deal.quorum, "jury")
        _need(deal.silence <= 2, "jury")
        _need(deal.cheat >= deal.pay + bond(deal), "collateral")
        _need(deal.jc_seat | deal.rp_seat == 0, "seat")
        name = self._id(deal)
        _need(name not in self.deals, "not new")
        _need(self._signs(name, signature, other), "not signed")
        _need(self.account(deal.jc).free >= deal.jc_share, "not enough free")
        _need(self.account(deal.rp).free >= deal.rp_share, "not enough free")
        self._lock(deal.jc, deal.jc_share)
        self._lock(deal.rp, deal.rp_share)
        self.deals[name] = DealState(State.OPEN)

    def settle(
        self, call: Call, deals: Sequence[Deal], amounts: Sequence[int], bills: Sequence[bytes], finals: int
    ) -> None:
        """Pay any of the caller's deals: the whole pay, or less with a bill; what can't be paid is skipped.

        ``bills`` are the signatures for the amounts below the pay, in order. Bit i of ``finals`` says that the payer
        will not accuse over deal i, so the provider's share is free at once too.
        """
        _need(len(deals) == len(amounts), "lengths")
        due: dict[DealId, tuple[Deal, int, bool]] = {}
        used = 0
        for position, (deal, amount) in enumerate(zip(deals, amounts, strict=True)):
            _need(deal.jc == call.sender, "not the payer")
            name = self._id(deal)
            standing = self.deals.get(name, _UNKNOWN)
            owed = name not in due and not standing.paid and standing.state is State.OPEN
            if name not in due and standing.state is State.DELIVERED:
                owed = call.now <= standing.deadline
            if amount != deal.pay:
                if owed:
                    _need(amount < deal.pay, "amount")
                    _need(used < len(bills), "")
                    _need(self._signed(Bill(name, amount), bills[used], deal.rp), "not billed")
                used += 1
            if owed:
                due[name] = deal, amount, bool(finals >> position & 1) or call.now > deal.claim_until
        for name, (deal, amount, final) in due.items():
            if final:
                self._close(name, Outcome.DONE, paid=True)
            else:
                self.deals[name] = DealState(State.OPEN, Flag.PAID)
            self._move(deal, deal.jc_share, deal.rp_share if final else 0, to_rp=amount)

    def redeem(self, call: Call, deal: Deal, amount: int, voucher: bytes) -> None:
        """The provider takes what a voucher grants, once; this answers a claim of absence too."""
        name, standing = self._standing(deal)
        until = deal.claim_until
        if standing.state is not State.OPEN:
            _need(standing.state in (State.ABSENT, State.DELIVERED), "no such claim")
            until = standing.deadline
        _need(not standing.paid, "paid")
        _need(call.now <= until, "too late")
        _need(self._speaks_for(call, deal.rp), "not the provider")
        _need(amount <= deal.pay, "amount")
        _need(self._signed(Voucher(name, amount), voucher, deal.jc), "not signed")
        forfeit = bond(deal) if standing.state is State.ABSENT else 0
        self.deals[name] = DealState(State.OPEN, Flag.PAID)
        self._move(deal, deal.jc_share + forfeit, 0, to_rp=amount + forfeit)

    def release(self, call: Call, deal: Deal) -> None:
        """After ``claim_until`` anybody sends home what is still locked."""
        name, standing = self._standing(deal)
        _need(standing.state is State.OPEN, "not open")
        _need(call.now > deal.claim_until, "too early")
        self._close(name, Outcome.DONE if standing.paid else Outcome.EXPIRED, paid=standing.paid)
        self._move(deal, 0 if standing.paid else deal.jc_share, deal.rp_share)

    def part(self, call: Call, deal: Deal, amount: int, signature: bytes) -> None:
        """Both agree to end the deal now; one party calls with the other's signed `Release`."""
        other = self._other(call, deal)
        name, standing = self._standing(deal)
        _need(standing.state in (State.OPEN, State.ABSENT, State.DELIVERED), "not open")
        _need(self._signed(Release(name, amount), signature, other), "not signed")
        _need(amount <= (0 if standing.paid else deal.pay), "amount")
        home = 0 if standing.paid else deal.jc_share
        if standing.state is State.ABSENT:
            home += bond(deal)
        self._close(name, Outcome.PARTED, paid=standing.paid)
        self._move(deal, home, deal.rp_share, to_rp=amount)

    # claims

    def absent(self, call: Call, deal: Deal, started: bytes | None) -> None:
        """The job creator says that nothing was delivered; a `Started` of the provider's bars "no inputs"."""
        name, standing = self._standing(deal)
        _need(standing.state is State.OPEN and not standing.paid, "not open")
        _need(self._speaks_for(call, deal.jc), "not the job creator")
        _need(call.now > deal.deliver_by + deal.grace, "too early")
        _need(call.now <= deal.claim_until, "too late")
        if started is not None:
            _need(self._signed(Started(name), started, deal.rp), "not signed")
        self._lock(deal.jc, bond(deal))
        flags = NO_FLAGS if started is None else Flag.STARTED
        self.deals[name] = DealState(State.ABSENT, flags, call.now + deal.answer)

    def no_inputs(self, call: Call, deal: Deal) -> None:
        """The provider's answer when the inputs never came: the deal lapses, all goes home."""
        name, standing = self._standing(deal)
        _need(standing.state is State.ABSENT, "no such claim")
        _need(self._speaks_for(call, deal.rp), "not the provider")
        _need(call.now <= standing.deadline, "too late")
        _need(Flag.STARTED not in standing.flags, "it had started")
        self._close(name, Outcome.LAPSED)
        self._move(deal, deal.jc_share + bond(deal), deal.rp_share)

    def deliver(self, call: Call, deal: Deal, sealed: bytes, receipt: bytes | None) -> None:
        """The provider says that it delivered; with a receipt this answers a claim of absence."""
        name, standing = self._standing(deal)
        _need(self._speaks_for(call, deal.rp), "not the provider")
        accused = standing.state is State.ABSENT
        if accused:
            until = standing.deadline
            _need(receipt is not None, "no receipt")
        else:
            _need(standing.state is State.OPEN and not standing.paid, "not open")
            until = deal.claim_until if receipt is not None else deal.deliver_by + deal.grace
        _need(call.now <= until, "too late")
        if receipt is not None:
            _need(self._signed(Receipt(name, sealed), receipt, deal.jc), "not signed")
        self.sealed[name] = sealed
        self.deals[name] = DealState(State.DELIVERED, deadline=call.now + deal.answer)
        if accused:
            self._move(deal, bond(deal), 0, to_rp=bond(deal))

    def finalize(self, call: Call, deal: Deal) -> None:
        """Anybody ends a claim whose deadline has passed."""
        name, standing = self._standing(deal)
        _need(State.ABSENT <= standing.state <= State.RULED, "no such claim")
        _need(call.now > standing.deadline, "too early")
        if standing.state is State.ABSENT:
            self._close(name, Outcome.VANISHED)
            self._move(deal, deal.jc_share + bond(deal), deal.rp_share, to_jc=deal.rp_stake)
        else:
            over = call.now > deal.claim_until
            if over:
                self._close(name, Outcome.DONE, paid=True)
            else:
                self.deals[name] = DealState(State.OPEN, Flag.PAID)
            self._move(deal, deal.jc_share, deal.rp_share if over else 0, to_rp=deal.jc_share)

    # inside

    def _standing(self, deal: Deal) -> tuple[DealId, DealState]:
        name = self._id(deal)
        return name, self.deals.get(name, _UNKNOWN)

    def _other(self, call: Call, deal: Deal) -> Address:
        if call.sender == deal.jc:
            return deal.rp
        _need(call.sender == deal.rp, "not a party")
        return deal.jc

    def _speaks_for(self, call: Call, party: Address) -> bool:
        return call.sender == party or (party, call.sender) in self.delegates

    def _signed(self, struct: Any, signature: bytes, by: Address) -> bool:
        return self._signs(digest(self.domain, struct), signature, by)

    def _signs(self, hash_: bytes, signature: bytes, by: Address) -> bool:
        try:
            return self._recover(hash_, signature) == by
        except NotSigned:
            return False

    def _take_free(self, who: Address, amount: int) -> None:
        account = self.account(who)
        _need(account.free >= amount, "not enough free")
        self.accounts[who] = Account(account.balance - amount, account.locked)

    def _lock(self, who: Address, amount: int) -> None:
        account = self.account(who)
        _need(account.free >= amount, "not enough free")
        self.accounts[who] = Account(account.balance, account.locked + amount)

    def _close(self, name: DealId, outcome: Outcome, *, paid: bool = False) -> None:
        self.deals[name] = DealState(State.CLOSED, Flag.PAID if paid else NO_FLAGS, outcome=outcome)

    def _move(self, deal: Deal, jc_free: int, rp_free: int, *, to_jc: int = 0, to_rp: int = 0) -> None:
        jc, rp = self.account(deal.jc), self.account(deal.rp)
        self.accounts[deal.jc] = Account(jc.balance + to_jc - to_rp, jc.locked - jc_free)
        self.accounts[deal.rp] = Account(rp.balance + to_rp - to_jc, rp.locked - rp_free)


def bond(deal: Deal) -> int:
    """What a claim or a contest costs to make, base units: one fee a juror."""
    return deal.jurors * deal.fee


_EMPTY = Account()
_UNKNOWN = DealState()


def _need(condition: bool, reason: str) -> None:
    if not condition:
        raise Refused(reason)
