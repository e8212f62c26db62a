"""What one job makes of the offers that were heard: which fit, what they ask, what they are worth, on which terms.

Every buyer hears every announcement, and most of them change one price: so each is looked at when it matters, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from random import Random

from agents.order_book import OrderBook
from agents.reputation import Reputation
from agents.request import Request
from agents.roll import Roll, slack
from agents.selection import Quote, cost, judged, whom_to_ask
from agents.trust import Trust
from protocol.identity import Address
from protocol.offers import ResourceOffer
from protocol.rules import Rules
from protocol.terms import Terms

Appraise = Callable[[Request, ResourceOffer], int]
"""What a job is worth to its buyer on one machine, base units."""


class Shortlist:
    """The order book through the eyes of one job."""

    def __init__(
        self,
        me: Address,
        rules: Rules,
        request: Request,
        book: OrderBook,
        roll: Roll,
        reputation: Reputation,
        trust: Trust,
        appraise: Appraise,
        breakers: Collection[Address] = (),
    ) -> None:
        """``breakers`` have locked money for this job before, and broken their word."""
        self.me = me
        self.rules = rules
        self.request = request
        self.book = book
        self.roll = roll
        self.reputation = reputation
        self.trust = trust
        self.appraise = appraise
        self.breakers = frozenset(breakers)
        self._known: dict[Address, tuple[int, str | None, Quote | None]] = {}
        """Serial, misfit and quote of each provider's newest offer."""

    def fitting(self, now: float, without: Collection[Address] = ()) -> list[ResourceOffer]:
        """Offers of this moment that can serve the job, but for those of some providers."""
        able = self._able(now)
        return [
            offer
            for offer in self.book.providers(now)
            if offer.provider not in without
            and offer.provider != self.me
            and self.misfit(offer) is None
            and self._unjudged(now, offer, able) is None
        ]

    def misfits(self, now: float) -> set[str]:
        """Why those of this moment can't that can't."""
        able, offers = self._able(now), self.book.providers(now)
        return {self.misfit(offer) or self._unjudged(now, offer, able) or "" for offer in offers} - {""}

    def misfit(self, offer: ResourceOffer) -> str | None:
        """Why this one can't serve the job; None if it can."""
        return self._looked_at(offer)[1]

    def quote(self, offer: ResourceOffer) -> Quote | None:
        """What it asks for the job."""
        return self._looked_at(offer)[2]

    def asked(self, offers: Iterable[ResourceOffer]) -> list[int]:
        """What all of these ask, base units."""
        return [quote.pay for offer in offers if (quote := self.quote(offer)) is not None]

    def _looked_at(self, offer: ResourceOffer) -> tuple[int, str | None, Quote | None]:
        known = self._known.get(offer.provider)
        if known is None or known[0] != offer.serial:
            request = self.request
            misfit, quote = judged(offer, request.job, self.rules.vault, request.units)
            if offer.provider in self.breakers:
                misfit = "it has broken its word over this job"
            known = (offer.serial, misfit, quote)
            self._known[offer.provider] = known
        return known

    def worth(self, offer: ResourceOffer) -> int:
        """The most to pay for the job on this machine."""
        worth = self.appraise(self.request, offer)
        return worth if self.request.at_market else min(self.request.most_pay, worth)

    def doubt(self, now: float, provider: Address) -> float:
        """How likely it is to break its word."""
        return self.reputation.doubt(now, provider)

    def loss(self, now: float, provider: Address, pay: int) -> float:
        """What paying this much there amounts to, beyond what the job is worth there."""
        offer = self.book.provider(now, provider)
        worth = self.worth(offer) if offer is not None else 0
        return cost(pay, self.doubt(now, provider)) - worth

    def whom_to_ask(self, now: float, fitting: Iterable[ResourceOffer], rng: Random) -> list[ResourceOffer]:
        """The best of them and some at random."""
        return whom_to_ask(
            fitting,
            self.request.job,
            rng,
            doubt=lambda who: self.doubt(now, who),
            worth=self.worth,
            units=self.request.units,
        )

    def has_judges(self, now: float) -> bool:
        """Whether anybody is known who could judge."""
        return bool(self._able(now))

    def may_have_judges(self, now: float) -> bool:
        """Whether somebody may soon be known who could."""
        return self.roll.may_have_judges(now)

    def terms(self, now: float, offer: ResourceOffer) -> Terms:
        """What a talk about this offer starts from; the price comes later."""
        quote, wanted = self.quote(offer), self.request
        unit = quote.unit if quote is not None else "job"
        return self.rules.terms(now, wanted.job, 0, wanted.check_ppm, self._pool(now, offer, self._able(now)), unit)

    def _able(self, now: float) -> frozenset[Address]:
        if self.request.mediators:
            return frozenset(self.request.mediators)  # whom the user names is the user's affair
        known = self.roll.known(now)
        # no more of them are left out than sellers let be missing
        return known - frozenset(self.trust.doubted(now, known)[: slack(len(known))])

    def _pool(self, now: float, offer: ResourceOffer, able: frozenset[Address]) -> tuple[Address, ...]:
        both = able.intersection(offer.mediators) if offer.mediators else able
        return self.roll.pool(now, both, self.me, offer.provider)

    def _unjudged(self, now: float, offer: ResourceOffer, able: frozenset[Address]) -> str | None:
        """Why no dispute with this provider would be judged by whom this peer trusts."""
        if not self.request.mediators and not (offer.mediators and able):
            return None  # it takes those that are known here; where that is nobody, nobody judges anybody's deals
        pool = self._pool(now, offer, able)
        if self.request.mediators:
            return None if pool else "none of the mediators that were named can judge it"
        return self.roll.objection(now, able, pool, self.me, offer.provider)
