"""What follows from running a result again: who is believed, who is accused, and who bears it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from market import Market, customer, on, seller, slow
from test_disputes import Trial, pool, trial

from agents import juror, juror_stages
from agents.effects import Effect, Send
from agents.events import Event, Got, Ran
from agents.reports import Checked, DisputeOpened, Verdict
from agents.request import CheckBy
from protocol.identity import Address
from protocol.judging import CUT_OFF, UNSHOWN
from protocol.messages import Exhibit, Recheck, Rechecked, Summons, sealed
from protocol.vault_state import Outcome as Ruling
from simulator.world import START, Peer

EVERY_WAY = pytest.mark.parametrize("by", list(CheckBy))


def slander(effect: Effect) -> Effect:
    """A mediator's word that its run gave something else."""
    if isinstance(effect, Send) and isinstance(effect.message, Rechecked):
        return replace(effect, message=replace(effect.message, cid="slander"))
    return effect


def ran_by(tried: Trial) -> list[Address]:
    """Mediators that were asked, in order."""
    return [effect.to for effect in tried.sent if isinstance(effect.message, Recheck)]


def verdicts(tried: Trial) -> list[Verdict]:
    """What the user was told of the checks."""
    return [told.verdict for told in tried.market.heard(tried.job, Checked)]


@EVERY_WAY
def test_a_false_exit_code_beside_the_right_result_gets_nobody_accused_and_fools_no_user(by: CheckBy) -> None:
    def lies(event: Event) -> Event:
        return (
            replace(event, run=replace(event.run, exit_code=3, failure="trapped: so it says"))
            if isinstance(event, Ran)
            else event
        )

    tried = Trial(Market(customer(), on(seller("cheat", 100), lies), *pool(*("honest",) * 3)), check_by=by)
    assert verdicts(tried) == [Verdict.ACCEPTED]
    assert tried.gains() == (-tried.deal.pay, tried.deal.pay)
    run = tried.market.end(tried.job).run
    assert run is not None
    assert (run.exit_code, run.failure) == (0, "")


@pytest.mark.parametrize("by", [CheckBy.ANYBODY, CheckBy.MEDIATORS])
@pytest.mark.parametrize("compare", ["exact", "numeric"])
def test_one_mediator_that_slanders_gets_nobody_accused(by: CheckBy, compare: str) -> None:
    asked = 0
    for which in range(3):  # whom it asks first is chance
        jurors = pool(*("honest",) * 3)
        slanderer = on(jurors[which], says=slander).address
        market = Market(customer(), seller("cheat", 100), *jurors)
        tried = Trial(market, check_by=by, compare=compare)
        assert market.heard(tried.job, DisputeOpened) == []
        assert verdicts(tried) == [Verdict.ACCEPTED]
        assert tried.gains() == (-tried.deal.pay, tried.deal.pay)
        ran = set(ran_by(tried))
        served = ran if compare == "exact" else ran - {slanderer}  # a run that is to be compared has to be there
        assert set(market.heard(tried.job, Checked)[0].mediators) == served
        assert len([paid for paid in market.oracle.payments if paid.kind == "check"]) == len(served), "each is paid"
        asked += slanderer in ran
    assert asked


def test_where_most_mediators_slander_this_machines_own_run_has_the_last_word() -> None:
    jurors = [on(peer, says=slander) if number < 2 else peer for number, peer in enumerate(pool(*("honest",) * 3))]
    tried = Trial(Market(customer(), seller("cheat", 100), *jurors), check_by=CheckBy.ANYBODY)
    assert verdicts(tried) == [Verdict.ACCEPTED]


@EVERY_WAY
@pytest.mark.parametrize("compare", ["exact", "numeric"])
def test_a_lie_is_found_as_before(by: CheckBy, compare: str) -> None:
    tried = Trial(
        Market(customer(), seller("cheat", 100, kind="liar"), *pool(*("honest",) * 3)), check_by=by, compare=compare
    )
    assert tried.ruling is Ruling.WRONG
    fees = [paid for paid in tried.market.oracle.payments if paid.kind == "check"]
    assert len(fees) == {CheckBy.SELF: 0, CheckBy.ANYBODY: 1, CheckBy.MEDIATORS: 2}[by]


def test_the_only_mediator_of_a_pool_is_believed_where_nobody_else_may_be_asked() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100, kind="liar"), *pool("honest")), check_by=CheckBy.MEDIATORS)
    assert verdicts(tried) == [Verdict.REJECTED]


# --- cut off by time -------------------------------------------------------------------------------------------------


def crawler() -> Peer:
    """A provider whose machine ends nothing in time; no fault of its own, but no rule of the market excuses it."""
    return replace(on(seller("cheat", 100), slow), honest=False, kind="slow")


@EVERY_WAY
@pytest.mark.parametrize("compare", ["exact", "numeric"])
def test_a_slow_machine_costs_its_timeout_stake_and_never_the_collateral(by: CheckBy, compare: str) -> None:
    market = Market(customer(), crawler(), *pool(*("honest",) * 3))
    tried = Trial(market, check_by=by, compare=compare)
    assert market.heard(tried.job, DisputeOpened) == []
    assert tried.gains() == (tried.deal.rp_stake, -tried.deal.rp_stake)


@EVERY_WAY
def test_a_job_without_end_is_paid_for_whoever_runs_it(by: CheckBy) -> None:
    market = Market(on(customer(), slow), crawler(), *(on(juror, slow) for juror in pool(*("honest",) * 3)))
    tried = Trial(market, check_by=by)
    assert tried.gains() == (-tried.deal.pay, tried.deal.pay)


@pytest.mark.parametrize("contested", [False, True])
@pytest.mark.parametrize("compare", ["exact", "numeric"])
def test_a_juror_never_finds_a_result_wrong_that_says_that_it_was_cut_off(contested: bool, compare: str) -> None:
    tried = trial()
    (summons, *_) = tried.market.said(Summons)
    summons = replace(summons, job=replace(summons.job, compare=compare))
    now, salt = START + 90, bytes(32)
    case = juror.opened(summons.mediators[0], tried.deal.jc, summons, bytes(32), salt, now).state
    case = replace(
        case,
        stage=juror_stages.Holding(),
        deadline=int(now) + 100,
        own="own",
        revealed=True,
        contested=contested,
        sealed=sealed(CUT_OFF, salt),
    )
    shown = Got(tried.deal.jc, Exhibit(bytes(32), 0, CUT_OFF, salt, 1))
    voted = juror.step(case, now, shown).state.stage
    # on chain it was claimed as a delivery, and this juror's own run shows that it could have been one
    ruling = Ruling.NOT_FETCHABLE if contested else Ruling.RIGHT
    assert voted == juror_stages.Voted(ruling.value, UNSHOWN)
