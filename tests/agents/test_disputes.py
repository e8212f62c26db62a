"""Every row of the outcome table that needs a jury, told as stories in a simulated market: who ends with what."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from market import Market, customer, on, seller, sick

from agents import juror, juror_stages
from agents.effects import CastOwn, Effect, Send, WakeAt, Watch
from agents.events import ChainSaw, Event, Got, Woke
from agents.mediator import MOST_SUMMONED, MOST_SUMMONED_BY_ONE, Mediator
from agents.reports import Agreed, DisputeOpened, JuryDrawn, Outcome, Ruled, Voted
from agents.request import CheckBy, Request
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.job import Resources
from protocol.messages import Expected, Promised, Revealed, Summons
from protocol.vault_state import DealState, State
from protocol.vault_state import Outcome as Ruling
from simulator.faults import Crash, Plan
from simulator.population import APPEALING, FUNDS, RULES, STAKE, address, mediator
from simulator.pretend import draw_job, run_of
from simulator.world import START, Peer, World

ALWAYS = 1_000_000
ONE = Resources(cpu_millis=1000, memory_mib=64, disk_mib=64, gpus=0, vram_mib=0, timeout=10)
FEE = RULES.fee
JURY = 3


def pool(*kinds: str, **more: Any) -> list[Peer]:
    """Mediators of these kinds; colluders are in league with the provider called cheat."""
    friends = frozenset((address("cheat"),))
    return [mediator(f"juror {i}", i, kind=kind, friends=friends, **more) for i, kind in enumerate(kinds)]


def trial(
    provider: str = "liar", buyer: str = "honest", jurors: tuple[str, ...] = ("honest",) * 3, **changes: Any
) -> Trial:
    """A market with one buyer, one provider and these mediators, where every result is checked by the buyer itself."""
    return Trial(Market(customer(kind=buyer), seller("cheat", 100, kind=provider), *pool(*jurors)), **changes)


class Trial:
    """One job, bought and judged."""

    def __init__(self, market: Market, **changes: Any) -> None:
        self.market = market
        buyer = next(iter(market.world.peers.values()))
        wish = {"check_ppm": ALWAYS, "deadline": int(START) + 31, "check_by": CheckBy.SELF, **changes}
        if "compare" in wish:
            wish["job"] = replace(draw_job(Random(1)), resources=ONE, compare=wish.pop("compare"))
        self.job: Request = market.want(buyer, **wish)
        self.sent: list[Send] = []
        market.world.observers.append(self)
        market.run(2000)

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        """Note what was sent."""
        self.sent += [effect for effect in effects if isinstance(effect, Send)]

    def __getattr__(self, name: str) -> Any:
        if name in ("mined", "dropped", "restored", "told"):
            return lambda *_: None
        raise AttributeError(name)

    def own_runs(self) -> list[str]:
        """CIDs of what the jurors' own runs gave."""
        return list({revealed.salt: revealed.cid for revealed in self.market.said(Revealed)}.values())

    @property
    def deal(self) -> Deal:
        """The one deal that was made."""
        (agreed,) = self.market.heard(self.job, Agreed)
        return agreed.deal  # type: ignore[no-any-return]

    @property
    def ruling(self) -> Ruling:
        """What the vault has of it in the end."""
        return self.market.world.ledger.vault.deal(self.deal).outcome

    def gains(self) -> tuple[int, int]:
        """What job creator and provider won or lost, without the fees of checks."""
        vault, payments = self.market.world.ledger.vault, self.market.oracle.payments

        def gain(who: Address) -> int:
            checks = sum(paid.amount for paid in payments if paid.kind == "check" and paid.by == who)
            return vault.account(who).balance - FUNDS + checks

        return gain(self.deal.jc), gain(self.deal.rp)

    def stakes(self) -> list[int]:
        """What each mediator won or lost of its stake, by name."""
        vault = self.market.world.ledger.vault
        jurors = sorted(peer.name for peer in self.market.world.peers.values() if peer.name.startswith("juror"))
        return [vault.mediator(Address(address(name))).stake - STAKE for name in jurors]


def test_a_liar_loses_its_collateral_and_the_story_is_told_step_by_step() -> None:
    tried = trial()
    pay = tried.deal.pay
    assert tried.ruling is Ruling.WRONG
    assert tried.gains() == (10 * pay - 3 * FEE, -10 * pay)
    assert tried.stakes() == [FEE] * 3
    end = tried.market.end(tried.job)
    assert (end.outcome, end.paid, end.reason) == (Outcome.DISPUTED, 0, "a jury ruled the result wrong")
    kinds = (DisputeOpened, JuryDrawn, Voted, Ruled)
    story = [type(report) for report in tried.market.told_to[tried.job.id] if isinstance(report, kinds)]
    assert story == [DisputeOpened, JuryDrawn, Voted, Voted, Voted, Ruled]


