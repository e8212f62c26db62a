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

from operator import attrgetter

from agents.strategies.acceptance import combi
from agents.strategy import Accept, Answer, Counter, View, Walk

SPREAD = 1.5
"""Level k of n lies 1 - (k/n) ** SPREAD up; measured: 1 gives in too early against a boulware, 2 too late."""
LAST = 8.0
"""The deadline's curve is 1 - t ** LAST: flat for most of the talk."""

_outcome = attrgetter(
    "pay", "start_by", "deliver_by", "check_ppm", "check_payer", "rp_stake", "jc_stake", "jurors", "fee"
)
"""What tells two proposals of one talk apart."""


class Micro:
    """Minimal concession over levels of utility, with a fallback near the deadline."""

    def decide(self, view: View) -> Answer:
        """Accept what is no worse than the next level, else propose one end of it."""
        made = {_outcome(terms) for terms in view.proposed}
        received = len({_outcome(terms) for terms in view.received})
        levels = max(1, min(view.round + max(0, view.rounds_left), view.mandate.outcomes - 1))
        lowest = view.lowest
        curve = _between(lowest, 1.0 - view.time**LAST)
        level = len(made) if len(made) <= received else max(0, len(made) - 1)
        while True:
            aspiration = min(curve, _between(lowest, 1.0 - (min(level, levels) / levels) ** SPREAD))
            # what keeps the price for one side keeps the rest for the other, so both look at the same corner at a time
            corner = (level + (view.role == "seller")) % 2
            mine = view.offer_at(aspiration - view.mandate.slack, "rest" if corner else "price")
            if len(made) > received or level >= levels or _outcome(mine) not in made:
                break
            level += 1  # this level has no proposal of its own
        if view.theirs is not None and view.acceptable():
            offered = view.utility(view.theirs)
            if offered >= min(aspiration, view.utility(mine)) or combi(view):
                return Accept()
        if view.rounds_left <= 0 and view.mine is not None and view.utility(view.mine) <= lowest:
            return Walk("no agreement within the rounds", final=True)
        return Counter(mine)


def _between(lowest: float, up: float) -> float:
    return lowest + (1.0 - lowest) * up
