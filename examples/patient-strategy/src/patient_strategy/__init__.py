"""A strategy that gives in only as far as the other side has, and learns how far it has to go in the end."""

from __future__ import annotations

from agents.preferences import Mandate
from agents.strategy import Accept, Counter, View, Walk
from protocol.terms import Terms


class Patient:
    """Waits for the other side to move; near the end it goes where its latest deals were made."""

    def __init__(self) -> None:
        self.usual = 0.4
        """The utility of its deals so far, smoothed."""

    def decide(self, view: View) -> Accept | Counter | Walk:
        """Ask for what they have not given yet; in the last fifth of the talk go down to the usual."""
        gained = view.utility(view.received[-1]) - view.utility(view.received[0]) if view.received else 0.0
        wanted = 1.0 - max(0.0, gained)
        if view.time > 0.8:
            wanted = min(wanted, self.usual * (1.0 - (view.time - 0.8) / 0.2))
        if view.theirs is not None and view.acceptable() and view.utility(view.theirs) >= wanted:
            return Accept()
        if view.rounds_left <= 0:
            return Walk("we are too far apart")
        return Counter(view.offer_at(wanted))

    def on_deal(self, terms: Terms, mandate: Mandate) -> None:
        """A deal was made: remember how good it was."""
        self.usual += 0.2 * (mandate.utility(terms) - self.usual)
