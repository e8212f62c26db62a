"""One price, take it or leave it."""

from __future__ import annotations

from agents.strategy import Accept, Answer, Counter, View, Walk


class FixedPrice:
    """A seller names its best price, a buyer its limit; anything at least as good is taken."""

    def decide(self, view: View) -> Answer:
        """Accept what is no worse than the price, say it once, then walk."""
        price = view.offer_at(1.0 if view.role == "seller" else 0.0)
        if view.theirs is not None and view.utility(view.theirs) >= view.utility(price):
            return Accept()
        if view.mine is None:
            return Counter(price)
        return Walk("the price is fixed", final=True)