def test_a_false_accuser_pays_the_jury_and_the_provider() -> None:
    tried = trial("honest", buyer="accuser")
    pay = tried.deal.pay
    assert tried.ruling is Ruling.RIGHT
    assert tried.gains() == (-pay - 3 * FEE, pay)
    assert tried.market.end(tried.job).run == replace(run_of(tried.job.job), milliseconds=0)  # nobody told how long


def test_a_delivery_that_never_was_costs_stake_and_collateral() -> None:
    tried = trial("phantom")
    assert tried.ruling is Ruling.NOT_FETCHABLE
    assert tried.gains() == (11 * tried.deal.pay - 3 * FEE, -11 * tried.deal.pay)


def test_who_serves_jurors_but_not_the_payer_is_paid_and_the_jurors_hand_the_result_on() -> None:
    tried = trial("hoarder")
    pay = tried.deal.pay
    assert tried.ruling is Ruling.RIGHT
    half = 3 * FEE // 2
    assert tried.gains() == (-pay - (3 * FEE - half), pay - half), "fault can't be told, so each bears half of the fees"
    result = run_of(tried.job.job).cid
    assert result in tried.market.world.peers[tried.deal.jc].holds


def test_a_job_creator_that_vanishes_after_delivery_loses_pay_and_stake() -> None:
    tried = trial("honest", buyer="defaulter")
    assert tried.gains() == (-tried.deal.jc_share, tried.deal.jc_share)


