"""Tit for tat: give in as much as the other side gave in, measured by what it is worth to me.

Source: Faratin, Sierra, Jennings (1998), section 4.3, absolute tit for tat with a window of one; and, like every
strategy here, it takes at the very end what its mandate allows rather than nothing.
"""

from __future__ import annotations

from agents.strategy import Accept, Answer, Counter, View, Walk


class TitForTat:
    """Answers a concession with an equal one, and a step back with none."""

    def decide(self, view: View) -> Answer:
        """Accept what beats the next own proposal, else concede what was conceded."""
        received = view.received
        gained = 0.0
        best = None
        for terms in received:
            worth = view.utility(terms)
            if best is not None and worth > best:
                gained += worth - best
            best = worth if best is None else max(best, worth)
        lowest = view.lowest
        aspiration = lowest if view.rounds_left <= 0 else max(lowest, 1.0 - gained)
        mine = view.offer_at(aspiration)
        if (
            view.theirs is not None
            and view.acceptable()
            and view.utility(view.theirs) >= min(aspiration, view.utility(mine))
        ):
            return Accept()
        if view.rounds_left <= 0 and view.mine is not None and view.utility(view.mine) <= lowest:
            return Walk("no agreement within the rounds", final=True)
        return Counter(mine)
