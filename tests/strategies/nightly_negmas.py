"""Real NegMAS negotiators behind our protocol, in their worker: runs where the extra ``negmas`` is installed.

In an environment of its own, at night: `.ci/with-negmas` makes it. NegMAS brings half a gigabyte that no node needs.
"""

from __future__ import annotations

from random import Random

import pytest

from agents.arena import Scenario, Side, outcome, talking
from agents.strategies.built_in import BUILT_IN
from node.errors import UserError
from node.strategies.finding import PythonClass, find
from node.strategies.worker import open_worker
from protocol.terms import Terms

ROUNDS = 12
TALKERS = (
    "BoulwareTBNegotiator",
    "ConcederTBNegotiator",
    "HybridNegotiator",
    "NaiveTitForTatNegotiator",
    "FastMiCRONegotiator",
)


async def play(sides: list[Side], theirs: Side, reference: str) -> Terms | None:
    """A whole talk, one side of it in its worker."""
    found = find(reference)
    assert isinstance(found, PythonClass)
    async with open_worker(found) as worker:
        talk = talking(sides[0], sides[1])
        answer = None
        while True:
            try:
                side, view = next(talk) if answer is None else talk.send(answer)
            except StopIteration as end:
                agreed: Terms | None = end.value[0]
                return agreed
            answer = await worker.decide(view) if side is theirs else side.strategy.decide(view)


@pytest.mark.parametrize("name", TALKERS)
@pytest.mark.parametrize("role", ["buyer", "seller"])
async def test_a_negotiator_of_negmas_agrees_with_ours_inside_both_mandates(name: str, role: str) -> None:
    scenario = Scenario.draw(1)
    sides = [Side(BUILT_IN["micro"](), scenario.mandate(each), ROUNDS, Random(0)) for each in ("buyer", "seller")]
    agreed = await play(sides, sides[role == "seller"], f"negmas:{name}")
    assert agreed is not None
    utilities = scenario.utilities(*outcome(agreed))
    assert utilities[0] >= scenario.buyer_reserve - 0.02
    assert utilities[1] >= scenario.seller_reserve - 0.02


async def test_a_class_that_negmas_has_not_is_refused() -> None:
    with pytest.raises(UserError, match="no class Nobody"):
        async with open_worker(find("negmas:Nobody")):  # type: ignore[arg-type]
            pass


async def test_a_class_that_cannot_play_alone_is_refused_before_any_talk() -> None:
    with pytest.raises(UserError, match="Must specify either"):
        async with open_worker(find("negmas:SAOMetaNegotiator")):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize("role", ["buyer", "seller"])
async def test_one_that_never_gives_in_ends_without_a_deal(role: str) -> None:
    scenario = Scenario.draw(1)
    sides = [Side(BUILT_IN["micro"](), scenario.mandate(each), ROUNDS, Random(0)) for each in ("buyer", "seller")]
    agreed = await play(sides, sides[role == "seller"], "negmas:ToughNegotiator")
    assert agreed is None
