"""A provider that claims deliveries on chain that its job creator never sees: nothing ran, or nothing is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.dishonest.liar import forged
from agents.effects import Effect, Send
from agents.events import Event, Ran
from agents.provider import Provider
from agents.sale import Sale
from protocol.messages import Delivered


class Phantom:
    """Tells the vault of a result, and nobody else."""

    def __init__(self, honest: Provider, *, runs: bool) -> None:
        self.honest = honest
        self.runs = runs
        """Whether there is a right result, served to jurors only."""

    def restore(self, records: Iterable[Sale]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Keep the result from the job creator."""
        if isinstance(event, Ran) and not self.runs:
            event = replace(event, run=replace(event.run, cid=forged(event.about)))
        effects = self.honest.handle(now, event)
        return [e for e in effects if not (isinstance(e, Send) and isinstance(e.message, Delivered))]
