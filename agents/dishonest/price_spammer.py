"""A provider that announces ever new prices far below what it takes, to have everybody ask it first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.effects import Effect, Publish, WakeAt
from agents.events import Began, Event, Timer, Woke
from agents.provider import Provider
from agents.sale import Sale
from protocol.offers import ResourceOffer

EVERY = 1.0
"""Seconds between two announcements."""
BAIT_PERCENT = 10
"""What it announces, of what it would take."""
SPAM = "spam"


class PriceSpammer:
    """Sells like an honest provider, and lies in its announcements."""

    def __init__(self, honest: Provider) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Sale]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Shout, and go on shouting."""
        again = WakeAt(now + EVERY, Timer(self.honest.me, SPAM))
        match event:
            case Woke(Timer(phase="spam")):
                return [Publish(self._bait(self.honest.offer(now))), again]
            case Began():
                return [again, *self._lies(self.honest.handle(now, event))]
            case _:
                return self._lies(self.honest.handle(now, event))

    def _lies(self, effects: list[Effect]) -> list[Effect]:
        return [
            Publish(self._bait(it.offer)) if isinstance(it, Publish) and isinstance(it.offer, ResourceOffer) else it
            for it in effects
        ]

    def _bait(self, offer: ResourceOffer) -> ResourceOffer:
        prices = tuple(replace(price, amount=price.amount * BAIT_PERCENT // 100) for price in offer.prices)
        return replace(offer, prices=prices)
