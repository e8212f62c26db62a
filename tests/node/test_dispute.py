"""Disputes from the command line, between processes: real runs, a real chain, balances to the unit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.errors import ExitCode
from tests.helpers.network import DEPOSIT, Network, open_network
from tests.helpers.processes import wait_until
from tests.helpers.programs import program, write_module

FEE, STAKE = 50, 5_000
RULES = (
    "lock_within = 20\ntransfer = 10\ngrace = 30\nanswer = 20\njudge = 40\nclaim = 60\n"
    f"fee = {FEE}\njuror_stake = 1000\ncheck_fee = 7"
)
JUDGES = ("judge_a", "judge_b", "judge_c")


@contextmanager
def court(folder: Path, kind: str) -> Iterator[Network]:
    """One provider that cheats this way, three staked mediators, and a client."""
    roles = {"cheat": "provider", **dict.fromkeys(JUDGES, "mediator"), "client": "client"}
    staked = dict.fromkeys(JUDGES, ("--stake", STAKE))
    with open_network(
        folder, roles, RULES, arguments=staked, environment={"cheat": {"LILYPAD_DISHONEST": kind}}
    ) as town:
        for name in JUDGES:
            wait_until(lambda n=name: town.nodes[n].money()["free"] == DEPOSIT - STAKE, 20, f"{name} did not join")
        yield town


def test_a_liar_is_convicted_by_three_mediators_and_pays_for_it(tmp_path: Path) -> None:
    with court(tmp_path, "liar") as town:
        ended = town.run("cowsay:v0.1", "moo", "--check", "1", "--json", timeout=120)
        document = ended.document
        pay = int(document["price"]["agreed"])
        assert ended.code == ExitCode.NOT_VERIFIED, ended.err
        assert document["outcome"] == "DISPUTED"
        assert document["price"]["paid"] == "0"
        assert document["verification"]["verdict"] == "rejected"
        dispute = document["dispute"]
        assert (dispute["kind"], dispute["ruling"], dispute["final"]) == ("accused", "WRONG", True)
        (jury,) = dispute["juries"]
        assert len(jury) == len({vote["juror"] for vote in dispute["votes"]}) == 3
        assert {vote["ruling"] for vote in dispute["votes"]} == {"WRONG"}
        checks = 0 if document["price"]["paid"] == "0" else 7
        client, cheat = town.nodes["client"].money(), town.nodes["cheat"].money()
        paid_jurors = (10 * pay - (client["free"] - DEPOSIT) - checks) // FEE
        assert paid_jurors in (2, 3), "those whose votes were in the call"
        assert client == {"free": DEPOSIT + 10 * pay - paid_jurors * FEE, "locked": 0}
        assert cheat == {"free": DEPOSIT - 10 * pay, "locked": 0}
        calls = [sent["call"] for sent in document["chain"]["transactions"]]
        assert calls == ["open", "accuse", "castvotes"]


def test_a_delivery_that_never_was_is_contested_and_costs_all(tmp_path: Path) -> None:
    with court(tmp_path, "phantom") as town:
        quick = write_module(tmp_path / "quick", program("say"), "timeout_s = 5")
        started = town.run(quick, "--detach", timeout=60)
        job = started.out.split()[0]
        client = town.nodes["client"]

        def ruled() -> bool:
            town.chain.pass_time(1)  # all deadlines are the chain's
            time.sleep(0.3)
            dispute = client.job(job).get("dispute")
            return bool(dispute) and dispute["final"]

        wait_until(ruled, 90, "no ruling came")
        document = client.job(job)
        assert document["dispute"]["kind"] == "contested"
        assert document["dispute"]["ruling"] == "NOT_FETCHABLE"
        pay = int(document["price"]["agreed"])
        assert town.nodes["cheat"].money() == {"free": DEPOSIT - 11 * pay, "locked": 0}


def test_a_mediator_without_the_money_for_its_stake_is_told_what_to_do(tmp_path: Path) -> None:
    with open_network(tmp_path, {"judge": "mediator"}, RULES) as town:
        judge = town.nodes["judge"]
        judge.end()
        ended = judge.lilypad("node", "start", "--role", "mediator", "--stake", DEPOSIT + 5)
        assert ended.code == ExitCode.FUNDS_OR_KEY
        assert "wallet deposit 5" in ended.err
