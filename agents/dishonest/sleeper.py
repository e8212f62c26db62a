"""A juror that promises to vote and never does."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import CastOwn, Effect, Send
from agents.events import Event
from agents.juror_stages import Case
from agents.mediator import Mediator
from protocol.messages import Committed, Judged, Revealed


class Sleeper:
    """Says yes to every summons."""

    def __init__(self, honest: Mediator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Drop all that follows a promise."""
        return [effect for effect in self.honest.handle(now, event) if not _judges(effect)]


def _judges(effect: Effect) -> bool:
    match effect:
        case Send(message=Committed() | Revealed() | Judged()) | CastOwn():
            return True
        case _:
            return False
