"""Every row of the outcome table with a jury, on model and bytecode at once: who ends with what, to the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from protocol.deal import Result, Ruling, Silence, Vote
from protocol.vault_calls import (
    Accuse,
    Appeal,
    CastVotes,
    Collect,
    Contest,
    Deliver,
    Draw,
    Expose,
    Finalize,
    Free,
    Join,
    Leave,
    Open,
    Payment,
    Redeem,
    Settle,
)
from protocol.vault_disputes import LONGEST_DISPUTE, SEED_DELAY, Ballot, jury_order
from protocol.vault_state import Flag, Mediator, Outcome, State
from tests.contracts.twin import WINDOWS, Person, draft, drain, funded

JC, RP = Person.number(1), Person.number(2)
MEDIATORS = sorted((Person.number(n) for n in range(11, 32)), key=lambda person: person.address)
PURSE = 1_000_000
STAKE = 500
"""What each mediator has joined with, and what one dispute puts at risk."""
SEALED, EVIDENCE, NOTHING = b"\x05" * 32, b"\x06" * 32, bytes(32)
FEE = 100


class Court:
    """An open deal, its pool, and short names for what happens to it."""

    def __init__(self, *, pool: int = 3, paid: bool = False, **changes: object) -> None:
        self.members = MEDIATORS[:pool]
        self.twin = funded([JC, RP, *self.members], PURSE)
        for member in self.members:
            assert self.twin.do(member, Join(STAKE)) is None
        self.pool = b"".join(member.address for member in self.members)
        self.deal = draft(JC, RP, self.twin.now, pool=keccak(self.pool), **changes)
        assert self.twin.do(JC, Open(self.deal, self.twin.sign(RP, self.deal))) is None
        if paid:
            assert self.twin.do(JC, Settle((Payment(self.deal, self.deal.pay),))) is None
        self.named = self.pool if pool == self.deal.jurors else b""

    @property
    def sitting(self) -> list[int]:
        bits = self.twin.model.deal(self.deal).sitting
        return [seat for seat in range(24) if bits >> seat & 1]

    def contested(self) -> Court:
        assert self.twin.do(RP, Deliver(self.deal, SEALED, None)) is None
        assert self.twin.do(JC, Contest(self.deal, self.named)) is None
        return self.drawn()

    def accused(self) -> Court:
        result = Result(self.deal.id(self.twin.domain), SEALED, 0, 7)
        accusation = Accuse(self.deal, result, self.twin.sign(RP, result), self.named)
        assert self.twin.do(JC, accusation) is None
        return self.drawn()

    def drawn(self) -> Court:
        if Flag.DRAWN not in self.twin.model.deal(self.deal).flags:
            self.twin.block += SEED_DELAY + 1
            assert self.twin.do(RP, Draw(self.deal, self.pool)) is None
        return self

    def appealed(self, ruling: Ruling) -> Court:
        """By whom the ruling is against, and drawn anew."""
        by_provider = ruling is not Ruling.RIGHT
        assert self.twin.do(RP if by_provider else JC, Appeal(self.deal, self.pool, by_provider)) is None
        return self.drawn()

    @property
    def state(self) -> State:
        return self.twin.model.deal(self.deal).state

    def vote(self, ruling: int, seats: Sequence[int], evidence: bytes = EVIDENCE) -> str | None:
        votes = tuple((seat, self.ballot(ruling, seat, evidence).signature) for seat in seats)
        return self.twin.do(RP, CastVotes(self.deal, self.pool, ruling, evidence, votes))

    def ballot(self, ruling: int, seat: int, evidence: bytes = EVIDENCE) -> Ballot:
        turn = int(Flag.APPEALED in self.twin.model.deal(self.deal).flags)
        vote = Vote(self.deal.id(self.twin.domain), turn, ruling, evidence)
        return Ballot(ruling, evidence, self.twin.sign(self.members[seat], vote))

    def finalize(self, by: Person = RP) -> str | None:
        return self.twin.do(by, Finalize(self.deal, self.pool))

    def promise(self, seats: Sequence[int]) -> Court:
        assert self.vote(0, seats, evidence=bytes(32)) is None
        return self

    @property
    def silent(self) -> list[int]:
        voted = self.twin.model.deal(self.deal).voted
        return [seat for seat in self.sitting if not voted >> seat & 1]

    def pass_deadline(self) -> Court:
        self.twin.now = self.twin.model.deal(self.deal).deadline + 1
        return self

    def gains(self) -> tuple[int, int]:
        """What the two parties won or lost, with nothing left locked and no juror's stake at risk."""
        assert self.twin.model.deal(self.deal).state is State.CLOSED
        accounts = [self.twin.model.account(person.address) for person in (JC, RP)]
        assert all(account.locked == 0 for account in accounts)
        assert all(self.twin.model.mediator(member.address).busy == 0 for member in self.members)
        return accounts[0].balance - PURSE, accounts[1].balance - PURSE

    def fees(self) -> dict[int, int]:
        """What each mediator won or lost, where it did, by seat."""
        changes = {s: self.twin.model.mediator(m.address).stake - STAKE for s, m in enumerate(self.members)}
        return {seat: change for seat, change in changes.items() if change}


