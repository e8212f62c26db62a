"""The roll of mediators: who has announced itself and has a stake in the vault, and which pools of them a peer signs.

Anybody can announce itself as a mediator, and either side of a deal has a say in its pool. So a buyer could bring
judges of its own and have an honest provider's collateral awarded to itself, and a provider could trust nobody but its
own, or nobody at all, and be paid for anything. A peer whose user names no mediators therefore signs a pool only if it
is nearly the one that it would have drawn up itself, out of the mediators that it has heard of with the stake that the
network's rules ask of a juror. What two peers have heard of differs a little at any moment, so one member in five, and
one at least, may be missing or unknown.

Announcements cost nothing, so whoever has no stake is kept in a small table, in which strangers displace each other and
never one of those whose stake was seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random

from agents.effects import Effect, LookUpStakes, Save, WakeAt
from agents.events import Timer
from protocol.identity import Address
from protocol.offers import MediatorOffer, Withdrawal
from protocol.rules import Rules
from protocol.terms import MOST_MEDIATORS
from protocol.types import Moment

FRESH = 300.0
"""Seconds after which a stake is looked up again; it is believed for twice as long."""
AGAIN = 3.0
"""Seconds before somebody without a stake is looked up again: it may just be joining."""
PACE = 1.0
"""Seconds between two looks at least."""
PATIENCE = 10.0
"""Seconds after which a look that brought no answer is given up."""
SLOWEST = 60.0
"""Seconds at most between two looks at a chain that can't be asked; each failure doubles them up to here."""
MOST_AT_ONCE = 256
"""Mediators looked up at a time."""
MOST_STAKED = 4096
MOST_OTHERS = 1024
MOST_WANTED = 256
LONGEST = 120.0
"""Seconds for which an announcement is believed, whatever it says."""
LATELY = 600.0
"""Seconds for which it is remembered that this market has judges."""
DAY = 86400
TURN = 60.0
"""Seconds by which two peers' clocks may differ when a day begins."""

KEY = "judged"
"""Where it is saved."""
PHASE = "roll"
"""Of a timer after which the next are looked up."""


@dataclass(frozen=True, slots=True)
class Judged:
    """This market has mediators with a stake."""

    at: Moment
    """When one was last known."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of one mediator."""

    serial: int = 0
    """Of the newest announcement."""
    expires: float = 0.0
    looked: float = float("-inf")
    """When the vault was last looked at."""
    staked: bool = False
    """What was seen then."""


