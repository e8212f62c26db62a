"""A provider that keeps its results back until nothing counts any more, and then delivers as if nothing were."""

from __future__ import annotations

from collections.abc import Iterable

from agents.effects import Effect, WakeAt
from agents.events import Event, Ran, Timer, Woke
from agents.provider import Provider
from agents.sale import Sale
from protocol.deal import DealId

TOO_LATE = 2.0
"""Seconds after the deadline and its grace."""


class Late:
    """Works like an honest provider, but not in time."""

    def __init__(self, honest: Provider) -> None:
        self.honest = honest
        self._kept: dict[bytes, Ran] = {}

    def restore(self, records: Iterable[Sale]) -> None:
        """As the honest one does: what was kept back is run again."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Hear of a run only when its grace is past."""
        match event:
            case Ran(about) if (sale := self.honest.sales.get(DealId(about))) is not None:
                self._kept[about] = event
                return [WakeAt(sale.deal.deliver_by + sale.deal.grace + TOO_LATE, Timer(about, "late"))]
            case Woke(Timer(about, "late")) if about in self._kept:
                return self.honest.handle(now, self._kept.pop(about))
            case _:
                return self.honest.handle(now, event)