def test_a_claimed_delivery_that_never_was_costs_stake_and_collateral() -> None:
    court = Court().contested()
    assert court.vote(Ruling.NOT_FETCHABLE, [0, 1]) is None
    assert court.gains() == (11_000 - 2 * FEE, -11_000)
    assert court.fees() == {0: FEE, 1: FEE}
    drain(court.twin)


def test_who_serves_jurors_but_not_the_payer_shares_the_fees_with_it() -> None:
    court = Court().contested()
    assert court.vote(Ruling.RIGHT, [0, 1, 2]) is None
    assert court.gains() == (-1000 - 150, 1000 - 150)


def test_a_contested_wrong_result_costs_the_collateral_only() -> None:
    court = Court().contested()
    assert court.vote(Ruling.WRONG, [1, 2]) is None
    assert court.gains() == (10_000 - 2 * FEE, -10_000)


@pytest.mark.parametrize("paid", [False, True])
def test_a_wrong_result_costs_the_collateral_and_contains_the_pay(paid: bool) -> None:
    court = Court(paid=paid).accused()
    assert court.vote(Ruling.WRONG, [0, 2]) is None
    won = 10_000 - 2 * FEE
    assert court.gains() == ((won - 1000, -9_000) if paid else (won, -10_000))


@pytest.mark.parametrize("paid", [False, True])
def test_a_false_accusation_costs_the_bond(paid: bool) -> None:
    court = Court(paid=paid).accused()
    assert court.vote(Ruling.RIGHT, [0, 1]) is None
    assert court.gains() == (-1000 - 3 * FEE, 1000 + FEE)


def test_an_accused_result_that_nobody_can_fetch_costs_all() -> None:
    court = Court().accused()
    assert court.vote(Ruling.NOT_FETCHABLE, [0, 1]) is None
    assert court.gains() == (11_000 - 2 * FEE, -11_000)


def test_an_accusation_needs_the_providers_signature_or_its_word_on_chain() -> None:
    court = Court()
    name = court.deal.id(court.twin.domain)
    result = Result(name, SEALED, 0, 7)
    forged = Accuse(court.deal, result, court.twin.sign(JC, result), court.pool)
    assert court.twin.do(JC, forged) == "not signed"
    assert court.twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    court.pass_deadline()
    assert court.finalize() is None
    assert court.twin.do(JC, replace(forged, result=replace(result, sealed=EVIDENCE), signature=None)) == "not signed"
    assert court.twin.do(JC, replace(forged, signature=None)) is None


def test_nothing_is_accused_twice_nor_paid_while_a_jury_sits() -> None:
    court = Court().accused()
    result = Result(court.deal.id(court.twin.domain), SEALED, 0, 7)
    assert court.twin.do(JC, Accuse(court.deal, result, court.twin.sign(RP, result), court.pool)) == "not open"
    assert court.twin.do(JC, Settle((Payment(court.deal, court.deal.pay, final=True),))) is None
    assert court.twin.model.deal(court.deal).state is State.JURY
    assert court.twin.do(RP, Redeem(court.deal, 5, bytes(64))) == "no such claim"
    assert court.vote(Ruling.RIGHT, [0, 1]) is None
    assert court.twin.do(JC, Accuse(court.deal, result, court.twin.sign(RP, result), court.pool)) == "not open"


