"""A party that opens the seal to one jury and not to the other, to see an honest one overturned and take its stakes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from agents.effects import Effect, Send
from agents.events import Event
from protocol.messages import Exhibit


class Party(Protocol):
    """A job creator, or a provider."""

    def restore(self, records: Iterable[Any]) -> None: ...

    def handle(self, now: float, event: Event) -> list[Effect]: ...


class Withholder:
    """Alone it only loses its case, since the other side opens the seal too: it needs one in league with it."""

    def __init__(self, agent: Party, rounds: frozenset[int]) -> None:
        self.agent = agent
        self.rounds = rounds
        """0 is the first jury, 1 that of an appeal."""

    def restore(self, records: Iterable[Any]) -> None:
        """As the wrapped one does."""
        self.agent.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """All but the exhibits of these rounds."""
        return [effect for effect in self.agent.handle(now, event) if not self._is_withheld(effect)]

    def _is_withheld(self, effect: Effect) -> bool:
        return isinstance(effect, Send) and isinstance(effect.message, Exhibit) and effect.message.round in self.rounds
