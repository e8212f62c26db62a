"""A provider that sells the same machine several times over, and hopes to be quick enough for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.effects import Effect, Publish, WakeAt
from agents.events import Began, Event, Got, Heard, Timer, Woke
from agents.provider import Provider
from agents.sale import Sale
from agents.shop import Shop
from protocol.messages import Move


class DoubleBooker:
    """Several honest providers in one: each believes that it has the machine for itself."""

    def __init__(self, copies: Sequence[Provider]) -> None:
        self.copies = copies
        for copy in copies:
            copy.roll = copies[0].roll  # only the first hears what is announced

    @property
    def shop(self) -> Shop:
        """What it has once, and sells more often."""
        return self.copies[0].shop

    def restore(self, records: Iterable[Sale]) -> None:
        """Which copy made which deal is of no matter."""
        self.copies[0].restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """A talk belongs to the copy that its id names; a deal is known only to the copy that made it."""
        match event:
            case Heard() | Woke(Timer(phase="announce")):
                return self.copies[0].handle(now, event)
            case Got(message=message) if isinstance(message, Move):
                return self._copy(message).handle(now, event)
            case Began():
                effects = [effect for copy in self.copies for effect in copy.handle(now, event)]
                spare = [e for e in effects if isinstance(e, Publish) or _announces(e)][2:]
                return [effect for effect in effects if effect not in spare]
            case _:
                return [effect for copy in self.copies for effect in copy.handle(now, event)]

    def _copy(self, message: Move) -> Provider:
        return self.copies[message.talk[0] % len(self.copies)]


def _announces(effect: Effect) -> bool:
    return isinstance(effect, WakeAt) and effect.timer.phase == "announce"
