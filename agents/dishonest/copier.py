"""A juror that runs nothing: it commits to nonsense, waits for another to reveal its run, and says the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.effects import Effect, Execute, WakeAt
from agents.events import Event, Got, Ran, Timer, Woke
from agents.juror_stages import Case
from agents.mediator import Mediator
from protocol.job import Run
from protocol.messages import Revealed

IDLE = 1.0
"""Seconds that it pretends to work."""


class Copier:
    """Keeps its word in everything but the run."""

    def __init__(self, honest: Mediator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Take the first CID that another reveals for our own."""
        match event:
            case Woke(Timer(about, "idle")):
                case = self.honest.cases.get(about[:32])
                own = case.own if case is not None and case.own else f"nothing-{self.honest.me.hex()}"
                event = Ran(about, Run(own, 0, 0, "", ""))
            case Got(message=Revealed(deal=deal, cid=cid)) if cid and self._has_committed(deal):
                self.honest.cases[deal] = replace(self.honest.cases[deal], own=cid)
            case _:
                pass
        return [_pretended(now, effect) for effect in self.honest.handle(now, event)]

    def _has_committed(self, deal: bytes) -> bool:
        return deal in self.honest.cases and bool(self.honest.cases[deal].own)


def _pretended(now: float, effect: Effect) -> Effect:
    if isinstance(effect, Execute) and len(effect.about) > 32:
        return WakeAt(now + IDLE, Timer(effect.about, "idle"))
    return effect