def test_an_accusation_a_second_after_the_last_moment_is_too_late() -> None:
    court = Court(paid=True)
    result = Result(court.deal.id(court.twin.domain), SEALED, 0, 7)
    accusation = Accuse(court.deal, result, court.twin.sign(RP, result), court.pool)
    court.twin.at(court.deal.claim_until + 1)
    assert court.twin.do(JC, accusation) == "too late"
    assert court.twin.do(RP, Free(court.deal)) is None


@pytest.mark.parametrize(
    ("silence", "jc", "rp", "outcome"),
    [
        (Silence.SPLIT, -500, 500, Outcome.SPLIT),
        (Silence.RIGHT, -1300, 1300, Outcome.RIGHT),
        (Silence.WRONG, 10_000, -10_000, Outcome.WRONG),
    ],
)
def test_a_silent_named_jury_leaves_the_agreed_default_and_loses_its_stakes(
    silence: Silence, jc: int, rp: int, outcome: Outcome
) -> None:
    court = Court(silence=silence).accused()
    assert court.vote(Ruling.WRONG, [1]) is None, "a lone vote costs only the fee"
    court.promise([0, 1, 2])
    assert court.finalize() == "too early"
    court.pass_deadline()
    assert court.finalize() is None
    assert court.twin.model.deal(court.deal).outcome is outcome
    assert court.gains() == (jc + STAKE, rp + STAKE)
    assert court.fees() == {0: -STAKE, 2: -STAKE}


def test_the_silent_are_replaced_once_and_votes_that_arrived_keep_counting() -> None:
    court = Court(pool=7).accused()
    first = court.sitting
    assert court.vote(Ruling.WRONG, first[:1]) is None
    court.promise(first).pass_deadline()
    assert court.finalize() is None
    assert court.sitting == first[:1]
    court.drawn()
    fresh = [seat for seat in court.sitting if seat not in first]
    assert len(fresh) == 2
    assert not set(fresh) & set(first)
    assert court.vote(Ruling.WRONG, fresh[:1]) is None
    assert court.gains() == (10_000 - 2 * FEE + STAKE, -10_000 + STAKE)
    assert court.fees() == {first[0]: FEE, fresh[0]: FEE, first[1]: -STAKE, first[2]: -STAKE}


def test_a_jury_that_stays_silent_twice_ends_in_the_default() -> None:
    court = Court(pool=7).accused()
    court.promise(court.sitting).pass_deadline()
    assert court.finalize() is None
    court.drawn().promise(court.sitting).pass_deadline()
    assert court.finalize() is None
    assert court.twin.model.deal(court.deal).outcome is Outcome.SPLIT
    assert court.gains() == (-500 + 3 * STAKE, 500 + 3 * STAKE)


def test_a_jury_that_nobody_draws_ends_in_the_default() -> None:
    court = Court(pool=7)
    assert court.twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    assert court.twin.do(JC, Contest(court.deal, b"")) is None
    court.pass_deadline()
    assert court.twin.do(RP, Draw(court.deal, court.pool)) == "too late"
    assert court.finalize() is None
    assert court.gains() == (-500, 500)


def test_the_jury_is_drawn_by_a_block_that_the_dispute_did_not_know() -> None:
    court = Court(pool=9)
    twin = court.twin
    assert twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    assert twin.do(JC, Contest(court.deal, b"")) is None
    named = twin.model.deal(court.deal).block
    assert named == twin.block + SEED_DELAY
    twin.block = named
    assert twin.do(RP, Draw(court.deal, court.pool)) == "too early"
    assert twin.do(RP, Draw(court.deal, court.pool[20:])) == "pool"
    twin.block = named + 257
    assert twin.do(RP, Draw(court.deal, court.pool)) is None
    assert twin.model.deal(court.deal).sitting == 0, "the chain forgot that block, a new one is named"
    named = twin.model.deal(court.deal).block
    twin.block = named + 256
    assert twin.do(RP, Draw(court.deal, court.pool)) is None
    seed = keccak(court.deal.id(twin.domain) + twin.block_hash(named))
    assert court.sitting == sorted(seat for seat, _ in jury_order(court.pool, seed)[:3])
    assert twin.do(RP, Draw(court.deal, court.pool)) == "not due"


