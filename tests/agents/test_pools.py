"""Who judges a deal: neither side brings judges of its own, and nobody without a stake is among them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from agents.effects import Effect, LookUpStakes, Publish
from agents.events import Event, Heard
from agents.order_book import OrderBook
from agents.reports import Agreed, Outcome
from agents.roll import AGAIN, FRESH, MOST_AT_ONCE, PATIENCE, Roll
from agents.shop import Sheet, Shop
from protocol.identity import Address
from protocol.job import Capacity
from protocol.messages import Decline
from protocol.offers import MediatorOffer
from simulator.faults import Crash, Plan
from simulator.population import RULES, address, draw_request, provider
from simulator.world import Peer
from tests.agents.market import BIG, START, Market, customer, judge, on, seller

JUDGES = ("judge 1", "judge 2", "judge 3", "judge 4")
FRIENDS = ("friend 1", "friend 2", "friend 3")
PARTIES = (address("buyer"), address("machine"))
JOB = draw_request(Random(1), START).job


def people(names: Collection[str]) -> set[Address]:
    return {address(name) for name in names}


def trusting(name: str, *trusted: str) -> Peer:
    """A provider that names those it wants to be judged by."""
    shop = Shop(BIG, ("wasm",), ("sandboxed_wasm",), (Sheet("*", 100, 100),), tuple(sorted(people(trusted))))
    return provider(name, 100, shop)


def deaf_to_judges(buyer: Peer, *heard: str) -> Peer:
    """The same buyer, as if no mediators but these had ever announced themselves."""
    make = buyer.make

    class Deaf:
        def __init__(self, agent: Any) -> None:
            self.__dict__["agent"] = agent

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["agent"], name)

        def handle(self, now: float, event: Event) -> list[Effect]:
            match event:
                case Heard(MediatorOffer(mediator=who)) if who not in people(heard):
                    return []
            return self.__dict__["agent"].handle(now, event)  # type: ignore[no-any-return]

    buyer.make = lambda rng: Deaf(make(rng))
    return buyer


def shy(mediator: Peer) -> Peer:
    """A mediator with a stake that nobody hears of."""
    mute = [Publish]
    return on(mediator, says=lambda effect: LookUpStakes(()) if type(effect) in mute else effect)


def unstaked(mediator: Peer) -> Peer:
    """A mediator that announces itself and joins with nothing."""
    make = mediator.make

    def poor(rng: Random) -> Any:
        agent = make(rng)
        agent.bench = replace(agent.bench, stake=0)  # type: ignore[attr-defined]
        return agent

    mediator.make = poor
    return mediator


def pool_of(market: Market, job: Any) -> set[Address]:
    (agreed,) = market.heard(job, Agreed)
    return set(agreed.terms.mediators)


def test_a_seller_signs_no_pool_of_the_buyers_own_judges() -> None:
    buyer = deaf_to_judges(customer(), *FRIENDS)
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), *map(judge, FRIENDS))
    job = market.want(buyer)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert {move.reason for move in market.said(Decline, "machine")} == {
        "its pool has 3 of the 7 mediators known here, and 4 are needed"
    }


def test_a_seller_signs_no_pool_that_strangers_are_most_of() -> None:
    crowd = [f"friend {number}" for number in range(8)]
    buyer = customer()
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), *(shy(judge(name)) for name in crowd))
    named = tuple(sorted(people((*JUDGES, *crowd))))
    job = market.want(buyer, mediators=named)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    reasons = {move.reason for move in market.said(Decline, "machine")}
    assert "8 of the 12 mediators in its pool are not known here" in reasons


def test_a_buyer_without_judges_is_told_so_until_it_has_heard_of_them() -> None:
    buyer = customer()
    gone = Plan(crashes=(Crash(buyer.address, START + 29.0, START + 30.0, mid_batch=False),))
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), plan=gone)
    job = market.want(buyer, at=30.0)
    market.run()
    assert market.end(job).paid
    assert len(pool_of(market, job)) >= 2


def test_a_buyer_passes_by_a_seller_that_trusts_only_its_own() -> None:
    buyer = customer()
    market = Market(buyer, trusting("cheat", *FRIENDS), *map(judge, JUDGES), *map(judge, FRIENDS))
    job = market.want(buyer)
    market.run()
    ended = market.end(job)
    assert ended.outcome is Outcome.NO_OFFER
    assert "its pool has 3 of the 7 mediators known here" in ended.reason


@pytest.mark.parametrize("named", [(), JUDGES], ids=["nobody named", "some named"])
def test_a_buyer_passes_by_a_seller_whose_list_leaves_nobody(named: tuple[str, ...]) -> None:
    buyer = customer()
    market = Market(buyer, trusting("cheat", "nobody"), *map(judge, JUDGES))
    job = market.want(buyer, mediators=tuple(sorted(people(named))))
    market.run()
    assert market.end(job).outcome is Outcome.NO_OFFER


def test_a_seller_that_trusts_most_of_those_known_is_dealt_with() -> None:
    buyer = customer()
    market = Market(buyer, trusting("machine", *JUDGES[:3]), *map(judge, JUDGES))
    job = market.want(buyer)
    market.run()
    assert market.end(job).paid
    assert pool_of(market, job) == people(JUDGES[:3])


def test_a_seller_with_a_list_wants_one_of_it_in_the_pool() -> None:
    buyer = deaf_to_judges(customer())
    market = Market(buyer, trusting("machine", *JUDGES[:3]), *map(judge, JUDGES))
    job = market.want(buyer)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert {move.reason for move in market.said(Decline)} == {"none of the mediators trusted here is in the pool"}


def test_those_without_a_stake_are_in_no_pool_however_many_they_are() -> None:
    buyer = customer()
    crowd = [unstaked(judge(f"friend {number}")) for number in range(30)]
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), *crowd)
    job = market.want(buyer)
    market.run()
    assert market.end(job).paid
    assert pool_of(market, job) == people(JUDGES)


def test_where_nobody_has_a_stake_deals_are_made_without_judges() -> None:
    buyer = customer()
    market = Market(buyer, seller("machine", 100), unstaked(judge()))
    job = market.want(buyer)
    market.run()
    assert market.end(job).paid
    assert not pool_of(market, job)


# --- the roll by itself ---------------------------------------------------------------------------------------------


def listed(*names: str, staked: Collection[str] | None = None) -> Roll:
    book = OrderBook()
    roll = Roll(address("me"), RULES, book)
    for name in names:
        announce(book, name)
    stakes = names if staked is None else staked
    roll.saw(START, [(address(name), RULES.juror_stake if name in stakes else 0) for name in names])
    return roll


def announce(book: OrderBook, name: str, now: float = START) -> None:
    capacity = Capacity(1000, 1000, 1000, 1000)
    book.hear(now, MediatorOffer(address(name), int(now * 1000), int(now) + 400, (), capacity, ("wasm",), 7, ()))


@pytest.mark.parametrize(
    ("known", "shared", "strangers", "signs"),
    [
        *((0, 0, 0, True), (0, 0, 1, False), (1, 0, 0, False), (1, 1, 0, True), (2, 1, 0, True), (3, 1, 0, False)),
        *((3, 2, 0, True), (3, 2, 1, True), (3, 2, 2, True), (3, 3, 3, False), (10, 6, 0, True), (10, 5, 0, False)),
        *((10, 10, 5, True), (10, 10, 7, False), (30, 14, 0, True), (30, 13, 0, False)),
    ],
)
def test_two_thirds_must_be_shared(known: int, shared: int, strangers: int, signs: bool) -> None:
    names = [f"judge {number}" for number in range(known)]
    others = [f"stranger {number}" for number in range(strangers)]
    roll = listed(*names)
    roll.saw(START, [(address(name), RULES.juror_stake) for name in others])
    mine = sorted(roll.pool(roll.known(START), JOB, PARTIES))
    pool = sorted([*mine[:shared], *people(others)])
    assert (roll.objection(roll.known(START), pool, JOB, PARTIES) is None) == signs


def test_no_party_is_in_its_own_pool_and_more_than_fit_take_turns_by_job() -> None:
    roll = listed("buyer", "machine", "me", *(f"judge {number}" for number in range(40)))
    known = roll.known(START)
    first = roll.pool(known, JOB, PARTIES)
    other = roll.pool(known, draw_request(Random(2), START).job, PARTIES)
    assert len(first) == len(other) == 21
    assert first != other
    assert not {*PARTIES, address("me")} & {*first, *other}


def test_stakes_are_looked_up_once_and_again_when_they_may_have_changed() -> None:
    roll = listed("rich", "poor", staked=["rich"])
    assert roll.ask(START + AGAIN - 1) == []
    assert roll.ask(START + AGAIN) == [LookUpStakes((address("poor"),))]
    assert roll.ask(START + AGAIN + PATIENCE - 1) == [], "one look at a time"
    (look,) = roll.ask(START + FRESH)
    assert isinstance(look, LookUpStakes)
    assert set(look.who) == people(("rich", "poor"))
    roll.saw(START + FRESH, [(address("rich"), 0)])
    assert roll.known(START + FRESH) == set(), "it has left"


def test_a_crowd_is_looked_up_a_part_at_a_time() -> None:
    names = [f"judge {number}" for number in range(2 * MOST_AT_ONCE + 1)]
    book = OrderBook()
    roll = Roll(address("me"), RULES, book)
    for name in names:
        announce(book, name)
    effects, looks = roll.ask(START), 0
    while effects:
        (look,) = effects
        assert isinstance(look, LookUpStakes)
        assert len(look.who) <= MOST_AT_ONCE
        looks += 1
        effects = roll.saw(START, [(who, RULES.juror_stake) for who in look.who])
    assert looks == 3
    assert roll.known(START) == people(names)


def test_where_the_rules_want_no_stake_nobody_is_looked_up() -> None:
    book = OrderBook()
    roll = Roll(address("me"), replace(RULES, juror_stake=0), book)
    announce(book, "judge 1")
    assert roll.ask(START) == []
    assert roll.known(START) == people(["judge 1"])
