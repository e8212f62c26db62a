"""A juror in league with lying providers: it knows what they forge, and votes that it is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.dishonest.liar import forged
from agents.effects import Effect
from agents.events import Event, Ran
from agents.juror import Case
from agents.mediator import Mediator
from protocol.identity import Address


class Colluder:
    """Judges strangers honestly, and its friends as they like it."""

    def __init__(self, honest: Mediator, friends: frozenset[Address]) -> None:
        self.honest = honest
        self.friends = friends

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Our own run of a friend's job gave what the friend forged."""
        if isinstance(event, Ran):
            case = self.honest.cases.get(event.about[:32])
            if case is not None and case.deal.rp in self.friends:
                event = replace(event, run=replace(event.run, cid=forged(case.id)))
        return self.honest.handle(now, event)
