"""Whose money covers a hold: what others have free in the vault, as far as it was looked up lately.

A hold keeps capacity from everybody else for seconds, at no cost to whoever asked for it. So it goes only to addresses
that could lock what the deal wants, beside what they have been promised already, and a few at a time.
"""

from __future__ import annotations

from agents.effects import Effect, LookUp
from protocol.identity import Address

FRESH = 10.0
"""Seconds for which a look at the vault is believed."""
AGAIN = 2.0
"""Seconds before the same account is looked up again while no answer has come."""
MOST_KNOWN = 4096
"""Accounts that are remembered; the oldest are forgotten first."""


class Purses:
    """Free money by address."""

    def __init__(self) -> None:
        self._seen: dict[Address, tuple[float, int]] = {}
        self._asked: dict[Address, float] = {}

    def saw(self, now: float, who: Address, free: int) -> None:
        """The vault has been looked at."""
        self._asked.pop(who, None)
        self._seen.pop(who, None)
        self._seen[who] = (now, free)
        while len(self._seen) > MOST_KNOWN:
            del self._seen[next(iter(self._seen))]

    def known(self, now: float, who: Address) -> int | None:
        """What it has free, base units; None where that is not known, or not any more."""
        seen = self._seen.get(who)
        return seen[1] if seen is not None and now - seen[0] <= FRESH else None

    def ask(self, now: float, who: Address) -> list[Effect]:
        """Look it up, unless it is known or being looked up."""
        if self.known(now, who) is not None or now - self._asked.get(who, float("-inf")) < AGAIN:
            return []
        while len(self._asked) >= MOST_KNOWN:
            del self._asked[next(iter(self._asked))]
        self._asked[who] = now
        return [LookUp(who)]
