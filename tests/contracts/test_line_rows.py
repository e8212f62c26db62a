"""Standing lines: later deals agreed on without the chain, and what happens when somebody wants a claim after all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocol.deal import Bill, Deal, Receipt, Release, Result, Started, Successor, Voucher
from protocol.vault_batches import MAX_LOCK
from protocol.vault_calls import (
    Absent,
    Accuse,
    Deliver,
    Finalize,
    Free,
    Open,
    Part,
    Payment,
    Redeem,
    Resume,
    Settle,
    Show,
    VaultCall,
    Withdraw,
)
from protocol.vault_state import Outcome, State
from tests.contracts.twin import BIRTH, Person, draft, drain, funded

JC, RP, OTHER = (Person.number(n) for n in (1, 2, 3))
PURSE = 1_000_000
SEALED = b"\x05" * 32
LINE = bytes(32)


class Pair:
    """Two parties, the line between them, and the jobs they do on it."""

    def __init__(self, **changes: object) -> None:
        self.twin = funded([JC, RP, OTHER], PURSE)
        usual: dict[str, object] = {"pay": 5000, "cheat": 20_000, "terms": LINE, "claim_until": BIRTH + 3000}
        self.line = draft(JC, RP, BIRTH, **{**usual, **changes})
        assert self.twin.do(JC, Open(self.line, self.twin.sign(RP, self.line))) is None

    def job(self, number: int, **changes: object) -> Deal:
        """The deal of the line's next job."""
        return draft(JC, RP, self.twin.now, **{"terms": bytes([number]) * 32, **changes})

    def show(self, number: int, deal: Deal, owed: int, by: tuple[Person, Person] = (JC, RP)) -> Show:
        """What both signed."""
        name = self.twin.model.id(deal)
        successor = Successor(self.twin.model.id(self.line), number, name, owed)
        return Show(self.line, number, name, owed, (self.twin.sign(by[0], successor), self.twin.sign(by[1], successor)))

    def resumed(self, number: int, deal: Deal, owed: int) -> Pair:
        """That deal alone."""
        assert self.twin.do(JC, self.show(number, deal, owed)) is None
        self.twin.at(self.twin.now + self.line.answer + 1)
        assert self.twin.do(RP, Resume(self.line, deal, owed)) is None
        return self

    def gains(self) -> tuple[int, int]:
        """What each won or lost, with nothing left locked."""
        accounts = [self.twin.model.account(person.address) for person in (JC, RP)]
        assert all(account.locked == 0 for account in accounts)
        return accounts[0].balance - PURSE, accounts[1].balance - PURSE


def test_a_hundred_jobs_are_paid_by_one_agreed_end() -> None:
    pair = Pair()
    name = pair.twin.model.id(pair.line)
    assert pair.twin.model.deal(pair.line).state is State.LINE
    assert pair.twin.do(RP, Part(pair.line, 4321, pair.twin.sign(JC, Release(name, 4321)))) is None
    assert pair.gains() == (-4321, 4321)
    assert pair.twin.model.deal(pair.line).outcome is Outcome.PARTED
    drain(pair.twin)


def test_no_claim_and_no_payment_goes_to_a_line_itself() -> None:
    pair = Pair()
    line, name, sign = pair.line, pair.twin.model.id(pair.line), pair.twin.sign
    result = Result(name, SEALED, 0, 1)
    calls: list[tuple[Person, VaultCall, str]] = [
        (JC, Absent(line, sign(RP, Started(name))), "not open"),
        (RP, Deliver(line, SEALED, sign(JC, Receipt(name, SEALED))), "not open"),
        (JC, Accuse(line, result, sign(RP, result)), "not open"),
        (RP, Redeem(line, 10, sign(JC, Voucher(name, 10))), "no such claim"),
        (JC, Finalize(line), "no such claim"),
        (JC, Free(line), "too early"),
    ]
    pair.twin.at(line.deliver_by + line.grace + 1)
    for by, call, told in calls:
        assert pair.twin.do(by, call) == told
    assert pair.twin.do(JC, Settle((Payment(line, line.pay, final=True),))) is None, "skipped, as what is settled is"
    bill = sign(RP, Bill(name, 7))
    assert pair.twin.do(JC, Settle((Payment(line, 7, bill),))) is None
    assert pair.twin.model.account(RP.address).balance == PURSE
    pair.twin.at(line.claim_until + 1)
    assert pair.twin.do(OTHER, Free(line)) is None
    assert pair.gains() == (0, 0)


def test_what_stands_on_a_line_goes_on_alone_and_what_is_owed_is_paid() -> None:
    pair = Pair()
    deal = pair.job(3)
    pair.resumed(3, deal, 2000)
    model = pair.twin.model
    assert model.deal(pair.line).outcome is Outcome.RESUMED
    assert model.deal(deal).state is State.OPEN
    assert [model.account(p.address).balance - PURSE for p in (JC, RP)] == [-2000, 2000]
    assert [model.account(p.address).locked for p in (JC, RP)] == [deal.jc_share, deal.rp_share]
    assert pair.twin.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    assert pair.gains() == (-3000, 3000)
    drain(pair.twin)


