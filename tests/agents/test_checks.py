"""What follows from running a result again: who is believed, who is accused, and who bears it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from market import Market, customer, on, seller, sick, slow
from test_disputes import Trial, pool, trial

from agents import juror, juror_stages
from agents import sale as sales
from agents.effects import Effect, Execute, Fetch, LookUpStakes, Save, Send, Transact, Unwatch, WakeAt, Watch
from agents.events import ChainSaw, Event, Fetched, Got, NotFetched, Ran, Timer, Woke
from agents.mediator import FETCHED_WITHIN, MOST_ASKED, MOST_CHECKS_FOR_ONE, SEEN_WITHIN, Mediator
from agents.reports import Checked, DisputeOpened, Verdict
from agents.request import CheckBy
from agents.sale import Sale
from protocol.identity import Address
from protocol.job import Run
from protocol.judging import CUT_OFF, UNSHOWN
from protocol.messages import Abandoned, Begun, CannotRecheck, Exhibit, Recheck, Rechecked, Summons, sealed
from protocol.terms import pool_hash
from protocol.vault_calls import Absent
from protocol.vault_state import DealState, State
from protocol.vault_state import Outcome as Ruling
from protocol.wire import agreement
from simulator.population import RULES, address
from simulator.world import START, Peer, World

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


def test_a_result_that_three_mediators_find_wrong_each_in_its_own_way_is_accused() -> None:
    jurors = pool("guesser", "guesser", "honest")
    tried = Trial(Market(customer(), seller("cheat", 100, kind="liar"), *jurors), check_by=CheckBy.MEDIATORS)
    assert verdicts(tried) == [Verdict.REJECTED]


def test_a_provider_that_cannot_begin_has_signed_nothing_and_loses_nothing() -> None:
    """Whoever writes a job may choose one that starts nowhere, to earn timeout stakes with it."""
    market = Market(customer(), on(seller("cheat", 100), sick), *pool("honest"))
    tried = Trial(market)
    assert market.said(Abandoned)
    assert not market.said(Begun)
    assert tried.gains() == (0, 0)


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


def hurried(effect: Effect) -> Effect:
    """A mediator that says of every run that it ended in time."""
    if isinstance(effect, Send) and isinstance(effect.message, CannotRecheck):
        return replace(effect, message=Rechecked(effect.message.deal, effect.to, "a-result", 0, 0, "", "", 0))
    return effect


def deaf(event: Event) -> Event:
    """No message arrives here."""
    return Woke(Timer(b"", "nothing has happened")) if isinstance(event, Got) else event


def no_absence(effect: Effect) -> Effect:
    """Whoever lies in wait for the provider's claim."""
    return LookUpStakes(()) if isinstance(effect, Transact) and isinstance(effect.call, Absent) else effect


@EVERY_WAY
def test_a_slow_machine_claims_nothing_where_a_mediator_was_faster_even_if_nobody_else_asks_one(by: CheckBy) -> None:
    """Its claim would be contested, and found not to have been delivered: that takes the collateral."""
    market = Market(on(customer(), says=no_absence), crawler(), *pool(*("honest",) * 3))
    tried = Trial(market, check_by=by)
    assert not market.oracle.sometimes["called: Deliver"]
    assert tried.gains() == (0, 0)
    fees = [paid for paid in market.oracle.payments if paid.kind == "check"]
    payers = [paid.by for paid in fees]
    # it asks two, in the order in which the buyer asks: one run serves both, and the buyer pays
    assert payers.count(tried.deal.rp) == {CheckBy.SELF: 2, CheckBy.ANYBODY: 1, CheckBy.MEDIATORS: 0}[by]
    assert payers.count(tried.deal.jc) == {CheckBy.SELF: 0, CheckBy.ANYBODY: 1, CheckBy.MEDIATORS: 2}[by]


def test_a_slow_machine_asks_another_mediator_where_one_is_away() -> None:
    asked = set()
    for away in range(3):
        jurors = pool(*("honest",) * 3)
        jurors[away] = on(jurors[away], deaf)
        market = Market(on(customer(), says=no_absence), crawler(), *jurors, rules=replace(RULES, transfer=60))
        tried = Trial(market, check_by=CheckBy.SELF)
        assert not market.oracle.sometimes["called: Deliver"]
        asked.add(len(ran_by(tried)))
    assert asked == {2, 3}, "wherever it stands in the order"


