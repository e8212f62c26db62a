"""A job creator that accuses honest providers, to have its results for nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from agents.effects import Effect
from agents.events import Compared, Event, Got, Ran
from agents.job_creator import JobCreator, Memory
from agents.purchase_stages import rerun
from protocol.messages import Rechecked


class Accuser:
    """Hears from every check, a mediator's or its own, what it wants to hear."""

    def __init__(self, honest: JobCreator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Memory]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Whatever a re-run gave, it was something else."""
        match event:
            case Got(sender, Rechecked() as own):
                event = Got(sender, replace(own, cid="not-what-you-said"))
            case Ran(about, run) if about == rerun(about[:32]):
                event = Ran(about, replace(run, cid="not-what-you-said"))
            case Compared(about) if about == rerun(about[:32]):
                event = replace(event, same=False, how="not what you said")
            case _:
                pass
        return self.honest.handle(now, event)
