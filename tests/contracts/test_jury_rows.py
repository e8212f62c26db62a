"""Every row of the outcome table with a jury, on model and bytecode at once: who ends with what, to the unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from protocol.deal import Result, Ruling, Silence, Vote
from protocol.vault_calls import (
    Accuse,
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
from protocol.vault_disputes import LONGEST_DISPUTE, SEED_DELAY, jury_order
from protocol.vault_state import Mediator, Outcome, State
from tests.contracts.court import EVIDENCE, FEE, JC, MEDIATORS, PURSE, RP, SEALED, STAKE, Court
from tests.contracts.twin import WINDOWS, draft, drain, funded


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
