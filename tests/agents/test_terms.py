"""Prices by every unit, wishes beside the price, and sellers that try to change what nobody haggles about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.effects import Effect, Send
from agents.events import Event, Got
from agents.preferences import Issue, Wish
from agents.reports import Agreed, Checked, Noted, Outcome, TalkOver
from agents.request import CheckBy
from agents.shop import Sheet, Shop
from protocol.identity import Address
from protocol.messages import Accept, Billed, Counter, Paid, Propose, Rechecked
from protocol.prices import PARTS, most_parts, owed, used
from protocol.rules import Rules
from protocol.terms import Terms
from simulator.population import FUNDS, RULES, address, mediator, provider
from simulator.pretend import run_of
from simulator.world import START, Agent, Peer
from tests.agents.market import BIG, Market, customer, judge, seller

RATES = {"job": 100, "gigafuel": 10, "second": 20, "gib": 800}


def shop_by(unit: str, rules: Rules = RULES, dear: int = 1, **changes: object) -> Peer:
    """A seller that asks so many times what it needs."""
    rate = RATES[unit]
    shop = replace(Shop(BIG, ("wasm",), ("sandboxed_wasm",), (Sheet("*", rate, dear * rate, unit),)), **changes)
    return provider("seller", 3, shop, rules=rules)


@pytest.mark.parametrize("unit", sorted(PARTS))
@pytest.mark.parametrize("check", [0, 1_000_000])
def test_what_was_used_is_paid_up_to_the_agreed_pay(unit: str, check: int) -> None:
    buyer, sells = customer(), shop_by(unit)
    market = Market(buyer, sells, judge())
    job = market.want(buyer, units=tuple(PARTS), check_ppm=check)
    market.run()
    (agreed,) = market.heard(job, Agreed)
    terms, run = agreed.terms, run_of(job.job)
    assert (terms.unit, terms.most) == (unit, most_parts(unit, job.job.resources))
    assert terms.pay >= terms.rate * terms.most // PARTS[unit] - terms.most // PARTS[unit]
    due = owed(unit, terms.rate, terms.pay, used(unit, run))
    assert market.end(job).paid == due
    ledger = market.world.ledger.vault
    assert ledger.account(sells.address).free == FUNDS + due
    assert ledger.account(buyer.address).free == FUNDS - due - (terms.check_fee if check else 0)
    if unit != "job":
        assert 0 < due < terms.pay


def test_a_job_goes_to_whoever_is_cheapest_by_the_units_that_its_module_allows() -> None:
    market = Market(buyer := customer(), seller("by the job", 300, 300), shop_by("gigafuel"), judge())
    only_jobs, both = market.want(buyer, 30.0), market.want(buyer, 90.0, units=("job", "gigafuel"))
    market.run()
    assert [market.heard(job, Agreed)[0].terms.unit for job in (only_jobs, both)] == ["job", "gigafuel"]


class Overcharging:
    """Bills more than was used, or nothing at all."""

    def __init__(self, honest: object, times: int) -> None:
        self.honest, self.times = honest, times

    def restore(self, records: object) -> None:
        self.honest.restore(records)  # type: ignore[attr-defined]

    def handle(self, now: float, event: Event) -> list[Effect]:
        return [it for effect in self.honest.handle(now, event) for it in self._changed(effect)]  # type: ignore[attr-defined]

    def _changed(self, effect: Effect) -> list[Effect]:
        match effect:
            case Send(to, Billed() as bill):
                return [Send(to, replace(bill, amount=bill.amount * self.times))] if self.times else []
            case _:
                return [effect]


@pytest.mark.parametrize("times", [0, 2])
def test_a_seller_that_bills_too_much_or_nothing_gets_a_voucher_for_what_was_counted(times: int) -> None:
    buyer, sells = customer(), shop_by("gib")
    honest = sells.make
    sells = replace(sells, make=lambda rng: Overcharging(honest(rng), times), honest=False)
    market = Market(buyer, sells, judge())
    job = market.want(buyer, units=("gib",))
    market.run()
    (agreed,) = market.heard(job, Agreed)
    due = owed("gib", agreed.terms.rate, agreed.terms.pay, run_of(job.job).size)
    assert market.end(job).paid == due
    assert {paid.amount for paid in market.said(Paid)} <= ({due} if times else {due, 0})
    agent = market.world.peers[buyer.address].agent
    assert agent is not None
    assert agent.reputation.doubt(market.world.now, sells.address) > 0.2  # type: ignore[attr-defined]


def test_wishes_of_both_sides_move_the_stake_to_where_it_is_worth_most() -> None:
    wanted = (Wish(Issue.RP_STAKE, 100, 300, 400), Wish(Issue.DELIVERY, 70, 20, 100))
    for worth in (50, 0):
        willing = (Wish(Issue.RP_STAKE, 300, 100, worth),) if worth else ()
        market = Market(buyer := customer(), shop_by("job", wishes=willing), judge())
        job = market.want(buyer, wishes=wanted)
        market.run()
        (agreed,) = market.heard(job, Agreed)
        assert (agreed.terms.rp_stake > agreed.terms.pay) is (worth > 0)
        assert market.end(job).outcome is not Outcome.NO_AGREEMENT


def test_a_lure_does_not_end_the_search_of_whoever_buys_at_the_market() -> None:
    lure = seller("lure", 300, kind="price spammer")  # announces 30
    market = Market(buyer := customer(), seller("one", 300), seller("another", 310), lure, judge())
    job = market.want(buyer, at_market=True, most_pay=0)
    market.run()
    (agreed,) = market.heard(job, Agreed)
    assert 300 <= agreed.terms.pay <= 620


@pytest.mark.parametrize(("sooner", "later"), [(600, 50), (50, 600)])
def test_wishes_of_both_sides_move_the_start_to_where_it_is_worth_most(sooner: int, later: int) -> None:
    wanted, willing = (Wish(Issue.START, 45, 15, sooner),), (Wish(Issue.START, 15, 45, later),)
    market = Market(buyer := customer(), shop_by("job", wishes=willing), judge())
    job = market.want(buyer, wishes=wanted)
    market.run()
    (agreed,) = market.heard(job, Agreed)
    lead = agreed.terms.start_by - (START + 30)  # when it was wanted
    assert (lead < 30) is (sooner > later)
    assert agreed.terms.deliver_by - agreed.terms.start_by == RULES.transfer + job.job.resources.timeout
    assert market.end(job).outcome in (Outcome.DONE, Outcome.FAILED)


def test_a_buyer_without_a_wish_for_it_starts_as_the_rules_say_whatever_the_seller_wishes() -> None:
    plain, willing = (shop_by("job", wishes=wishes) for wishes in ((), (Wish(Issue.START, 20, 50, 100),)))
    starts = []
    for sells in (plain, willing):
        market = Market(buyer := customer(), sells, judge())
        job = market.want(buyer)
        market.run()
        (agreed,) = market.heard(job, Agreed)
        starts.append(agreed.terms.start_by)
        assert agreed.terms.start_by == market.said(Propose)[0].terms.start_by
    assert starts[0] == starts[1]


CHANGES = {
    "no checks": lambda terms: replace(terms, check_ppm=0),
    "its own judges": lambda terms: replace(terms, mediators=(Address(bytes(20)),), jurors=1, quorum=1),
    "another unit": lambda terms: replace(terms, unit="second", most=10_000, rate=terms.pay // 10),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_seller_can_not_change_what_is_no_issue(change: str) -> None:
    class Sly(Overcharging):
        asked: Terms

        def handle(self, now: float, event: Event) -> list[Effect]:
            if isinstance(event, Got) and isinstance(event.message, Propose):
                self.asked = event.message.terms
            return super().handle(now, event)

        def _changed(self, effect: Effect) -> list[Effect]:
            match effect:
                case Send(to, Accept() | Counter() as move):
                    return [Send(to, Counter(move.talk, move.previous, CHANGES[change](self.asked)))]
                case _:
                    return [effect]

    sells = shop_by("job")
    honest = sells.make
    sly = replace(sells, make=lambda rng: Sly(honest(rng), 1), honest=False)
    market = Market(buyer := customer(), sly, judge())
    job = market.want(buyer, check_ppm=500_000)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert any("nobody asked for" in it.reason for it in market.heard(job, TalkOver))


def payer(percent: int) -> dict[str, Any]:
    """What a buyer wishes that will have just this."""
    return {"wishes": (Wish(Issue.PAYER, percent, percent, 0),), "check_ppm": 1_000_000}


WILLING = (Wish(Issue.PAYER, 100, 0, 2),)
"""What a seller wishes that would rather not pay for checks."""


@pytest.mark.parametrize(("ours", "theirs"), [(600, 50), (50, 600)])
def test_wishes_of_both_sides_move_the_payer_of_checks_to_where_it_is_worth_most(ours: int, theirs: int) -> None:
    wanted, willing = (Wish(Issue.PAYER, 0, 100, ours),), (Wish(Issue.PAYER, 100, 0, theirs),)
    market = Market(buyer := customer(), shop_by("job", dear=5, wishes=willing), judge())
    job = market.want(buyer, wishes=wanted)
    market.run()
    (agreed,) = market.heard(job, Agreed)
    assert (agreed.terms.check_payer > 50) is (ours > theirs)


@pytest.mark.parametrize("percent", [0, 50, 100])
@pytest.mark.parametrize("unit", sorted(PARTS))
def test_what_the_provider_bears_of_a_check_comes_off_its_bill(unit: str, percent: int) -> None:
    buyer, sells = customer(), shop_by(unit, wishes=WILLING)
    market = Market(buyer, sells, judge())
    job = market.want(buyer, units=tuple(PARTS), **payer(percent))
    market.run()
    (agreed,), (checked,) = market.heard(job, Agreed), market.heard(job, Checked)
    terms = agreed.terms
    cut = RULES.check_fee * percent // 100
    assert (terms.check_payer, terms.check_cut) == (percent, cut)
    assert (f"the provider bears {cut}" in checked.reason) is (cut > 0)
    due = max(0, owed(unit, terms.rate, terms.pay, used(unit, run_of(job.job))) - cut)
    assert market.end(job).paid == due
    ledger = market.world.ledger.vault
    assert ledger.account(sells.address).free == FUNDS + due
    assert ledger.account(buyer.address).free == FUNDS - due - RULES.check_fee


@pytest.mark.parametrize("check", [{"check_ppm": 0}, {"check_by": CheckBy.SELF}])
def test_where_no_mediator_was_paid_the_provider_bears_nothing(check: dict[str, Any]) -> None:
    market = Market(buyer := customer(), sells := shop_by("job", wishes=WILLING), judge())
    job = market.want(buyer, **{**payer(100), **check})
    market.run()
    (agreed,) = market.heard(job, Agreed)
    assert agreed.terms.check_payer == 100
    assert market.world.ledger.vault.account(sells.address).free == FUNDS + agreed.terms.pay


@pytest.mark.parametrize("who", ["buyer", "seller"])
def test_who_has_no_wish_for_it_pays_as_the_rules_say(who: str) -> None:
    rules = RULES if who == "buyer" else replace(RULES, check_payer=100)
    wanted, willing = (Wish(Issue.PAYER, 0, 100, 900),), (Wish(Issue.PAYER, 100, 0, 900),)
    sells = shop_by("job", rules=rules, wishes=() if who == "buyer" else willing)
    market = Market(buyer := customer(rules=rules), sells, mediator("mediator", 1, rules=rules), rules=rules)
    job = market.want(buyer, wishes=wanted if who == "buyer" else ())
    market.run()
    (agreed,) = market.heard(job, Agreed)
    assert agreed.terms.check_payer == rules.check_payer


def test_who_may_not_sign_it_makes_no_deal() -> None:
    unwilling = shop_by("job", wishes=(Wish(Issue.PAYER, 50, 0, 2),))
    market = Market(buyer := customer(), unwilling, judge())
    job = market.want(buyer, **payer(100))
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT


class Deaf:
    """A provider that never hears, or does not want to hear, that its result was checked."""

    def __init__(self, honest: Agent) -> None:
        self.honest = honest

    def handle(self, now: float, event: Event) -> list[Effect]:
        return [] if isinstance(event, Got) and isinstance(event.message, Rechecked) else self.honest.handle(now, event)


@pytest.mark.parametrize("unit", sorted(PARTS))
def test_a_provider_that_keeps_back_its_share_of_a_check_is_paid_without_the_vault_having_to_ask(unit: str) -> None:
    sells = shop_by(unit, wishes=WILLING)
    honest = sells.make
    market = Market(buyer := customer(), replace(sells, make=lambda rng: Deaf(honest(rng))), judge())
    job = market.want(buyer, units=tuple(PARTS), **payer(100))
    market.run()
    (agreed,) = market.heard(job, Agreed)
    due = owed(unit, agreed.terms.rate, agreed.terms.pay, used(unit, run_of(job.job)))
    assert market.end(job).paid == due
    assert any("never took its 7" in it.text for it in market.heard(job, Noted))
    assert market.world.ledger.vault.account(sells.address).free == FUNDS + due
    assert "called: Deliver" not in market.oracle.sometimes


def test_only_a_mediator_of_the_pool_can_say_that_there_was_a_check() -> None:
    market = Market(buyer := customer(), sells := shop_by("job", wishes=WILLING), judge())
    job = market.want(buyer, **{**payer(100), "check_ppm": 0})
    market.world.run(START + 33.0)
    (agreed,) = market.heard(job, Agreed)
    word = Rechecked(agreed.deal.id(RULES.domain), agreed.deal.jc, "a-cid", 0, 0, "", "", 0)
    for moment in range(330, 600):  # whenever its result may be waiting for its pay
        for liar in (buyer.address, address("stranger")):
            market.world.happen(START + moment / 10, sells, Got(liar, word))
    market.run()
    assert market.world.ledger.vault.account(sells.address).free == FUNDS + agreed.terms.pay