def test_parties_and_those_without_stake_are_passed_over() -> None:
    members = sorted([JC, RP, *MEDIATORS[:4]], key=lambda person: person.address)
    twin = funded([JC, RP, *MEDIATORS[:4]], PURSE)
    for member in [JC, RP, *MEDIATORS[:3]]:
        assert twin.do(member, Join(STAKE)) is None
    assert twin.do(MEDIATORS[3], Join(STAKE - 1)) is None
    pool = b"".join(member.address for member in members)
    deal = draft(JC, RP, twin.now, pool=keccak(pool))
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.do(JC, Contest(deal, b"")) is None
    twin.block += SEED_DELAY + 1
    assert twin.do(RP, Draw(deal, pool)) is None
    assert twin.model.deal(deal).sitting == sum(1 << members.index(member) for member in MEDIATORS[:3])


def test_one_stake_backs_one_vote_at_a_time() -> None:
    court = Court(appeal=60).accused()
    twin = court.twin
    assert court.vote(Ruling.WRONG, [0]) is None
    second = draft(JC, RP, twin.now, pool=keccak(court.pool), terms=b"\x01" * 32)
    assert twin.do(JC, Open(second, twin.sign(RP, second))) is None
    assert twin.do(RP, Deliver(second, SEALED, None)) is None
    assert twin.do(JC, Contest(second, court.pool)) is None
    assert twin.model.deal(second).sitting == 7, "what others are up to can't keep anybody off a jury"
    vote = twin.sign(court.members[0], Vote(second.id(twin.domain), 0, Ruling.WRONG, EVIDENCE))
    cast = CastVotes(second, court.pool, Ruling.WRONG, EVIDENCE, ((0, vote),))
    assert twin.do(RP, cast) == "not their turn"
    assert court.vote(Ruling.WRONG, [1]) is None
    assert court.finalize() is None
    assert twin.do(RP, cast) is None


def test_strangers_cannot_take_a_stake_by_a_dispute_its_mediator_never_heard_of() -> None:
    court = Court().accused()
    promise = Vote(court.deal.id(court.twin.domain), 0, 0, EVIDENCE)
    forged = CastVotes(court.deal, court.pool, 0, EVIDENCE, ((0, court.twin.sign(RP, promise)),))
    assert court.twin.do(RP, forged) == "not signed"
    assert court.pass_deadline().finalize() is None
    assert court.fees() == {}
    assert court.gains() == (-500, 500)


def test_the_silent_are_fined_only_what_other_votes_do_not_hold() -> None:
    court = Court(appeal=60).accused()
    twin = court.twin
    court.promise([0, 1])
    second = draft(JC, RP, twin.now, pool=keccak(court.pool), terms=b"\x01" * 32, appeal=600)
    assert twin.do(JC, Open(second, twin.sign(RP, second))) is None
    assert twin.do(RP, Deliver(second, SEALED, None)) is None
    assert twin.do(JC, Contest(second, court.pool)) is None
    vote = twin.sign(court.members[0], Vote(second.id(twin.domain), 0, Ruling.WRONG, EVIDENCE))
    assert twin.do(RP, CastVotes(second, court.pool, Ruling.WRONG, EVIDENCE, ((0, vote),))) is None
    court.pass_deadline()
    assert court.finalize() is None
    assert court.fees() == {1: -STAKE}


def test_who_is_leaving_is_drawn_no_more() -> None:
    court = Court(pool=4)
    gone = court.members[2]
    assert court.twin.do(gone, Leave()) is None
    court.contested()
    assert court.sitting == [0, 1, 3]


def test_a_mediator_leaves_after_the_longest_dispute_and_joining_again_takes_that_back() -> None:
    court = Court()
    twin, member = court.twin, court.members[0]
    assert twin.do(member, Collect()) == "not leaving"
    assert twin.do(member, Leave()) is None
    assert twin.do(member, Join(1)) is None
    assert twin.do(member, Collect()) == "not leaving"
    assert twin.do(member, Leave()) is None
    twin.at(twin.now + LONGEST_DISPUTE * WINDOWS.longest + 1)
    assert twin.do(member, Collect()) is None
    assert twin.model.mediator(member.address) == Mediator(0, 0, twin.model.mediator(member.address).leaves)
    assert twin.model.account(member.address).free == PURSE


