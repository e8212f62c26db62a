"""Drawn juries and appeals, from the command line, between processes: one juror of five, then three of the other four.

``pytest tests/node/nightly_appeals.py``. Whom the chain draws is chance, so each test looks at who sat; balances to the
unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.helpers.court import FEE, JUDGES, JUROR_STAKE, PAY, RULES, Resident, Town, open_town
from tests.helpers.processes import assert_gone, descendants

CHEAT = 10 * PAY
APPEAL_BOND = 3 * FEE
BOUGHT = ("bought_a", "bought_b")
MOST_TRIES = 14
"""Two of five jurors are bought: a first jury is theirs with chance .4, and in this many tries none with .001."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    before = descendants()
    others = {
        "liar": Resident("provider", "liar"),
        "fair": Resident("provider,mediator"),
        "accuser": Resident("client", "accuser"),
        **dict.fromkeys(BOUGHT, Resident("mediator", "colluder")),
    }
    rules = f"{RULES}\nappeal = 30\njurors = 1\nquorum = 1"
    with open_town(tmp_path_factory.mktemp("town"), others, rules) as running:
        yield running
    assert_gone(before)


def judged(
    town: Town, provider: str, pool: tuple[str, ...], by: str = "client"
) -> tuple[dict[str, Any], dict[str, int]]:
    """A job that is checked by its buyer's own machine and disputed to the end: its dispute, and who gained what."""
    town.note()
    ended = town.run(provider, pool, by, "--check-by", "self", hurry=True)
    dispute = ended.document["dispute"]
    assert dispute is not None, (ended.document, ended.err)
    assert dispute["final"], dispute
    with town.hurrying():
        town.settle(by, provider, within=120)
    gains = town.gains()
    assert sum(gains.values()) == 0
    return dispute, gains


def sat(town: Town, dispute: dict[str, Any]) -> list[set[str]]:
    """Who sat on each jury."""
    names = {node.peer: name for name, node in town.network.nodes.items()}
    return [{names[juror] for juror in jury} for jury in dispute["juries"]]


def fees(gains: dict[str, int], jury: set[str]) -> int:
    """What was paid for the votes of these."""
    paid = [gains.get(name, 0) for name in jury]
    assert set(paid) <= {0, FEE}
    return sum(paid)


def test_an_appeal_overturns_what_a_bought_juror_ruled_and_takes_its_stake(town: Town) -> None:
    seen = []
    for _ in range(MOST_TRIES):
        dispute, gains = judged(town, "liar", (*JUDGES, *BOUGHT))
        first, second = sat(town, dispute)
        assert (len(first), len(second)) == (1, 3)
        assert not first & second
        bought = len(second & set(BOUGHT))
        seen.append((first, second, dispute["ruling"]))
        assert dispute["ruling"] == ("RIGHT" if bought >= 2 else "WRONG"), seen
        if not first <= set(BOUGHT):
            continue
        (juror,) = first
        paid = fees(gains, second)
        assert paid >= 2 * FEE
        half = JUROR_STAKE // 2
        assert gains == {
            "liar": half - CHEAT,
            "client": half + CHEAT - paid,
            juror: -JUROR_STAKE,
            **{name: FEE for name in second if gains.get(name)},
        }
        return
    pytest.fail(f"no first jury was bought: {seen}")


def test_an_appeal_against_honest_jurors_is_upheld_and_paid_for_by_who_lost_it(town: Town) -> None:
    dispute, gains = judged(town, "liar", (*JUDGES, "fair"))
    first, second = sat(town, dispute)
    assert dispute["ruling"] == "WRONG"
    assert first | second == {*JUDGES, "fair"}
    paid = fees(gains, second)
    assert paid >= 2 * FEE
    assert fees(gains, first) == FEE
    assert gains["liar"] == -CHEAT - APPEAL_BOND
    assert gains["client"] == CHEAT - FEE + APPEAL_BOND - paid


def test_a_false_accuser_may_be_judged_by_a_drawn_juror_and_pays_it(town: Town) -> None:
    dispute, gains = judged(town, "fair", JUDGES, by="accuser")
    (jury,) = sat(town, dispute)
    assert (len(jury), dispute["ruling"]) == (1, "RIGHT"), "three are too few for an appeal to three others"
    assert gains == {"accuser": -PAY - FEE, "fair": PAY, next(iter(jury)): FEE}
