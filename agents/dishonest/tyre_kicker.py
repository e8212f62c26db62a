"""A job creator that has machines held for it, and never confirms."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import Effect, Send
from agents.events import Event
from agents.job_creator import JobCreator, Memory
from protocol.messages import Confirm, Walk


class TyreKicker:
    """Haggles like an honest job creator, and says nothing once it is agreed; it doesn't walk away either."""

    def __init__(self, honest: JobCreator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Memory]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Keep back what would bind it, and what would free the machine."""
        effects = self.honest.handle(now, event)
        return [it for it in effects if not (isinstance(it, Send) and isinstance(it.message, Confirm | Walk))]