def test_votes_over_different_evidence_do_not_add_up() -> None:
    court = Court().accused()
    assert court.vote(Ruling.WRONG, [0], evidence=b"\x01" * 32) is None
    assert court.vote(Ruling.WRONG, [1], evidence=b"\x02" * 32) is None
    assert court.twin.model.deal(court.deal).state is State.JURY
    assert court.vote(Ruling.WRONG, [2], evidence=b"\x02" * 32) is None
    assert court.fees() == {1: FEE, 2: FEE}


def test_a_vote_handed_in_singly_just_before_does_not_make_the_others_fail() -> None:
    court = Court().accused()
    assert court.vote(Ruling.WRONG, [0]) is None
    assert court.vote(Ruling.WRONG, [0, 1]) is None
    assert court.fees() == {0: FEE, 1: FEE}


def test_only_sitting_jurors_vote_once_and_in_time() -> None:
    court = Court(pool=5).accused()
    outsider = next(seat for seat in range(5) if seat not in court.sitting)
    assert court.vote(Ruling.WRONG, [outsider]) == "not their turn"
    assert court.vote(Ruling.WRONG, []) == "not their turn"
    assert court.vote(4, court.sitting) == "ruling"
    assert court.vote(Ruling.WRONG, court.sitting[:1]) is None
    assert court.vote(Ruling.RIGHT, court.sitting[:1]) == "not their turn"
    stolen = court.ballot(Ruling.WRONG, court.sitting[1]).signature
    forged = CastVotes(court.deal, court.pool, Ruling.WRONG, EVIDENCE, ((court.sitting[2], stolen),))
    assert court.twin.do(RP, forged) == "not signed"
    court.twin.now = court.twin.model.deal(court.deal).deadline
    assert court.vote(Ruling.RIGHT, court.sitting[1:2]) is None
    court.pass_deadline()
    assert court.vote(Ruling.WRONG, court.sitting[2:]) == "too late"


def test_money_moves_only_after_the_time_to_appeal_or_when_the_loser_agrees() -> None:
    court = Court(appeal=60).accused()
    assert court.vote(Ruling.WRONG, [0, 1]) is None
    assert court.twin.model.deal(court.deal).state is State.RULED
    assert court.finalize(JC) == "not a party"
    assert court.finalize(RP) is None
    assert court.gains() == (10_000 - 2 * FEE, -10_000)
    waiting = Court(appeal=60).accused()
    assert waiting.vote(Ruling.RIGHT, [0, 1]) is None
    assert waiting.finalize(RP) == "not a party"
    assert waiting.pass_deadline().finalize(RP) is None
    assert waiting.gains() == (-1000 - 3 * FEE, 1000 + FEE)


@pytest.mark.parametrize("for_provider", [True, False])
def test_an_appeal_that_fails_costs_the_appellant_its_bond(for_provider: bool) -> None:
    court = Court(pool=10, appeal=60).accused()
    ruling = Ruling.WRONG if for_provider else Ruling.RIGHT
    first = court.sitting
    assert court.vote(ruling, first[:2]) is None
    loser = RP if for_provider else JC
    assert court.twin.do(loser, Appeal(court.deal, court.pool, not for_provider)) == "not a party"
    assert court.twin.do(loser, Appeal(court.deal, court.pool, for_provider)) is None
    court.drawn()
    assert len(court.sitting) == 7
    assert not set(court.sitting) & set(first)
    assert court.vote(ruling, court.sitting[:4]) is None
    second = court.fees()
    assert second == dict.fromkeys([*first[:2], *[s for s in second if s not in first]], FEE)
    if for_provider:
        assert court.gains() == (10_000 - 2 * FEE + 3 * FEE, -10_000 - 7 * FEE)
    else:
        assert court.gains() == (-1000 - 3 * FEE - 7 * FEE, 1000 + FEE + 3 * FEE)


