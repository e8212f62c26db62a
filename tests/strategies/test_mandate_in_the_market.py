"""Strategies that try to leave their mandate, in the simulated market: the agents don't let them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "agents"))

from market import BIG, Market

from agents.reports import Agreed, Outcome
from agents.shop import Sheet, Shop
from agents.strategy import Accept, Answer, Counter, View, Walk
from simulator.population import buyer, provider

FLOOR, MOST = 700, 1000


class GivesAway:
    """Proposes nothing, or as much as there is, whichever is worse for its owner; and then accepts everything."""

    def decide(self, view: View) -> Answer:
        pay = 10**9 if view.role == "buyer" else 0
        return Accept() if view.theirs is not None and view.round else Counter(replace(view.base, pay=pay, cheat=0))


class Moves:
    """Moves what is not its to move."""

    def decide(self, view: View) -> Answer:
        terms = view.offer_at(0.2)
        return Counter(replace(terms, grace=0, mediators=(), juror_stake=0, silence=1, rp_stake=0, jc_stake=0))


class Leaves:
    """Walks out of every talk."""

    def decide(self, view: View) -> Answer:
        return Walk("bored")


def outcome_of(buying: Any, selling: Any) -> tuple[Outcome, list[Agreed]]:
    """How one job ends between these two."""
    shop = Shop(BIG, ("wasm",), ("sandboxed_wasm",), (Sheet("*", FLOOR, 2 * FLOOR),))
    ann, bob = buyer("ann", 1), provider("bob", 1, shop)
    ann.strategy, bob.strategy = buying or ann.strategy, selling or bob.strategy
    market = Market(ann, bob)
    job = market.want(ann, most_pay=MOST)
    market.run()
    return market.end(job).outcome, market.heard(job, Agreed)


@pytest.mark.parametrize(("buying", "selling"), [(GivesAway(), None), (None, GivesAway()), (GivesAway(), GivesAway())])
def test_whoever_gives_everything_away_still_stays_within_its_mandate(buying: Any, selling: Any) -> None:
    _, deals = outcome_of(buying, selling)
    assert all(FLOOR <= deal.terms.pay <= MOST for deal in deals)


@pytest.mark.parametrize(("buying", "selling"), [(Moves(), None), (None, Moves())])
def test_what_is_not_up_for_haggling_stays_as_the_rules_have_it(buying: Any, selling: Any) -> None:
    _, deals = outcome_of(buying, selling)
    assert all((deal.terms.grace, deal.terms.silence) != (0, 1) for deal in deals)
    assert all(deal.terms.rp_stake == deal.terms.pay for deal in deals)


def test_who_only_leaves_buys_nothing_and_harms_nobody() -> None:
    outcome, deals = outcome_of(Leaves(), None)
    assert outcome is Outcome.NO_AGREEMENT
    assert deals == []


def test_the_default_makes_the_deal() -> None:
    outcome, deals = outcome_of(None, None)
    assert outcome is Outcome.DONE
    assert [FLOOR <= deal.terms.pay <= MOST for deal in deals] == [True]