def test_one_mediator_alone_talks_no_provider_out_of_its_claim() -> None:
    """In league with the buyer it would earn the stake with every job that has no end."""
    for liar in range(3):
        jurors = [on(juror, slow) for juror in pool(*("honest",) * 3)]
        jurors[liar] = on(jurors[liar], says=hurried)
        market = Market(on(customer(), slow), crawler(), *jurors)
        tried = Trial(market, check_by=CheckBy.SELF)
        assert tried.gains()[1] == tried.deal.pay


@pytest.mark.parametrize("cid", ["a-result", CUT_OFF])
def test_a_word_that_nobody_asked_for_is_paid_by_nobody_and_decides_nothing(cid: str) -> None:
    market = Market(customer(), crawler(), *pool(*("honest",) * 3))
    saved: list[Sale] = []

    class Watcher:
        def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
            states = [effect.state for effect in effects if isinstance(effect, Save)]
            saved.extend(it for it in states if isinstance(it, Sale) and isinstance(it.stage, sales.Waiting))

        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    market.world.observers.append(Watcher())
    tried = Trial(market, check_by=CheckBy.SELF)
    sale = saved[0]
    sale = replace(sale, stage=replace(sale.stage, asked=sale.mediators[:1], quicker=(), checked=False))
    for sender in sale.mediators[1:]:
        word = Rechecked(sale.id, tried.deal.rp, cid, 0, 0, "", "", 0)
        assert sales.step(sale, START + 90, Got(sender, word)).effects == ()


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


# --- who may ask a mediator ------------------------------------------------------------------------------------------


def asked(tried: Trial) -> tuple[Mediator, Recheck]:
    """A mediator with an empty memory, and a real request to one of its pool."""
    (request, *_) = tried.market.said(Recheck)
    agent = next(peer for peer in tried.market.world.peers.values() if peer.name == "juror 0").make(Random(1))
    assert isinstance(agent, Mediator)
    return agent, request


def kinds(effects: list[Effect]) -> list[type]:
    """What is done."""
    return [type(effect) for effect in effects]


def saw(request: Recheck, state: State) -> ChainSaw:
    """The chain's word on the deal of a request."""
    return ChainSaw(request.deal.id(RULES.domain), DealState(state), int(START))


def refusals(effects: list[Effect]) -> list[str]:
    """Why checks were refused."""
    return [e.message.reason for e in effects if isinstance(e, Send) and isinstance(e.message, CannotRecheck)]


@pytest.mark.parametrize("strangers", [1, 300])
def test_made_up_checks_fetch_nothing_and_keep_nobody_else_waiting(strangers: int) -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    now = START + 90
    for number in range(300):
        stranger = address(f"stranger {number % strangers}")
        made_up = replace(request, deal=replace(request.deal, jc=stranger, pay=number))
        effects = agent.handle(now, Got(stranger, made_up))
        assert Fetch not in kinds(effects)
    assert len(agent.checks) == (MOST_CHECKS_FOR_ONE if strangers == 1 else MOST_ASKED)
    agent.handle(now, Got(tried.deal.jc, request))
    began = agent.handle(now + 1, saw(request, State.OPEN))
    assert kinds(began) == [Unwatch, Fetch, Fetch, WakeAt, WakeAt]
    assert {effect.most for effect in began if isinstance(effect, Fetch)} == {(64 + 256) << 20}


def test_a_check_whose_deal_the_chain_does_not_show_is_dropped_within_seconds() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    now = START + 90
    watched = agent.handle(now, Got(tried.deal.jc, request))
    assert kinds(watched) == [Watch, WakeAt]
    assert agent.handle(now, saw(request, State.NONE)) == [], "this mediator's endpoint may be behind"
    (wake,) = [effect for effect in watched if isinstance(effect, WakeAt)]
    assert wake.moment == now + SEEN_WITHIN
    assert refusals(agent.handle(wake.moment, Woke(wake.timer))) == ["the vault has no such deal"]
    assert not agent.checks
    agent.handle(now, Got(tried.deal.jc, request))
    assert refusals(agent.handle(now, saw(request, State.CLOSED))) == ["the deal is not open"]


