"""The strategy interface: what a plugin is shown, and the three things it can answer.

A strategy is any object with ``decide(view)``: pure and synchronous. It never sees a key, a socket or a clock; the core
clamps to the mandate, or refuses, whatever it answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from agents.preferences import Lean, Mandate, Role
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
class Dealt:
    """A talk ended in a deal on these terms."""

    terms: Terms
    mandate: Mandate
    """Under which it was made; its `utility` says how good it was."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A talk ended without a deal."""

    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A deal is closed."""

    paid: int
    """Base units that went to the provider."""


@dataclass(frozen=True, slots=True)
class Breached:
    """The other side broke its word."""

    reason: str


Lesson = Dealt | Lost | Settled | Breached
"""What a strategy may learn from."""


@dataclass(frozen=True, slots=True)
class View:
    """What a strategy sees of one talk."""

    role: Role
    mandate: Mandate
    theirs: Terms | None
    """What they proposed last."""
    mine: Terms | None
    """What I proposed last."""
    history: tuple[Terms, ...]
    """All proposals of this talk, oldest first, both sides'."""
    received: tuple[Terms, ...]
    """Those of them that were theirs."""
    proposed: tuple[Terms, ...]
    """Those that were mine."""
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

    def offer_at(self, utility: float, lean: Lean = "near") -> Terms:
        """Of the terms worth that much to me, the ones nearest to what they last proposed, or as ``lean`` says."""
        return self.mandate.terms_at(utility, self.rules, self.base, self.theirs, lean)

    @property
    def lowest(self) -> float:
        """The utility of the least that can be proposed at all."""
        return self.mandate.lowest

    @property
    def time(self) -> float:
        """How much of the talk is used up, from just above 0 to 1 at the last answer."""
        return (self.round + 1) / (self.round + max(0, self.rounds_left) + 1)

    def acceptable(self) -> bool:
        """Whether there are terms of theirs that the mandate lets me take."""
        return self.theirs is not None and self.mandate.admits(self.theirs)


class Strategy(Protocol):
    """What a plugin provides."""

    def decide(self, view: View) -> Answer:
        """The next move in this talk."""
        ...


def learn(strategy: object, lesson: Lesson) -> None:
    """Tell a strategy what happened, if it has the hook for it."""
    match lesson:
        case Dealt(terms, mandate):
            name: str = "on_deal"
            arguments: tuple[Any, ...] = (terms, mandate)
        case Lost(reason):
            name, arguments = "on_no_deal", (reason,)
        case Settled(paid):
            name, arguments = "on_settled", (paid,)
        case Breached(reason):
            name, arguments = "on_breach", (reason,)
    hook = getattr(strategy, name, None)
    if hook is not None:
        hook(*arguments)
