"""Strangers who send too much, too often or too slowly."""

from __future__ import annotations

import struct
import time
from contextlib import AsyncExitStack

import pytest
import trio

from p2p.errors import Unreachable
from p2p.rates import Rate
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
GOSSIP = "/meshsub/1.1.0"
OFFERS = "/lilypad/1/resource-offers"


async def _send_until_refused(sender, to: bytes) -> bool:
    """Send to somebody who does not read; False once that is refused, True if it never was."""
    try:
        for _ in range(50):
            await sender.host.send(to, TALK, bytes(200_000))
    except Unreachable:
        return False
    return True


async def test_more_connections_than_the_library_takes_in_a_lifetime(honest, stranger, meet, until, still_serves):
    small = Settings(connections=5, inbound_connections=4)
    async with honest(settings=small) as victim, stranger() as evil:
        for _ in range(10):
            await meet(evil, victim.host)
            await until(victim.host.peers)
            await evil.disconnect(victim.host.machinery.swarm.get_peer_id())
            await until(lambda: not victim.host.peers())
        await still_serves(victim)


async def test_dead_connections_leave_no_task_behind(honest, stranger, meet, until):
    async with honest() as victim, stranger() as evil:
        await trio.sleep(0.2)
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(5):
            await meet(evil, victim.host)
            await evil.disconnect(victim.host.machinery.swarm.get_peer_id())
            await until(lambda: not victim.host.peers())
        await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)


async def test_strangers_who_came_and_went_leave_nothing_in_memory(honest, stranger, meet, until):
    async with honest() as victim:
        machinery = victim.host.machinery
        for _ in range(4):
            async with stranger() as passer_by:
                await meet(passer_by, victim.host)
                await until(lambda: machinery.pubsub.peers or victim.host.peers())
            await until(lambda: not victim.host.peers())
        await trio.sleep(0.3)
        parts = (machinery.swarm, machinery.swarm.auto_connector, machinery.swarm.tag_store, machinery.pubsub)
        host = victim.host
        parts += (machinery.router, host, host.connections, host.talking, host.talking.talks)
        parts += (host.gossip, host.gossip.bodies)
        for part in parts:
            for name, value in vars(part).items():
                if isinstance(value, dict | set):
                    assert len(value) < 4, f"{type(part).__name__}.{name} grows"


