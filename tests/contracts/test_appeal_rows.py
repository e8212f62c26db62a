"""Appeals, and what votes rest on: whose ruling counts, who is paid, and whose stake it costs."""

from __future__ import annotations

import pytest

from protocol.deal import Ruling
from protocol.vault_calls import (
    Appeal,
    Expose,
)
from protocol.vault_state import Flag, State
from tests.contracts.court import EVIDENCE, FEE, JC, NOTHING, RP, SEALED, STAKE, Court
from tests.contracts.twin import drain


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


def test_a_minority_of_an_appealed_jury_has_its_stake_free_at_once() -> None:
    court = Court(pool=10, appeal=60).accused()
    one, two, three = court.sitting
    assert court.vote(Ruling.RIGHT, [one]) is None
    assert court.vote(Ruling.WRONG, [two, three]) is None
    assert court.twin.model.mediator(court.members[one].address).busy == STAKE
    assert court.twin.do(RP, Appeal(court.deal, court.pool, True)) is None
    assert court.twin.model.mediator(court.members[one].address).busy == 0
    assert court.twin.model.mediator(court.members[two].address).busy == STAKE