class Roll:
    """The mediators that one peer knows."""

    def __init__(self, me: Address, rules: Rules, rng: Random) -> None:
        self.me = me
        self.rules = rules
        self.rng = rng
        self._staked: dict[Address, _Seen] = {}
        self._others: dict[Address, _Seen] = {}
        """Those without a juror's stake, or not looked up yet."""
        self._wanted: dict[Address, None] = {}
        """Members of proposed pools that are to be looked up next."""
        self._asked = float("-inf")
        """Since when an answer is due; never once it has come."""
        self._next = float("-inf")
        """Before this moment there is no other look."""
        self._failures = 0
        """Looks in a row that brought nothing."""
        self._judged = float("-inf")
        """When somebody with a stake was last known."""
        self._saved = float("-inf")

    def restore(self, record: Judged) -> None:
        """Take back what was saved."""
        self._judged = self._saved = record.at

    # --- hearing and looking -----------------------------------------------------------------------------------------

    def heard(self, now: float, offer: MediatorOffer | Withdrawal) -> list[Effect]:
        """A mediator has announced itself, or takes that back; looks it up where its stake is not known."""
        who = offer.author
        table = self._staked if who in self._staked else self._others
        seen = table.get(who, _Seen())
        if offer.serial < seen.serial or who == self.me:
            return []
        if isinstance(offer, Withdrawal):
            if who in table:
                table[who] = replace(seen, serial=offer.serial + 1, expires=0.0)
            return []
        if offer.fee > self.rules.check_fee:
            return []  # it would check nothing for what a check costs here
        if table is self._others and who not in table and len(table) >= MOST_OTHERS:
            del table[self.rng.choice(tuple(table))]
        table[who] = replace(seen, serial=offer.serial, expires=min(float(offer.expires), now + LONGEST))
        if not self.rules.juror_stake:
            return self._remember(now)
        return self.ask(now) if self._is_due(now, table[who]) else []

    def ask(self, now: float, others: Collection[Address] = ()) -> list[Effect]:
        """Look up those whose stake is not known, or not any more; and these others of a pool, who may be unheard."""
        if not self.rules.juror_stake:
            return []
        for who in others:
            if who != self.me and len(self._wanted) < MOST_WANTED and self._is_due(now, self._of(who)):
                self._wanted[who] = None
        if now < self._next <= now + SLOWEST or 0 <= now - self._asked < PATIENCE:
            return []
        due = [who for who, seen in self._staked.items() if self._is_due(now, seen)]
        new = [who for who, seen in self._others.items() if seen.expires > now and self._is_due(now, seen)]
        self.rng.shuffle(new)  # whoever announces most must not come first
        wanted = tuple(dict.fromkeys((*self._wanted, *due[: MOST_AT_ONCE // 2], *new)))[:MOST_AT_ONCE]
        self._wanted.clear()
        if not wanted:
            return []
        self._asked, self._next = now, now + PACE
        return [LookUpStakes(wanted)]

    def _of(self, who: Address) -> _Seen:
        return self._staked.get(who) or self._others.get(who) or _Seen()

    @staticmethod
    def _is_due(now: float, seen: _Seen) -> bool:
        # a clock that was put back makes an old look one of the future
        return not 0 <= now - seen.looked < (FRESH if seen.staked else AGAIN)

    def saw(self, now: float, stakes: Iterable[tuple[Address, int]]) -> list[Effect]:
        """The vault has been looked at; nothing where it could not be."""
        found = dict(stakes)
        self._asked = float("-inf")
        self._failures = 0 if found else self._failures + 1
        if not found:
            self._next = now + min(SLOWEST, PACE * 2.0**self._failures)
        for who, stake in found.items():
            seen = replace(self._of(who), looked=now, staked=stake >= self.rules.juror_stake)
            self._staked.pop(who, None)
            self._others.pop(who, None)
            (self._staked if seen.staked else self._others)[who] = seen
        for table, most in ((self._staked, MOST_STAKED), (self._others, MOST_OTHERS)):
            while len(table) > most:
                del table[next(iter(table))]
        more = self._wanted or any(seen.expires > now and seen.looked < 0 for seen in self._others.values())
        return [*self._remember(now), *([WakeAt(self._next, Timer(self.me, PHASE))] if more else [])]

    def _remember(self, now: float) -> list[Effect]:
        if not self.known(now):
            return []
        self._judged = now
        if 0 <= now - self._saved < LATELY / 10:
            return []
        self._saved = now
        return [Save(KEY, Judged(int(now)))]

    # --- who may judge -----------------------------------------------------------------------------------------------

    def is_staked(self, now: float, who: Address) -> bool:
        """Whether it has the stake of a juror, as far as was seen lately."""
        seen = self._staked.get(who)
        return not self.rules.juror_stake or (seen is not None and now - seen.looked < 2 * FRESH)

    def known(self, now: float) -> frozenset[Address]:
        """Those on offer at this moment that could sit on a jury."""
        table = self._staked if self.rules.juror_stake else self._others
        return frozenset(who for who, seen in table.items() if seen.expires > now and self.is_staked(now, who))

    def had_judges(self, now: float) -> bool:
        """Whether there were judges lately, or may be among those announced that were not looked up yet."""
        unseen = any(seen.expires > now and seen.looked < 0 for seen in self._others.values())
        return now - self._judged < LATELY or bool(unseen and self.rules.juror_stake)

    def may_have_judges(self, now: float) -> bool:
        """Whether somebody may yet be known: there were judges lately, or those announced may be joining."""
        return self.had_judges(now) or any(seen.expires > now for seen in self._others.values())

    @staticmethod
    def pool(now: float, known: Collection[Address], buyer: Address, provider: Address) -> tuple[Address, ...]:
        """As many of these as a pool may have, sorted.

        Where there are more they take turns by provider and day: nobody gets into every pool by the look of its
        address, and neither side can try again until it likes its judges.
        """
        able = set(known) - {buyer, provider}
        if len(able) > MOST_MEDIATORS:
            key = provider + int(now // DAY).to_bytes(8, "big")
            able = set(sorted(able, key=lambda who: blake2b(who, key=key, digest_size=16).digest())[:MOST_MEDIATORS])
        return tuple(sorted(able))

    def objection(
        self, now: float, known: Collection[Address], pool: Collection[Address], buyer: Address, provider: Address
    ) -> str | None:
        """Why who knows these mediators, and leaves the choice to the market, signs no such pool; None if it does."""
        if buyer in pool or provider in pool:
            return "a party of the deal is in its pool"
        found = None
        for moment in dict.fromkeys((now, now - TURN, now + TURN)):  # in the night peers may be a day apart
            mine = self.pool(moment, known, buyer, provider)
            found = _against(pool, mine)
            if found is None or len(known) <= MOST_MEDIATORS:
                return found
        return found


def slack(number: int) -> int:
    """How many of so many mediators may be missing, or unknown."""
    return max(1, number // 5)


def _against(pool: Collection[Address], mine: Collection[Address]) -> str | None:
    both = len(set(pool) & set(mine))
    least = max(1, len(mine) - slack(len(mine))) if mine else 0
    if both < least:
        return f"its pool has {both} of the {len(mine)} mediators known here, and {least} are needed"
    if len(pool) - both > (slack(len(pool)) if both else 0):
        return f"{len(pool) - both} of the {len(pool)} mediators in its pool are not known here"
    return None
