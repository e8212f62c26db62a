"""Peers find each other: by asking neighbours, on the local network; and what a liar can do with that."""

from __future__ import annotations

import random
import struct

import pytest
import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.id import ID

from p2p.book import Book
from p2p.errors import BrokenFrame, NotDialable, Unreachable
from p2p.exchange import MOST_PLACES, PROTOCOL
from p2p.lan import find_for_ever
from p2p.places import Scope, scope_of_place
from p2p.settings import Settings

EAGER = Settings(ask_peers=0.1)
CALM = Settings(wanted_peers=0)


async def test_a_newcomer_meets_the_friends_of_its_only_friend(honest, until):
    async with honest(settings=CALM) as hub, honest(settings=CALM) as known, honest(settings=EAGER) as newcomer:
        await hub.host.connect(known.host.addrs[0])
        await newcomer.host.connect(hub.host.addrs[0])
        await until(lambda: known.host.address in {peer.address for peer in newcomer.host.peers()})


async def test_only_places_that_the_teller_dialled_itself_are_told(honest):
    async with honest(settings=CALM) as hub, honest(settings=CALM) as dialled, honest(settings=CALM) as asker:
        await hub.host.connect(dialled.host.addrs[0])
        hub.host.learn(bytes.fromhex("7e5f4552091a69125d5dfcb7b8c2659029395bdf"), [])
        await asker.host.connect(hub.host.addrs[0])
        (peer,) = asker.host.peers()
        assert await asker.host.exchange_peers.ask(peer) == 1
        assert asker.host.statistics().known_peers == 2


async def test_those_who_dialled_the_same_hub_find_each_other(honest, until):
    async with honest(settings=CALM) as hub, honest(settings=EAGER) as one, honest(settings=EAGER) as other:
        await one.host.connect(hub.host.addrs[0])
        await other.host.connect(hub.host.addrs[0])
        await until(lambda: other.host.address in {peer.address for peer in one.host.peers()})


async def test_a_place_behind_somebody_else_s_ip_is_not_told_on(honest):
    async with honest(settings=CALM) as hub, honest(settings=CALM) as liar, honest(settings=CALM) as asker:
        for each in (liar, asker):
            await each.host.connect(hub.host.addrs[0])
        liar.host.addrs = (f"/ip4/127.0.0.2/tcp/80/p2p/{liar.host.peer_id}",)
        for each, told in ((liar, 0), (asker, 0)):
            (peer,) = each.host.peers()
            assert await each.host.exchange_peers.ask(peer) == told


async def test_who_asks_too_often_hears_nothing(honest):
    async with honest(settings=CALM) as hub, honest(settings=CALM) as nosy:
        await nosy.host.connect(hub.host.addrs[0])
        (peer,) = nosy.host.peers()
        for _ in range(3):
            await nosy.host.exchange_peers.ask(peer)
        with pytest.raises(Unreachable):  # noqa: PT012  (whichever call is the first too many)
            for _ in range(10):
                await nosy.host.exchange_peers.ask(peer)


def _lies(answer: bytes):
    async def lie(stream):
        await stream.read(4)
        await stream.write(struct.pack(">I", len(answer)) + answer)

    return lie


def _invented(number: int) -> str:
    """A place where nobody lives, under a peer id that might exist."""
    peer_id = ID.from_pubkey(create_new_key_pair((7000 + number).to_bytes(32, "big")).public_key)
    return f"/ip4/127.0.0.1/tcp/1/p2p/{peer_id}"


async def test_lies_about_peers_cost_a_few_dials_and_nobody_whom_we_met(honest, still_serves):
    settings = Settings(known_peers=20, ask_peers=60.0)
    async with honest(settings=settings) as victim, honest(settings=CALM) as friend, honest(settings=CALM) as liar:
        await victim.host.connect(friend.host.addrs[0])
        await victim.host.connect(liar.host.addrs[0])
        peer = next(each for each in victim.host.peers() if each.address == liar.host.address)
        for page in range(3):
            lies = "\n".join(_invented(page * MOST_PLACES + each) for each in range(MOST_PLACES))
            liar.host.machinery.host.set_stream_handler(PROTOCOL, _lies(lies.encode()))
            assert await victim.host.exchange_peers.ask(peer) == MOST_PLACES
        await trio.sleep(0.5)
        assert victim.host.statistics().known_peers == 20
        assert 2 < victim.host.statistics().dials <= 2 + 8 + 4
        assert {friend.host.address, liar.host.address} == {each.address for each in victim.host.peers()}
        await still_serves(victim)


