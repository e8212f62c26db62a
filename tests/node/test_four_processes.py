"""A network of four processes, set up by hand with the same commands that its users type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from protocol.identity import PeerId, address_of_peer, show
from tests.helpers.network import DEPOSIT, Chain, Network, Node, configuration, money_report, side_by_side
from tests.helpers.processes import assert_gone, descendants, end_process, wait_until
from tests.helpers.programs import busy, program, write_module

ROLES = {"provider_a": "provider", "provider_b": "provider", "judge": "mediator", "client": "client"}
RULES = "lock_within = 20\ntransfer = 30\ngrace = 30\nanswer = 30\njudge = 30\nclaim = 60"


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Keys by `wallet new`, coins by the dev chain, money in the vault by `wallet deposit`."""
    before = descendants()
    folder = tmp_path_factory.mktemp("town")
    nodes: dict[str, Node] = {}
    funds: dict[bytes, int] = {}
    making = {name: Node(folder / name) for name in ROLES}
    made = side_by_side([partial(node.lilypad, "wallet", "new") for node in making.values()])
    for (name, node), wallet in zip(making.items(), made, strict=True):
        nodes[name] = node
        told = dict(line.split() for line in wallet.out.splitlines())
        address = address_of_peer(PeerId(told["peer"]))
        assert told["address"] == show(address)
        assert (node.home / "key.json").stat().st_mode & 0o777 == 0o600
        funds[address] = 10**20
    chain = Chain(funds, {})
    try:
        for node in nodes.values():
            (node.here / "lilypad.toml").write_text(configuration(chain, (), RULES))
        for told_of in side_by_side([partial(node.lilypad, "wallet", "deposit", DEPOSIT) for node in nodes.values()]):
            assert f"free in the vault: {DEPOSIT}, locked: 0" in told_of.out, told_of.err
        begins = [partial(node.begin, "--role", ROLES[name], *_offer(node, name)) for name, node in nodes.items()]
        begins[0]()
        side_by_side([partial(begin, *_bootstrap(nodes)) for begin in begins[1:]])
        yield Network(folder, chain, nodes)
    finally:
        for node in nodes.values():
            node.end()
        chain.end()
    assert_gone(before)
    for node in nodes.values():
        assert node.leftovers() == []
        assert "Traceback" not in node.log()


def _bootstrap(nodes: dict[str, Node]) -> list[str]:
    first = next(iter(nodes.values()))
    return ["--bootstrap", first.listening] if first.process is not None else []


def _offer(node: Node, name: str) -> list[str]:
    if ROLES[name] != "provider":
        return []
    floor, ask = {"provider_a": (600, 1000), "provider_b": (900, 1800)}[name]
    (node.here / "offer.toml").write_text(
        f"[capacity]\ncpu = 2\nmemory_mib = 1024\ndisk_mib = 2048\n[[prices]]\nfloor = {floor}\nask = {ask}\n"
    )
    return ["--offer", "offer.toml"]


def test_every_node_says_who_it_is(town: Network) -> None:
    for name, node in town.nodes.items():
        said = "\n".join(node.told)
        assert f"roles {ROLES[name]}" in said
        assert re.search(r"peer 16Uiu2\w+", said)
        assert re.search(r"/ip4/127\.0\.0\.1/tcp/\d+/p2p/16Uiu2\w+", said)
        assert re.search(r"http http://127\.0\.0\.1:\d+", said)
        status = node.lilypad("node", "status", "--json").document
        assert status["roles"] == [ROLES[name]]
        assert status["money"] == status["money"] | {"free": str(DEPOSIT), "locked": "0"}
        assert status["address"] in said
        assert str(DEPOSIT) in node.lilypad("node", "status").out


def test_they_find_each_other_and_what_is_on_offer(town: Network) -> None:
    client = town.nodes["client"]
    others = {node.peer for node in town.nodes.values() if node is not client}
    wait_until(lambda: {each["peer"] for each in _peers(client)} == others, 10, "not everybody is connected")
    offers = wait_until(lambda: _all_offers(client), 30, "not every offer was heard")
    asks = {offer["peer"]: offer["prices"][0]["amount"] for offer in offers if offer["kind"] == "provider"}
    assert asks == {town.nodes["provider_a"].peer: "1000", town.nodes["provider_b"].peer: "1800"}
    table = client.lilypad("offers", "ls").out
    assert table.splitlines()[0].split()[:3] == ["WHAT", "PEER", "ASKS"]
    assert len(table.splitlines()) == 4


def _peers(node: Node) -> list[dict[str, str]]:
    found: list[dict[str, str]] = node.lilypad("node", "peers", "--json").document
    return found


def _all_offers(node: Node) -> list[dict[str, object]]:
    offers: list[dict[str, object]] = node.lilypad("offers", "ls", "--json").document
    return offers if len(offers) == 3 else []


def test_a_job_is_bought_run_checked_and_paid_between_them(town: Network) -> None:
    before = money_report(town)
    ended = town.run("cowsay:v0.1", "between processes", "--check", "1", "--json")
    assert ended.code == 0, ended.err
    document = ended.document
    names = {node.peer: name for name, node in town.nodes.items()}
    assert names[document["provider"]] in ("provider_a", "provider_b")
    assert [names[who] for who in document["verification"]["mediators"]] == ["judge"]
    assert document["verification"]["verdict"] == "accepted"

    # the pay has changed hands, to the unit, and nothing stays locked
    paid = int(document["price"]["paid"])
    expected = dict.fromkeys(before, (DEPOSIT, 0))
    expected["client"] = (before["client"][0] - paid, 0)
    expected[names[document["provider"]]] = (before[names[document["provider"]]][0] + paid, 0)
    wait_until(lambda: money_report(town) == expected, 5, f"{money_report(town)} is not {expected}")


