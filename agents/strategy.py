"""The strategy interface: what a plugin is shown, and the three things it can answer.

A strategy is any object with ``decide(view)``: pure and synchronous. It never sees a key, a socket or a clock; the core
clamps to the mandate, or refuses, whatever it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal, Protocol

from protocol.rules import Rules
from protocol.terms import Terms


@dataclass(frozen=True, slots=True)
class Accept:
    """Take their last terms."""


@dataclass(frozen=True, slots=True)
class Counter:
    """Propose these terms."""

    terms: Terms


@dataclass(frozen=True, slots=True)
class Walk:
    """Leave the talk; ``final``: don't come back for this job."""

    reason: str
    final: bool = False


Answer = Accept | Counter | Walk


@dataclass(frozen=True, slots=True)
class Mandate:
    """Hard limits that no strategy can leave; amounts in base units."""

    role: Literal["buyer", "seller"]
    worst_pay: int
    """The most that a buyer pays, the least that a seller takes."""
    best_pay: int
    """What it would dream of: utility 1."""

    def admits(self, terms: Terms) -> bool:
        """Whether these terms may be signed."""
        if self.role == "buyer":
            return terms.pay <= self.worst_pay
        return terms.pay >= self.worst_pay

    def utility(self, terms: Terms) -> float:
        """0 at the worst price that is still allowed, 1 at the best one; linear between, clamped outside."""
        span = self.best_pay - self.worst_pay
        if span == 0:
            return 1.0 if self.admits(terms) else 0.0
        return min(1.0, max(0.0, (terms.pay - self.worst_pay) / span))

    def pay_at(self, utility: float) -> int:
        """The price of that utility, rounded in one's own favour and never outside the mandate."""
        exact = self.worst_pay + min(1.0, max(0.0, utility)) * (self.best_pay - self.worst_pay)
        return int(exact) if self.role == "buyer" else -int(-exact // 1)


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy sees of one talk."""

    role: Literal["buyer", "seller"]
    mandate: Mandate
    theirs: Terms | None
    """What they proposed last."""
    mine: Terms | None
    """What I proposed last."""
    history: tuple[Terms, ...]
    """All proposals of this talk, oldest first, both sides'."""
    round: int
    """How often I have been asked in this talk, from 0."""
    rounds_left: int
    now: float
    """Seconds of the chain's clock."""
    deadline: float
    """The moment after which this talk is over."""
    market: tuple[int, ...]
    """Prices seen lately, base units for a whole job."""
    rng: Random
    rules: Rules
    base: Terms
    """The terms that `offer_at` varies: theirs if they have proposed, so that only what matters differs."""

    def utility(self, terms: Terms) -> float:
        """What these terms are worth to me: 0 the worst that I may sign, 1 the best that I hope for."""
        return self.mandate.utility(terms)

    def offer_at(self, utility: float) -> Terms:
        """Of the terms worth that much to me, the ones nearest to what they last proposed."""
        return self.rules.repriced(self.base, self.mandate.pay_at(utility))


class Strategy(Protocol):
    """What a plugin provides."""

    def decide(self, view: View) -> Answer:
        """The next move in this talk."""
        ...
