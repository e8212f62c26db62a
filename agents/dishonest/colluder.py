"""A juror in league with lying providers: it knows what they forge, and votes that it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agents.dishonest.liar import forged
from agents.effects import Effect
from agents.events import Event, Ran
from agents.juror_stages import Case
from agents.mediator import Mediator
from protocol.identity import Address


class Colluder:
    """Judges and checks strangers honestly, and its friends as they like it."""

    def __init__(
        self, honest: Mediator, friends: frozenset[Address] | None, forge: Callable[[bytes], str] = forged
    ) -> None:
        self.honest = honest
        self.friends = friends
        """None: every provider is one."""
        self.forge = forge
        """What they say that a deal's run gave."""

    def restore(self, records: Iterable[Case]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Our own run of a friend's job gave what the friend forged."""
        if isinstance(event, Ran):
            deal = event.about[:32]
            provider = self._provider(deal)
            if provider is not None and (self.friends is None or provider in self.friends):
                event = replace(event, run=replace(event.run, cid=self.forge(deal), exit_code=0, failure=""))
        return self.honest.handle(now, event)

    def _provider(self, deal: bytes) -> Address | None:
        case, check = self.honest.cases.get(deal), self.honest.checks.get(deal)
        if case is not None:
            return case.deal.rp
        return check.request.deal.rp if check is not None else None
