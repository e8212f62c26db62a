"""Rows of the outcome table from the command line, between processes: real runs, a real chain, balances to the unit.

Rows that wait out a deadline are in `nightly_outcome_rows.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.errors import ExitCode
from tests.helpers.court import CHECK_FEE, FEE, JUDGES, PAY, STAKE, Resident, Town, open_town
from tests.helpers.processes import assert_gone, descendants

CHEAT = 10 * PAY
BEARS_CHECKS = '[wishes]\ncheck_payer = "100..0:1"\n'
"""An honest seller, whatever it is as a buyer, that bears checks for a buyer that insists."""


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    before = descendants()
    others = {
        "liar": Resident("provider", "liar"),
        "hoarder": Resident("provider,mediator", "hoarder,guesser"),
        "accuser": Resident("provider,client,mediator", "accuser,copier", BEARS_CHECKS),
    }
    with open_town(tmp_path_factory.mktemp("town"), others) as running:
        yield running
    assert_gone(before)


def test_all_is_well(town: Town) -> None:
    town.note()
    ended = town.run("fair")
    assert ended.code == ExitCode.OK, ended.err
    verification = ended.document["verification"]
    assert verification["verdict"] == "accepted"
    (checker,) = verification["mediators"]
    name = next(name for name in JUDGES if town[name].peer == checker)
    town.settle("client", "fair")
    assert town.gains() == {"client": -PAY - CHECK_FEE, "fair": PAY, name: CHECK_FEE}


def test_a_provider_that_agreed_to_bear_checks_takes_the_mediators_fee_off_its_bill(town: Town) -> None:
    town.note()
    insists = ("--wish", "check_payer=100..100:0", "--max-price", PAY)
    ended = town.run("accuser", JUDGES, "client", *insists)
    assert ended.code == ExitCode.OK, ended.err
    town.settle("client", "accuser")
    assert ended.document["price"]["paid"] == str(PAY - CHECK_FEE)
    (checker,) = ended.document["verification"]["mediators"]
    name = next(name for name in JUDGES if town[name].peer == checker)
    assert town.gains() == {"client": -PAY, "accuser": PAY - CHECK_FEE, name: CHECK_FEE}
    explained = town["client"].lilypad("jobs", "explain", ended.document["job"]).out
    assert f"a mediator's check costs {CHECK_FEE}, and the provider bears all of it" in explained
    assert f"the provider bears {CHECK_FEE} of the mediator's {CHECK_FEE}" in explained
    refused = town.run("accuser", JUDGES, "client", "--wish", "check_payer=0..200:5")
    assert refused.code == ExitCode.USAGE
    assert "check_payer" in refused.err


def test_a_wrong_result_costs_its_provider_the_collateral_and_anybody_can_check_why(town: Town, tmp_path: Path) -> None:
    town.note()
    ended = town.run("liar")
    document, dispute = ended.document, ended.document["dispute"]
    assert ended.code == ExitCode.NOT_VERIFIED, ended.err
    assert document["outcome"] == "DISPUTED"
    assert document["price"]["paid"] == "0"
    assert document["verification"]["verdict"] == "rejected"
    assert (dispute["kind"], dispute["ruling"], dispute["final"]) == ("accused", "WRONG", True)
    (jury,) = dispute["juries"]
    assert len(jury) == len({vote["juror"] for vote in dispute["votes"]}) == 3
    assert {vote["ruling"] for vote in dispute["votes"]} == {"WRONG"}
    calls = [sent["call"] for sent in document["chain"]["transactions"]]
    assert sorted(calls) == ["accuse", "castvotes", "open", "transfer"]
    convicted(town, JUDGES, at_least=2)
    money = document["money"]
    assert money["locked"]["bond"] == str(3 * FEE)
    assert int(money["locked"]["provider"]) > CHEAT
    assert (money["still_locked"]["ours"], money["check_fees"]) == ("0", str(CHECK_FEE))
    won = money["ruling"]["won"]
    assert int(won["least"]) <= town.gains()["client"] + CHECK_FEE <= int(won["most"]) == CHEAT
    job, place = document["job"], tmp_path / "record.json"
    shown = town["client"].lilypad("jobs", "show", job).out
    assert all(word in shown for word in ("accused before the vault", "the jury", "voted WRONG", "ruled WRONG, final"))
    assert f"the ruling: won {won['least']} to {won['most']}" in shown
    explained = town["client"].lilypad("jobs", "explain", job).out
    assert all(
        word in explained for word in ("accused before the vault", "the jury", "voted WRONG", "ruled WRONG, final")
    )
    wrote = town["client"].lilypad("jobs", "show", job, "--record", place, "--json")
    assert wrote.document == {"job": job, "record": str(place)}
    checked = town["client"].inside("dispute", "verify", place)
    assert checked.code == ExitCode.OK, checked.out
    assert "all hold" in checked.out
    assert town["client"].inside("dispute", "verify", place, "--json").document["holds"] is True
    place.write_text(place.read_text().replace('"outcome": 2', '"outcome": 1'))
    assert town["client"].inside("dispute", "verify", place).code == ExitCode.NOT_VERIFIED


def test_a_false_accuser_pays_the_jury_and_the_provider(town: Town) -> None:
    town.note()
    ended = town.run("fair", by="accuser")
    assert ended.document["dispute"]["ruling"] == "RIGHT"
    town.settle("accuser", "fair")
    gains = town.gains()
    paid = jurors_paid(gains, JUDGES)
    assert paid >= 2
    bond = 3 * FEE
    assert gains["fair"] == PAY + bond - paid * FEE
    assert gains["accuser"] == -PAY - bond - CHECK_FEE
    money = ended.document["money"]
    assert money["ruling"]["lost"] == {"least": str(bond), "most": str(bond)}
    assert money["check_fees"] == str(CHECK_FEE)
    assert sum(gains.values()) == 0


def test_a_copier_is_paid_nothing(town: Town) -> None:
    town.note()
    ended = town.run("liar", ("judge_a", "judge_b", "accuser"))
    assert ended.document["dispute"]["ruling"] == "WRONG"
    convicted(town, ("judge_a", "judge_b"), at_least=2)


def test_a_guesser_is_paid_nothing_and_convicts_nobody(town: Town) -> None:
    town.note()
    ended = town.run("liar", ("judge_a", "judge_b", "hoarder"))
    assert ended.document["dispute"]["ruling"] == "WRONG"
    convicted(town, ("judge_a", "judge_b"), at_least=2)
    town.note()
    ended = town.run("fair", ("judge_a", "judge_b", "hoarder"), by="accuser")
    assert ended.document["dispute"]["ruling"] == "RIGHT"
    town.settle("accuser", "fair")
    gains = town.gains()
    assert gains["fair"] == PAY + FEE, "two jurors were paid out of a bond for three"
    assert gains.get("hoarder", 0) in (0, CHECK_FEE)
    assert sum(gains.values()) == 0


def test_two_disputes_at_once_do_not_touch_each_other(town: Town) -> None:
    town.note()
    jobs = [town.detach("liar") for _ in range(2)]
    assert [town.ruled(job)["ruling"] for job in jobs] == ["WRONG", "WRONG"]
    town.settle("client", "liar")
    gains = town.gains()
    fees = sum(gains.get(name, 0) for name in JUDGES)
    assert gains["liar"] == -2 * CHEAT
    assert gains["client"] == 2 * CHEAT - fees
    assert 4 <= (fees - 2 * CHECK_FEE) // FEE <= 6
    assert sum(gains.values()) == 0


def convicted(town: Town, jurors: tuple[str, ...], at_least: int) -> None:
    """The liar has lost its collateral, to the client and to those of these jurors whose votes were handed in."""
    town.settle("client", "liar")
    gains = town.gains()
    paid = jurors_paid(gains, jurors)
    assert paid >= at_least
    assert gains["liar"] == -CHEAT
    assert gains["client"] == CHEAT - paid * FEE - CHECK_FEE
    assert sum(gains.values()) == 0
    others = {name: gain for name, gain in gains.items() if name not in (*jurors, "liar", "client")}
    assert all(gain == CHECK_FEE for gain in others.values()), "whoever checked is paid for that alone"


def jurors_paid(gains: dict[str, int], jurors: tuple[str, ...]) -> int:
    """How many of these were paid for their votes; one of them may have been paid for its check as well."""
    return sum(gains.get(name, 0) in (FEE, FEE + CHECK_FEE) for name in jurors)


def test_a_mediator_without_the_money_for_its_stake_is_told_what_to_do(town: Town) -> None:
    judge = town["judge_c"]
    money = judge.api("/api/v1/status")["money"]
    judge.end()
    has = int(money["free"]) + int(money["stake"])  # not what it began with: it has judged in the tests above
    ended = judge.lilypad("node", "start", "--role", "mediator", "--stake", has + 5)
    judge.begin("--role", "mediator", "--stake", STAKE)
    assert ended.code == ExitCode.FUNDS_OR_KEY
    assert "wallet deposit 5" in ended.err