def test_an_overturned_jury_loses_its_stakes_half_to_each_party() -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(Ruling.WRONG, first[:2]) is None
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) is None
    court.drawn()
    second = court.sitting
    assert court.vote(Ruling.RIGHT, second[:4]) is None
    assert court.fees() == {**dict.fromkeys(first[:2], -STAKE), **dict.fromkeys(second[:4], FEE)}
    # four fees: three from the accuser's bond, which they use up, and one from the appellant's
    assert court.gains() == (-1000 - 3 * FEE + STAKE, 1000 - FEE + STAKE)


@pytest.mark.parametrize(
    ("earlier", "shown_first", "later", "shown_later"),
    [
        (Ruling.NOT_FETCHABLE, False, Ruling.RIGHT, True),
        (Ruling.NOT_FETCHABLE, False, Ruling.WRONG, True),
        (Ruling.RIGHT, False, Ruling.WRONG, True),
        (Ruling.RIGHT, True, Ruling.NOT_FETCHABLE, False),
        (Ruling.WRONG, True, Ruling.NOT_FETCHABLE, False),
        (Ruling.WRONG, True, Ruling.RIGHT, False),
    ],
)
def test_a_party_that_shows_things_to_one_jury_and_not_to_the_other_costs_neither_its_stakes(
    earlier: Ruling, shown_first: bool, later: Ruling, shown_later: bool
) -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(earlier, first[:2], EVIDENCE if shown_first else NOTHING) is None
    court.appealed(earlier)
    second = court.sitting
    assert court.vote(later, second[:4], EVIDENCE if shown_later else NOTHING) is None
    assert court.fees() == dict.fromkeys(second[:4], FEE), "the first lose the fee and no more"
    drain(court.twin)


def test_votes_for_one_ruling_add_up_whatever_each_rests_on() -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(Ruling.RIGHT, first[:1], EVIDENCE) is None
    assert court.state is State.JURY
    assert court.vote(Ruling.RIGHT, first[1:2], NOTHING) is None
    assert court.state is State.RULED
    court.appealed(Ruling.RIGHT)
    assert court.vote(Ruling.WRONG, court.sitting[:4]) is None
    assert court.gains()[0] > 0, "overturned"
    assert not any(court.fees().get(seat) for seat in first), "one of the two had nothing to judge by"


@pytest.mark.parametrize("ruling", [Ruling.RIGHT, Ruling.NOT_FETCHABLE])
def test_who_had_nothing_to_judge_by_loses_nothing_beside_others_who_say_they_had(ruling: Ruling) -> None:
    """Parties in league put jurors of their own beside an honest one, and overturn them all."""
    court = Court(pool=10, appeal=60).accused()
    honest, *theirs = court.sitting
    assert court.vote(ruling, [honest], NOTHING) is None
    assert court.vote(ruling, theirs) is None
    assert Flag.UNPROVEN not in court.twin.model.deal(court.deal).flags
    court.appealed(ruling)
    second = court.sitting
    assert court.vote(Ruling.WRONG, second[:4]) is None
    assert court.fees() == {**dict.fromkeys(theirs, -STAKE), **dict.fromkeys(second[:4], FEE)}
    drain(court.twin)


@pytest.mark.parametrize(("shown", "lost"), [(4, -STAKE), (3, -STAKE), (2, 0), (0, 0)])
def test_a_bought_ruling_is_saved_only_where_half_of_those_who_overturn_it_had_nothing(shown: int, lost: int) -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(Ruling.WRONG, first[:2]) is None
    court.appealed(Ruling.WRONG)
    second = court.sitting
    if shown < 4:
        assert court.vote(Ruling.RIGHT, second[shown:4], NOTHING) is None
    if shown:
        assert court.vote(Ruling.RIGHT, second[:shown]) is None
    assert court.state is State.CLOSED
    paid = second[:shown] if lost else second[:4]
    expected = {**dict.fromkeys(first[:2], lost), **dict.fromkeys(paid, FEE)}
    assert court.fees() == {seat: change for seat, change in expected.items() if change}
    drain(court.twin)


