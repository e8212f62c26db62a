"""Peers find each other through others whom they never heard of, and nobody can fill or aim the table of another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.dht import PROTOCOL
from p2p.dht_table import K, Table, key_of, key_of_peer
from p2p.events import Peer
from p2p.places import peer_at
from p2p.rates import Rate
from p2p.settings import Settings

QUIET = Settings(ask_peers=1e6, wanted_peers=2, dht_dials=Rate(100, 100))
"""No peer exchange: what is found here is found by the DHT."""


async def _chain(stack, honest, until, count: int, settings: Settings = QUIET):
    """Hosts that each know the one before them and nobody else."""
    hosts = []
    for _ in range(count):
        known = tuple(host.host.addrs[0] for host in hosts[-1:])
        hosts.append(await stack.enter_async_context(honest(settings=settings, bootstrap=known)))
        await until(lambda: len(hosts) == 1 or hosts[-1].host.peers())
    return hosts


async def test_the_last_of_a_chain_finds_the_first(honest, until):
    async with AsyncExitStack() as stack:
        hosts = await _chain(stack, honest, until, 7)
        first, last = hosts[0].host, hosts[-1].host
        with trio.fail_after(20):
            while not (places := await last.dht.find(peer_at(first.addrs[0]))):  # noqa: ASYNC110
                await trio.sleep(0.2)
        assert places == (first.addrs[0],)


async def test_the_first_of_a_chain_finds_the_last(honest, until):
    async with AsyncExitStack() as stack:
        hosts = await _chain(stack, honest, until, 7)
        first, last = hosts[0].host, hosts[-1].host
        with trio.fail_after(20):
            while not (places := await first.dht.find(peer_at(last.addrs[0]))):  # noqa: ASYNC110
                await trio.sleep(0.2)
        assert places == (last.addrs[0],)


async def test_whoever_is_lonely_meets_others_without_being_told_of_them(honest, until):
    """One bootstrap address is enough: the rest of the network is found."""
    eager = Settings(ask_peers=1e6, wanted_peers=4, dht_lonely=0.5, dht_dials=Rate(100, 100))
    async with AsyncExitStack() as stack:
        hosts = await _chain(stack, honest, until, 6, eager)
        await until(lambda: all(len(each.host.peers()) >= 3 for each in hosts), 20)


async def test_who_can_t_be_dialled_asks_and_is_told_of_to_nobody(honest, until):
    async with honest(settings=QUIET) as hub, honest(settings=QUIET) as other:
        await other.host.connect(hub.host.addrs[0])
        async with honest(settings=QUIET, listen=None, bootstrap=(hub.host.addrs[0],)) as hidden:
            await until(lambda: len(hidden.host.dht.table) == 2)
            assert hidden.host.address not in {entry.peer.address for entry in hub.host.dht.table}
            assert await other.host.dht.find(peer_at(f"/ip4/127.0.0.1/tcp/1/p2p/{hidden.host.peer_id}")) == ()


# -- liars -------------------------------------------------------------------------------------------------------------


def _named(*places: str) -> Message:
    """An answer that names these places."""
    answer = Message(type=Message.FIND_NODE)
    for place in places:
        where, _, peer = place.rpartition("/p2p/")
        answer.closerPeers.add(id=ID.from_base58(peer).to_bytes(), addrs=[Multiaddr(where).to_bytes()])
    return answer


def _somebody(number: int) -> str:
    return str(ID.from_pubkey(create_new_key_pair((9_000_000 + number).to_bytes(32, "big")).public_key))


@asynccontextmanager
async def _liar(honest, answer: Callable[[], Message]):
    """A host that answers every question with the same, and counts them."""
    asked = []
    async with honest(settings=Settings(dht=False, outside=False, ask_peers=1e6, wanted_peers=0)) as liar:

        async def lie(stream) -> None:
            asked.append(await read_delimited_msg(stream, Message))
            await write_delimited_msg(stream, answer())

        liar.host.machinery.host.set_stream_handler(PROTOCOL, lie)
        yield liar, asked


async def test_nobody_named_by_a_liar_enters_the_table_and_dials_for_it_are_few(honest, until):
    ghosts = [f"/ip4/127.0.0.1/tcp/{2000 + number}/p2p/{_somebody(number)}" for number in range(K)]
    careful = Settings(ask_peers=1e6, dht_within=3.0, wanted_peers=2)
    async with _liar(honest, lambda: _named(*ghosts)) as (liar, asked), honest(settings=careful) as victim:
        await victim.host.connect(liar.host.addrs[0])
        await until(lambda: asked)
        before = victim.host.statistics().dials
        for _ in range(3):
            await victim.host.dht.lookup(b"anything")
        assert [entry.peer.address for entry in victim.host.dht.table] == [liar.host.address]
        # eight that one peer named in each lookup, and no more than the rate allows
        assert victim.host.statistics().dials - before <= 10 + 2 * 9 + 1
        assert victim.host.statistics().known_peers == 1


async def test_a_table_full_of_keys_near_a_target_does_not_hide_it(honest, until):
    """Ghosts are nearer to the target than anybody: they are asked, do not answer, and the walk goes on."""
    ghosts = [f"/ip4/127.0.0.1/tcp/{2000 + number}/p2p/{_somebody(number)}" for number in range(K)]
    async with (
        _liar(honest, lambda: _named(*ghosts)) as (liar, _),
        honest(settings=QUIET) as target,
        honest(settings=QUIET) as middle,
        honest(settings=QUIET) as seeker,
    ):
        await middle.host.connect(target.host.addrs[0])
        await seeker.host.connect(liar.host.addrs[0])
        await seeker.host.connect(middle.host.addrs[0])
        await until(lambda: len(middle.host.dht.table) >= 1 and len(seeker.host.dht.table) >= 2)
        assert await seeker.host.dht.find(peer_at(target.host.addrs[0])) == (target.host.addrs[0],)


@pytest.mark.parametrize(
    "answer",
    [
        Message(type=Message.FIND_NODE, closerPeers=[Message.Peer(id=b"\xff" * 60_000, addrs=[b"\xff" * 100])]),
        Message(type=Message.FIND_NODE, closerPeers=[Message.Peer(id=b"", addrs=[b""])] * 1000),
        Message(type=Message.PUT_VALUE, key=bytes(60_000)),
    ],
    ids=["a peer that is none", "a thousand of nobody", "an answer to something else"],
)
async def test_answers_that_are_none_cost_nothing(answer, honest, until, still_serves):
    async with _liar(honest, lambda: answer) as (liar, asked), honest(settings=QUIET) as victim:
        await victim.host.connect(liar.host.addrs[0])
        await until(lambda: asked)
        await victim.host.dht.lookup(b"anything")
        assert {entry.peer.address for entry in victim.host.dht.table} <= {liar.host.address}
        await still_serves(victim)


async def test_who_never_answers_holds_up_nobody_for_long(honest, until):
    hasty = Settings(ask_peers=1e6, wanted_peers=0, dht_ask_within=0.3)
    async with honest(settings=Settings(dht=False, wanted_peers=0)) as silent, honest(settings=hasty) as victim:

        async def never(stream) -> None:
            await trio.sleep_forever()

        silent.host.machinery.host.set_stream_handler(PROTOCOL, never)
        await victim.host.connect(silent.host.addrs[0])
        with trio.fail_after(3):
            await victim.host.dht.lookup(b"anything")


async def test_questions_without_end_are_refused(honest, stranger, meet, until, still_serves):
    async with honest(settings=Settings(dht_answers=Rate(1, 10))) as victim, stranger() as evil:
        await meet(evil, victim.host)
        target = victim.host.machinery.swarm.get_peer_id()
        answered = 0
        for _ in range(3):
            with suppress(Exception):  # the stream is ended in the middle
                stream = await evil.new_stream(target, [PROTOCOL])
                for _ in range(50):
                    await write_delimited_msg(stream, Message(type=Message.FIND_NODE, key=b"x"))
                    await read_delimited_msg(stream, Message)
                    answered += 1
        assert answered <= 12
        assert victim.host.statistics().dht_answers <= 12
        await still_serves(victim)


async def test_nothing_is_kept_for_others(honest, stranger, meet, still_serves):
    async with honest(settings=QUIET) as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(victim.host.machinery.swarm.get_peer_id(), [PROTOCOL])
        await write_delimited_msg(
            stream, Message(type=Message.PUT_VALUE, key=b"k", record={"key": b"k", "value": b"v"})
        )
        await write_delimited_msg(stream, Message(type=Message.ADD_PROVIDER, key=b"k"))
        await write_delimited_msg(stream, Message(type=Message.GET_VALUE, key=b"k"))
        answer = await read_delimited_msg(stream, Message)
        assert (answer.type, answer.HasField("record"), len(answer.providerPeers)) == (Message.GET_VALUE, False, 0)
        await still_serves(victim)


# -- the table -------------------------------------------------------------------------------------------------------


def _entry(number: int, ip: str) -> tuple[Peer, str]:
    place = f"/ip4/{ip}/tcp/4001/p2p/{_somebody(number)}"
    return peer_at(place), place


def test_one_public_network_gets_few_places_in_the_table():
    table = Table(key_of(b"me"), per_network=3)
    assert [table.answered(*_entry(number, f"203.0.114.{number}")) for number in range(5)] == [True] * 3 + [False] * 2
    assert table.answered(*_entry(9, "198.51.101.1"))
    # at home everybody may share one
    assert all(table.answered(*_entry(20 + number, f"192.168.1.{number}")) for number in range(8))


def test_the_old_stay_while_they_answer():
    table = Table(key_of(b"me"), per_network=10_000)
    kept: list[Peer] = []
    for number in range(200):
        peer, place = _entry(number, f"10.0.0.{number}")
        if table.answered(peer, place):
            kept.append(peer)
    assert len(table) == len(kept) < 200
    assert all(any(entry.peer == peer for entry in table) for peer in kept)
    for _ in range(2):
        table.failed(kept[0])
    assert all(entry.peer != kept[0] for entry in table)


def test_the_nearest_come_first():
    table = Table(key_of(b"me"), per_network=10_000)
    for number in range(60):
        table.answered(*_entry(number, f"10.0.0.{number}"))
    distances = [key_of_peer(entry.peer) ^ key_of(b"there") for entry in table.closest(key_of(b"there"))]
    assert distances == sorted(distances)
    assert len(distances) == K
