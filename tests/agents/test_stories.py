"""How buyers, providers and mediators behave, told as short stories in a simulated market."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from market import ONE, Market, customer, judge, seller

from agents.effects import Effect, Save
from agents.events import Cancelled, Event
from agents.purchase_stages import Purchase
from agents.reports import Agreed, Checked, Ended, InVault, Outcome, Running, Tendering, Verdict
from agents.request import CheckBy
from protocol.messages import Confirm, Decline, Outbid, Propose, Recheck, Walk
from protocol.terms import MOST_MEDIATORS
from simulator.faults import Crash, Cut, Plan
from simulator.population import FUNDS, RULES, STAKE, address, mediator
from simulator.pretend import run_of
from simulator.world import START, Peer, World


def test_a_job_is_done_paid_and_told_step_by_step() -> None:
    buyer_a, seller_b = customer(), seller("seller_b", 100, 200)
    market = Market(buyer_a, seller_b, judge())
    job = market.want(buyer_a)
    market.run()
    end = market.end(job)
    assert end.outcome is Outcome.DONE or (end.run is not None and end.run.exit_code != 0)
    assert end.run == replace(run_of(job.job), milliseconds=0)  # nobody asked how long it took
    story = [type(report) for report in market.told_to[job.id]]
    assert [kind for kind in story if kind in (Tendering, Agreed, InVault, Running, Ended)] == [
        Tendering,
        Agreed,
        InVault,
        Running,
        Ended,
    ]
    assert market.world.ledger.vault.account(seller_b.address).balance == FUNDS + end.paid
    assert 100 <= end.paid <= 200


def test_a_price_below_every_floor_ends_without_agreement() -> None:
    buyer_a = customer()
    market = Market(buyer_a, seller("seller_b", 500), seller("seller_e", 600), judge())
    job = market.want(buyer_a, most_pay=400)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert market.world.ledger.vault.deals == {}


def test_an_empty_market_ends_with_no_offer_at_the_deadline() -> None:
    buyer_a = customer()
    market = Market(buyer_a, judge())
    job = market.want(buyer_a)
    market.run()
    assert market.end(job).outcome is Outcome.NO_OFFER
    assert market.world.now >= job.deadline - 2


def test_a_machine_that_is_too_small_is_not_asked() -> None:
    buyer_a = customer()
    market = Market(buyer_a, seller("small", 10, capacity=ONE), seller("large", 300), judge())
    job = market.want(buyer_a)
    four_cores = replace(job.job, resources=replace(job.job.resources, cpu_millis=4000), inputs_cid="inputs-big")
    big = market.want(buyer_a, at=60.0, job=four_cores)
    market.run()
    assert market.end(big).paid >= 300
    assert [report.contacted for report in market.heard(big, Tendering)] == [(address("large"),)]


def test_the_cheaper_of_two_equals_gets_the_job() -> None:
    buyer_a = customer()
    market = Market(buyer_a, seller("dear", 500), seller("cheap", 300), judge())
    job = market.want(buyer_a)
    market.run()
    assert [report.provider for report in market.heard(job, Agreed)] == [address("cheap")]


def test_a_better_bid_releases_an_unconfirmed_hold() -> None:
    # nobody confirms before the silent one has been waited for, so the hold of the poor is still open to a better bid
    poor, rich = customer("poor", strategy="fixed"), customer("rich", strategy="fixed")
    silent = seller("silent", 100)
    plan = Plan(crashes=(Crash(silent.address, START + 29, START + 300, mid_batch=False),))
    market = Market(poor, rich, seller("seller_b", 100, capacity=ONE), silent, judge(), plan=plan)
    low = market.want(poor, most_pay=101)
    high = market.want(rich, at=30.1, most_pay=900)
    market.run()
    assert len(market.said(Outbid, by="seller_b")) == 1
    assert [report.terms.pay for report in market.heard(high, Agreed)] == [900]
    assert market.heard(low, Agreed)  # later: being outbid is no end of the search


def test_only_the_chosen_provider_hears_a_confirmation() -> None:
    buyer_a = customer()
    market = Market(buyer_a, *(seller(name, 100, 200) for name in ("seller_b", "seller_e", "seller_d")), judge())
    market.want(buyer_a)
    market.run()
    assert len(market.said(Propose)) == 3
    assert len(market.said(Confirm)) == 1
    assert len(market.said(Walk, by="buyer")) + len(market.said(Decline)) >= 2


def test_a_provider_that_vanishes_loses_its_stake_and_the_job_goes_to_another() -> None:
    buyer_a, cheat = customer(), seller("cheat", 50, kind="vanisher")
    market = Market(buyer_a, cheat, seller("honest", 100, 200), judge())
    job = market.want(buyer_a, deadline=int(START) + 300)
    market.run()
    assert market.end(job).run == replace(run_of(job.job), milliseconds=0)
    if len(market.heard(job, Agreed)) == 2:
        assert market.world.ledger.vault.account(cheat.address).balance < FUNDS


def test_whoever_broke_its_word_over_a_job_does_not_get_it_again_even_as_the_only_one() -> None:
    buyer_a, cheat = customer(), seller("cheat", 50, kind="vanisher")
    market = Market(buyer_a, cheat, judge())
    job = market.want(buyer_a, deadline=int(START) + 300)
    market.run()
    end = market.end(job)
    assert end.outcome is Outcome.TIMED_OUT
    assert "broken its word over this job" in end.reason
    (agreed,) = market.heard(job, Agreed)
    assert market.world.ledger.vault.account(cheat.address).balance == FUNDS - agreed.deal.rp_stake


def test_a_lie_is_found_by_a_check_and_not_paid_in_full() -> None:
    buyer_a, liar = customer(), seller("liar", 100, kind="liar")
    market = Market(buyer_a, liar, judge())
    job = market.want(buyer_a, check_ppm=1_000_000)
    market.run()
    assert market.end(job).outcome is Outcome.DISPUTED
    assert [report.verdict for report in market.heard(job, Checked)] == [Verdict.REJECTED]
    assert market.end(job).paid == 0


def test_a_lie_without_a_check_is_believed() -> None:
    buyer_a, liar = customer(), seller("liar", 100, kind="liar")
    market = Market(buyer_a, liar, judge())
    job = market.want(buyer_a, check_ppm=0)
    market.run()
    run = market.end(job).run
    assert run is not None
    assert run != run_of(job.job)


def test_a_checked_result_pays_the_mediator_its_fee_once() -> None:
    buyer_a, jo = customer(), judge()
    market = Market(buyer_a, seller("seller_b", 100), jo)
    job = market.want(buyer_a, check_ppm=1_000_000)
    market.run()
    assert [report.verdict for report in market.heard(job, Checked)] == [Verdict.ACCEPTED]
    assert market.world.ledger.vault.account(jo.address).balance == FUNDS - STAKE + RULES.check_fee


@pytest.mark.parametrize(
    ("by", "verdict"),
    [
        (CheckBy.MEDIATORS, Verdict.UNCHECKED),
        (CheckBy.ANYBODY, Verdict.ACCEPTED),
        (CheckBy.SELF, Verdict.ACCEPTED),
    ],
)
def test_without_mediators_a_job_is_checked_by_its_buyer_unless_it_must_not(by: CheckBy, verdict: Verdict) -> None:
    buyer_a = customer()
    market = Market(buyer_a, seller("seller_b", 100))
    job = market.want(buyer_a, check_ppm=1_000_000, check_by=by)
    market.run()
    assert market.said(Recheck) == []
    assert [report.verdict for report in market.heard(job, Checked)] == [verdict]


def test_a_result_that_looks_wrong_is_checked_though_no_check_was_drawn() -> None:
    for at in range(30, 90):  # one job in sixteen ends with an exit code
        buyer_a, jo = customer(), judge()
        market = Market(buyer_a, seller("seller_b", 100), jo, seed=at)
        job = market.want(buyer_a, check_ppm=0)
        market.run()
        run = market.end(job).run
        assert run is not None
        checked = [report.verdict for report in market.heard(job, Checked)]
        assert checked == [Verdict.ACCEPTED if run.exit_code else Verdict.UNCHECKED]
        if run.exit_code:
            return
    pytest.fail("no run ended with an exit code")


def test_whether_a_result_is_checked_is_drawn_when_it_is_here() -> None:
    buyer_a, jo = customer(), judge()
    market = Market(buyer_a, seller("seller_b", 100), jo)
    market.want(buyer_a, check_ppm=1_000_000)
    seen: list[tuple[str, bool]] = []

    class Watcher:
        def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
            saved = [effect.state for effect in effects if isinstance(effect, Save)]
            seen.extend((type(it.stage).__name__, it.check) for it in saved if isinstance(it, Purchase))

        def __getattr__(self, _: str) -> Any:
            return lambda *_: None

    market.world.observers.append(Watcher())
    market.run()
    assert ("Fetching", False) in seen
    assert not any(check for stage, check in seen if stage in ("Locking", "Awaiting", "Fetching"))
    assert ("Checking", True) in seen


def test_a_busy_market_serves_everyone_in_the_end() -> None:
    buyers = [customer(f"buyer {i}") for i in range(6)]
    market = Market(*buyers, seller("seller_b", 50, 100, capacity=ONE), judge())
    jobs = [market.want(peer, deadline=int(START) + 500, most_pay=2000) for peer in buyers]
    market.run(900)
    assert {market.end(job).outcome for job in jobs} <= {Outcome.DONE, Outcome.FAILED}
    assert market.said(Decline) or market.said(Outbid)


def test_an_offer_that_is_no_longer_announced_expires() -> None:
    buyer_a, seller_b = customer(), seller("seller_b", 100)
    plan = Plan(crashes=(Crash(seller_b.address, START + 5, START + 400, mid_batch=False),))
    market = Market(buyer_a, seller_b, judge(), plan=plan)
    job = market.want(buyer_a, at=120.0)
    market.run()
    assert market.end(job).outcome is Outcome.NO_OFFER
    assert market.said(Propose) == []


@pytest.mark.parametrize("moment", [5.0, 8.0, 12.0, 16.0, 20.0])
def test_a_crash_of_either_side_in_a_deal_costs_nobody_the_result(moment: float) -> None:
    for who in ("buyer", "seller_b"):
        buyer_a, seller_b = customer("buyer"), seller("seller_b", 100)
        crashed = buyer_a if who == "buyer" else seller_b
        plan = Plan(crashes=(Crash(crashed.address, START + moment, START + moment + 4, mid_batch=True),))
        market = Market(buyer_a, seller_b, judge(), plan=plan)
        job = market.want(buyer_a, at=2.0, deadline=int(START) + 200)
        market.run()
        assert market.end(job).run == replace(run_of(job.job), milliseconds=0), f"{who} at {moment}"


def test_a_buyer_cut_off_after_the_deal_costs_its_provider_no_stake() -> None:
    buyer_a, seller_b = customer(), seller("seller_b", 100)
    cut = Cut(START + 8, START + 150, "both", frozenset((buyer_a.address,)))
    market = Market(buyer_a, seller_b, judge(), plan=Plan(cuts=(cut,)))
    market.want(buyer_a, at=2.0)
    market.run()
    assert market.world.ledger.vault.account(seller_b.address).balance >= FUNDS


def test_a_job_cancelled_before_any_deal_ends_at_once() -> None:
    buyer_a = customer()
    market = Market(buyer_a, judge())
    job = market.want(buyer_a)
    market.world.happen(START + 32.0, buyer_a, Cancelled(job.id))
    market.run()
    assert market.end(job).outcome is Outcome.CANCELLED


def test_where_there_are_more_mediators_than_a_pool_holds_it_is_full() -> None:
    buyer_a = customer()
    market = Market(buyer_a, seller("seller_b", 100), *[mediator(f"judge {i}", i) for i in range(30)])
    job = market.want(buyer_a)
    market.run()
    (agreed,) = market.heard(job, Agreed)
    assert len(agreed.terms.mediators) == MOST_MEDIATORS
    assert list(agreed.terms.mediators) == sorted(agreed.terms.mediators)