def test_only_those_who_judged_are_paid_where_they_could_have_ruled_alone() -> None:
    court = Court(pool=21, jurors=5, quorum=3).accused()
    jury = court.sitting
    assert court.vote(Ruling.RIGHT, jury[:1], NOTHING) is None
    assert court.vote(Ruling.RIGHT, jury[1:4]) is None
    assert court.fees() == dict.fromkeys(jury[1:4], FEE)


def test_two_ballots_for_one_ruling_are_no_double_vote_but_two_runs_named_as_wrong_are() -> None:
    court = Court(pool=10, appeal=60).accused()
    seat = court.sitting[0]
    right = [court.ballot(Ruling.RIGHT, seat, evidence) for evidence in (EVIDENCE, NOTHING)]
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, *right)) == "the same vote"
    wrong = [court.ballot(Ruling.WRONG, seat, evidence) for evidence in (EVIDENCE, SEALED)]
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, *wrong)) is None
    assert court.fees() == {seat: -STAKE}


def test_a_vote_for_wrong_always_puts_the_stake_at_risk() -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(Ruling.WRONG, first[:2], NOTHING) is None
    court.appealed(Ruling.WRONG)
    second = court.sitting
    assert court.vote(Ruling.RIGHT, second[:4]) is None
    assert court.fees() == {**dict.fromkeys(first[:2], -STAKE), **dict.fromkeys(second[:4], FEE)}


def test_who_promised_and_came_too_late_for_a_ruling_keeps_its_stake() -> None:
    court = Court(appeal=60).accused()
    jury = court.sitting
    court.promise(jury)
    assert court.vote(Ruling.WRONG, jury[:2]) is None
    court.pass_deadline()
    assert court.finalize() is None
    assert court.fees() == dict.fromkeys(jury[:2], FEE)


def test_a_ruling_stands_where_the_second_jury_does_not_decide() -> None:
    court = Court(pool=10, appeal=60).accused()
    first = court.sitting
    assert court.vote(Ruling.WRONG, first[:2]) is None
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) is None
    court.drawn()
    silent = court.sitting[3:]
    assert court.vote(Ruling.RIGHT, court.sitting[:3]) is None
    court.promise(silent).pass_deadline()
    assert court.finalize() is None
    assert court.fees() == {**dict.fromkeys(first[:2], FEE), **dict.fromkeys(silent, -STAKE)}
    assert court.gains() == (10_000 - 2 * FEE + 2 * STAKE, -10_000 + 2 * STAKE)


def test_an_appeal_needs_enough_others_and_comes_once_and_in_time() -> None:
    small = Court(pool=9, appeal=60).accused()
    assert small.vote(Ruling.WRONG, small.sitting[:2]) is None
    assert small.twin.do(RP, Appeal(small.deal, small.pool, True)) == "pool too small"
    court = Court(pool=10, appeal=60).accused()
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) == "no ruling"
    assert court.vote(Ruling.WRONG, court.sitting[:2]) is None
    court.pass_deadline()
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) == "too late"


def test_a_juror_that_signs_two_votes_loses_its_stake_and_its_seat() -> None:
    court = Court(pool=5).accused()
    seat, other, third = court.sitting
    assert court.vote(Ruling.WRONG, [seat]) is None
    one, two = court.ballot(Ruling.WRONG, seat), court.ballot(Ruling.RIGHT, seat)
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, one, one)) == "the same vote"
    assert court.twin.do(RP, Expose(court.deal, court.pool, other, one, two)) == "not signed"
    promise = court.ballot(0, seat)
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, one, promise)) == "no vote"
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, promise, one)) == "no vote"
    assert court.twin.do(RP, Expose(court.deal, court.pool, 30, one, two)) == "not sitting"
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, one, two)) is None
    assert court.twin.do(RP, Expose(court.deal, court.pool, seat, one, two)) == "not sitting"
    assert court.vote(Ruling.WRONG, [other]) is None
    assert court.twin.model.deal(court.deal).state is State.JURY, "its vote counts no longer"
    assert court.vote(Ruling.WRONG, [third]) is None
    assert court.fees() == {seat: -STAKE, other: FEE, third: FEE}


