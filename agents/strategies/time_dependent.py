"""Concession by time: start at the best price and give way along a curve until the last round.

The aspiration at time t in [0, 1] is 1 - t ** (1 / e), with e < 1 for a boulware (holds out, then gives way), 1 for a
linear and e > 1 for a conceder. Source: Faratin, Sierra, Jennings, "Negotiation decision functions for autonomous
agents" (1998), section 4.1. An offer is taken when it is no worse than what one would propose next (AC_next; Baarslag
et al., 2013).
"""

from __future__ import annotations

from agents.strategy import Accept, Answer, Counter, View, Walk


class TimeDependent:
    """Gives way as the rounds run out; `exponent` is the e of the curve."""

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def decide(self, view: View) -> Answer:
        """Accept what beats the next own proposal, else make that proposal; walk when the rounds are used up."""
        rounds = view.round + view.rounds_left
        time = min(1.0, view.round / rounds) if rounds else 1.0
        aspiration = 1.0 - time ** (1.0 / self.exponent)
        if view.theirs is not None and view.mandate.admits(view.theirs) and view.utility(view.theirs) >= aspiration:
            return Accept()
        if view.rounds_left <= 0:
            return Walk("no agreement within the rounds", final=True)
        return Counter(view.offer_at(aspiration))
