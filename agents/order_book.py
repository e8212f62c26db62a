"""What one peer has heard on offer: the newest word of each author, bounded, forgotten when it expires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, assert_never

from protocol.identity import Address
from protocol.offers import JobOffer, MediatorOffer, Offer, ResourceOffer, Withdrawal

MOST_OFFERS = 20_000
"""Offers of one kind kept at most; beyond that, what expires first goes first."""
LONGEST_LIFE = 600
"""Seconds: an offer that claims to live longer is not believed for longer."""

MOST_EARLY = 256
"""Offers kept at most that expire too late to be believed: their authors may have seen the chain jump before we did."""

Kept = TypeVar("Kept", ResourceOffer, MediatorOffer, JobOffer, Withdrawal)


class OrderBook:
    """Offers by kind and author."""

    def __init__(self) -> None:
        self._providers: dict[Address, ResourceOffer] = {}
        self._mediators: dict[Address, MediatorOffer] = {}
        self._jobs: dict[Address, JobOffer] = {}
        self._withdrawn: dict[Address, Withdrawal] = {}
        self._early: dict[Address, Offer] = {}

    def hear(self, now: float, offer: Offer) -> bool:
        """Take an offer in; False if it is stale, expired, out of date or a withdrawn one."""
        if offer.expires > now + LONGEST_LIFE:
            self._early.pop(offer.author, None)
            self._early[offer.author] = offer
            if len(self._early) > MOST_EARLY:
                del self._early[next(iter(self._early))]
            return False
        if offer.expires <= now:
            return False
        withdrawn = self._withdrawn.get(offer.author)
        if withdrawn is not None and withdrawn.serial >= offer.serial:
            return False
        match offer:
            case Withdrawal():
                return self._withdraw(now, offer)
            case ResourceOffer():
                return _take(self._providers, now, offer)
            case MediatorOffer():
                return _take(self._mediators, now, offer)
            case JobOffer():
                return _take(self._jobs, now, offer)
            case _:
                assert_never(offer)

    def jumped(self, now: float) -> None:
        """The clock has jumped: what came too early may be of this moment."""
        early, self._early = self._early, {}
        for offer in early.values():
            self.hear(now, offer)

    def providers(self, now: float) -> Iterator[ResourceOffer]:
        """Machines on offer at this moment, in the order in which they were first heard."""
        return (offer for offer in self._providers.values() if offer.expires > now)

    def provider(self, now: float, who: Address) -> ResourceOffer | None:
        """What this provider has on offer at this moment."""
        offer = self._providers.get(who)
        return offer if offer is not None and offer.expires > now else None

    def mediators(self, now: float) -> Iterator[MediatorOffer]:
        """Mediators on offer at this moment."""
        return (offer for offer in self._mediators.values() if offer.expires > now)

    def rivals(self, now: float, me: Address) -> int:
        """How many others look for a machine at this moment."""
        return sum(1 for offer in self._jobs.values() if offer.expires > now and offer.creator != me)

    def __len__(self) -> int:
        return len(self._providers) + len(self._mediators) + len(self._jobs)

    def _withdraw(self, now: float, offer: Withdrawal) -> bool:
        tables: tuple[dict[Address, Any], ...] = (self._providers, self._mediators, self._jobs)
        for table in tables:
            known = table.get(offer.author)
            if known is not None and known.serial <= offer.serial:
                del table[offer.author]
        return _take(self._withdrawn, now, offer)


def _take(table: dict[Address, Kept], now: float, offer: Kept) -> bool:
    known = table.get(offer.author)
    if known is not None and known.serial >= offer.serial:
        return False
    table[offer.author] = offer
    if len(table) > MOST_OFFERS:
        for author in [author for author, old in table.items() if old.expires <= now]:
            del table[author]
    while len(table) > MOST_OFFERS:
        del table[min(table, key=lambda author: table[author].expires)]
    return True
