"""A juror that runs nothing and finds every result wrong: whoever is slashed, it hopes to be paid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.effects import Effect
from agents.events import Event, Ran
from agents.juror_stages import Case
from agents.mediator import Mediator


class Guesser:
    """Says of every run, its own checks as well, that it gave something of its own."""

    def __init__(self, honest: Mediator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Replace what was run by a guess, the same one each time."""
        if isinstance(event, Ran):
            guess = f"guess-{self.honest.me.hex()[:8]}-{event.about.hex()[:32]}"
            event = replace(event, run=replace(event.run, cid=guess))
        return self.honest.handle(now, event)