def test_a_provider_that_vanishes_in_the_middle_of_a_line_loses_its_stake_and_keeps_what_it_earned() -> None:
    pair = Pair()
    deal = pair.job(9)
    pair.resumed(9, deal, 1500)
    assert pair.twin.at(deal.deliver_by + deal.grace + 1).do(JC, Absent(deal, None)) is None
    assert pair.twin.at(pair.twin.now + deal.answer + 1).do(JC, Finalize(deal)) is None
    assert pair.gains() == (deal.rp_stake - 1500, 1500 - deal.rp_stake)


def test_a_payer_that_vanishes_in_the_middle_of_a_line_pays_for_it() -> None:
    pair = Pair()
    deal = pair.job(2, deliver_by=BIRTH + 400, claim_until=BIRTH + 1000)
    pair.resumed(2, deal, 100)
    assert pair.twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert pair.twin.at(pair.twin.now + deal.answer + 1).do(RP, Finalize(deal)) is None
    assert pair.twin.at(deal.claim_until + 1).do(RP, Free(deal)) is None
    assert pair.gains() == (-100 - deal.jc_share, 100 + deal.jc_share)


@pytest.mark.parametrize("stale_by", [JC, RP, OTHER])
def test_whoever_answers_with_a_later_version_wins(stale_by: Person) -> None:
    pair = Pair()
    old, late = pair.job(1), pair.job(2)
    assert pair.twin.do(stale_by, pair.show(1, old, 0)) is None
    deadline = pair.twin.now + pair.line.answer
    assert pair.twin.at(deadline).do(JC, Resume(pair.line, old, 0)) == "too early"
    assert pair.twin.do(OTHER, pair.show(2, late, 1000)) is None, "both signed it, so anybody may answer for them"
    assert pair.twin.do(stale_by, pair.show(1, old, 0)) == "not later"
    assert pair.twin.do(stale_by, pair.show(2, late, 1000)) == "not later", "it can't be kept waiting by the same"
    pair.twin.at(deadline + pair.line.answer + 1)
    assert pair.twin.do(JC, Resume(pair.line, old, 0)) == "no successor"
    assert pair.twin.do(JC, Resume(pair.line, late, 0)) == "no successor"
    assert pair.twin.do(JC, Resume(pair.line, late, 1000)) is None
    assert pair.twin.model.deal(old).state is State.NONE
    assert pair.twin.do(JC, Resume(pair.line, late, 1000)) == "no line"
    assert pair.twin.do(JC, pair.show(3, pair.job(3), 2000)) == "no line", "a dispute closes the line"


def test_a_later_version_counts_until_the_line_is_resumed() -> None:
    pair = Pair()
    old, late = pair.job(1), pair.job(2)
    assert pair.twin.do(RP, pair.show(1, old, 0)) is None
    pair.twin.at(pair.twin.now + 10 * pair.line.answer)
    assert pair.twin.do(JC, pair.show(2, late, 900)) is None
    assert pair.twin.do(RP, Resume(pair.line, late, 900)) == "too early"


def test_both_must_have_signed_and_no_more_is_owed_than_the_line_holds() -> None:
    pair = Pair()
    deal = pair.job(1)
    for by in ((RP, RP), (JC, JC), (JC, OTHER), (RP, JC)):
        assert pair.twin.do(JC, pair.show(1, deal, 0, by)) == "not signed"
    assert pair.twin.do(JC, pair.show(1, deal, pair.line.pay + 1)) == "amount"
    assert pair.twin.do(JC, pair.show(0, deal, 0)) == "not later"
    assert pair.twin.do(JC, Resume(pair.line, deal, 0)) == "no successor"
    assert pair.twin.do(JC, pair.show(1, deal, pair.line.pay)) is None
    highest = (1 << 40) - 1
    assert pair.twin.do(JC, replace(pair.show(1, deal, 0), number=highest + 1)) == "not later"
    assert pair.twin.do(JC, pair.show(highest, deal, 0)) is None


