"""A chain's clock that jumps ahead: peers see it one after the other, and the market goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from agents.effects import Effect, Publish, Save, WakeAt
from agents.events import Began, Event, Heard, Jumped, Requested, Woke
from agents.job_creator import JobCreator, Wanted
from agents.order_book import MOST_EARLY, OrderBook
from agents.reports import Outcome, TalkOver
from protocol.identity import Address
from protocol.messages import Decline
from protocol.offers import JobOffer, ResourceOffer
from simulator.population import RULES, draw_request
from simulator.world import START
from tests.agents.market import Market, customer, judge, seller

AHEAD = 100.0
HOUR = 3600.0


class Ahead:
    """An agent that has seen the chain jump, until the others have, too."""

    def __init__(self, honest: Any, until: float) -> None:
        self.honest, self.until = honest, until

    def restore(self, records: Iterable[Any]) -> None:
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        off = AHEAD if now < self.until else 0.0
        effects: list[Effect] = self.honest.handle(now + off, event)
        return [replace(it, moment=it.moment - off) if isinstance(it, WakeAt) else it for it in effects]


def test_peers_whose_clocks_differ_for_a_while_agree_afterwards() -> None:
    buyer = customer()
    machine = seller("machine", 100)
    make = machine.make
    machine.make = lambda *given, **named: Ahead(make(*given, **named), START + 45)
    market = Market(buyer, machine, judge())
    job = market.want(buyer)
    market.run()
    refused = market.said(Decline, "machine")
    assert refused
    assert "start_by is not soon" in {move.reason for move in refused}
    assert not any(move.final for move in refused), "the next talk may be at one time"
    assert market.heard(job, TalkOver)
    assert market.end(job).outcome in (Outcome.DONE, Outcome.FAILED)  # the module's own exit code
    assert market.end(job).paid


def offer_of(peer: Any, now: float) -> ResourceOffer:
    found = peer.make(rng=Random(3)).offer(now)
    assert isinstance(found, ResourceOffer)
    return found


def test_a_search_outlives_a_jump_and_takes_offers_that_were_ahead_of_it() -> None:
    me, machine = customer().address, seller("machine", 100)
    agent = JobCreator(me, RULES, Random(1))
    agent.handle(START, Began())
    request = replace(draw_request(Random(2), START), deadline=int(START) + 60)
    first = agent.handle(START, Requested(request))
    (gather,) = [effect for effect in first if isinstance(effect, WakeAt)]
    assert not agent.handle(START + 1, Heard(offer_of(machine, START + HOUR)))
    assert not list(agent.book.providers(START + 1))
    after = START + HOUR + 1
    jumped = agent.handle(after, Jumped(HOUR))
    assert [type(effect.offer) for effect in jumped if isinstance(effect, Publish)] == [JobOffer]
    (saved,) = [effect.state for effect in jumped if isinstance(effect, Save)]
    assert isinstance(saved, Wanted)
    assert saved.request.deadline == request.deadline + HOUR
    assert [offer.provider for offer in agent.book.providers(after)] == [machine.address]
    agent.handle(after, Woke(gather.timer))
    assert request.id in agent.wanted
    assert request.id in agent.tenders


def test_offers_from_the_future_are_bounded() -> None:
    book, offer = OrderBook(), offer_of(seller("machine", 100), START + HOUR)
    for number in range(2 * MOST_EARLY):
        assert not book.hear(START, replace(offer, provider=Address(number.to_bytes(20, "big"))))
    book.jumped(START + HOUR)
    assert len(book) == MOST_EARLY
