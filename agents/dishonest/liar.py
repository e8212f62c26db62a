"""A provider that runs nothing right: it signs and serves another result than the module gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agents.effects import Effect
from agents.events import Event, Ran
from agents.provider import Provider
from agents.sale import Sale


def forged(deal: bytes) -> str:
    """What it says that a deal's run gave; its friends on a jury know it too."""
    return f"forged-{deal.hex()[:40]}"


class Liar:
    """Keeps its word in everything but the result."""

    def __init__(self, honest: Provider, forge: Callable[[bytes], str] = forged) -> None:
        self.honest = honest
        self.forge = forge
        """The CID of what it hands over for a deal."""

    def restore(self, records: Iterable[Sale]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Forge the run before the honest agent hears of it."""
        if isinstance(event, Ran):
            event = replace(event, run=replace(event.run, cid=self.forge(event.about), exit_code=0, failure=""))
        return self.honest.handle(now, event)
