"""An exact model of the vault: who may call what when, and whose money moves, word for word as the contract.

The simulator keeps its ledger with it and the fuzzer compares the contract with it. Every method is a call of the
contract: it changes the model, or raises `Refused` with the contract's reason and changes nothing.

    NONE --open, enter (see vault_batches)--> OPEN; without terms --open--> LINE (see vault_lines)
                   OPEN --absent--> ABSENT --no_inputs / finalize--> CLOSED
                   OPEN <--redeem-- ABSENT --deliver (receipt)--> DELIVERED
                   OPEN --deliver--> DELIVERED --settle / redeem / finalize--> OPEN, paid
                   OPEN --settle / redeem--> OPEN, paid
                   OPEN --settle (final) / release--> CLOSED
                   OPEN, ABSENT, DELIVERED --part--> CLOSED
                   OPEN --accuse--> JURY (see vault_disputes), DELIVERED --contest--> JURY
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.deal import Bill, Deal, DealId, Receipt, Release, Started, Voucher
from protocol.identity import Address
from protocol.vault_book import Call, bond, need
from protocol.vault_lines import Lines
from protocol.vault_state import NO_FLAGS, DealState, Flag, Outcome, State

MAX_SETTLED = 32
"""Most deals in one call of ``settle``."""
_LIMIT = 1 << 96


class Vault(Lines):
    """The ledger of one vault on one chain."""

    # money

    def deposit(self, call: Call, to: Address, value: int) -> None:
        """Pay ``value`` in for somebody."""
        need(self.held + value < _LIMIT, "too much")
        self._credit(to, value)
        self.held += value

    def withdraw(self, call: Call, amount: int, to: Address) -> None:
        """Take out of what is free, at any moment."""
        self._take_free(call.sender, amount)
        self.held -= amount

    def transfer(self, call: Call, to: Address, amount: int) -> None:
        """Move free money to another account."""
        self._take_free(call.sender, amount)
        self._credit(to, amount)

    def delegate(self, call: Call, who: Address, may: bool) -> None:
        """Name, or no longer, somebody who may claim and answer for the caller."""
        if may:
            self.delegates.add((call.sender, who))
        else:
            self.delegates.discard((call.sender, who))

    # the deal

    def open(self, call: Call, deal: Deal, signature: bytes) -> None:
        """Lock both shares or neither; one party calls with the other's signature of the deal, or of a line."""
        other = self._other(call, deal)
        name = self._agreed(call, deal)
        need(call.now <= deal.start_by, "too late")
        need(self._signs(name, signature, other), "not signed")
        need(deal.jc_seat | deal.rp_seat == 0, "seat")
        need(self.account(deal.jc).free >= deal.jc_share, "not enough free")
        need(self.account(deal.rp).free >= deal.rp_share, "not enough free")
        self._lock(deal.jc, deal.jc_share)
        self._lock(deal.rp, deal.rp_share)
        self.deals[name] = DealState(State.OPEN if any(deal.terms) else State.LINE)

    def settle(
        self, call: Call, deals: Sequence[Deal], amounts: Sequence[int], bills: Sequence[bytes], finals: int
    ) -> None:
        """Pay any of the caller's deals: the whole pay, or less with a bill; what can't be paid is skipped.

        ``bills`` are the signatures for the amounts below the pay, in order. Bit i of ``finals`` says that the payer
        will not accuse over deal i, so the provider's share is free at once too.
        """
        need(len(deals) == len(amounts), "lengths")
        due: dict[DealId, tuple[Deal, int, bool]] = {}
        used = 0
        for position, (deal, amount) in enumerate(zip(deals, amounts, strict=True)):
            need(deal.jc == call.sender, "not the payer")
            name = self._id(deal)
            standing = self._standing(deal)[1]
            owed = name not in due and not standing.paid and standing.state is State.OPEN
            if name not in due and standing.state is State.DELIVERED:
                owed = call.now <= standing.deadline
            if amount != deal.pay:
                if owed:
                    need(amount < deal.pay, "amount")
                    need(used < len(bills), "")
                    need(self._signed(Bill(name, amount), bills[used], deal.rp), "not signed")
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
            need(standing.state in (State.ABSENT, State.DELIVERED), "no such claim")
            until = standing.deadline
        need(not standing.paid, "paid")
        need(call.now <= until, "too late")
        self._need_party(call, deal.rp)
        need(amount <= deal.pay, "amount")
        need(self._signed(Voucher(name, amount), voucher, deal.jc), "not signed")
        forfeit = bond(deal) if standing.state is State.ABSENT else 0
        self.deals[name] = DealState(State.OPEN, Flag.PAID)
        self._move(deal, deal.jc_share + forfeit, 0, to_rp=amount + forfeit)

    def release(self, call: Call, deal: Deal) -> None:
        """After ``claim_until`` anybody sends home what is still locked."""
        name, standing = self._standing(deal)
        need(standing.state in (State.OPEN, State.LINE), "not open")
        # what was shown of a line in time can be resumed for one more window
        need(call.now > max(deal.claim_until, standing.deadline + deal.answer), "too early")
        self._close(name, Outcome.DONE if standing.paid else Outcome.EXPIRED, paid=standing.paid)
        self._move(deal, 0 if standing.paid else deal.jc_share, deal.rp_share)

    def part(self, call: Call, deal: Deal, amount: int, signature: bytes) -> None:
        """Both agree to end the deal now; one party calls with the other's signed `Release`."""
        other = self._other(call, deal)
        name, standing = self._standing(deal)
        need(standing.state in (State.OPEN, State.ABSENT, State.DELIVERED, State.LINE), "not open")
        need(self._signed(Release(name, amount), signature, other), "not signed")
        need(amount <= (0 if standing.paid else deal.pay), "amount")
        home = 0 if standing.paid else deal.jc_share
        if standing.state is State.ABSENT:
            home += bond(deal)
        self._close(name, Outcome.PARTED, paid=standing.paid)
        self._move(deal, home, deal.rp_share, to_rp=amount)

    # claims

    def absent(self, call: Call, deal: Deal, started: bytes | None) -> None:
        """The job creator says that nothing was delivered; a `Started` of the provider's bars "no inputs"."""
        name, standing = self._standing(deal)
        need(standing.state is State.OPEN and not standing.paid, "not open")
        self._need_party(call, deal.jc)
        need(call.now > deal.deliver_by + deal.grace, "too early")
        need(call.now <= deal.claim_until, "too late")
        if started is not None:
            need(self._signed(Started(name), started, deal.rp), "not signed")
        self._lock(deal.jc, bond(deal))
        flags = NO_FLAGS if started is None else Flag.STARTED
        self.deals[name] = DealState(State.ABSENT, flags, call.now + deal.answer)

    def no_inputs(self, call: Call, deal: Deal) -> None:
        """The provider's answer when the inputs never came: the deal lapses, all goes home."""
        name, standing = self._standing(deal)
        need(standing.state is State.ABSENT, "no such claim")
        self._need_party(call, deal.rp)
        need(call.now <= standing.deadline, "too late")
        need(Flag.STARTED not in standing.flags, "it had started")
        self._close(name, Outcome.LAPSED)
        self._move(deal, deal.jc_share + bond(deal), deal.rp_share)

    def deliver(self, call: Call, deal: Deal, sealed: bytes, receipt: bytes | None) -> None:
        """The provider says that it delivered; with a receipt this answers a claim of absence."""
        name, standing = self._standing(deal)
        self._need_party(call, deal.rp)
        accused = standing.state is State.ABSENT
        if accused:
            until = standing.deadline
            need(receipt is not None, "no receipt")
        else:
            need(standing.state is State.OPEN and not standing.paid, "not open")
            until = deal.claim_until if receipt is not None else deal.deliver_by + deal.grace
        need(call.now <= until, "too late")
        if receipt is not None:
            need(self._signed(Receipt(name, sealed), receipt, deal.jc), "not signed")
        self.sealed[name] = sealed
        self.deals[name] = DealState(State.DELIVERED, deadline=call.now + deal.answer)
        if accused:
            self._move(deal, bond(deal), 0, to_rp=bond(deal))

    def finalize(self, call: Call, deal: Deal, pool: bytes = b"") -> None:
        """Anybody ends a claim, a jury or a ruling whose deadline has passed; the loser of a ruling may at once.

        ``pool`` is needed where a jury was summoned.
        """
        name, standing = self._standing(deal)
        need(State.ABSENT <= standing.state <= State.RULED, "no such claim")
        if call.now <= standing.deadline:
            need(standing.state is State.RULED, "too early")
            self._need_party(call, deal.jc if standing.outcome is Outcome.RIGHT else deal.rp)
        if standing.state is State.ABSENT:
            self._close(name, Outcome.VANISHED)
            self._move(deal, deal.jc_share + bond(deal), deal.rp_share, to_jc=deal.rp_stake)
        elif standing.state is State.DELIVERED:
            over = call.now > deal.claim_until
            if over:
                self._close(name, Outcome.DONE, paid=True)
            else:
                self.deals[name] = DealState(State.OPEN, Flag.PAID)
            self._move(deal, deal.jc_share, deal.rp_share if over else 0, to_rp=deal.jc_share)
        else:
            self._finalize_dispute(call, deal, pool)
