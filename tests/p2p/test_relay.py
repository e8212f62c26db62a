"""A peer that nobody can dial is reached through a relay, which carries what it must and no more."""

from __future__ import annotations

import pytest
import trio

from p2p.errors import Unreachable
from p2p.places import peer_at, relay_of
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"
RELAY = Settings(relay=True, wanted_peers=0)
CALM = Settings(wanted_peers=0)


def _hidden(relay) -> dict[str, object]:
    return {"listen": None, "settings": Settings(relays=(relay.host.addrs[0],), wanted_peers=0)}


async def test_a_hidden_peer_talks_and_gossips_through_a_relay(honest, until):
    async with honest(settings=RELAY) as relay, honest(**_hidden(relay)) as hidden, honest(settings=CALM) as caller:
        await until(lambda: hidden.host.reachability().relayed)
        (place,) = hidden.host.reachability().relayed
        assert "1 relay" in hidden.host.reachability().sentence()
        peer = await caller.host.connect(place)
        assert peer.address == hidden.host.address
        await caller.host.send(hidden.host.address, TALK, b"are you there?" * 1000)
        await until(lambda: hidden.frames)
        await hidden.host.send(caller.host.address, TALK, b"yes")
        await until(lambda: caller.frames == [b"yes"])
        assert relay.frames == []
        assert relay.host.relay.circuits == 1
        caller.host.connections.cut(hidden.host.address)
        await until(lambda: relay.host.relay.circuits == 0)
        await until(lambda: relay.host.relay._calls == {})


async def test_nobody_is_called_without_having_asked_for_it(honest):
    async with honest(settings=RELAY) as relay, honest(settings=CALM) as quiet, honest(settings=CALM) as caller:
        await quiet.host.connect(relay.host.addrs[0])
        with pytest.raises(Unreachable):
            await caller.host.connect(f"{relay.host.addrs[0]}/p2p-circuit/p2p/{quiet.host.peer_id}")
        assert relay.host.relay.circuits == 0


async def test_whoever_is_no_relay_does_not_relay(honest):
    async with honest(settings=CALM) as other, honest(**_hidden(other)) as hidden:
        await trio.sleep(0.5)
        assert hidden.host.reachability().relayed == ()


async def test_places_at_a_relay_are_few_for_each_ip(honest, until):
    tight = Settings(relay=True, relay_places_per_ip=1, wanted_peers=0)
    async with honest(settings=tight) as relay, honest(**_hidden(relay)) as first:
        await until(lambda: first.host.reachability().relayed)
        async with honest(**_hidden(relay)) as second:
            await trio.sleep(0.5)
            assert second.host.reachability().relayed == ()


async def test_a_circuit_carries_so_many_bytes_and_ends(honest, until):
    tight = Settings(relay=True, relay_bytes=100_000, wanted_peers=0)
    async with honest(settings=tight) as relay, honest(**_hidden(relay)) as hidden, honest(settings=CALM) as caller:
        await until(lambda: hidden.host.reachability().relayed)
        await caller.host.connect(hidden.host.reachability().relayed[0])
        await caller.host.send(hidden.host.address, TALK, bytes(50_000))
        await until(lambda: hidden.frames)
        caller.host.forget(hidden.host.address)
        await caller.host.send(hidden.host.address, TALK, bytes(90_000))
        await until(lambda: relay.host.relay.circuits == 0)
        assert hidden.frames == [bytes(50_000)]


async def test_a_relay_that_comes_back_is_asked_again(honest, until):
    async with honest(settings=RELAY, seed=9_100_001) as relay:
        (where,) = relay.host.addrs
    listen = where.split("/p2p/")[0]
    async with honest(**_hidden(relay)) as hidden:
        for _ in range(2):
            async with honest(settings=RELAY, seed=9_100_001, listen=listen):
                await until(lambda: hidden.host.reachability().relayed, 15)
            await until(lambda: not hidden.host.reachability().relayed)


def test_a_relayed_place_names_both_the_relay_and_the_peer():
    relay, peer = (
        "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi",
        "16Uiu2HAkzdQ5Y9SYT91K1ue5SxXwgmajXntfScGnLYeip5hHyWmT",
    )
    place = f"/ip4/127.0.0.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{peer}"
    assert peer_at(place).id == peer
    assert peer_at(relay_of(place)).id == relay
    assert relay_of("/ip4/127.0.0.1/tcp/1/p2p/" + relay) == ""
