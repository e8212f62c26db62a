"""Where strategies are tried against each other: random domains of two issues, and how good a deal is in one.

A domain has two issues of 100 values each, price and delivery; each side's utility is linear, with random weights in
[0.2, 0.8] and a random reserve in [0, 0.3]. A talk is alternating offers over some rounds, one offer a side each.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from random import Random

from agents.preferences import Issue, Mandate, Wish
from agents.strategy import Accept, Answer, Counter, Strategy, View, Walk
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.job import Job, Resources
from protocol.rules import Rules
from protocol.terms import Terms

SIZE = 100
UNIT = 10**9
"""Base units of one step of the price, so that rounding is nowhere near the distance of two outcomes."""
RULES = Rules(Domain(1337, Address(b"\x77" * 20)), transfer=SIZE - 1)
TIMEOUT = 30
JOB = Job("sha256:0", "", "", "wasm", Resources(1000, 64, 64, 0, 0, TIMEOUT), "exact", bytes(32))
BASE = RULES.terms(1_700_000_000, JOB, 0, 0, ())


@dataclass(frozen=True, slots=True)
class Scenario:
    """One random domain: the buyer wants both issues low, the seller both high."""

    buyer: float
    """The weight of the price; the delivery has the rest."""
    seller: float
    buyer_reserve: float
    seller_reserve: float

    @classmethod
    def draw(cls, seed: int) -> Scenario:
        rng = Random(seed)
        return cls(0.2 + 0.6 * rng.random(), 0.2 + 0.6 * rng.random(), 0.3 * rng.random(), 0.3 * rng.random())

    def utilities(self, price: int, delivery: int) -> tuple[float, float]:
        """Of buyer and seller, each in [0, 1]."""
        p, d = price / (SIZE - 1), delivery / (SIZE - 1)
        return self.buyer * (1 - p) + (1 - self.buyer) * (1 - d), self.seller * p + (1 - self.seller) * d

    def mandate(self, role: str) -> Mandate:
        """The same preferences, in money."""
        span = UNIT * (SIZE - 1)
        soon, late = TIMEOUT, TIMEOUT + SIZE - 1
        if role == "buyer":
            wish = Wish(Issue.DELIVERY, late, soon, round(span * (1 - self.buyer) / self.buyer), SIZE - 1)
            return Mandate("buyer", span, 0, (wish,), round(span * self.buyer_reserve / self.buyer), UNIT)
        wish = Wish(Issue.DELIVERY, soon, late, round(span * (1 - self.seller) / self.seller), SIZE - 1)
        return Mandate("seller", 0, span, (wish,), round(span * self.seller_reserve / self.seller), UNIT)


def outcome(terms: Terms) -> tuple[int, int]:
    """Price and delivery, 0 to 99 each."""
    return terms.pay // UNIT, terms.deliver_by - terms.start_by - TIMEOUT


class Side:
    """One side of a talk, as an agent would keep it."""

    def __init__(self, strategy: Strategy, mandate: Mandate, rounds: int, rng: Random) -> None:
        self.strategy = strategy
        self.mandate = mandate
        self.rounds = rounds
        self.rng = rng
        self.proposed: tuple[Terms, ...] = ()
        self.received: tuple[Terms, ...] = ()
        self.asked = 0

    def view(self, theirs: Terms | None, history: tuple[Terms, ...]) -> View:
        """What its strategy is shown next."""
        if theirs is not None:
            self.received = (*self.received, theirs)
        view = View(
            role=self.mandate.role,
            mandate=self.mandate,
            theirs=theirs,
            mine=self.proposed[-1] if self.proposed else None,
            history=history,
            received=self.received,
            proposed=self.proposed,
            round=self.asked,
            rounds_left=self.rounds - self.asked,
            now=BASE.start_by - 30.0,
            deadline=BASE.start_by,
            market=(),
            rng=self.rng,
            rules=RULES,
            base=BASE,
        )
        self.asked += 1
        return view


Talking = Generator[tuple[Side, View], Answer, tuple[Terms | None, list[Terms]]]


def talking(buyer: Side, seller: Side) -> Talking:
    """One talk, question by question: yields who is asked and what it sees, is sent the answer.

    Returns what the two agree on, None without a deal, and all that was proposed.
    """
    theirs: Terms | None = None
    history: list[Terms] = []
    for _ in range(buyer.rounds):
        for side in (buyer, seller):
            match (yield side, side.view(theirs, tuple(history))):
                case Accept():
                    return theirs, history
                case Counter(terms):
                    theirs = terms
                    side.proposed = (*side.proposed, terms)
                    history.append(terms)
                case Walk():
                    return None, history
    return None, history


def talk(buyer: Side, seller: Side) -> tuple[Terms | None, list[Terms]]:
    """A talk between two strategies that answer at once."""
    talk = talking(buyer, seller)
    answer: Answer | None = None
    while True:
        try:
            side, view = next(talk) if answer is None else talk.send(answer)
        except StopIteration as end:
            agreed: tuple[Terms | None, list[Terms]] = end.value
            return agreed
        answer = side.strategy.decide(view)


@dataclass(frozen=True, slots=True)
class Score:
    """How good one agreement is in its domain."""

    agreed: bool
    buyer: float
    seller: float
    welfare: float
    """The sum of utilities, as a share of the largest possible."""
    pareto: float
    """Distance to the Pareto front, in utilities."""
    nash: float
    """Distance to the Nash bargaining solution."""


class Measure:
    """One domain's outcomes, worked out once."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        points = [scenario.utilities(p, d) for p in range(SIZE) for d in range(SIZE)]
        low = scenario.buyer_reserve, scenario.seller_reserve
        feasible = [point for point in points if point[0] >= low[0] and point[1] >= low[1]]
        self.zone = bool(feasible)
        self.most = max((sum(point) for point in feasible), default=1.0)
        self.best = max(feasible, key=lambda it: (it[0] - low[0]) * (it[1] - low[1]), default=low)
        self.front: list[tuple[float, float]] = []
        for point in sorted(points, reverse=True):
            if not self.front or point[1] > self.front[-1][1] + 1e-12:
                self.front.append(point)

    def score(self, agreed: tuple[int, int] | None) -> Score:
        """Of one outcome; without any, both sides keep their reserves."""
        if agreed is None:
            low = self.scenario.buyer_reserve, self.scenario.seller_reserve
            return Score(False, *low, sum(low) / self.most, math.nan, math.nan)
        point = self.scenario.utilities(*agreed)
        pareto = min(math.dist(point, other) for other in self.front)
        return Score(True, *point, sum(point) / self.most, pareto, math.dist(point, self.best))
