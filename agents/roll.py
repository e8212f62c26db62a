"""The roll of mediators: who has announced itself and has a stake in the vault, and which pools of them a peer signs.

Anybody can announce itself as a mediator, and either side of a deal has a say in its pool. So a buyer could bring
judges of its own and have an honest provider's collateral awarded to itself, and a provider could trust nobody but its
own, or nobody at all, and be paid for anything. A peer whose user names no mediators therefore signs a pool only if it
is about the one that it would have drawn up itself: out of the mediators that it has heard of, with the stake that the
network's rules ask of a juror, two thirds must be in the pool, and make two thirds of it. What two peers have heard of
differs a little at any moment, so more can't be asked for; whoever wants to own a jury must have a third of the stakes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b

from agents.effects import Effect, LookUpStakes
from agents.order_book import MOST_OFFERS, OrderBook
from protocol.identity import Address, show
from protocol.job import Job
from protocol.rules import Rules
from protocol.terms import MOST_MEDIATORS
from protocol.wire import job_digest

FRESH = 300.0
"""Seconds for which a stake is believed; a mediator that leaves waits longer than that."""
AGAIN = 3.0
"""Seconds before somebody without a stake is looked up again: it may just be joining."""
PATIENCE = 10.0
"""Seconds after which a look that brought no answer is given up."""
MOST_AT_ONCE = 64
"""Mediators looked up at a time; one look is under way at most, whatever strangers announce."""


class Roll:
    """The mediators that one peer knows."""

    def __init__(self, me: Address, rules: Rules, book: OrderBook) -> None:
        self.me = me
        self.rules = rules
        self.book = book
        self._staked: dict[Address, float] = {}
        """Those with a juror's stake, and when the vault was looked at."""
        self._others: dict[Address, float] = {}
        """The same of those without; the oldest look first."""
        self._asked = float("-inf")
        """Since when an answer is due; never once it has come."""

    def ask(self, now: float, others: Collection[Address] = ()) -> list[Effect]:
        """Look up those announced whose stake is not known, or not any more, and these others too."""
        if not self.rules.juror_stake or 0 <= now - self._asked < PATIENCE:
            return []
        announced = (offer.mediator for offer in self.book.mediators(now))
        due = [who for who in dict.fromkeys((*others, *announced)) if self._is_due(now, who)]
        if not due:
            return []
        due.sort(key=self._looked)  # those never seen come first
        self._asked = now
        return [LookUpStakes(tuple(due[:MOST_AT_ONCE]))]

    def heard(self, now: float, who: Address) -> list[Effect]:
        """This one has announced itself."""
        return self.ask(now) if self._is_due(now, who) else []

    def _is_due(self, now: float, who: Address) -> bool:
        # a clock that was put back makes an old look one of the future
        return not 0 <= now - self._looked(who) < (FRESH if who in self._staked else AGAIN)

    def _looked(self, who: Address) -> float:
        return self._staked.get(who, self._others.get(who, float("-inf")))

    def saw(self, now: float, stakes: Iterable[tuple[Address, int]]) -> list[Effect]:
        """The vault has been looked at; go on with those that there was no room for."""
        self._asked = float("-inf")
        for who, stake in stakes:
            self._staked.pop(who, None)
            self._others.pop(who, None)
            (self._staked if stake >= self.rules.juror_stake else self._others)[who] = now
        while len(self._others) > MOST_OFFERS:
            del self._others[next(iter(self._others))]
        unseen = any(self._looked(offer.mediator) < 0 for offer in self.book.mediators(now))
        return self.ask(now) if unseen else []

    def is_staked(self, who: Address) -> bool:
        """Whether it has the stake of a juror, as far as is known here."""
        return not self.rules.juror_stake or who in self._staked

    def known(self, now: float) -> set[Address]:
        """Those on offer at this moment that could sit on a jury, but for this peer itself."""
        if not self.rules.juror_stake:
            return {offer.mediator for offer in self.book.mediators(now)} - {self.me}
        return {who for who in self._staked if who != self.me and self.book.mediator(now, who) is not None}

    def has_hopes(self, now: float) -> bool:
        """Whether somebody on offer has no stake yet, who may be about to join."""
        return any(not self.is_staked(offer.mediator) for offer in self.book.mediators(now))

    def pool(self, known: Collection[Address], job: Job, parties: Collection[Address]) -> tuple[Address, ...]:
        """As many of these as a pool may have, sorted.

        Where there are more, each job takes others: nobody gets into every pool by the look of its address.
        """
        key = job_digest(job)
        turns = sorted(set(known) - set(parties), key=lambda who: blake2b(who, key=key, digest_size=16).digest())
        return tuple(sorted(turns[:MOST_MEDIATORS]))

    def objection(
        self, known: Collection[Address], pool: Collection[Address], job: Job, parties: Collection[Address]
    ) -> str | None:
        """Why who knows these mediators, and leaves the choice to the market, signs no such pool; None if it does."""
        for who in pool:
            if not self.is_staked(who):
                return f"mediator {show(who)} has no stake of {self.rules.juror_stake} that is known here"
        mine = self.pool(known, job, parties)
        both = len(set(pool) & set(mine))
        if both < _most(len(mine)):
            return f"its pool has {both} of the {len(mine)} mediators known here, and {_most(len(mine))} are needed"
        if both < _most(len(pool)):
            return f"{len(pool) - both} of the {len(pool)} mediators in its pool are not known here"
        return None


def _most(number: int) -> int:
    return max(1, 2 * number // 3) if number else 0