@pytest.mark.parametrize(
    ("answer", "fault"), [(b"\xff\xfe", BrokenFrame), (b"/ip4/somewhere", NotDialable), (b"x" * 20_000, BrokenFrame)]
)
async def test_an_answer_that_is_no_list_of_places_is_a_fault(honest, answer, fault):
    async with honest(settings=CALM) as host, honest(settings=CALM) as rude:
        await host.host.connect(rude.host.addrs[0])
        rude.host.machinery.host.set_stream_handler(PROTOCOL, _lies(answer))
        (peer,) = host.host.peers()
        with pytest.raises(fault):
            await host.host.exchange_peers.ask(peer)


def test_whom_we_only_heard_of_makes_room_before_whom_we_met():
    book = Book(Settings(known_peers=3), random.Random(1))
    book.learn(b"met", ["a place"])
    book.reached(b"met", "a place")
    for number in range(10):
        book.learn(b"rumour %d" % number, ["somewhere"])
    assert len(book) == 3
    assert book.addrs(b"met") == ("a place",)


@pytest.mark.parametrize(
    ("place", "scope"),
    [
        ("/ip4/127.0.0.1/tcp/1", Scope.MACHINE),
        ("/ip6/::1/tcp/1", Scope.MACHINE),
        ("/ip4/192.168.1.7/tcp/1", Scope.NETWORK),
        ("/ip4/1.1.1.1/tcp/1", Scope.INTERNET),
        ("/dns4/example.org/tcp/1", None),
    ],
)
def test_how_far_an_address_reaches(place, scope):
    assert scope_of_place(place) is scope


async def test_loopback_addresses_are_not_told_to_the_world(honest, monkeypatch):
    async with honest(settings=CALM) as hub, honest(settings=CALM) as friend, honest(settings=CALM) as asker:
        await hub.host.connect(friend.host.addrs[0])
        await asker.host.connect(hub.host.addrs[0])
        (peer,) = asker.host.peers()
        monkeypatch.setattr(hub.host, "remote_ip", lambda address: "1.1.1.1")
        assert await asker.host.exchange_peers.ask(peer) == 0


async def test_nobody_far_away_aims_us_at_our_own_network(honest, monkeypatch):
    """The chain's port on this machine, the router's page: what a stranger on the internet calls a peer's place."""
    inside = [f"/ip4/{ip}/tcp/8545/p2p/{_invented(1).rpartition('/')[2]}" for ip in ("127.0.0.1", "192.168.1.1")]
    outside = _invented(2).replace("127.0.0.1", "45.67.8.9")
    async with honest(settings=CALM) as victim, honest(settings=CALM) as liar:
        liar.host.machinery.host.set_stream_handler(PROTOCOL, _lies("\n".join([*inside, outside]).encode()))
        await liar.host.connect(victim.host.addrs[0])
        (peer,) = victim.host.peers()
        monkeypatch.setattr(victim.host, "remote_ip", lambda address: "45.67.8.1")
        assert await victim.host.exchange_peers.ask(peer) == 1
        assert victim.host.statistics().known_peers <= 2


async def test_two_on_one_network_find_each_other_without_being_told(honest, until):
    async with honest() as host_a, honest() as host_b, trio.open_nursery() as nursery:
        for each in (host_a, host_b):
            nursery.start_soon(find_for_ever, each.host, ["127.0.0.1"])
        await until(lambda: host_a.host.peers() and host_b.host.peers(), 10)
        nursery.cancel_scope.cancel()


async def test_a_host_says_from_where_it_has_been_dialled_and_no_more(honest, until):
    async with honest(settings=CALM) as host, honest(settings=CALM) as caller:
        assert host.host.reachability().sentence() == "listens; nobody has dialled this node yet"
        await caller.host.connect(host.host.addrs[0])
        await until(host.host.peers)
        assert host.host.reachability().dialled_from == {Scope.MACHINE}
        assert "this machine only" in host.host.reachability().sentence()
        assert caller.host.reachability().dialled_from == set()
