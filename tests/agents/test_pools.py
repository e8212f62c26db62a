"""Who judges a deal: neither side brings judges of its own, and nobody without a stake is among them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from agents.effects import Effect, LookUpStakes, Publish, Save, WakeAt
from agents.events import Event, Heard
from agents.reports import Agreed, Outcome
from agents.roll import (
    AGAIN,
    DAY,
    FRESH,
    LATELY,
    LONGEST,
    MOST_AT_ONCE,
    MOST_OTHERS,
    PACE,
    PATIENCE,
    SLOWEST,
    Judged,
    Roll,
)
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
        "its pool has 3 of the 7 mediators known here, and 6 are needed"
    }


def test_a_seller_signs_no_pool_that_strangers_are_many_of() -> None:
    crowd = [f"friend {number}" for number in range(8)]
    buyer = customer()
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), *(shy(judge(name)) for name in crowd))
    named = tuple(sorted(people((*JUDGES, *crowd))))
    job = market.want(buyer, mediators=named)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    reasons = {move.reason for move in market.said(Decline, "machine")}
    assert "8 of the 12 mediators in its pool are not known here" in reasons


@pytest.mark.parametrize("who", ["buyer", "machine"])
def test_after_a_restart_no_deal_is_made_without_judges(who: str) -> None:
    gone = Plan(crashes=(Crash(address(who), START + 29.0, START + 30.0, mid_batch=False),))
    buyer = customer()
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), plan=gone)
    job = market.want(buyer, at=30.0)
    market.run()
    assert market.end(job).paid
    assert len(pool_of(market, job)) >= 3


def test_a_seller_that_comes_back_remembers_that_there_are_judges() -> None:
    """Whoever asks at once, and brings none, would have half of the work for nothing."""
    gone = Plan(crashes=(Crash(address("machine"), START + 29.0, START + 30.0, mid_batch=False),))
    buyer = deaf_to_judges(customer())
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES), plan=gone)
    job = market.want(buyer, at=30.0)
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert "its pool is empty, and this market has mediators" in {move.reason for move in market.said(Decline)}


def test_a_buyer_passes_by_a_seller_that_trusts_only_its_own() -> None:
    buyer = customer()
    market = Market(buyer, trusting("cheat", *FRIENDS), *map(judge, JUDGES), *map(judge, FRIENDS))
    job = market.want(buyer)
    market.run()
    ended = market.end(job)
    assert ended.outcome is Outcome.NO_OFFER
    assert "its pool has 3 of the 7 mediators known here" in ended.reason


def test_a_mediator_that_is_a_party_of_the_deal_judges_nothing_even_if_it_is_named() -> None:
    buyer = customer()
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES))
    job = market.want(buyer, mediators=(address("machine"),))
    market.run()
    ended = market.end(job)
    assert ended.outcome is Outcome.NO_OFFER
    assert "none of the mediators that were named can judge it" in ended.reason


def test_a_seller_with_a_list_wants_those_in_the_pool_that_have_a_stake() -> None:
    buyer = customer()
    poor = unstaked(judge("judge 4"))
    market = Market(buyer, trusting("machine", *JUDGES), *map(judge, JUDGES[:3]), poor)
    job = market.want(buyer, mediators=(poor.address,))
    market.run()
    assert market.end(job).outcome is Outcome.NO_AGREEMENT
    assert "0 of the 1 mediators in its pool have a stake that is known here" in {
        move.reason for move in market.said(Decline)
    }


def test_whoever_wants_more_for_a_check_than_it_costs_here_is_in_no_pool() -> None:
    dear = judge("judge 4")
    make = dear.make

    def wanting(rng: Random) -> Any:
        agent: Any = make(rng)
        agent.bench = replace(agent.bench, fee=RULES.check_fee + 1)
        return agent

    dear.make = wanting
    buyer = customer()
    market = Market(buyer, seller("machine", 100), *map(judge, JUDGES[:3]), dear)
    job = market.want(buyer)
    market.run()
    assert pool_of(market, job) == people(JUDGES[:3])


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
    roll = Roll(address("me"), RULES, Random(7))
    for name in names:
        announce(roll, name)
    stakes = names if staked is None else staked
    roll.saw(START, [(address(name), RULES.juror_stake if name in stakes else 0) for name in names])
    return roll


def announce(roll: Roll, name: str, now: float = START, life: int = 75, fee: int = 7) -> list[Effect]:
    capacity = Capacity(1000, 1000, 1000, 1000)
    offer = MediatorOffer(address(name), int(now * 1000), int(now) + life, (), capacity, ("wasm",), fee, ())
    return roll.heard(now, offer)


def stakes(*names: str) -> list[tuple[Address, int]]:
    return [(address(name), RULES.juror_stake) for name in names]


@pytest.mark.parametrize(
    ("known", "shared", "strangers", "signs"),
    [
        *((0, 0, 0, True), (0, 0, 1, False), (1, 0, 0, False), (1, 1, 0, True), (2, 1, 0, True), (3, 1, 0, False)),
        *((3, 2, 0, True), (3, 2, 1, True), (3, 2, 2, False), (4, 2, 0, False), (4, 3, 0, True), (9, 8, 0, True)),
        *((9, 7, 0, False), (10, 8, 2, True), (10, 10, 3, False), (30, 17, 0, True), (30, 16, 0, False)),
    ],
)
def test_all_but_one_in_five_must_be_shared(known: int, shared: int, strangers: int, signs: bool) -> None:
    roll = listed(*(f"judge {number}" for number in range(known)))
    others = [f"stranger {number}" for number in range(strangers)]
    roll.saw(START, stakes(*others))
    found = roll.known(START)
    pool = [*roll.pool(START, found, *PARTIES)[:shared], *people(others)]
    assert (roll.objection(START, found, pool, *PARTIES) is None) == signs


@pytest.mark.parametrize("party", ["buyer", "machine"])
def test_no_party_is_in_a_pool_that_is_signed(party: str) -> None:
    roll = listed("buyer", "machine", "me", "judge 1", "judge 2", "judge 3")
    found = roll.known(START)
    mine = roll.pool(START, found, *PARTIES)
    assert set(mine) == people(["judge 1", "judge 2", "judge 3"])
    assert roll.objection(START, found, [*mine, address(party)], *PARTIES) == "a party of the deal is in its pool"


def test_more_than_fit_take_turns_by_provider_and_day_which_no_buyer_can_choose() -> None:
    roll = listed(*(f"judge {number}" for number in range(40)))
    found = roll.known(START)
    night = (START // DAY + 1) * DAY
    here = roll.pool(night - 30, found, *PARTIES)
    assert len(here) == 21
    assert here == roll.pool(night - 30, found, address("another buyer"), PARTIES[1])
    assert here != roll.pool(night - 30, found, PARTIES[0], address("another machine"))
    assert here != roll.pool(night + 30, found, *PARTIES)
    assert roll.objection(night + 30, found, here, *PARTIES) is None, "the buyer's clock may be a little behind"
    assert roll.objection(night + 3600, found, here, *PARTIES) is not None


def test_stakes_are_looked_up_once_and_again_when_they_may_have_changed() -> None:
    roll = listed("rich", "poor", staked=["rich"])
    announce(roll, "rich", START + FRESH - 1)
    assert roll.ask(START + AGAIN - 1) == []
    assert roll.ask(START + AGAIN) == [LookUpStakes((address("poor"),))]
    assert roll.ask(START + AGAIN + PATIENCE - 1) == [], "one look at a time"
    assert roll.ask(START + FRESH) == [LookUpStakes((address("rich"),))]
    assert roll.known(START + FRESH) == people(["rich"])
    roll.saw(START + FRESH, [(address("rich"), 0)])
    assert roll.known(START + FRESH) == set(), "it has left"


def test_a_stake_that_could_not_be_looked_up_for_long_counts_no_more() -> None:
    roll = listed("rich")
    announce(roll, "rich", START + 2 * FRESH - 1)
    assert roll.known(START + 2 * FRESH - 1) == people(["rich"])
    announce(roll, "rich", START + 2 * FRESH + 1)
    assert roll.known(START + 2 * FRESH + 1) == set()


def test_an_announcement_is_believed_for_a_while_whatever_it_says() -> None:
    roll = listed("judge 1")
    announce(roll, "judge 1", START + 1, life=100_000)
    assert roll.known(START + LONGEST) == people(["judge 1"])
    assert roll.known(START + LONGEST + 2) == set()


def test_a_crowd_is_looked_up_a_part_at_a_time_and_not_in_the_order_of_who_shouts() -> None:
    names = [f"judge {number}" for number in range(2 * MOST_AT_ONCE + 1)]
    roll = Roll(address("me"), RULES, Random(7))
    looks = [effect for name in names for effect in announce(roll, name)]
    assert len(looks) == 1, "one at a time"
    now = START
    seen = 0
    while looks:
        (look,) = [effect for effect in looks if isinstance(effect, LookUpStakes)]
        assert len(look.who) <= MOST_AT_ONCE
        seen += 1
        woken = [effect for effect in roll.saw(now, [(who, 1000) for who in look.who]) if isinstance(effect, WakeAt)]
        assert all(wake.moment >= now for wake in woken)
        now = woken[0].moment if woken else now
        looks = roll.ask(now) if woken else []
    assert seen == 3
    assert roll.known(now) == people(names)


def test_strangers_displace_each_other_and_never_one_whose_stake_was_seen() -> None:
    """Announcements cost nothing, so many could push all honest mediators out, and leave those of the attacker."""
    roll = listed(*JUDGES)
    for number in range(3 * MOST_OTHERS):
        announce(roll, f"sybil {number}", life=600)
    assert roll.known(START) == people(JUDGES)
    assert len(roll._others) == MOST_OTHERS


def test_members_of_a_proposed_pool_are_looked_up_before_any_stranger() -> None:
    roll = Roll(address("me"), RULES, Random(7))
    announce(roll, "first")
    for number in range(MOST_OTHERS):
        announce(roll, f"sybil {number}")
    assert roll.ask(START, sorted(people(JUDGES))) == [], "a look is under way"
    (wake,) = roll.saw(START, [(address("first"), 0)])
    assert isinstance(wake, WakeAt)
    (look,) = roll.ask(wake.moment)
    assert isinstance(look, LookUpStakes)
    assert people(JUDGES) <= set(look.who)


def test_a_chain_that_can_not_be_asked_is_asked_ever_more_seldom() -> None:
    roll = Roll(address("me"), RULES, Random(7))
    announce(roll, "judge 1")
    now, pauses = START, []
    for _ in range(10):
        (wake,) = roll.saw(now, ())
        assert isinstance(wake, WakeAt)
        pauses.append(wake.moment - now)
        assert roll.ask(wake.moment - 0.1) == []
        announce(roll, "judge 1", wake.moment)
        now = wake.moment
        roll.ask(now)
    assert pauses[0] >= PACE
    assert pauses == sorted(pauses)
    assert pauses[-1] == SLOWEST


def test_that_there_are_judges_is_remembered_for_minutes_and_over_a_restart() -> None:
    roll = Roll(address("me"), RULES, Random(7))
    announce(roll, "judge 1")
    assert roll.had_judges(START), "nobody knows yet"
    saved = roll.saw(START, stakes("judge 1"))
    assert saved == [Save("judged", Judged(int(START)))]
    again = Roll(address("me"), RULES, Random(8))
    assert not again.had_judges(START + 1)
    again.restore(Judged(int(START)))
    assert again.had_judges(START + LATELY - 1)
    assert not again.had_judges(START + LATELY + 1)


def test_where_the_rules_want_no_stake_nobody_is_looked_up() -> None:
    roll = Roll(address("me"), replace(RULES, juror_stake=0), Random(7))
    announce(roll, "judge 1")
    assert roll.ask(START) == []
    assert roll.known(START) == people(["judge 1"])
