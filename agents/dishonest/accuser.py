"""A job creator that accuses honest providers, to have its results for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.effects import Effect
from agents.events import Event, Got
from agents.job_creator import JobCreator, Wanted
from agents.purchase_stages import Purchase
from agents.reputation import Standing
from protocol.messages import Rechecked


class Accuser:
    """Hears from every check what it wants to hear."""

    def __init__(self, honest: JobCreator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Wanted | Purchase | Standing]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Whatever a mediator got, it was something else."""
        match event:
            case Got(sender, Rechecked() as own):
                event = Got(sender, replace(own, cid="not-what-you-said"))
            case _:
                pass
        return self.honest.handle(now, event)
