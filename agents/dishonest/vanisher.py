"""A provider that signs deals and is never heard of again: it fetches, runs, delivers and answers nothing."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import Effect, Execute, Fetch, Send, Transact
from agents.events import Event
from agents.provider import Provider
from agents.sale import Sale
from protocol.messages import Move


class Vanisher:
    """Haggles like an honest provider, and does nothing for its money."""

    def __init__(self, honest: Provider) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Sale]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Let pass what sells, drop what serves."""
        return [effect for effect in self.honest.handle(now, event) if _sells(effect)]


def _sells(effect: Effect) -> bool:
    match effect:
        case Send(message=message):
            return isinstance(message, Move)
        case Fetch() | Execute() | Transact():
            return False
        case _:
            return True