def test_a_silent_jury_leaves_half_the_pay_and_loses_its_stakes() -> None:
    tried = trial(jurors=("honest", "sleeper", "sleeper"))
    assert tried.ruling is Ruling.SPLIT
    half, lost = tried.deal.pay // 2, 2 * RULES.juror_stake
    assert tried.gains() == (-half + lost - lost // 2, half + lost // 2)
    assert tried.stakes() == [0, -RULES.juror_stake, -RULES.juror_stake]
    assert tried.market.end(tried.job).paid == half


def test_the_silent_are_replaced_where_the_pool_has_others() -> None:
    tried = trial(jurors=("honest", "sleeper", "honest", "sleeper", "honest", "honest"))
    assert tried.ruling is Ruling.WRONG


def test_a_copier_is_paid_nothing() -> None:
    tried = trial(jurors=("honest", "honest", "copier"))
    assert tried.ruling is Ruling.WRONG
    assert tried.stakes() == [FEE, FEE, 0]


def test_a_guesser_is_paid_nothing_and_can_convict_nobody() -> None:
    guilty = trial(jurors=("honest", "honest", "guesser"))
    assert guilty.ruling is Ruling.WRONG
    assert guilty.stakes() == [FEE, FEE, 0]
    innocent = trial("honest", buyer="accuser", jurors=("honest", "guesser", "honest"))
    assert innocent.ruling is Ruling.RIGHT
    assert innocent.stakes() == [FEE, 0, FEE]


@pytest.mark.parametrize(("colluders", "ruling"), [(1, Ruling.WRONG), (2, Ruling.RIGHT), (3, Ruling.RIGHT)])
def test_colluders_decide_from_a_quorum_on_and_not_before(colluders: int, ruling: Ruling) -> None:
    jurors = ("colluder",) * colluders + ("honest",) * (JURY - colluders)
    assert trial(jurors=jurors).ruling is ruling


def test_an_appeal_to_a_larger_jury_overturns_what_colluders_ruled_and_takes_their_stakes() -> None:
    jurors = ["honest"] * 21
    for seed in range(60):
        # which three are drawn is chance: the first jury has to be theirs
        bad = Random(seed).sample(range(21), 6)
        kinds = ["colluder" if i in bad else kind for i, kind in enumerate(jurors)]
        buyer = customer(rules=APPEALING)
        provider = seller("cheat", 100, kind="liar", rules=APPEALING)
        market = Market(buyer, provider, *pool(*kinds, rules=APPEALING), rules=APPEALING)
        tried = Trial(market)
        rulings = [(told.round, told.ruling, told.final) for told in market.heard(tried.job, Ruled)]
        if rulings and rulings[0] == (0, Ruling.RIGHT, False):
            assert rulings[-1] == (1, Ruling.WRONG, True)
            assert sorted(tried.stakes())[:2] == [-RULES.juror_stake] * 2
            return
    pytest.fail("no first jury was theirs")


@pytest.mark.parametrize("buyer", ["withholder", "turncoat"])
def test_parties_in_league_that_show_the_evidence_to_one_jury_only_take_no_stake(buyer: str) -> None:
    """The first jury sees nothing and the second all, or the other way round."""
    owner = customer(rules=APPEALING, kind=buyer)
    provider = seller("cheat", 100, kind="accomplice", rules=APPEALING)
    tried = Trial(Market(owner, provider, *pool(*("honest",) * 21, rules=APPEALING), rules=APPEALING))
    rulings = [told.ruling for told in tried.market.heard(tried.job, Ruled)]
    wanted = [Ruling.RIGHT, Ruling.WRONG] if buyer == "withholder" else [Ruling.WRONG, Ruling.RIGHT]
    assert [rulings[0], rulings[-1]] == wanted
    assert min(tried.stakes()) >= 0


def test_jurors_that_all_name_a_run_that_nobody_serves_do_not_keep_the_job_creator_busy() -> None:
    rules = replace(RULES, jurors=5, quorum=3)
    jurors = pool(
        "colluder", "colluder", "honest", "honest", "sleeper", rules=rules
    )  # no three agree before time is up
    market = Market(customer(rules=rules), seller("cheat", 100, kind="liar", rules=rules), *jurors, rules=rules)
    tried = Trial(market, compare="numeric")
    assert tried.market.world.events < 3000


@pytest.mark.parametrize("by", [CheckBy.SELF, CheckBy.MEDIATORS])
def test_where_bytes_differ_each_time_a_lie_is_found_by_the_modules_own_comparison(by: CheckBy) -> None:
    tried = trial(check_by=by, compare="numeric")
    assert tried.ruling is Ruling.WRONG
    assert tried.stakes() == [FEE] * 3
    assert len(set(tried.own_runs())) == 3, "no two of them had the same bytes"
    honest = trial("honest", check_by=by, compare="numeric")
    assert honest.ruling is Ruling.DONE


def test_an_honest_result_with_other_bytes_is_right_whoever_accuses_it() -> None:
    tried = trial("honest", buyer="accuser", compare="numeric")
    pay = tried.deal.pay
    assert tried.ruling is Ruling.RIGHT
    assert tried.gains() == (-pay - 3 * FEE, pay)
    assert trial("hoarder", compare="numeric").ruling is Ruling.RIGHT


def test_a_guesser_learns_of_nothing_that_its_vote_could_be_added_to() -> None:
    tried = trial(jurors=("honest", "honest", "guesser"), compare="numeric")
    assert tried.ruling is Ruling.WRONG
    assert tried.stakes() == [FEE, FEE, 0]
    told = [effect.to for effect in tried.sent if isinstance(effect.message, Expected)]
    assert set(told) == {address("juror 0"), address("juror 1")}


@pytest.mark.parametrize(("colluders", "ruling"), [(1, Ruling.WRONG), (2, Ruling.RIGHT)])
def test_colluders_need_a_quorum_under_a_tolerance_too(colluders: int, ruling: Ruling) -> None:
    jurors = ("colluder",) * colluders + ("honest",) * (JURY - colluders)
    assert trial(jurors=jurors, compare="numeric").ruling is ruling


def test_jurors_whose_machines_cannot_run_the_job_have_promised_nothing_and_lose_nothing() -> None:
    """Whoever writes a job may choose one that starts nowhere."""
    jurors = [on(juror, sick) for juror in pool("honest", "honest", "honest")]
    tried = Trial(Market(customer(kind="accuser"), seller("cheat", 100, kind="liar"), *jurors))
    assert tried.ruling is Ruling.SPLIT
    assert tried.stakes() == [0, 0, 0]
    assert not tried.market.said(Promised)


def test_two_disputes_at_once_do_not_touch_each_other() -> None:
    first, second = customer("first"), customer("second")
    market = Market(first, second, seller("cheat", 100, kind="liar"), *pool("honest", "honest", "honest"))
    jobs = [market.want(peer, check_ppm=ALWAYS, deadline=int(START) + 40) for peer in (first, second)]
    market.run(2000)
    for job in jobs:
        assert [report.ruling for report in market.heard(job, Ruled)] == [Ruling.WRONG]
        assert market.end(job).outcome is Outcome.DISPUTED


@pytest.mark.parametrize("who", ["buyer", "cheat", "juror 0"])
def test_a_dispute_survives_the_crash_of_anybody_in_it(who: str) -> None:
    for moment in (52.0, 56.0, 62.0, 70.0):
        peers = [customer(), seller("cheat", 100, kind="liar"), *pool("honest", "honest", "honest")]
        crashed = next(peer for peer in peers if peer.name == who)
        plan = Plan(crashes=(Crash(crashed.address, START + moment, START + moment + 6, mid_batch=True),))
        tried = Trial(Market(*peers, plan=plan))
        assert tried.ruling is Ruling.WRONG, f"{who} at {moment}"


def test_a_summons_to_judge_another_job_than_was_sold_is_ignored() -> None:
    tried = trial()
    (summons, *_) = tried.market.said(Summons)
    judge = next(peer for peer in tried.market.world.peers.values() if peer.name == "juror 0")
    agent = judge.make(Random(1))
    bought = tried.deal.jc
    other = replace(summons, job=replace(summons.job, seed=bytes(32)))
    assert agent.handle(START + 90, Got(bought, other)) == []
    assert agent.handle(START + 90, Got(judge.address, summons)) == [], "nor one by who is no party"
    watched = agent.handle(START + 90, Got(bought, summons))
    assert [type(effect) for effect in watched] == [Watch, WakeAt], "nothing is promised before the chain seats us"


def made_up(summons: Summons, by: Address, number: int) -> Got:
    """A summons to a dispute that the vault has never heard of."""
    return Got(by, replace(summons, deal=replace(summons.deal, jc=by, pay=number)))


def bench(tried: Trial) -> Mediator:
    """One of its jurors with an empty memory."""
    agent = next(peer for peer in tried.market.world.peers.values() if peer.name == "juror 0").make(Random(1))
    assert isinstance(agent, Mediator)
    return agent


def test_strangers_cannot_fill_a_mediators_memory_with_made_up_disputes() -> None:
    tried = trial()
    (summons, *_) = tried.market.said(Summons)
    agent, now = bench(tried), START + 90
    for number in range(3 * MOST_SUMMONED):
        agent.handle(now, made_up(summons, address("stranger"), number))
    assert len(agent.cases) == MOST_SUMMONED_BY_ONE
    for number in range(3 * MOST_SUMMONED):
        agent.handle(now, made_up(summons, address(f"stranger {number}"), number))
    assert len(agent.cases) == MOST_SUMMONED


@pytest.mark.parametrize("strangers", [1, 200])
def test_no_made_up_disputes_push_a_real_one_out(strangers: int) -> None:
    tried = trial()
    (summons, *_) = tried.market.said(Summons)
    agent, now, name = bench(tried), START + 90, summons.deal.id(RULES.domain)
    agent.handle(now, Got(tried.deal.jc, summons))
    agent.handle(now, ChainSaw(DealId(name), DealState(State.JURY), int(now)))
    for number in range(200):
        agent.handle(now, made_up(summons, address(f"stranger {number % strangers}"), number))
    assert name in agent.cases
    late = replace(summons, deal=replace(summons.deal, fee=summons.deal.fee + 1))
    for case in list(agent.cases.values()):
        if case.id != name:
            agent.handle(now, ChainSaw(DealId(case.id), DealState(), int(now)))
    agent.handle(now, Got(tried.deal.jc, late))
    for number in range(
        MOST_SUMMONED - 2
    ):  # those that the chain does not know go before one of which it has not spoken
        agent.handle(now, made_up(summons, address(f"other {number}"), number))
    assert late.deal.id(RULES.domain) in agent.cases


def test_a_vote_that_is_decided_after_the_time_to_hand_it_in_is_handed_in_at_once() -> None:
    tried = trial()
    (summons, *_) = tried.market.said(Summons)
    me = next(who for who in summons.mediators)
    now = START + 90
    case = juror.opened(me, tried.deal.jc, summons, bytes(32), bytes(32), now).state
    case = replace(
        case, stage=juror_stages.Agreeing(), deadline=int(now) + 100, own="own", claimed="claimed", sealed=bytes(32)
    )
    late = case.left(juror_stages.CAST_AT)
    decided = juror.step(case, late, Woke(case.timer("late")))
    assert isinstance(decided.state.stage, juror_stages.Voted)
    (wake,) = [effect for effect in decided.effects if isinstance(effect, WakeAt)]
    assert wake.moment <= late
    cast = juror.step(decided.state, late, Woke(wake.timer))
    assert [type(effect) for effect in cast.effects] == [CastOwn]
