"""A host tells what it knows of how others reach it, and lets nobody aim it at a third."""

from __future__ import annotations

import trio
from libp2p.host.autonat.pb.autonat_pb2 import Message
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.outside import AUTONAT
from p2p.rates import Rate
from p2p.settings import Settings

CURIOUS = Settings(dial_back_every=1.0, wanted_peers=0)


async def test_a_peer_that_can_be_dialled_finds_out(honest, until):
    async with honest(settings=CURIOUS) as one, honest(settings=CURIOUS) as other:
        await one.host.connect(other.host.addrs[0])
        await until(lambda: one.host.outside.reached_by == {other.host.address: True})
        assert one.host.outside.seen_at()[0].startswith("/ip4/127.0.0.1/tcp/")
        assert one.host.statistics().peers == 1
        assert "1 of 1 peers asked could dial it" in one.host.reachability().sentence()


async def test_one_that_can_t_be_dialled_finds_out_too(honest, until):
    """It gives out a place where it does not listen, as behind a router that forwards nothing."""
    shut = Settings(announce=("/ip4/127.0.0.1/tcp/9",), dial_back_every=1.0, wanted_peers=0)
    async with honest(settings=shut) as one, honest(settings=CURIOUS) as other:
        await one.host.connect(other.host.addrs[0])
        await until(lambda: one.host.outside.reached_by == {other.host.address: False})
        assert "0 of 1 peers asked could dial it" in one.host.reachability().sentence()


async def _ask(stranger, victim, *places: str, peer: bytes | None = None) -> int:
    stream = await stranger.new_stream(victim.host.machinery.swarm.get_peer_id(), [AUTONAT])
    question = Message(type=Message.DIAL)
    question.dial.peer.id = ID.from_pubkey(stranger.get_public_key()).to_bytes() if peer is None else peer
    question.dial.peer.addrs.extend(Multiaddr(place).to_bytes() for place in places)
    await write_delimited_msg(stream, question)
    with trio.fail_after(10):
        status: int = (await read_delimited_msg(stream, Message)).dialResponse.status
    return status


async def test_nobody_is_dialled_on_anothers_behalf(honest, stranger, meet, still_serves):
    async with honest(settings=Settings(dial_backs_each=Rate(10, 10))) as victim, stranger() as evil:
        await meet(evil, victim.host)
        assert await _ask(evil, victim, "/ip4/192.0.2.7/tcp/80", "/dns4/example.org/tcp/80") == Message.E_DIAL_REFUSED
        assert await _ask(evil, victim, "/ip4/127.0.0.1/tcp/9") == Message.E_DIAL_ERROR
        other = ID.from_base58(victim.host.peer_id).to_bytes()
        assert await _ask(evil, victim, "/ip4/127.0.0.1/tcp/9", peer=other) == Message.E_BAD_REQUEST
        await still_serves(victim)


async def test_dialling_back_is_rationed(honest, stranger, meet):
    async with honest(settings=Settings(dial_backs_each=Rate(0.01, 2), outside=False)) as victim, stranger() as evil:
        await meet(evil, victim.host)
        answers = [await _ask(evil, victim, "/ip4/127.0.0.1/tcp/9") for _ in range(4)]
        assert answers == [Message.E_DIAL_ERROR] * 2 + [Message.E_DIAL_REFUSED] * 2


async def test_a_huge_or_endless_word_about_us_is_not_read_to_the_end(honest, until, still_serves):
    sent = 0
    async with honest(settings=CURIOUS) as victim, honest(settings=Settings(outside=False)) as liar:

        async def tell(stream) -> None:
            nonlocal sent
            await stream.write(b"\xff\xff\xff\x7f")
            while sent < 100_000_000:
                await stream.write(bytes(60_000))
                sent += 60_000

        liar.host.machinery.host.set_stream_handler(IDENTIFY, tell)
        await liar.host.connect(victim.host.addrs[0])
        await until(lambda: sent)
        await trio.sleep(0.5)
        assert sent < 1_000_000
        assert victim.host.outside.seen_at() == ()
        await still_serves(victim)


async def test_what_others_claim_is_bounded_and_gives_them_no_place_of_somebody_else(honest, until):
    """Ten thousand protocols, and a home at an address that is not the speaker's."""
    lie = Identify(protocols=[f"/{number}" for number in range(3000)], observed_addr=b"\xff" * 40)
    lie.listen_addrs.extend([Multiaddr("/ip4/192.0.2.7/tcp/80").to_bytes()] * 500)
    async with honest(settings=CURIOUS) as victim, honest(settings=Settings(outside=False, ask_peers=1e6)) as liar:

        async def tell(stream) -> None:
            await write_delimited_msg(stream, lie)
            told.set()

        told = trio.Event()
        liar.host.machinery.host.set_stream_handler(IDENTIFY, tell)
        await liar.host.connect(victim.host.addrs[0])
        with trio.fail_after(5):
            await told.wait()
        await trio.sleep(0.3)
        assert victim.host.outside.seen_at() == ()
        assert victim.host.proven_place(liar.host.address) == ""
        assert victim.host.statistics().known_peers == 0


async def test_others_hear_what_we_announce_and_not_what_we_bind(honest, stranger, meet):
    outside = Settings(announce=("/ip4/203.0.114.9/tcp/4001",))
    where = "/ip4/127.0.0.1/tcp/47113"
    async with honest(settings=outside, listen=where) as host, stranger() as asker:
        host.host.addrs, announced = (f"{where}/p2p/{host.host.peer_id}",), host.host.addrs
        await meet(asker, host.host)
        host.host.addrs = announced
        stream = await asker.new_stream(host.host.machinery.swarm.get_peer_id(), [IDENTIFY])
        told = await read_delimited_msg(stream, Identify)
        assert [str(Multiaddr(raw)) for raw in told.listen_addrs] == ["/ip4/203.0.114.9/tcp/4001"]
