"""A juror that runs nothing and rules every result right: it is safe as long as providers are honest."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import Effect, Execute, WakeAt
from agents.events import Event, Ran, Timer, Woke
from agents.juror_stages import OUT_OF_TIME, Case
from agents.mediator import Mediator
from protocol.job import Run

IDLE = 1.0
"""Seconds that it pretends to work."""


class Agreer:
    """Says of every case that its run took too long to prove anything, which is a vote for the provider."""

    def __init__(self, honest: Mediator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Check honestly, where it is not told what to agree with; judge without a run."""
        if isinstance(event, Woke) and event.timer.phase == "idle":
            event = Ran(event.timer.about, Run("", 0, 0, "", OUT_OF_TIME))
        return [_pretended(now, effect) for effect in self.honest.handle(now, event)]


def _pretended(now: float, effect: Effect) -> Effect:
    if isinstance(effect, Execute) and len(effect.about) > 32:
        return WakeAt(now + IDLE, Timer(effect.about, "idle"))
    return effect
