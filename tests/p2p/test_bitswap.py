"""Blocks between hosts: a DAG arrives whole and checked, strangers can neither fill us nor drain us."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from content import varint
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid, Codec
from content.errors import TooMuch
from content.limits import Limits
from content.walk import walk
from p2p.blocks_fetching import NotBrought
from p2p.blocks_wire import PROTOCOL, Message, Presence, Sent, Want, decode, encode
from p2p.errors import Unreachable
from p2p.settings import Settings

ABSENT = Cid.of(Codec.RAW, b"nobody has this")


@pytest.fixture
def tree(tmp_path):
    """A folder with a large file, many small ones and one that occurs twice."""
    rng = random.Random(5)
    (tmp_path / "large").write_bytes(rng.randbytes(5_300_000))
    (tmp_path / "many").mkdir()
    for number in range(60):
        (tmp_path / "many" / f"{number}").write_bytes(b"%d" % (number % 40))
    return tmp_path


async def test_a_folder_arrives_whole(honest, tree):
    theirs, mine = MemoryBlocks(), MemoryBlocks()
    root = add_path(tree, theirs)
    async with honest(blocks=theirs) as host_a, honest(blocks=mine) as host_b:
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        brought = await host_b.host.bitswap.fetch(root, host_a.host.address)
        assert list(walk(root, mine)) == list(walk(root, theirs))
        assert (brought.blocks, brought.already_here) == (len(theirs), 0)
        again = await host_b.host.bitswap.fetch(root, host_a.host.address)
        assert again.already_here == len(theirs)
        assert host_a.host.bitswap.statistics().blocks_out == len(theirs)
        assert host_b.host.bitswap.statistics().fetches == 0


async def test_a_fetch_goes_on_where_an_earlier_one_ended(honest, tree):
    theirs, mine = MemoryBlocks(), MemoryBlocks()
    root = add_path(tree, theirs)
    for cid, block in list(walk(root, theirs))[:3]:
        mine.put(cid, block)
    async with honest(blocks=theirs) as host_a, honest(blocks=mine) as host_b:
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        assert (await host_b.host.bitswap.fetch(root, host_a.host.address)).already_here == 3


async def test_a_peer_that_lacks_it_says_so_at_once(honest):
    async with honest(blocks=MemoryBlocks()) as host_a, honest(blocks=MemoryBlocks()) as host_b:
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        with pytest.raises(NotBrought, match="has not got"), trio.fail_after(3):
            await host_b.host.bitswap.fetch(ABSENT, host_a.host.address)


async def test_a_peer_without_bitswap_is_unreachable_for_blocks(honest):
    async with honest() as host_a, honest(blocks=MemoryBlocks()) as host_b:
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        with pytest.raises(Unreachable):
            await host_b.host.bitswap.fetch(ABSENT, host_a.host.address)


async def test_content_past_the_limits_is_left(honest, tree):
    theirs = MemoryBlocks()
    root = add_path(tree, theirs)
    async with honest(blocks=theirs) as host_a, honest(blocks=MemoryBlocks()) as host_b:
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        with pytest.raises(TooMuch):
            await host_b.host.bitswap.fetch(root, host_a.host.address, Limits(max_bytes=2_000_000))
        assert host_b.host.bitswap.statistics().fetches == 0


async def test_a_silent_peer_costs_no_more_than_its_limit(honest, stranger, meet):
    async with honest(blocks=MemoryBlocks(), settings=Settings(block_silence=0.5)) as host_a, stranger() as mute:

        async def listen(stream):
            while await stream.read(4096):
                pass

        mute.set_stream_handler(PROTOCOL, listen)
        await meet(mute, host_a.host)
        with pytest.raises(NotBrought, match="no block"), trio.fail_after(3):
            await host_a.host.bitswap.fetch(ABSENT, host_a.host.peers()[0].address)


async def test_only_what_was_asked_for_is_kept(honest, stranger, meet):
    """Other blocks, right bytes under a wrong name, and blocks when nothing was asked: none has a way in."""
    block = b"the right one"
    wanted = Cid.of(Codec.RAW, block)
    mine = MemoryBlocks()
    async with honest(blocks=mine) as host_a, stranger() as liar:

        async def lie(stream):
            await stream.read(4096)
            raw, pb = bytes(wanted)[:4], bytes(Cid.of(Codec.DAG_PB, b""))[:4]
            for sent in (Sent(raw, b"something else"), Sent(pb, block), Sent(b"\x01\x71\x12\x20", block)):
                await stream.write(encode(Message(blocks=(sent,))))
            await trio.sleep(0.3)
            assert len(mine) == 0
            await stream.write(encode(Message(blocks=(Sent(raw, block),))))

        liar.set_stream_handler(PROTOCOL, lie)
        await meet(liar, host_a.host)
        await host_a.host.bitswap.fetch(wanted, host_a.host.peers()[0].address)
        stream = await liar.new_stream(_id_of(host_a.host), [PROTOCOL])
        await stream.write(encode(Message(blocks=(Sent(bytes(wanted)[:4], b"unasked"),))))
        await trio.sleep(0.3)
        assert len(mine) == 1


async def test_answers_come_on_a_stream_of_their_own(honest, stranger, meet):
    theirs = MemoryBlocks()
    here, v0 = theirs.add(Codec.RAW, b"here"), theirs.add(Codec.DAG_PB, b"")
    async with honest(blocks=theirs) as host_a, _asker(stranger, meet, host_a) as (ask, heard):
        strange = bytes.fromhex("01711220") + bytes(32)
        await ask(
            Want(bytes(here)),
            Want(bytes([0x12, 0x20]) + v0.digest),
            Want(bytes(ABSENT)),
            Want(bytes(ABSENT)[:-1] + b"!", answer_no=False),
            Want(strange),
        )
        with trio.fail_after(3):
            message = await heard.receive()
        assert message.blocks == (Sent(bytes(here)[:4], b"here"), Sent(b"\x00\x70\x12\x20", b""))
        assert message.presences == (Presence(bytes(ABSENT), False), Presence(strange, False))
        await ask(Want(bytes(here), whole=False), Want(bytes(ABSENT), whole=False))
        with trio.fail_after(3):
            message = await heard.receive()
        assert message.presences == (Presence(bytes(here), True), Presence(bytes(ABSENT), False))


async def test_an_asker_without_end_is_served_at_its_rate_and_no_more(honest, stranger, meet, until):
    """Thousands of wants for a large block: few are queued, few bytes leave, others are served meanwhile."""
    theirs = MemoryBlocks()
    large, small = theirs.add(Codec.RAW, bytes(1 << 20)), theirs.add(Codec.RAW, b"small")
    settings = Settings(block_bytes_out=_rate(2 << 20), wants_per_peer=50)
    async with (
        honest(blocks=theirs, settings=settings) as host_a,
        _asker(stranger, meet, host_a) as (ask, _),
        honest(blocks=MemoryBlocks()) as host_b,
    ):
        for number in range(40):
            await ask(*(Want(bytes(large)) for _ in range(5)), *(_nonsense(number, each) for each in range(100)))
        await trio.sleep(1.0)
        found = host_a.host.bitswap.statistics()
        assert found.waiting <= 50
        assert found.bytes_out <= 8 << 20
        host_b.host.learn(host_a.host.address, host_a.host.addrs)
        with trio.fail_after(3):
            await host_b.host.bitswap.fetch(small, host_a.host.address)


async def test_garbage_is_blamed_and_harms_nobody(honest, stranger, meet, until, still_serves):
    async with honest(blocks=MemoryBlocks(), settings=Settings(patience=1000)) as host_a, stranger() as vandal:
        await meet(vandal, host_a.host)
        too_many = encode(Message(wants=tuple(Want(bytes(ABSENT)) for _ in range(1025))))
        for bad in (b"\xff" * 40, varint.encode(5) + b"\xff" * 5, varint.encode(1 << 40), too_many, b"\x80" * 9):
            stream = await vandal.new_stream(_id_of(host_a.host), [PROTOCOL])
            await stream.write(bad)
            with trio.fail_after(3):
                try:
                    while await stream.read(1024):
                        pass
                except Exception:  # ended in whatever way
                    pass
        assert host_a.host.statistics().faults == 0
        await still_serves(host_a)


def test_a_message_comes_back_as_it_was() -> None:
    message = Message(
        (Want(bytes(ABSENT)), Want(bytes(ABSENT), whole=False, answer_no=False, cancel=True)),
        True,
        (Sent(bytes(ABSENT)[:4], b"data"),),
        (Presence(bytes(ABSENT), True), Presence(b"\x01", False)),
    )
    data = encode(message)
    size, start = varint.decode(data, 0)
    assert len(data) == start + size
    assert decode(data[start:]) == message


def _rate(amount):
    from p2p.rates import Rate

    return Rate(amount, amount)


def _nonsense(number, each):
    return Want(bytes(Cid.of(Codec.RAW, b"%d %d" % (number, each))))


def _id_of(host):
    return info_from_p2p_addr(Multiaddr(host.addrs[0])).peer_id


@asynccontextmanager
async def _asker(stranger, meet, victim):
    """A peer of the unmended library that asks on one stream and hears answers on those that we open."""
    say, heard = trio.open_memory_channel(1000)
    async with stranger() as asker:

        async def listen(stream):
            buffer = bytearray()
            while chunk := await stream.read(1 << 16):
                buffer += chunk
                while (length := varint.decode(buffer, 0)) is not None and len(buffer) >= sum(length):
                    size, start = length
                    say.send_nowait(decode(bytes(buffer[start : start + size])))
                    del buffer[: start + size]

        asker.set_stream_handler(PROTOCOL, listen)
        await meet(asker, victim.host)
        stream = await asker.new_stream(_id_of(victim.host), [PROTOCOL])

        async def ask(*wants):
            await stream.write(encode(Message(wants=wants)))

        yield ask, heard
