"""Buying in a crowd: watch all machines, bid for one at a time while it is the best choice, and move on if outbid.

With many buyers for the same machines, haggling with all of them at once clogs the market, and whoever comes first
takes a machine that is worth more to somebody else. An ascending auction ends near the optimum instead (Bertsekas, "The
auction algorithm", 1979; each bid raises the price by how much better the machine is than the second best, plus a
little), and it needs no auctioneer: a hold is a bid, `Outbid` is being overbid, and what a held machine costs is in its
announcement and in its counter-offer.

What is offered is what makes the machine as good as the second best, whatever its own seller asks. So a seller that
asks for more than it needs gets no more for it, it is only left out more often (Vickrey, "Counterspeculation, auctions,
and competitive sealed tenders", 1961, has the principle). One that lures with a low price, and then asks for more, is
asked last from then on.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from protocol.identity import Address

CROWD = 5
"""Other buyers looking for a machine at the same moment; with fewer, one talks to all machines at once."""
LITTLE = 0.09
"""Share of a machine's worth by which a bid goes beyond indifference; the market's loss is at most that."""
SETTLE_EACH = 0.16
"""Seconds that a hold must stand before it is confirmed, for each other buyer that may still overbid it."""
MOST_ASKED = 24
"""Machines that one job bids at, one after another."""
MOST_LOTS = 4096
"""Machines that one job watches."""
MOST_RIVALS = 60
"""Other buyers that one machine may have, however many there are: each buyer asks few machines."""
AFTER_OUTBID = 0.6
"""Seconds until the machine's new price has got round."""
SPREAD_EACH = 0.02
"""Seconds, for each other buyer, over which the next bids are spread; where there are more than `MOST_RIVALS` the first
ones too, measured at 300 x 300: 12 bids a job instead of 19."""
MOST_SPREAD = 0.25
"""…but over no more than this share of the time that a job has."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One machine as this buyer sees it."""

    provider: Address
    worth: int
    """The most that it would pay for the job there, base units."""
    serial: int
    """Of the offer that says so."""
    price: int
    """What it costs now, as far as is known."""
    doubt: float = 0.0
    gone: bool = False
    """Busy, unreachable or walked away, until it announces itself again."""
    contested: bool = False
    """Somebody else wants it too."""
    named: int = 0
    """What it asked in a talk while it announced less; 0 once its announcements are to be believed (again)."""

    @property
    def gain(self) -> float:
        return self.worth * (1.0 - self.doubt) - self.price


@dataclass(frozen=True, slots=True)
class Choice:
    """Where to bid, and how far it is worth going before the next best is better."""

    lot: Lot
    limit: int
    start: int
    """What to offer first: less where nobody else bids so far."""


class Auction:
    """The machines that one job bids among."""

    def __init__(self, lots: Iterable[Lot]) -> None:
        self.lots = {lot.provider: lot for lot in lots}

    def hear(self, offered: Lot) -> None:
        """It has announced itself anew: with what it costs now, and free again if it was not."""
        known = self.lots.get(offered.provider)
        if known is None and len(self.lots) < MOST_LOTS:
            self.lots[offered.provider] = offered
        if known is not None and offered.serial > known.serial:
            contested = known.contested or offered.price > known.price
            # one whose machine was taken meanwhile says so at once; one that goes on announcing less only lures
            named = known.named if offered.price < known.named else 0
            self.lots[offered.provider] = replace(
                known,
                serial=offered.serial,
                price=max(offered.price, named),
                gone=False,
                contested=contested,
                named=named,
            )

    def raised(self, provider: Address, price: int) -> None:
        """Somebody else pays nearly this."""
        lot = self.lots[provider]
        self.lots[provider] = replace(lot, price=max(price, lot.price), contested=True)

    def asks(self, provider: Address, price: int) -> None:
        """It wants this, as it says in a talk."""
        lot = self.lots[provider]
        lured = lot.named or price > lot.price
        self.lots[provider] = replace(
            lot, price=price if lured else lot.price, contested=True, named=price if lured else 0
        )

    def lost(self, provider: Address) -> None:
        """Not to be had for now."""
        lot = self.lots.get(provider)
        if lot is not None:
            self.lots[provider] = replace(lot, gone=True)

    def taken(self, provider: Address) -> None:
        """It says that somebody has it; what it asked while others bid for it says nothing of when it is free again."""
        lot = self.lots.get(provider)
        if lot is not None:
            self.lots[provider] = replace(lot, gone=True, named=0)

    def choose(self, asked: Collection[Address] = ()) -> Choice | None:
        """The machine that leaves most of its worth; None if none leaves anything. Those that lure are asked last.

        Announcements cost their reader nothing, so all are watched; but a job bids at `MOST_ASKED` machines at most,
        and then only where it has ``asked`` before.
        """
        full = len(asked) >= MOST_ASKED
        open_lots = [lot for lot in self.lots.values() if not lot.gone and not (full and lot.provider not in asked)]
        two = heapq.nlargest(2, (lot for lot in open_lots if not lot.named), key=lambda lot: lot.gain)
        if not two or two[0].gain <= 0:
            two = heapq.nlargest(2, (lot for lot in open_lots if lot.named), key=lambda lot: lot.gain)
        if not two or two[0].gain <= 0:
            return None
        best = two[0]
        second = max(0.0, two[1].gain) if len(two) > 1 else 0.0
        even = best.price + int(best.gain - second)
        limit = min(best.worth, even + int(LITTLE * best.worth))
        if best.contested:
            return Choice(best, limit, limit)
        # with no other machine in sight, being as good as nothing is no reason to offer all that it is worth
        return Choice(best, limit, min(even, limit) if second > 0 else (best.price + limit) // 2)
