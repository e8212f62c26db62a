"""What one peer has heard on offer: the newest word of each author, bounded, forgotten when it expires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from protocol.identity import Address
from protocol.offers import JobOffer, MediatorOffer, Offer, ResourceOffer, Withdrawal

MOST_OFFERS = 20_000
"""Offers kept at most; beyond that, what expires first goes first."""
LONGEST_LIFE = 600
"""Seconds: an offer that claims to live longer is not believed for longer."""

Sought = TypeVar("Sought", ResourceOffer, MediatorOffer)


class OrderBook:
    """Offers by kind and author."""

    def __init__(self) -> None:
        self._offers: dict[tuple[type[Offer], Address], Offer] = {}
        self._withdrawn: dict[Address, Withdrawal] = {}

    def hear(self, now: float, offer: Offer) -> bool:
        """Take an offer in; False if it is stale, expired, out of date or a withdrawn one."""
        if not now < offer.expires <= now + LONGEST_LIFE:
            return False
        withdrawn = self._withdrawn.get(offer.author)
        if withdrawn is not None and withdrawn.serial >= offer.serial:
            return False
        if isinstance(offer, Withdrawal):
            self._withdrawn[offer.author] = offer
            for kind in (ResourceOffer, MediatorOffer, JobOffer):
                known = self._offers.get((kind, offer.author))
                if known is not None and known.serial <= offer.serial:
                    del self._offers[kind, offer.author]
            self._make_room(now)
            return True
        known = self._offers.get((type(offer), offer.author))
        if known is not None and known.serial >= offer.serial:
            return False
        self._offers[type(offer), offer.author] = offer
        self._make_room(now)
        return True

    def providers(self, now: float) -> Iterator[ResourceOffer]:
        """Machines on offer at this moment, in the order in which they were first heard."""
        return self._alive(now, ResourceOffer)

    def mediators(self, now: float) -> Iterator[MediatorOffer]:
        """Mediators on offer at this moment."""
        return self._alive(now, MediatorOffer)

    def rivals(self, now: float, me: Address) -> int:
        """How many others look for a machine at this moment."""
        alive = (offer for offer in self._offers.values() if isinstance(offer, JobOffer) and offer.expires > now)
        return sum(1 for offer in alive if offer.creator != me)

    def __len__(self) -> int:
        return len(self._offers)

    def _alive(self, now: float, kind: type[Sought]) -> Iterator[Sought]:
        return (offer for offer in self._offers.values() if isinstance(offer, kind) and offer.expires > now)

    def _make_room(self, now: float) -> None:
        for table in (self._offers, self._withdrawn):
            if len(table) <= MOST_OFFERS:
                continue
            for key in [key for key, offer in table.items() if offer.expires <= now]:
                del table[key]  # type: ignore[arg-type]
            while len(table) > MOST_OFFERS:
                del table[min(table, key=lambda key: table[key].expires)]  # type: ignore[arg-type]
