"""Whom to talk to: the offers that fit a job, the best-ranked ones and a few at random.

Rank alone would send every buyer to the same machines; measured on 50 x 50 markets, 16 best and 8 random peers bring
the market within a few points of its optimum, while 8 best alone do worse than 8 at random. In a crowd all machines are
watched and few are asked, see `agents.auction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from protocol.identity import Address
from protocol.isolation import satisfies
from protocol.job import Job
from protocol.offers import ResourceOffer, VaultRef
from protocol.prices import PARTS, most_parts, pay_at

BEST = 16
RANDOM = 8
CAUTION = 50.0
"""How many times its price a certain failure would cost: money is safe in the vault, time is not."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What an offer asks for one job."""

    unit: str
    pay: int
    """The most that the job would cost, base units."""


def judged(
    offer: ResourceOffer, job: Job, vault: VaultRef, units: Sequence[str] = ("job",)
) -> tuple[str | None, Quote | None]:
    """Why an offer can't serve a job, or None if it can; and what it asks for the job, if it has a price for it."""
    quote = quoted(offer, job, units)
    return _misfit(offer, job, vault, quote, units), quote


def _misfit(offer: ResourceOffer, job: Job, vault: VaultRef, quote: Quote | None, units: Sequence[str]) -> str | None:
    if vault not in offer.vaults:
        return "another vault"
    if job.executor not in offer.executors:
        return f"no {job.executor} executor"
    if not satisfies(offer.isolation_of(job.executor), job.isolation):
        return f"isolation: {job.isolation} wanted, {offer.isolation_of(job.executor) or 'none'} offered"
    if quote is None:
        return f"no price for this module by {' or '.join(units)}"
    return offer.capacity.lacks(job.resources)


def quoted(offer: ResourceOffer, job: Job, units: Sequence[str] = ("job",)) -> Quote | None:
    """What the offer asks for this job: by its module's own prices, else by those for any module; None without either.

    Of several units the one that costs the least at the job's own limits, for more can't be known beforehand.
    """
    best: tuple[bool, int, str] | None = None
    for price in offer.prices:
        own = price.module == job.module
        if (own or price.module == "*") and price.unit in units and price.unit in PARTS:
            pay = pay_at(price.amount, price.unit, most_parts(price.unit, job.resources))
            if best is None or (not own, pay) < best[:2]:
                best = not own, pay, price.unit
    return None if best is None else Quote(best[2], best[1])


def cost(price: int, doubt: float) -> float:
    """What a price amounts to with the chance of a broken word."""
    return price * (1.0 + CAUTION * doubt)


def whom_to_ask(
    fitting: Iterable[ResourceOffer],
    job: Job,
    rng: Random,
    *,
    doubt: Callable[[Address], float] = lambda _: 0.0,
    worth: Callable[[ResourceOffer], int] = lambda _: 0,
    units: Sequence[str] = ("job",),
) -> list[ResourceOffer]:
    """Up to 24 offers: those first that leave most of what they are worth to this buyer, then some at random."""

    def loss(offer: ResourceOffer) -> tuple[float, float]:
        quote = quoted(offer, job, units)
        return cost(quote.pay if quote else 0, doubt(offer.provider)) - worth(offer), rng.random()

    ranked = sorted(fitting, key=loss)
    best, rest = ranked[:BEST], ranked[BEST:]
    return best + rng.sample(rest, min(RANDOM, len(rest)))
