"""Strangers who send what nobody should: it costs them, and honest peers are served all the same."""

from __future__ import annotations

import secrets
import struct
from contextlib import suppress

import pytest
import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.network.exceptions import SwarmException
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.utils.varint import encode_varint_prefixed

from content.blocks import MemoryBlocks
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
GOSSIP = "/meshsub/1.1.0"
OFFERS = "/lilypad/1/resource-offers"
SPOKEN = [
    TALK,
    "/lilypad/deal/1",
    GOSSIP,
    "/ipfs/ping/1.0.0",
    "/ipfs/id/1.0.0",
    "/ipfs/bitswap/1.2.0",
    "/lilypad/offers/1",
    "/lilypad/peers/1",
    "/lilypad/kad/1.0.0",
    "/libp2p/autonat/1.0.0",
    "/libp2p/dcutr",
    "/libp2p/circuit/relay/0.2.0/hop",
    "/libp2p/circuit/relay/0.2.0/stop",
]
"""Everything that a host which serves blocks and is a relay speaks; `test_the_list_is_whole` holds it."""
ALL = {"settings": Settings(relay=True), "blocks": MemoryBlocks()}


def _message(**changes: object) -> bytes:
    fields = {
        "data": b"x",
        "topicIDs": [OFFERS],
        "from_id": b"\x12\x20" + b"\1" * 32,
        "seqno": bytes(8),
        "signature": b"no signature",
    } | changes
    return rpc_pb2.RPC(publish=[rpc_pb2.Message(**fields)]).SerializeToString()


def _control(**parts: object) -> bytes:
    return rpc_pb2.RPC(control=rpc_pb2.ControlMessage(**parts)).SerializeToString()


BROKEN_GOSSIP = {
    "bytes that are no message": b"\xff" * 40,
    "a key that can't be decoded": _message(key=b"\xff\xff\xff"),
    "a key of another kind": _message(key=b"\x08\x01\x12\x20" + bytes(32)),
    "no sender": _message(from_id=b"", seqno=b""),
    "no signature": _message(signature=b""),
    "a sender of a million bytes": _message(from_id=bytes(900_000)),
    "a topic that is not text": b"\x12\x04\x22\x02\xff\xfe",
    "many topics": _message(topicIDs=[OFFERS, *(f"/{number}" for number in range(1000))]),
    "an answer to nothing": _control(
        prune=[rpc_pb2.ControlPrune(topicID=f"/{number}", backoff=2**62) for number in range(300)],
        graft=[rpc_pb2.ControlGraft(topicID=f"/{number}") for number in range(300)],
    ),
    "peers to dial": _control(prune=[rpc_pb2.ControlPrune(topicID=OFFERS, peers=[rpc_pb2.PeerInfo(peerID=b"\0\1")])]),
    "a signed record that is none": rpc_pb2.RPC(senderRecord=b"\xff\xff").SerializeToString(),
    "subscriptions to everything": rpc_pb2.RPC(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=f"/{number}") for number in range(400)]
    ).SerializeToString(),
}


@pytest.mark.parametrize("protocol", SPOKEN)
async def test_random_bytes_on_any_protocol(protocol, honest, stranger, meet, still_serves):
    async with honest(**ALL) as victim, stranger() as evil:
        await meet(evil, victim.host)
        for size in (1, 40, 5000):
            stream = await evil.new_stream(evil_target(victim), [protocol])
            await stream.write(secrets.token_bytes(size))
            await stream.close()
        await trio.sleep(0.1)
        await still_serves(victim)


async def test_the_list_is_whole(honest):
    async with honest(**ALL) as host:
        assert {str(each) for each in host.host.machinery.host.get_mux().get_protocols() if each} == set(SPOKEN)


@pytest.mark.parametrize("protocol", SPOKEN)
async def test_half_a_message_is_not_waited_for_long(protocol, honest, stranger, meet, until, still_serves):
    """A slow writer on any protocol: its stream ends, or waits at no cost to others, and is gone with it."""
    hasty = Settings(relay=True, frame_within=0.5, idle_stream=1.0, block_message_within=0.5, dht_idle=0.5)
    half = b"\x00\x00\x10" if protocol.startswith("/lilypad/") and "kad" not in protocol else b"\x7f"
    async with honest(settings=hasty, blocks=MemoryBlocks()) as victim:
        async with stranger() as evil:
            await meet(evil, victim.host)
            with suppress(Exception):  # whatever becomes of the attacker
                for _ in range(5):
                    stream = await evil.new_stream(evil_target(victim), [protocol])
                    await stream.write(half)
            await still_serves(victim)
        await until(lambda: evil.get_id() not in victim.host.machinery.swarm.connections)
        await until(lambda: victim.host.statistics().streams == 0)


