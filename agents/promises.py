"""What one machine is promised to whom, talks and deals together, and what that makes the next hold cost.

Capacity is counted over everything held, bound or running, so there is nothing to double-book.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agents.preferences import Mandate, in_talk
from agents.sale import Bound, Sale
from agents.shop import Sheet, Shop
from protocol.deal import DealId
from protocol.identity import Address
from protocol.job import Capacity, Job, Resources
from protocol.negotiation import Phase, Talk
from protocol.rules import Rules
from protocol.terms import Terms

OUTBID_PERCENT = 2
"""How much better a bid must be to release another one's hold; less would make holds worthless."""


@dataclass(frozen=True, slots=True)
class Haggle:
    """One talk, with what only this side knows."""

    buyer: Address
    gateway: int
    began: int
    """When its first proposal came, by this machine's clock."""
    mandate: Mandate
    talk: Talk
    history: tuple[Terms, ...]
    received: tuple[Terms, ...]
    proposed: tuple[Terms, ...] = ()
    asked: int = 0
    """How often the strategy was asked."""
    agreed: bool = False
    """The strategy takes the terms, and the hold waits for a look at the buyer's money."""


class Promises:
    """The talks and deals of one machine."""

    def __init__(self, rules: Rules, shop: Shop) -> None:
        self.rules = rules
        self.shop = shop
        self.haggles: dict[bytes, Haggle] = {}
        """By buyer and talk id together: a stranger can't speak in another's talk."""
        self.sales: dict[DealId, Sale] = {}

    def of(self, buyer: Address) -> list[int]:
        """What each of a buyer's holds, and of its deals that have yet to reach the vault, would lock of its money."""
        held = [
            haggle.talk.terms.pay + haggle.talk.terms.jc_stake
            for haggle in self.haggles.values()
            if haggle.buyer == buyer and haggle.talk.phase in (Phase.HELD, Phase.CONFIRMED)
        ]
        return held + [s.deal.jc_share for s in self.sales.values() if s.buyer == buyer and isinstance(s.stage, Bound)]

    def has_room(self, job: Job) -> bool:
        """Whether a run of this job fits beside all that is promised."""
        held = [
            haggle.talk.job.resources
            for haggle in self.haggles.values()
            if haggle.talk.phase in (Phase.HELD, Phase.CONFIRMED)
        ]
        return self.shop.has_room(job.resources, [*self._busy(), *held])

    def free(self) -> Capacity:
        """What is announced as free: holds can still be outbid."""
        return self.shop.free(list(self._busy()))

    def _busy(self) -> Iterator[Resources]:
        return (sale.job.resources for sale in self.sales.values() if sale.busy)

    def worst_hold(self, better: Terms) -> bytes | None:
        """The hold to release for these terms, if one is worth enough less."""
        # the most that jobs may cost says little about what they will bring, unless they are priced by the same unit
        held = [
            (haggle.talk.terms.pay, about)
            for about, haggle in self.haggles.items()
            if haggle.talk.phase is Phase.HELD
            and haggle.talk.terms.unit == better.unit
            and haggle.talk.terms.pay * (100 + OUTBID_PERCENT) < better.pay * 100
        ]
        return min(held)[1] if held else None

    def to_outbid(self, unit: str) -> int:
        """The least that releases a hold; 0 where nothing is held by this unit or nobody need be released."""
        held = [h.talk for h in self.haggles.values() if h.talk.phase is Phase.HELD and h.talk.terms.unit == unit]
        if not held or any(self.has_room(talk.job) for talk in held):
            return 0
        return min(talk.terms.pay for talk in held) * (100 + OUTBID_PERCENT) // 100 + 1

    def announced(self, sheet: Sheet) -> int:
        """What to ask of all at this moment."""
        # which job comes next is not known, so what another unit would have to bring is not known either
        return max(sheet.ask, self.to_outbid("job")) if sheet.unit == "job" else sheet.ask

    def mandate(self, sheet: Sheet, talk: Talk, began: int) -> Mandate:
        """The sheet's prices; where somebody else holds the machine, more than that one would pay."""
        job = talk.job
        floor = sheet.floor_for(job)
        if not self.has_room(job):
            floor = max(floor, self.to_outbid(sheet.unit))
        mandate = Mandate("seller", floor, max(sheet.ask_for(job), floor), in_talk(self.shop.wishes, began))
        return mandate.holding(self.rules, talk.terms)

    def floor(self, talk: Talk) -> int | None:
        """The least that this talk's job must bring when nobody else wants the machine."""
        sheet = self.shop.sheet(talk.job, talk.terms.unit)
        return None if sheet is None else sheet.floor_for(talk.job)
