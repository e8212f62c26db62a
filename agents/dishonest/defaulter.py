"""A job creator that takes its result and is never heard of again: no receipt, no pay."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import Effect, Send, Transact
from agents.events import Event
from agents.job_creator import JobCreator, Memory
from protocol.messages import Paid, Received
from protocol.vault_calls import Open


class Defaulter:
    """Buys like an honest job creator, and does not pay."""

    def __init__(self, honest: JobCreator) -> None:
        self.honest = honest

    def restore(self, records: Iterable[Memory]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Drop what acknowledges or pays."""
        return [effect for effect in self.honest.handle(now, event) if not _pays(effect)]


def _pays(effect: Effect) -> bool:
    match effect:
        case Send(message=Received() | Paid()):
            return True
        case Transact(call=call):
            return not isinstance(call, Open)
        case _:
            return False