def test_votes_are_evidence_only_while_there_is_a_jury() -> None:
    court = Court()
    one, two = court.ballot(Ruling.WRONG, 0), court.ballot(Ruling.RIGHT, 0)
    assert court.twin.do(RP, Expose(court.deal, court.pool, 0, one, two)) == "no jury"
    court.accused()
    assert court.vote(Ruling.WRONG, court.sitting) is None
    assert court.twin.do(RP, Expose(court.deal, court.pool, 0, one, two)) == "no jury"


def test_two_votes_shown_before_either_was_cast_cost_the_stake_too() -> None:
    court = Court().accused()
    evidence = court.ballot(Ruling.WRONG, 1), court.ballot(Ruling.WRONG, 1, evidence=b"\x01" * 32)
    assert court.twin.do(RP, Expose(court.deal, court.pool, 1, *evidence)) is None
    assert court.vote(Ruling.WRONG, [1]) == "not their turn"
    assert court.vote(Ruling.RIGHT, [0, 2]) is None
    assert court.fees() == {0: FEE, 1: -STAKE, 2: FEE}


def test_a_minority_of_an_appealed_jury_has_its_stake_free_at_once() -> None:
    court = Court(pool=10, appeal=60).accused()
    one, two, three = court.sitting
    assert court.vote(Ruling.RIGHT, [one]) is None
    assert court.vote(Ruling.WRONG, [two, three]) is None
    assert court.twin.model.mediator(court.members[one].address).busy == STAKE
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) is None
    assert court.twin.model.mediator(court.members[one].address).busy == 0
    assert court.twin.model.mediator(court.members[two].address).busy == STAKE


def test_a_winner_exposed_before_the_money_moves_gets_no_fee() -> None:
    court = Court(appeal=60).accused()
    assert court.vote(Ruling.WRONG, [0, 1]) is None
    evidence = court.ballot(Ruling.WRONG, 0), court.ballot(Ruling.RIGHT, 0)
    assert court.twin.do(RP, Expose(court.deal, court.pool, 0, *evidence)) is None
    assert court.pass_deadline().finalize() is None
    assert court.fees() == {0: -STAKE, 1: FEE}
    assert court.gains() == (10_000 - FEE + STAKE // 2, -10_000 + STAKE // 2)


def test_a_claim_with_no_free_money_for_its_bond_is_refused() -> None:
    court = Court(jc_stake=PURSE - 1000)
    assert court.twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    assert court.twin.do(JC, Contest(court.deal, court.pool)) == "not enough free"


def test_a_jury_is_named_only_where_it_is_the_whole_pool() -> None:
    court = Court(pool=4)
    assert court.twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    assert court.twin.do(JC, Contest(court.deal, court.pool)) == "not named"
    assert court.twin.do(JC, Contest(court.deal, court.pool[20:])) == "pool"


def test_a_contest_a_second_late_is_refused() -> None:
    court = Court()
    assert court.twin.do(RP, Deliver(court.deal, SEALED, None)) is None
    court.pass_deadline()
    assert court.twin.do(JC, Contest(court.deal, court.pool)) == "too late"


@pytest.mark.parametrize("contested", [False, True])
def test_a_dispute_whose_pool_nobody_can_show_ends_in_the_default(contested: bool) -> None:
    twin = funded([JC, RP], PURSE)
    deal = draft(JC, RP, twin.now, pool=b"\x0f" * 32)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    if contested:
        assert twin.do(RP, Deliver(deal, SEALED, None)) is None
        assert twin.do(JC, Contest(deal, b"")) is None
    else:
        result = Result(deal.id(twin.domain), SEALED, 0, 7)
        assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), b"")) is None
    twin.block += SEED_DELAY + 1
    assert twin.do(RP, Draw(deal, b"\x01" * 40)) == "pool"
    assert twin.do(RP, Finalize(deal, b"")) == "too early"
    assert twin.at(twin.model.deal(deal).deadline + 1).do(RP, Finalize(deal, b"")) is None
    assert twin.model.deal(deal).outcome is Outcome.SPLIT
    drain(twin)


def test_once_a_juror_sat_the_pool_is_needed_to_the_end() -> None:
    court = Court().accused().promise([0]).pass_deadline()
    assert court.twin.do(RP, Finalize(court.deal, b"")) == "pool"
    assert court.finalize() is None
    assert court.fees() == {0: -STAKE}
