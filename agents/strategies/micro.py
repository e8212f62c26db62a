"""The default: concede one step for each new proposal of theirs, and never in vain.

MiCRO ("minimal concession in reply to offers"; de Jonge, IJCAI 2022) goes down its outcomes one by one, and takes the
next only when the other side has proposed as many different ones as it has itself. It needs about as many rounds as
there are outcomes, which a talk between peers does not have; so here the outcomes are cut into as many levels of
utility as there are rounds, close together at the top where most can be lost. On each level it says in turn the two
ends of what is worth the same to it (keep the price and give in on the rest, or the other way round): one of the two is
what the other side would choose, whatever it wants. Near the deadline a curve that depends on time alone takes over, so
that a talk that can end in a deal does.
"""

from __future__ import annotations

from agents.strategies.acceptance import combi
from agents.strategies.time_dependent import SLACK
from agents.strategy import Accept, Answer, Counter, View, Walk

SPREAD = 1.5
"""Level k of n lies 1 - (k/n) ** SPREAD up; measured: 1 gives in too early against a boulware, 2 too late."""
LAST = 8.0
"""The deadline's curve is 1 - t ** LAST: flat for most of the talk."""


class Micro:
    """Minimal concession over levels of utility, with a fallback near the deadline."""

    def decide(self, view: View) -> Answer:
        """Accept what is no worse than the level reached, else propose an end of it."""
        received = len(set(view.received))
        levels = view.round + max(0, view.rounds_left)
        level = min(view.round, received)  # I have spoken `round` times; each step down answers one of theirs
        up = 1.0 - (level / levels) ** SPREAD if levels else 0.0
        lowest = view.lowest
        up = min(up, 1.0 - view.time**LAST)
        aspiration = lowest + (1.0 - lowest) * up
        mine = view.offer_at(aspiration - SLACK, "rest" if view.round % 2 else "price")
        if view.theirs is not None and view.acceptable():
            offered = view.utility(view.theirs)
            if offered >= min(aspiration, view.utility(mine)) or combi(view):
                return Accept()
        if view.rounds_left <= 0 and view.mine is not None and view.utility(view.mine) <= lowest:
            return Walk("no agreement within the rounds", final=True)
        return Counter(mine)
