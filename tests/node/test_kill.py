"""`kill -9` of either side at any point of a deal: restarted, it goes on, and the money is explained to the unit.

The chain stops mining where a point would otherwise pass too quickly to be hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.network import Network, Node, money_report, open_network
from tests.helpers.processes import assert_gone, descendants, wait_until
from tests.helpers.programs import busy, program, write_module

RULES = "lock_within = 30\ntransfer = 30\ngrace = 20\nanswer = 20\njudge = 20\nclaim = 60"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """One provider and one client, who know only a third: each must find the other again by itself."""
    before = descendants()
    roles = {"judge": "mediator", "provider_a": "provider", "client": "client"}
    with open_network(tmp_path_factory.mktemp("pair"), roles, RULES, hub="judge") as running:
        yield running
    assert_gone(before)


@pytest.fixture
def stopped_chain(pair: Network) -> Iterator[Network]:
    """A chain that mines nothing until it is told to."""
    yield pair
    mine_again(pair)


def mine_again(network: Network) -> None:
    network.chain.call("evm_setAutomine", True)
    network.chain.call("evm_mine")


def ask(network: Network, module: Path, check: int = 0) -> str:
    """Have a job done by the running node; its id."""
    told = network.run(module, "--detach", "--check", check)
    assert told.code == 0, told.err
    return told.out.strip()


def reach(node: Node, job: str, event: str) -> None:
    wait_until(lambda: event in node.events(job), 20, f"never {event}")


def restart(network: Network, name: str) -> None:
    network.nodes[name].begin("--role", {"provider_a": "provider", "client": "client"}[name])


def settle_up(network: Network, job: str, before: dict[str, tuple[int, int]], within: float = 40.0) -> None:
    """The job ends well, is paid for once, and not a unit is missing anywhere."""
    client = network.nodes["client"]
    got = client.lilypad("jobs", "resume", job, "--json", timeout=within)
    assert got.code == 0, (got.err, client.log(), network.nodes["provider_a"].log())
    document = got.document
    assert document["result"]["stdout"] == "done\n"
    paid = int(document["price"]["paid"])
    assert str(paid) == document["price"]["agreed"]
    expected = {
        "judge": before["judge"],
        "provider_a": (before["provider_a"][0] + paid, 0),
        "client": (before["client"][0] - paid, 0),
    }
    wait_until(lambda: money_report(network) == expected, 15, f"expected {expected}, found {money_report(network)}")
    assert [each["call"] for each in document["chain"]["transactions"]].count("settle") <= 1


@pytest.mark.parametrize("victim", ["client", "provider_a"])
def test_killed_between_agreement_and_lock(stopped_chain: Network, tmp_path: Path, victim: str) -> None:
    network = stopped_chain
    before = money_report(network)
    network.chain.call("evm_setAutomine", False)
    job = ask(network, write_module(tmp_path / "quick", program("say")))
    reach(network.nodes["client"], job, "agreed")
    network.nodes[victim].kill()
    assert "locked" not in network.nodes["client"].events(job)
    mine_again(network)
    restart(network, victim)
    settle_up(network, job, before)


@pytest.mark.parametrize("victim", ["client", "provider_a"])
def test_killed_while_the_module_runs(pair: Network, tmp_path: Path, victim: str) -> None:
    before = money_report(pair)
    job = ask(pair, write_module(tmp_path / "slow", busy(2_500_000_000)))
    reach(pair.nodes["client"], job, "running")
    pair.nodes[victim].kill()
    assert "arrived" not in pair.nodes["client"].events(job)
    restart(pair, victim)
    settle_up(pair, job, before)


@pytest.mark.parametrize("victim", ["client", "provider_a"])
def test_killed_between_result_and_pay(stopped_chain: Network, tmp_path: Path, victim: str) -> None:
    network = stopped_chain
    before = money_report(network)
    job = ask(network, write_module(tmp_path / "slow", busy(500_000_000)))
    reach(network.nodes["client"], job, "locked")
    network.chain.call("evm_setAutomine", False)
    reach(network.nodes["client"], job, "checked")
    network.nodes[victim].kill()
    assert "ended" not in network.nodes["client"].events(job)
    mine_again(network)
    restart(network, victim)
    settle_up(network, job, before)


def test_killed_while_a_mediator_checks(pair: Network, tmp_path: Path) -> None:
    before = money_report(pair)
    job = ask(pair, write_module(tmp_path / "slow", busy(1_500_000_000)), check=1)
    reach(pair.nodes["client"], job, "held")
    pair.nodes["client"].kill()
    assert "checked" not in pair.nodes["client"].events(job)
    restart(pair, "client")
    settle_up(pair, job, before)
    assert pair.nodes["client"].job(job)["verification"]["verdict"] == "accepted"


def test_both_killed_at_once(pair: Network, tmp_path: Path) -> None:
    before = money_report(pair)
    job = ask(pair, write_module(tmp_path / "slow", busy(1_500_000_000)))
    reach(pair.nodes["client"], job, "running")
    pair.nodes["client"].kill()
    pair.nodes["provider_a"].kill()
    restart(pair, "client")
    restart(pair, "provider_a")
    settle_up(pair, job, before)


def test_a_provider_that_never_comes_back_costs_itself_and_nobody_else(pair: Network, tmp_path: Path) -> None:
    before = money_report(pair)
    client = pair.nodes["client"]
    job = ask(pair, write_module(tmp_path / "slow", busy(3_000_000_000)))
    reach(client, job, "running")
    pair.nodes["provider_a"].kill()
    pay = int(client.job(job)["price"]["agreed"])
    pair.chain.pass_time(105)  # past the delivery and its grace: the chain's clock decides, not ours
    wait_until(lambda: client.events(job)["transaction"]["call"] == "absent", 15, "its absence was not claimed")
    ended = client.lilypad("jobs", "get", job, "--json", timeout=40)
    assert (ended.code, ended.document["outcome"], ended.document["price"]["paid"]) == (7, "TIMED_OUT", "0")
    pair.chain.pass_time(30)  # past its time to answer
    made_whole = {"free": before["client"][0] + pay, "locked": 0}
    wait_until(lambda: client.events(job)["transaction"]["call"] == "finalize", 40, f"not finalized: {client.log()}")
    wait_until(lambda: client.money() == made_whole, 15, f"{client.money()} is not {made_whole}")
    restart(pair, "provider_a")
    expected = (before["provider_a"][0] - pay, 0)
    wait_until(lambda: money_report(pair)["provider_a"] == expected, 15, f"{money_report(pair)}, pay {pay}, {before}")