def test_a_user_is_told_why_this_provider_and_why_nobody(town: Network) -> None:
    client = town.nodes["client"]
    bought = town.run("cowsay:v0.1", "why you", "--check", "0", "--json").document
    explained = client.lilypad("jobs", "explain", bought["job"]).out
    assert re.search(r"16Uiu2HA…\w{6}: chosen at \d+; (the others wanted \d+|nobody else held a machine)", explained)
    assert f"signed at {bought['price']['agreed']} after" in explained
    too_dear = town.run("cowsay:v0.1", "for nothing", "--max-price", "300", "--json")
    assert too_dear.document["outcome"] == "NO_AGREEMENT"
    refused = client.lilypad("jobs", "explain", too_dear.document["job"]).out
    assert re.search(r"no deal, we left: no agreement within the rounds \(we bid 300, they asked [6-9]\d\d", refused)


def test_a_running_node_is_quick(town: Network) -> None:
    runs = [town.run("cowsay:v0.1", f"quick {number}", "--check", "1", "--json").document for number in range(3)]
    for document in runs:
        times = document["milliseconds"]
        print("milliseconds:", {name: round(value) for name, value in times.items()})
        assert document["outcome"] == "DONE"


def test_a_detached_job_is_followed_later(town: Network, tmp_path: Path) -> None:
    client = town.nodes["client"]
    ended = client.lilypad("run", write_module(tmp_path / "slow", busy(3_000_000_000)), "--detach", "--json")
    assert ended.code == 0, ended.err
    job = ended.document["job"]
    assert json.loads(client.lilypad("jobs", "show", job, "--json").out)["outcome"] == "RUNNING"
    output = tmp_path / "out"
    got = client.lilypad("jobs", "get", job, "-o", output)
    assert (got.code, got.out) == (0, "done\n"), got.err
    assert (output / "stdout").read_text() == "done\n"
    assert client.lilypad("jobs", "get", job, "-o", output).code == 2  # never written over
    assert client.lilypad("jobs", "resume", job, "--json").document["outcome"] == "DONE"
    shown = client.lilypad("jobs", "show", job)
    assert "DONE" in shown.out
    listed = client.lilypad("jobs", "ls", "--json").document
    assert [each["outcome"] for each in listed if each["job"] == job] == ["DONE"]
    assert job in client.lilypad("jobs", "ls").out


def test_a_job_without_a_deal_can_be_cancelled(town: Network, tmp_path: Path) -> None:
    client = town.nodes["client"]
    nobody = write_module(tmp_path / "huge", program("say"), "cpu = 512.0")
    job = client.lilypad("run", nobody, "--detach").out.strip()
    assert client.lilypad("jobs", "cancel", job).code == 0
    got = client.lilypad("jobs", "get", job, "--json")
    assert (got.code, got.document["outcome"]) == (130, "CANCELLED")
    again = client.lilypad("jobs", "cancel", job)
    assert (again.code, "has ended already: CANCELLED" in again.complaint) == (2, True)


def test_a_job_with_a_deal_goes_on_when_it_is_cancelled(town: Network, tmp_path: Path) -> None:
    client = town.nodes["client"]
    slow = write_module(tmp_path / "slow", busy(2_000_000_000))
    job = client.lilypad("run", slow, "--detach", "--check", "0").out.strip()
    wait_until(lambda: client.job(job)["deal"], 10, "no deal")
    told = client.lilypad("jobs", "cancel", job)
    assert (told.code, "its deal is signed and goes on" in told.err) == (0, True)
    record = client.lilypad("jobs", "show", job, "--record", tmp_path / "record")
    assert (record.code, "has had no dispute so far" in record.complaint) == (2, True)
    got = client.lilypad("jobs", "get", job)
    assert (got.code, got.out) == (0, "done\n")
    assert "goes on" in got.err


def test_a_withdrawal_is_for_free_money_only(town: Network) -> None:
    judge = town.nodes["judge"]
    ended = judge.lilypad("wallet", "withdraw", DEPOSIT + 1)
    assert ended.code == 9 or ended.code == 8
    assert "not enough free" in ended.err
    told = judge.lilypad("wallet", "withdraw", 1000)
    assert told.code == 0, told.err
    shown = judge.lilypad("wallet", "show", "--json").document
    assert shown["free"] == str(DEPOSIT - 1000)


def test_stop_and_sigterm_end_a_node_in_order_and_it_comes_back_with_its_memory(town: Network) -> None:
    client = town.nodes["client"]
    jobs = client.stories()
    assert client.lilypad("node", "stop").code == 0
    assert client.process is not None
    assert client.process.wait(10) == 0
    assert not (client.home / "node.json").exists()
    assert client.lilypad("node", "status").code == 9
    client.begin("--role", "client", *_bootstrap(town.nodes))
    assert client.stories() == jobs
    done = [each["job"] for each in jobs if each["outcome"] == "DONE"]
    assert client.job(done[0])["outcome"] == "DONE"

    provider_a = town.nodes["provider_a"]
    assert provider_a.process is not None
    end_process(provider_a.process)
    assert provider_a.process.returncode == 0
    provider_a.begin("--role", "provider", *_offer(provider_a, "provider_a"), "--bootstrap", client.listening)
    wait_until(lambda: len(_peers(provider_a)) >= 2, 15, "it does not find the others again")
    assert town.run("cowsay:v0.1", "after all that", "--json").document["outcome"] == "DONE"
