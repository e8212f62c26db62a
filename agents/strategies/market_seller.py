"""A seller that learns what its machine fetches: it asks more while it sells, and less while talks end without a deal.

It moves one number, the *markup*: the share of the way from the floor to the best price below which it does not go.
Each deal raises it, each talk that was lost lowers it (additive increase, multiplicative decrease), and the prices of
its own latest deals show where a buyer's opening is worth waiting for. Inside a talk it is a linear concession down to
that markup instead of to the floor; at the very end of a talk, an idle machine takes what its mandate allows.
"""

from __future__ import annotations

from agents.preferences import Mandate
from agents.strategies.time_dependent import TimeDependent
from agents.strategy import Accept, Answer, Counter, View
from protocol.terms import Terms

RAISE = 0.05
LOWER = 0.8
MOST = 0.9


class MarketSeller:
    """Time-dependent concession above a markup learnt from its own deals; as a buyer, its mirror image."""

    def __init__(self) -> None:
        self.markup = 0.0
        self._curve = TimeDependent(1.0)

    def decide(self, view: View) -> Answer:
        """Accept what is worth more than the markup and the curve want, else propose that."""
        if view.rounds_left <= 0:
            return self._curve.decide(view)
        aspiration = max(self.markup, 1.0 - (1.0 - self.markup) * view.time)
        mine = view.offer_at(aspiration)
        if view.theirs is not None and view.acceptable() and view.utility(view.theirs) >= view.utility(mine):
            return Accept()
        return Counter(mine)

    def on_deal(self, terms: Terms, mandate: Mandate) -> None:
        """A talk ended in a deal: next time ask a little more."""
        self.markup = min(MOST, self.markup + RAISE)

    def on_no_deal(self, reason: str) -> None:
        """A talk ended without one: ask less."""
        self.markup *= LOWER
