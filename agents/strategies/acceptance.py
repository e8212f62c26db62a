"""When to accept: AC_next is in each strategy; this is the part of AC_combi that takes over near the deadline.

Source: Baarslag, Hindriks, Jonker, "Effective acceptance conditions in real-time automated negotiation" (2014),
AC_combi(T, MAX^W): from time T on, an offer is taken that is at least as good as all that came in a window as long as
the time that is left; nothing better is to be expected.
"""

from __future__ import annotations

from agents.strategy import View

LATE = 0.9
"""T: talks here last a dozen rounds, so the last one or two of them."""


def combi(view: View) -> bool:
    """Whether it is late and what they offer is the best of the latest; the mandate is looked at elsewhere."""
    if view.theirs is None or view.time < LATE:
        return False
    window = view.received[-max(1, view.rounds_left) - 1 :]
    return view.utility(view.theirs) >= max(view.utility(terms) for terms in window)
