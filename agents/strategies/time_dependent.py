"""Concession by time: start at the best terms and give way along a curve until the last round.

The aspiration at time t in (0, 1] is 1 - t ** (1 / e) of the way between the least and the best that can be proposed,
with e < 1 for a boulware (holds out, then gives way), 1 for a linear and e > 1 for a conceder. Source: Faratin, Sierra,
Jennings, "Negotiation decision functions for autonomous agents" (1998), section 4.1. What is proposed is worth least
above the aspiration, and what is accepted is worth no less than that (AC_next), or as `combi` says. Under the same
rounds this makes the same deals as NegMAS's BOA negotiator of a time-based offering policy and AC_next.
"""

from __future__ import annotations

from agents.strategies.acceptance import combi
from agents.strategy import Accept, Answer, Counter, View, Walk


class TimeDependent:
    """Gives way as the rounds run out; `exponent` is the e of the curve."""

    def __init__(self, exponent: float, *, late: bool = False) -> None:
        self.exponent = exponent
        self.late = late
        """Whether to accept by AC_combi instead of AC_next."""

    def decide(self, view: View) -> Answer:
        """Accept what beats the next own proposal, else make that proposal; walk when the rounds are used up."""
        lowest = view.lowest
        aspiration = lowest + (1.0 - lowest) * (1.0 - view.time ** (1.0 / self.exponent))
        mine = view.offer_at(aspiration - view.mandate.slack, "least")
        if view.theirs is not None and view.acceptable():
            offered = view.utility(view.theirs)
            if offered >= view.utility(mine) or (self.late and combi(view)):
                return Accept()
        if view.rounds_left <= 0 and view.mine is not None and view.utility(view.mine) <= lowest:
            return Walk("no agreement within the rounds", final=True)
        return Counter(mine)