@pytest.mark.parametrize("first", ["buyer", "provider"])
def test_a_party_that_serves_nothing_does_not_keep_the_other_from_having_its_check(first: str) -> None:
    """Whoever fears a check could ask for it first, and let the mediator wait for the inputs."""
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    about, now = request.deal.id(RULES.domain), START + 90
    parties = [tried.deal.jc, tried.deal.rp] if first == "buyer" else [tried.deal.rp, tried.deal.jc]
    agent.handle(now, Got(parties[0], replace(request, gateway=1)))
    agent.handle(now, saw(request, State.OPEN))
    joined = agent.handle(now + 1, Got(parties[1], replace(request, gateway=2)))
    assert {(effect.source, effect.gateway) for effect in joined if isinstance(effect, Fetch)} == {(parties[1], 2)}
    for fetch in (effect for effect in joined if isinstance(effect, Fetch)):
        assert agent.handle(now + 2, NotFetched(fetch.about, fetch.cid, "not there")) == []
        effects = agent.handle(now + 3, Fetched(fetch.about, fetch.cid, 1))
    assert kinds(effects) == [Execute]
    told = agent.handle(now + 4, Ran(about, Run("a-result", 0, 0, "", "")))
    words = {effect.to: effect.message for effect in told if isinstance(effect, Send)}
    assert set(words) == set(parties)
    assert {word.asker for word in words.values() if isinstance(word, Rechecked)} == {tried.deal.jc}, "it pays"


def test_where_neither_party_serves_the_inputs_both_are_told() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    now = START + 90
    agent.handle(now, Got(tried.deal.jc, request))
    agent.handle(now, Got(tried.deal.rp, request))
    began = [effect for effect in agent.handle(now, saw(request, State.OPEN)) if isinstance(effect, Fetch)]
    assert [effect.source for effect in began] == [tried.deal.jc] * 2 + [tried.deal.rp] * 2
    lost = NotFetched(began[0].about, request.job.inputs_cid, "not there")
    assert agent.handle(now + 1, lost) == []
    assert len(refusals(agent.handle(now + 1, lost))) == 2
    assert not agent.checks


def test_timers_and_fetches_of_an_earlier_check_do_nothing_to_the_next_one_of_the_same_deal() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    about, now = request.deal.id(RULES.domain), START + 90
    old = agent.handle(now, Got(tried.deal.rp, request)) + agent.handle(now, saw(request, State.OPEN))
    fetches = [effect for effect in old if isinstance(effect, Fetch)]
    for fetch in fetches:
        agent.handle(now, Fetched(fetch.about, fetch.cid, 1))
    agent.handle(now, Ran(about, Run("a-result", 0, 0, "", "")))
    agent.handle(now + 5, Got(tried.deal.jc, request))
    agent.handle(now + 5, saw(request, State.OPEN))
    timers = [effect for effect in old if isinstance(effect, WakeAt)]
    assert len(timers) == 3
    for timer in timers:
        assert agent.handle(timer.moment, Woke(timer.timer)) == []
    for fetch in fetches:  # a party that asks again and again, and serves nothing, would end the other's check
        assert agent.handle(now + 6, NotFetched(fetch.about, fetch.cid, "not there")) == []
    assert about in agent.checks


def test_inputs_that_do_not_come_keep_a_mediator_busy_for_minutes_at_most() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    request = replace(request, job=replace(request.job, resources=replace(request.job.resources, timeout=3600)))
    request = replace(request, deal=replace(request.deal, terms=agreement(request.table, request.job)))
    agent.handle(START, Got(tried.deal.jc, request))
    began = agent.handle(START, saw(request, State.OPEN))
    first = min((effect for effect in began if isinstance(effect, WakeAt)), key=lambda wake: wake.moment)
    assert first.moment == START + FETCHED_WITHIN
    assert refusals(agent.handle(first.moment, Woke(first.timer))) == ["the inputs did not come"]
    assert not agent.checks


def test_only_for_a_deal_whose_pool_has_it_a_mediator_runs_the_job_that_was_sold() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    others = tuple(who for who in request.mediators if who != agent.me)
    for wrong in (
        replace(request, mediators=others),
        replace(request, mediators=others, deal=replace(request.deal, pool=pool_hash(others))),
        replace(request, mediators=(agent.me,)),
        replace(request, job=replace(request.job, seed=bytes(32))),
        replace(request, table=bytes(32)),
    ):
        effects = agent.handle(START + 90, Got(tried.deal.jc, wrong))
        assert kinds(effects) == [Send]
        assert refusals(effects)


def test_one_job_creator_has_a_few_checks_at_a_time() -> None:
    tried = Trial(Market(customer(), seller("cheat", 100), *pool(*("honest",) * 3)), check_by=CheckBy.ANYBODY)
    agent, request = asked(tried)
    for number in range(MOST_CHECKS_FOR_ONE + 1):
        more = replace(request, deal=replace(request.deal, pay=number))
        first = agent.handle(START + 90, Got(tried.deal.jc, more))
        began = agent.handle(START + 90, saw(more, State.OPEN)) if Watch in kinds(first) else first
        assert refusals(began) == (["busy"] if number == MOST_CHECKS_FOR_ONE else [])