def test_a_successor_counts_on_its_own_line_and_a_line_in_its_own_place() -> None:
    pair = Pair()
    other = replace(pair.line, start_by=pair.line.start_by + 1)
    assert pair.twin.do(JC, Open(other, pair.twin.sign(RP, other))) is None
    deal = pair.job(1)
    assert pair.twin.do(JC, replace(pair.show(1, deal, 0), line=other)) == "not signed"
    assert pair.twin.do(JC, pair.show(1, deal, 0)) is None
    assert pair.twin.do(JC, replace(pair.show(1, deal, 0), line=deal)) == "no line"
    lone = pair.job(7)
    assert pair.twin.do(JC, Open(lone, pair.twin.sign(RP, lone))) is None
    assert pair.twin.do(JC, replace(pair.show(1, deal, 0), line=lone)) == "no line"
    pair.twin.at(pair.twin.now + pair.line.answer + 1)
    assert pair.twin.do(JC, Resume(lone, deal, 0)) == "no line"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rp": OTHER.address}, "no successor"),
        ({"jc": OTHER.address}, "no successor"),
        ({"claim_until": BIRTH + 3001}, "no successor"),
        ({"jc_seat": 1}, "seat"),
        ({"rp_seat": 1}, "seat"),
        ({"answer": 1}, "window"),
        ({"cheat": 1299}, "collateral"),
        ({"claim_until": BIRTH + 3000}, None),
        ({"grace": 0}, "order of time"),
        ({"grace": 1}, None),
        ({"start_by": 1, "deliver_by": 2, "grace": MAX_LOCK}, None),
        ({"start_by": 1, "deliver_by": 2, "grace": MAX_LOCK + 1}, "order of time"),
    ],
)
def test_only_a_deal_of_the_same_pair_within_the_line_can_go_on(changes: dict[str, object], told: str | None) -> None:
    pair = Pair()
    deal = replace(pair.job(1), **changes)  # type: ignore[arg-type]
    assert pair.twin.do(JC, pair.show(1, deal, 0)) is None
    assert pair.twin.at(BIRTH + 101).do(JC, Resume(pair.line, deal, 0)) == told
    if told is not None:
        assert pair.twin.at(pair.line.claim_until + 1).do(JC, Free(pair.line)) is None, "and nothing stays locked"
        assert pair.gains() == (0, 0)


def test_a_deal_that_was_opened_elsewhere_does_not_go_on_a_second_time() -> None:
    pair = Pair()
    deal = pair.job(1)
    assert pair.twin.do(JC, pair.show(1, deal, 0)) is None
    assert pair.twin.do(JC, Open(deal, pair.twin.sign(RP, deal))) is None
    assert pair.twin.at(BIRTH + 101).do(JC, Resume(pair.line, deal, 0)) == "not new"


@pytest.mark.parametrize(("more", "side"), [("jc_stake", JC), ("rp_stake", RP)])
def test_what_a_deal_locks_beyond_the_line_must_be_free(more: str, side: Person) -> None:
    pair = Pair()
    deal = pair.job(1, **{more: 900_000})
    assert pair.twin.do(JC, pair.show(1, deal, 5000)) is None
    free = pair.twin.model.account(side.address).free
    assert pair.twin.do(side, Withdraw(free, side.address)) is None
    assert pair.twin.at(BIRTH + 101).do(RP, Resume(pair.line, deal, 5000)) == "not enough free"
    before = pair.twin.model.account(side.address)
    assert before.free == 0


def test_a_line_that_holds_enough_needs_no_free_money() -> None:
    pair = Pair(pay=2000)
    deal = pair.job(1)
    for side in (JC, RP):
        assert pair.twin.do(side, Withdraw(pair.twin.model.account(side.address).free, side.address)) is None
    pair.resumed(1, deal, pair.line.pay - deal.pay)
    model = pair.twin.model
    assert model.account(JC.address).free == pair.line.jc_share - deal.jc_share - 1000 == 0
    assert model.account(RP.address).free == pair.line.rp_share - deal.rp_share + 1000


def test_what_was_shown_at_the_last_moment_has_one_more_window_before_the_line_goes_home() -> None:
    pair = Pair()
    line, deal = pair.line, pair.job(1)
    late = pair.show(1, deal, 3000)
    assert pair.twin.at(line.claim_until).do(RP, late) is None
    assert pair.twin.do(RP, pair.show(2, deal, 3000)) is None
    deadline = line.claim_until + line.answer
    assert pair.twin.at(deadline + line.answer).do(JC, Free(line)) == "too early"
    assert pair.twin.do(RP, pair.show(3, deal, 3000)) == "too late"
    assert pair.twin.do(RP, Resume(line, deal, 3000)) is None
    assert pair.twin.do(JC, Free(deal)) is None
    assert pair.gains() == (-3000, 3000)


def test_what_nobody_resumed_goes_home_after_that_window() -> None:
    pair = Pair()
    line, deal = pair.line, pair.job(1)
    assert pair.twin.at(line.claim_until).do(RP, pair.show(1, deal, 3000)) is None
    assert pair.twin.at(line.claim_until + 2 * line.answer + 1).do(JC, Free(line)) is None
    assert pair.gains() == (0, 0)
    assert pair.twin.model.deal(line).outcome is Outcome.EXPIRED


def test_a_line_that_was_shown_is_still_ended_by_both() -> None:
    pair = Pair()
    assert pair.twin.do(RP, pair.show(1, pair.job(1), 400)) is None
    name = pair.twin.model.id(pair.line)
    assert pair.twin.do(JC, Part(pair.line, 5001, pair.twin.sign(RP, Release(name, 5001)))) == "amount"
    assert pair.twin.do(JC, Part(pair.line, 777, pair.twin.sign(RP, Release(name, 777)))) is None
    assert pair.gains() == (-777, 777)
