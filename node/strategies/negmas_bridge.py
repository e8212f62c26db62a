"""NegMAS's negotiators as strategies: ``negmas:MiCRONegotiator`` and any other class of `negmas.sao`.

Runs inside a plugin's walls. A talk becomes a mechanism of alternating offers in which the other side's moves are put
in by hand; prices and wishes become a grid of outcomes, and the mandate's utility the negotiator's own.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections import OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

# started by its path inside the walls, where only the house and the installed packages can be imported
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != Path(__file__).resolve().parent]

from agents.preferences import Mandate, rows_of, shaped  # noqa: E402
from agents.strategy import Accept, Answer, Counter, View, Walk  # noqa: E402
from protocol.terms import Terms  # noqa: E402

PRICES = 60
"""Steps of the price."""
MOST_OUTCOMES = 4000
"""More would take some negotiators seconds to sort."""
MOST_TALKS = 64

warnings.filterwarnings("ignore")


class Table:
    """A mechanism of NegMAS with one negotiator at it; the other side's moves are put in from outside."""

    def __init__(self, kind: type, worth: dict[tuple[int, int], float], steps: int, *, first: bool) -> None:
        from negmas import make_issue, make_os
        from negmas.preferences import MappingUtilityFunction
        from negmas.sao import ResponseType, SAOMechanism, SAONegotiator, SAOResponse

        class Remote(SAONegotiator):  # type: ignore[misc]
            """The other side."""

            def propose(self, state: Any, dest: Any = None) -> None:
                return None

            def respond(self, state: Any, source: Any = None) -> Any:
                return ResponseType.REJECT_OFFER

        prices, rests = (1 + max(outcome[place] for outcome in worth) for place in (0, 1))
        space = make_os([make_issue(prices, "price"), make_issue(rests, "rest")])
        ufun = MappingUtilityFunction(mapping=worth, outcome_space=space, reserved_value=0.0)
        self.mechanism = SAOMechanism(outcome_space=space, n_steps=steps, one_offer_per_step=True)
        self.remote = Remote(name="them")
        mine = kind(ufun=ufun)
        for one in (mine, self.remote) if first else (self.remote, mine):
            self.mechanism.add(one)
        self._said: Any = lambda outcome: SAOResponse(ResponseType.REJECT_OFFER, outcome)

    def hear(self, outcome: tuple[int, int]) -> None:
        """They propose this."""
        self.mechanism.step({self.remote.id: self._said(outcome)})

    def speak(self) -> Any:
        """The state after the negotiator's own move."""
        if not self.mechanism.state.ended:
            self.mechanism.step()
        return self.mechanism.state


class Talk:
    """One negotiator in one talk."""

    def __init__(self, kind: type, view: View) -> None:
        self.mandate = view.mandate
        rows = rows_of(view.mandate.wishes, view.mandate.step).by_worth
        span = self.mandate.best_pay - self.mandate.worst_pay
        cuts = max(2, min(PRICES, MOST_OUTCOMES // len(rows), abs(span) + 1))
        self.pays = [self.mandate.worst_pay + span * cut // (cuts - 1) for cut in range(cuts)]
        self.rows = [row.values for row in rows]
        worth = {
            (price, row): self.mandate.utility(self.terms((price, row), view))
            for price, row in product(range(len(self.pays)), range(len(self.rows)))
        }
        self.table = Table(kind, worth, 2 * (view.rounds_left + 1), first=view.role == "buyer")

    def terms(self, outcome: tuple[int, int], view: View) -> Terms:
        """Terms of this outcome."""
        values = dict(zip((wish.issue for wish in self.mandate.wishes), self.rows[outcome[1]], strict=True))
        return shaped(view.rules, view.base, self.pays[outcome[0]], values)

    def outcome(self, terms: Terms) -> tuple[int, int]:
        """The nearest outcome to these terms, no better than they are."""
        price = min(range(len(self.pays)), key=lambda i: abs(self.pays[i] - terms.pay))
        values = [wish.issue.of(terms) for wish in self.mandate.wishes]
        row = min(
            range(len(self.rows)), key=lambda i: sum(abs(a - b) for a, b in zip(self.rows[i], values, strict=True))
        )
        return price, row

    def answer(self, view: View) -> Answer:
        """The negotiator's next move."""
        if view.theirs is not None:
            self.table.hear(self.outcome(view.theirs))
        state = self.table.speak()
        if state.agreement is not None and view.acceptable():
            return Accept()
        if state.ended or state.current_offer is None:
            return Walk("the negotiator ended the talk")
        price, rest = map(int, state.current_offer)
        return Counter(self.terms((price, rest), view))


class Bridge:
    """A strategy that gives each talk a negotiator of its own."""

    kind: type

    def __init__(self) -> None:
        self._talks: OrderedDict[tuple[Mandate, int, tuple[Terms, ...]], Talk] = OrderedDict()

    def decide(self, view: View) -> Answer:
        """Find the talk again by what was said in it before, and let its negotiator speak."""
        talk = self._talks.pop(_name(view, view.proposed, view.received[: len(view.received) - 1]), None)
        talk = talk or Talk(self.kind, view)
        answer = talk.answer(view)
        if isinstance(answer, Counter):
            self._talks[_name(view, (*view.proposed, answer.terms), view.received)] = talk
            while len(self._talks) > MOST_TALKS:
                self._talks.popitem(last=False)
        return answer


def _name(view: View, mine: tuple[Terms, ...], theirs: tuple[Terms, ...]) -> tuple[Mandate, int, tuple[Terms, ...]]:
    return view.mandate, view.base.start_by, (*mine, *theirs)


def __getattr__(name: str) -> type:
    kind = getattr(importlib.import_module("negmas.sao"), name, None) if name[:1].isupper() else None
    if not isinstance(kind, type):
        raise AttributeError(f"negmas.sao has no class {name}")  # noqa: TRY004  (what getattr expects)
    # whatever a first move loads takes seconds, which the first answer would not have; and what can't play is told now
    table = Table(kind, {(price, 0): price / 3 for price in range(4)}, 8, first=True)
    table.speak()
    table.hear((1, 0))
    table.speak()
    return type(name, (Bridge,), {"kind": kind})