@pytest.mark.parametrize("protocol", SPOKEN)
async def test_who_asks_and_does_not_read_keeps_nobody_waiting(protocol, honest, stranger, meet, still_serves):
    """A slow reader on any protocol: it asks and asks, and takes no byte of the answers."""
    impatient = Settings(relay=True, write_stall=1.0, send_within=1.0)
    async with honest(settings=impatient, blocks=MemoryBlocks()) as victim, stranger() as evil:
        await meet(evil, victim.host)
        with trio.move_on_after(2):
            for _ in range(100):
                try:
                    stream = await evil.new_stream(evil_target(victim), [protocol])
                    stream.muxed_stream.recv_window = 0
                    await stream.write(b"\x04\x08\x04\x12\x00" * 20)
                except Exception:
                    break  # cut off
        await still_serves(victim)


async def test_bytes_that_negotiate_no_protocol(honest, stranger, meet, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        for garbage in (b"\xff" * 100, b"\x00", b"\x03\xff\xfe\n", b"\x13/multistream/1.0.0\n\x04\xff\xfe\xfd\n"):
            stream = await evil.get_network().new_stream(evil_target(victim))
            await stream.write(garbage)
        await trio.sleep(0.1)
        await still_serves(victim)


@pytest.mark.parametrize("kind", BROKEN_GOSSIP)
async def test_broken_gossip(kind, honest, stranger, meet, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(evil_target(victim), [GOSSIP])
        await stream.write(encode_varint_prefixed(BROKEN_GOSSIP[kind]))
        await trio.sleep(0.1)
        assert victim.heard == []
        router, pubsub = victim.host.machinery.router, victim.host.machinery.pubsub
        assert set(pubsub.peer_topics) <= {OFFERS}
        assert set(router.back_off) <= {OFFERS}
        await still_serves(victim)


async def test_an_rpc_that_claims_to_be_endless_is_cut_at_once(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        for length in (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"):
            stream = await evil.new_stream(evil_target(victim), [GOSSIP])
            before = victim.host.statistics().gossip_broken
            await stream.write(length)
            await until(lambda: victim.host.statistics().gossip_broken > before)  # noqa: B023
        await still_serves(victim)


async def test_one_iwant_for_the_same_message_again_and_again_is_answered_once(
    honest, stranger, meet, until, still_serves
):
    async with honest(settings=Settings(announce_bytes=64_000)) as victim, stranger() as evil:
        received = bytearray()

        async def keep(stream):
            while chunk := await stream.read(65536):
                received.extend(chunk)

        evil.set_stream_handler(GOSSIP, keep)
        await meet(evil, victim.host)
        await until(lambda: victim.host.machinery.pubsub.peers)
        await victim.host.publish(OFFERS, bytes(60_000))
        (identity,) = victim.host.machinery.router.mcache.msgs
        stream = await evil.new_stream(evil_target(victim), [GOSSIP])
        wanted = rpc_pb2.ControlIWant(messageIDs=[identity] * 10_000)
        await stream.write(encode_varint_prefixed(_control(iwant=[wanted])))
        await until(lambda: len(received) > 60_000)
        await trio.sleep(0.3)
        assert len(received) < 200_000
        await still_serves(victim)


async def test_a_frame_over_the_cap_ends_its_stream(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(evil_target(victim), [TALK])
        await stream.write(struct.pack(">I", 256 * 1024 + 1) + bytes(1000))
        await until(lambda: victim.host.statistics().frames_broken == 1)
        assert victim.host.statistics().streams == 0
        await still_serves(victim)


async def test_a_truncated_frame_is_not_delivered(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(evil_target(victim), [TALK])
        await stream.write(struct.pack(">I", 3) + b"abc" + struct.pack(">I", 1000) + b"only this")
        await stream.close()
        await until(lambda: victim.host.statistics().frames_broken == 1)
        assert victim.frames == [b"abc"]
        await still_serves(victim)


async def test_who_goes_on_with_broken_frames_is_banned(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        for _ in range(50):
            try:
                stream = await evil.new_stream(evil_target(victim), [TALK])
                await stream.write(b"\xff" * 8)
            except Exception:
                break  # cut off
            await trio.sleep(0.02)
        await until(lambda: victim.host.statistics().bans == 1)
        await until(lambda: victim.host.peers() == ())
        await still_serves(victim)


async def test_a_dialler_without_encryption_is_refused(honest, stranger, meet, still_serves):
    keys = create_new_key_pair(secrets.token_bytes(32))
    async with (
        honest() as victim,
        stranger(sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(keys)}) as evil,
    ):
        with pytest.raises((SwarmException, trio.TooSlowError)):
            await meet(evil, victim.host)
        assert victim.host.peers() == ()
        await still_serves(victim)


def evil_target(victim):
    """The library's own kind of peer id."""
    return victim.host.machinery.swarm.get_peer_id()