async def test_gossip_of_many_together_stays_within_the_budget(honest, until, still_serves):
    async with (
        honest(settings=Settings(gossip_budget=Rate(10_000, 40_000))) as victim,
        honest(settings=Settings(announce_bytes=64_000)) as loud,
    ):
        await loud.host.connect(victim.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        for _ in range(10):
            await loud.host.publish(OFFERS, bytes(20_000))
        await until(lambda: victim.host.statistics().gossip_too_fast >= 7)
        assert len(victim.heard) <= 3
        assert victim.host.statistics().bans == 0
        await trio.sleep(0.3)
        await still_serves(victim)


async def test_places_for_those_we_dial_stay_free(honest, stranger, meet, until):
    tight = Settings(connections=4, inbound_connections=2)
    async with honest(settings=tight) as victim, honest() as friend, AsyncExitStack() as stack:
        for _ in range(2):
            await meet(await stack.enter_async_context(stranger()), victim.host)
        await until(lambda: len(victim.host.peers()) == 2)
        with pytest.raises(Unreachable):
            await friend.host.connect(victim.host.addrs[0])
        await victim.host.connect(friend.host.addrs[0])
        assert len(victim.host.peers()) == 3


async def test_silent_connections_don_t_keep_honest_ones_out(honest, still_serves, until):
    async with honest() as victim, AsyncExitStack() as stack:
        port = int(victim.host.addrs[0].split("/")[4])
        for _ in range(300):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        await until(lambda: victim.host.statistics().half_open)
        assert victim.host.statistics().half_open <= 64
        started = time.perf_counter()
        await still_serves(victim)
        assert time.perf_counter() - started < 8  # a silent connection would hold its place that long


async def test_one_ip_can_connect_only_so_often(honest, until):
    async with honest(settings=Settings(accepts_per_ip=Rate(0.1, 5))) as victim:
        port = int(victim.host.addrs[0].split("/")[4])
        async with AsyncExitStack() as stack:
            for _ in range(10):
                await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
            await until(lambda: victim.host.statistics().refused == 5)


async def test_a_stream_flood_is_stopped_at_the_limit(honest, stranger, meet, until, still_serves):
    async with honest(settings=Settings(streams_per_peer=16)) as victim, stranger() as evil:
        await meet(evil, victim.host)
        target, opened = victim.host.machinery.swarm.get_peer_id(), 0
        with trio.move_on_after(2):
            for _ in range(200):
                try:
                    await evil.get_network().new_stream(target)
                    opened += 1
                except Exception:
                    break  # cut off
        await until(lambda: victim.host.statistics().refused > 0)
        conns = victim.host.machinery.swarm.get_connections()
        assert all(len(conn.muxed_conn.streams) <= 20 for conn in conns)
        await still_serves(victim)


async def test_many_streams_of_one_protocol_replace_each_other(honest, stranger, meet, until, still_serves):
    async with honest() as victim, stranger() as evil:
        await meet(evil, victim.host)
        for number in range(20):
            stream = await evil.new_stream(victim.host.machinery.swarm.get_peer_id(), [TALK])
            await stream.write(struct.pack(">I", 1) + bytes([number]))
            await trio.sleep(0.02)
        await until(lambda: len(victim.frames) == 20)
        assert victim.host.statistics().streams <= 3
        await still_serves(victim)


async def test_a_peer_that_ignores_the_window_is_cut_before_it_fills_the_memory(
    honest, stranger, meet, until, still_serves
):
    async with honest(consume=False, settings=Settings(event_queue=1)) as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(victim.host.machinery.swarm.get_peer_id(), [TALK])
        for _ in range(5):  # fills the event queue, so that nobody reads the stream any more
            await stream.write(struct.pack(">I", 10) + bytes(10))
        sent = 0
        with trio.move_on_after(5):
            try:
                while sent < 20_000_000:
                    stream.muxed_stream.send_window = 1 << 30
                    await stream.write(bytes(60_000))
                    sent += 60_000
            except Exception:
                pass  # cut off
        await until(lambda: not victim.host.peers())
        assert sent < 20_000_000


async def test_an_owner_who_does_not_read_slows_its_peers_and_nothing_else(honest, until):
    async with (
        honest(consume=False, settings=Settings(event_queue=4)) as slow,
        honest(settings=Settings(send_within=2.0)) as host_a,
        honest() as host_b,
    ):
        await host_a.host.connect(slow.host.addrs[0])
        await host_a.host.connect(host_b.host.addrs[0])
        assert not await _send_until_refused(host_a, slow.host.address)
        started = time.perf_counter()
        await host_a.host.send(host_b.host.address, TALK, b"quick")
        await until(lambda: host_b.frames == [b"quick"])
        assert time.perf_counter() - started < 3
        held = sum(
            len(buffer)
            for conn in slow.host.machinery.swarm.get_connections()
            for buffer in conn.muxed_conn.stream_buffers.values()
        )
        assert held < 1_000_000


async def test_a_reader_that_stops_does_not_hold_up_sends_to_others(honest, stranger, meet, until):
    async with honest(settings=Settings(send_within=1.0)) as host_a, honest() as host_b, stranger() as slow:

        async def never_read(stream):
            await trio.sleep_forever()

        slow.set_stream_handler(TALK, never_read)
        await meet(slow, host_a.host)
        await until(host_a.host.peers)
        (peer,) = host_a.host.peers()
        await host_a.host.connect(host_b.host.addrs[0])

        async def push() -> None:
            assert not await _send_until_refused(host_a, peer.address)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            for number in range(10):
                started = time.perf_counter()
                await host_a.host.send(host_b.host.address, TALK, b"%d" % number)
                await until(lambda: len(host_b.frames) == number + 1)  # noqa: B023
                assert time.perf_counter() - started < 3
                await trio.sleep(0.05)


async def test_a_flood_of_tiny_muxer_frames_waits_its_turn(honest, stranger, meet, until, still_serves):
    async with honest(settings=Settings(mux_frames=Rate(400, 100))) as victim, stranger() as evil:
        await meet(evil, victim.host)
        (conn,) = evil.get_network().get_connections(victim.host.machinery.swarm.get_peer_id())
        stream = await evil.new_stream(victim.host.machinery.swarm.get_peer_id(), [TALK])
        started = time.perf_counter()
        for number in range(600):
            await conn.muxed_conn._write_frame(struct.pack(">BBHII", 0, 2, 1, 0, number))
        await stream.write(struct.pack(">I", 4) + b"last")
        await still_serves(victim)
        await until(lambda: b"last" in victim.frames)
        assert time.perf_counter() - started > 1.0


async def test_a_flood_of_gossip_envelopes_is_dropped_and_blamed(honest, stranger, meet, until, still_serves):
    async with honest(settings=Settings(gossip_rpcs_in=Rate(1, 20))) as victim, stranger() as evil:
        await meet(evil, victim.host)
        stream = await evil.new_stream(victim.host.machinery.swarm.get_peer_id(), [GOSSIP])
        for _ in range(100):
            await stream.write(b"\x00")  # an empty envelope
        await until(lambda: victim.host.statistics().gossip_too_fast >= 79)
        await still_serves(victim)


async def test_frames_faster_than_the_rate_arrive_slower_but_arrive(honest, until):
    async with honest(settings=Settings(frames_in=Rate(50, 10))) as victim, honest() as eager:
        await eager.host.connect(victim.host.addrs[0])
        started = time.perf_counter()
        for number in range(40):
            await eager.host.send(victim.host.address, TALK, b"%d" % number)
        await until(lambda: len(victim.frames) == 40)
        assert time.perf_counter() - started > 0.4
        assert victim.frames == [b"%d" % number for number in range(40)]


async def test_gossip_over_the_rate_is_dropped(honest, until, still_serves):
    calm = Settings(gossip_in=Rate(1, 10), patience=1000.0)
    async with honest(settings=calm) as victim, honest() as loud:
        await loud.host.connect(victim.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        for number in range(60):
            await loud.host.publish(OFFERS, b"%d" % number)
        await until(lambda: victim.host.statistics().gossip_too_fast >= 45)
        assert len(victim.heard) <= 15
        await still_serves(victim)


async def test_a_gossip_flood_ends_in_a_ban(honest, until, still_serves):
    strict = Settings(gossip_in=Rate(1, 10), patience=1.0)
    async with honest(settings=strict) as victim, honest() as loud:
        await loud.host.connect(victim.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        with trio.move_on_after(5):
            while not victim.host.statistics().bans:
                await loud.host.publish(OFFERS, b"buy buy buy")
                await trio.sleep(0.002)
        assert victim.host.statistics().bans == 1
        await still_serves(victim)


async def test_gossip_has_a_limit_of_bytes_of_its_own(honest, until, still_serves):
    """Few messages, many bytes: over gossip's limit and far below that of frames, which stays untouched."""
    narrow = Settings(gossip_bytes_in=Rate(10_000, 100_000), bytes_in=Rate(8_000_000, 8_000_000), patience=1000.0)
    async with honest(settings=narrow) as victim, honest(settings=Settings(announce_bytes=64_000)) as loud:
        await loud.host.connect(victim.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        for number in range(20):
            await loud.host.publish(OFFERS, b"%d " % number + bytes(20_000))
        await until(lambda: victim.host.statistics().gossip_too_fast >= 14)
        assert 1 <= len(victim.heard) <= 6
        for _ in range(20):
            await loud.host.send(victim.host.address, TALK, bytes(20_000))
        await until(lambda: len(victim.frames) == 20)
        await trio.sleep(0.5)
        await still_serves(victim)


async def test_frames_have_a_limit_of_bytes_of_their_own(honest, until):
    """The other way round: frames over their limit wait, and gossip of as many bytes arrives at once."""
    narrow = Settings(bytes_in=Rate(20_000, 20_000), gossip_bytes_in=Rate(8_000_000, 8_000_000))
    async with honest(settings=narrow) as victim, honest(settings=Settings(announce_bytes=64_000)) as loud:
        await loud.host.connect(victim.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        for number in range(5):
            await loud.host.send(victim.host.address, TALK, bytes(20_000))
            await loud.host.publish(OFFERS, b"%d " % number + bytes(20_000))
        await until(lambda: len(victim.heard) == 5)
        assert len(victim.frames) < 5
        await until(lambda: len(victim.frames) == 5, 10)
        assert victim.host.statistics().gossip_too_fast == 0


async def test_an_owner_who_does_not_read_loses_gossip_and_keeps_its_memory(honest, until):
    async with honest(consume=False, settings=Settings(event_queue=20)) as slow, honest() as loud:
        await loud.host.connect(slow.host.addrs[0])
        await until(lambda: loud.host.machinery.router.mesh[OFFERS])
        for number in range(60):
            await loud.host.publish(OFFERS, b"%d" % number)
        await until(lambda: slow.host.statistics().gossip_late >= 40)
