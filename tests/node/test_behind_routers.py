"""Whole nodes at home, behind routers that keep strangers out: jobs are sold through a relay, and results come back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from node.keys import new_key
from tests.helpers.network import COINS, DEPOSIT, Chain, Network, Node, configuration, save_cheap_key, side_by_side
from tests.helpers.processes import wait_until
from tests.p2p.nat.networks import WAN, internet

RULES = "lock_within = 30\ntransfer = 60\ngrace = 60\nanswer = 30\njudge = 30\nclaim = 90"
OFFER = "[capacity]\ncpu = 2\nmemory_mib = 1024\ndisk_mib = 2048\n[[prices]]\nfloor = 600\nask = 1000\n"
ROLES = {"judge": "mediator", "seller": "provider", "neighbour": "client", "visitor": "client"}


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """A mediator that anybody can dial and that is a relay; a provider behind a symmetric router, so that no hole is
    ever punched; a buyer behind a router of its own, and one with a public address.
    """
    missing = [tool for tool in ("ip", "iptables", "sysctl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("country")
    try:
        opened = internet()
        net = opened.__enter__()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs the right to make network namespaces: {error.stderr!r}")
    keys = {name: new_key() for name in ROLES}
    nodes: dict[str, Node] = {}
    chain = None
    try:
        spaces = {"judge": net.public(1), "visitor": net.public(2), "neighbour": net.home(11)}
        spaces["seller"] = net.home(12, symmetric=True)
        own = {"judge": f"{WAN}.1", "visitor": f"{WAN}.2", "neighbour": "10.11.0.2", "seller": "10.12.0.2"}
        addresses = [key.address for key in keys.values()]
        funds, deposits = dict.fromkeys(addresses, COINS), dict.fromkeys(addresses, DEPOSIT)
        chain = Chain(funds, deposits, net.public(9), "0.0.0.0")
        chain.front = chain.url.replace("0.0.0.0", f"{WAN}.9").replace("127.0.0.1", f"{WAN}.9")
        relay = f"/ip4/{WAN}.1/tcp/4001/p2p/{keys['judge'].peer_id}"
        for name, key in keys.items():
            node = nodes[name] = Node(folder / name, key=key, space=spaces[name])
            save_cheap_key(key, node.home / "key.json")
            meet = () if name == "judge" else (relay,)
            (node.here / "lilypad.toml").write_text(configuration(chain, meet, RULES))
            (node.here / "offer.toml").write_text(OFFER)

        def begin(name: str, *more: str) -> None:
            listen = ("--listen", f"/ip4/{own[name]}/tcp/4001", "--http", f"{own[name]}:8090")
            nodes[name].begin("--role", ROLES[name], *listen, *more)

        begin("judge", "--serve-relay")
        side_by_side(
            [
                partial(begin, "seller", "--offer", "offer.toml", "--relay", relay),
                partial(begin, "neighbour", "--relay", relay),
                partial(begin, "visitor"),
            ]
        )
        yield Network(folder, chain, nodes)
    finally:
        for node in nodes.values():
            node.end()
        if chain is not None:
            chain.end()
        opened.__exit__(None, None, None)


def _ways(node: Node, other: Node) -> set[str]:
    """What carries the connections between them, as ``node peers`` says."""
    found: list[dict[str, Any]] = json.loads(node.lilypad("node", "peers", "--json").out)
    assert other.key is not None
    return {each["through"] for each in found if each["peer"] == other.key.peer_id}


def _bought(country: Network, buyer: str, text: str) -> dict[str, Any]:
    node = country.nodes[buyer]
    kinds = ["mediator", "provider"]
    wait_until(
        lambda: sorted(each["kind"] for each in node.lilypad("offers", "ls", "--json").document) == kinds,
        60,
        f"{buyer} has not heard both offers",
    )
    ended = country.run("cowsay:v0.1", text, "--check", "1", "--json", by=buyer, timeout=120)
    assert ended.code == 0, f"{ended.err}\n{country.nodes['seller'].log()}"
    found: dict[str, Any] = ended.document
    return found


@pytest.mark.parametrize("buyer", ["neighbour", "visitor"])
def test_a_provider_that_nobody_can_dial_sells_and_delivers(country: Network, buyer: str) -> None:
    seller = country.nodes["seller"]
    document = _bought(country, buyer, f"to the {buyer}")
    assert seller.key is not None
    assert document["provider"] == seller.key.peer_id
    assert f"to the {buyer}" in document["result"]["stdout"]
    assert document["verification"]["verdict"] == "accepted"
    ways = _ways(country.nodes[buyer], seller)
    if buyer == "neighbour":
        assert ways == {f"relay at {WAN}.1"}, "two routers of which one is symmetric: only the relay is left"
    else:
        assert "direct" in ways, "the provider dials whoever can be dialled"


def test_each_says_how_it_is_reached(country: Network) -> None:
    seller = country.nodes["seller"]
    told = seller.lilypad("doctor").out
    assert "a relay holds a place for it" in told or "all 1 hold a place for it" in told, told
    peers = seller.lilypad("node", "peers").out
    assert f"relay at {WAN}.1" in peers, peers
