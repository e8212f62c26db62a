"""Rows of the outcome table that wait out a deadline, from the command line, between processes: run every night.

``pytest tests/node/nightly_outcome_rows.py``. The chain's clock is moved forward meanwhile; balances to the unit.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.errors import ExitCode
from tests.helpers.court import CHECK_FEE, FEE, JUDGES, JUROR_STAKE, PAY, Resident, Town, open_town
from tests.helpers.processes import assert_gone, descendants, wait_until

CHEAT, JC_STAKE = 10 * PAY, PAY // 5


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    before = descendants()
    others = {
        "liar": Resident("provider", "liar"),
        "hoarder": Resident("provider", "hoarder"),
        "phantom": Resident("provider,mediator", "phantom,sleeper"),
        "vanisher": Resident("provider,mediator", "vanisher,sleeper"),
        "late": Resident("provider,mediator", "late,colluder"),
        "defaulter": Resident("client,mediator", "defaulter,colluder"),
        "starver": Resident("client", "starver"),
    }
    with open_town(tmp_path_factory.mktemp("town"), others) as running:
        yield running
    assert_gone(before)


def gains_of(town: Town, *names: str) -> dict[str, int]:
    """What was won and lost when all of these have nothing locked any more; together it is nothing."""
    with town.hurrying():
        town.settle(*names, within=120)
    gains = town.gains()
    assert sum(gains.values()) == 0
    return gains


@pytest.mark.parametrize("provider", ["vanisher", "late"])
def test_who_vanishes_or_comes_too_late_loses_its_stake(town: Town, provider: str) -> None:
    town.note()
    ended = town.run(provider, hurry=True)
    assert ended.code == ExitCode.TIMED_OUT, ended.err
    assert gains_of(town, "client", provider) == {"client": PAY, provider: -PAY}


def test_a_delivery_that_never_was_costs_stake_and_collateral(town: Town) -> None:
    town.note()
    job = town.detach("phantom")
    town.disputed(job)
    dispute = town.ruled(job, within=150)
    assert (dispute["kind"], dispute["ruling"]) == ("contested", "NOT_FETCHABLE")
    gains = gains_of(town, "client", "phantom")
    paid = sum(gains.get(name, 0) == FEE for name in JUDGES)
    assert paid >= 2
    assert gains["phantom"] == -PAY - CHEAT
    assert gains["client"] == PAY + CHEAT - paid * FEE


def test_who_serves_only_jurors_is_paid_and_each_side_bears_half_the_fees(town: Town) -> None:
    town.note()
    job = town.detach("hoarder")
    town.disputed(job)
    dispute = town.ruled(job, within=150)
    assert (dispute["kind"], dispute["ruling"]) == ("contested", "RIGHT")
    gains = gains_of(town, "client", "hoarder")
    jurors = sum(gains.get(name, 0) == FEE for name in JUDGES)
    half = jurors * FEE // 2
    assert jurors >= 2
    assert gains["hoarder"] == PAY - half
    assert gains["client"] == -PAY - (jurors * FEE - half)


def test_inputs_that_nobody_has_cost_nobody_anything(town: Town) -> None:
    town.note()
    ended = town.run("fair", by="starver", hurry=True)
    assert ended.code == ExitCode.TIMED_OUT, ended.err
    assert gains_of(town, "starver", "fair") == {}


def test_who_takes_a_result_and_is_gone_loses_pay_and_stake(town: Town) -> None:
    town.note()
    job = town.detach("fair", by="defaulter")
    wait_until(lambda: town["defaulter"].job(job)["result"]["cid"], 60, "no result came")
    gains = gains_of(town, "fair")
    assert gains["fair"] == PAY + JC_STAKE
    assert gains["defaulter"] == -PAY - JC_STAKE


def test_a_silent_jury_leaves_half_the_pay_and_its_stakes(town: Town) -> None:
    town.note()
    pool = ("judge_a", "phantom", "vanisher")
    job = town.detach("liar", pool)
    with town.hurrying():
        dispute = town.ruled(job, within=150)
    assert dispute["ruling"] == "SPLIT"
    gains = gains_of(town, "client", "liar")
    assert gains["phantom"] in (-JUROR_STAKE, CHECK_FEE - JUROR_STAKE)
    assert gains["liar"] == PAY // 2 + JUROR_STAKE


@pytest.mark.parametrize(("friends", "ruling"), [(1, "WRONG"), (2, "RIGHT")])
def test_colluders_decide_from_a_quorum_on_and_not_before(town: Town, friends: int, ruling: str) -> None:
    pool = (*JUDGES[: 3 - friends], *("late", "defaulter")[:friends])
    town.note()
    # checked by its own machine: a colluder that is asked for a check waves the lie through
    dispute = town.run("liar", pool, "client", "--check-by", "self").document["dispute"]
    assert dispute["ruling"] == ruling
    gains = gains_of(town, "client", "liar")
    if ruling == "WRONG":
        assert gains["liar"] == -CHEAT
    else:
        assert gains["liar"] >= PAY
