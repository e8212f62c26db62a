"""A peer that nobody can dial is reached through a relay, which carries what it must and no more."""

from __future__ import annotations

import pytest
import trio
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Status
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg

from p2p.errors import Unreachable
from p2p.places import peer_at, relay_of
from p2p.rates import Rate
from p2p.relay import HOP
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"
RELAY = Settings(relay=True, wanted_peers=0)
CALM = Settings(wanted_peers=0)


def _hidden(relay) -> dict[str, object]:
    return {"listen": None, "settings": Settings(relays=(relay.host.addrs[0],), punch=False, wanted_peers=0)}


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
        told = relay.host.metrics()
        for name in ("relay_places", "relay_circuits"):
            assert f"\nlilypad_p2p_{name} 1\n" in told
        assert relay.host.statistics().relay_bytes > 13_000
        assert hidden.host.statistics().relays == 1
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


async def test_one_caller_holds_only_so_many_circuits(honest, until):
    tight = Settings(relay=True, relay_circuits_per_peer=1, wanted_peers=0)
    async with (
        honest(settings=tight) as relay,
        honest(**_hidden(relay)) as first,
        honest(**_hidden(relay)) as second,
        honest(settings=CALM) as caller,
        honest(settings=CALM) as other,
    ):
        await until(lambda: first.host.reachability().relayed and second.host.reachability().relayed)
        await caller.host.connect(first.host.reachability().relayed[0])
        with pytest.raises(Unreachable):
            await caller.host.reach(second.host.reachability().relayed[0])
        await other.host.connect(second.host.reachability().relayed[0])
        assert relay.host.relay.circuits == 2


async def test_a_circuit_is_no_faster_than_its_rate(honest, until):
    slow = Settings(relay=True, relay_rate=Rate(20_000, 10_000), wanted_peers=0)
    async with honest(settings=slow) as relay, honest(**_hidden(relay)) as hidden, honest(settings=CALM) as caller:
        await until(lambda: hidden.host.reachability().relayed)
        await caller.host.connect(hidden.host.reachability().relayed[0])
        began = trio.current_time()
        await caller.host.send(hidden.host.address, TALK, bytes(50_000))
        await until(lambda: hidden.frames)
        assert trio.current_time() - began > 1.5
        # the relay itself is as quick as ever
        await caller.host.send(relay.host.address, TALK, b"and you?")
        await until(lambda: relay.frames == [b"and you?"], 2)


async def test_who_is_reached_through_a_relay_gets_no_place_at_another(honest, until):
    """Or circuits could be chained, each a byte more for somebody else."""
    async with (
        honest(settings=RELAY) as relay,
        honest(listen=None, settings=Settings(relays=(relay.host.addrs[0],), relay=True, wanted_peers=0)) as hidden,
        honest(settings=CALM) as caller,
    ):
        await until(lambda: hidden.host.reachability().relayed)
        await caller.host.connect(hidden.host.reachability().relayed[0])
        stream = await caller.host.open_stream(hidden.host.address, HOP, dial=False)
        await write_delimited_msg(stream, HopMessage(type=HopMessage.RESERVE))
        answer = await read_delimited_msg(stream, HopMessage)
        assert answer.status == Status.RESERVATION_REFUSED
