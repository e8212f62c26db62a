"""Two honest hosts: they connect, talk both ways, come and go."""

from __future__ import annotations

import time

import pytest
import trio

from p2p.errors import CantListen, FrameTooLong, NotDialable, UnknownName, Unreachable
from p2p.events import PeerJoined, PeerLeft
from p2p.host import open_host
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
DEAL = "/lilypad/deal/1"


async def test_both_sides_talk_on_one_stream(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        for number in range(20):
            await host_a.host.send(host_b.host.address, TALK, b"ask %d" % number)
            await until(lambda: len(host_b.frames) == number + 1)  # noqa: B023
            await host_b.host.send(host_a.host.address, TALK, b"answer %d" % number)
        await until(lambda: len(host_a.frames) == 20)

        assert host_b.frames == [b"ask %d" % number for number in range(20)]
        assert host_a.frames == [b"answer %d" % number for number in range(20)]
        assert host_a.host.statistics().streams == host_b.host.statistics().streams == 1


async def test_frames_of_many_senders_arrive_whole_and_large_ones_too(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        frames = [bytes([number]) * 200_000 for number in range(8)]
        async with trio.open_nursery() as nursery:
            for frame in frames:
                nursery.start_soon(host_a.host.send, host_b.host.address, TALK, frame)
        await until(lambda: len(host_b.frames) == len(frames), 20)
        assert sorted(host_b.frames) == frames


async def test_each_side_is_told_who_came_and_who_left(honest, until):
    async with honest() as host_a:
        async with honest() as host_b:
            peer = await host_a.host.connect(host_b.host.addrs[0])
            assert (peer.id, peer.address) == (host_b.host.peer_id, host_b.host.address)
            await until(lambda: host_a.said and host_b.said)
            assert host_a.said == [PeerJoined(peer)]
            assert host_a.host.peers() == (peer,)
            assert host_a.host.remote_ip(host_b.host.address) == "127.0.0.1"
        await until(lambda: len(host_a.said) == 2)
        assert host_a.said[1] == PeerLeft(peer)
        assert host_a.host.peers() == ()
        assert host_a.host.remote_ip(peer.address) is None


async def test_a_learned_address_is_dialled_when_there_is_something_to_say(honest, until):
    async with honest(settings=Settings(wanted_peers=0)) as host_a, honest() as host_b:
        host_a.host.learn(host_b.host.address, host_b.host.addrs)
        assert host_a.host.peers() == ()
        await host_a.host.send(host_b.host.address, DEAL, b"hello")
        await until(lambda: host_b.frames == [b"hello"])


async def test_a_lonely_host_dials_whom_it_has_learned_of(honest, until):
    async with honest() as host_a, honest() as host_b:
        host_a.host.learn(host_b.host.address, host_b.host.addrs)
        await until(host_a.host.peers)


async def test_two_who_dial_each_other_at_once_end_up_connected(honest, until):
    async with honest() as host_a, honest() as host_b:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host_a.host.connect, host_b.host.addrs[0])
            nursery.start_soon(host_b.host.connect, host_a.host.addrs[0])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(host_a.host.send, host_b.host.address, TALK, b"a")
            nursery.start_soon(host_b.host.send, host_a.host.address, TALK, b"b")
        await until(lambda: host_a.frames == [b"b"] and host_b.frames == [b"a"])
        await trio.sleep(0.5)
        await host_a.host.send(host_b.host.address, TALK, b"still")
        await until(lambda: host_b.frames == [b"a", b"still"])


async def test_nobody_at_the_address_is_unreachable_in_time(honest):
    async with honest() as host_a, honest() as host_b:
        address, nowhere = host_b.host.address, f"/ip4/127.0.0.1/tcp/1/p2p/{host_b.host.peer_id}"
        with pytest.raises(Unreachable), trio.fail_after(5):
            await host_a.host.connect(nowhere)
        with pytest.raises(Unreachable), trio.fail_after(5):
            await host_a.host.send(address, TALK, b"hello?")
        with pytest.raises(Unreachable):
            await host_a.host.send(bytes(20), TALK, b"hello?")


async def test_a_host_that_is_somebody_else_is_not_accepted_for_the_one_we_dialled(honest):
    async with honest() as host_a, honest() as host_b, honest() as host_c:
        mixed = host_c.host.addrs[0].replace(host_c.host.peer_id, host_b.host.peer_id)
        with pytest.raises(Unreachable):
            await host_a.host.connect(mixed)
        assert host_a.host.peers() == ()


async def test_a_silent_listener_costs_the_caller_no_more_than_its_limit(honest):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with honest(settings=Settings(send_within=1.0, dial_within=0.5)) as host_a, honest() as host_b:
        host_a.host.learn(host_b.host.address, [f"/ip4/127.0.0.1/tcp/{port}/p2p/{host_b.host.peer_id}"])
        started = time.perf_counter()
        with pytest.raises(Unreachable):
            await host_a.host.send(host_b.host.address, TALK, b"hello?")
        assert time.perf_counter() - started < 2
    for listener in listeners:
        await listener.aclose()


async def test_what_we_must_not_do_is_said_loudly(honest):
    async with honest() as host_a:
        with pytest.raises(UnknownName):
            await host_a.host.send(bytes(20), "/other/1", b"")
        with pytest.raises(UnknownName):
            await host_a.host.publish("/other", b"")
        with pytest.raises(FrameTooLong):
            await host_a.host.send(bytes(20), TALK, bytes(256 * 1024 + 1))
        with pytest.raises(FrameTooLong):
            await host_a.host.publish("/lilypad/1/resource-offers", bytes(64 * 1024 + 1))
        with pytest.raises(NotDialable):
            await host_a.host.connect("/ip4/127.0.0.1/udp/1/quic")


async def test_an_idle_stream_is_closed_and_opened_again_when_needed(honest, until):
    async with honest(settings=Settings(idle_stream=0.3)) as host_a, honest() as host_b:
        await host_a.host.connect(host_b.host.addrs[0])
        await host_a.host.send(host_b.host.address, TALK, b"one")
        await until(lambda: host_a.host.statistics().streams == host_b.host.statistics().streams == 0)
        await host_b.host.send(host_a.host.address, TALK, b"two")
        await until(lambda: host_a.frames == [b"two"])


async def test_the_end_is_quick_and_leaves_no_task_behind(honest, until):
    before = trio.lowlevel.current_statistics().tasks_living
    async with honest() as host_a:
        async with honest() as host_b:
            await host_b.host.connect(host_a.host.addrs[0])
            await host_b.host.send(host_a.host.address, TALK, b"x")
            await until(lambda: host_a.frames)
            started = time.perf_counter()
        assert time.perf_counter() - started < 1.0
        started = time.perf_counter()
    assert time.perf_counter() - started < 1.0
    await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)


async def test_the_end_is_quick_under_cancellation_too(honest, until):
    before = trio.lowlevel.current_statistics().tasks_living
    async with honest() as host_a:
        with trio.CancelScope() as scope:
            async with honest() as host_b:
                await host_b.host.connect(host_a.host.addrs[0])
                started = time.perf_counter()
                scope.cancel()
                await trio.sleep_forever()
        assert time.perf_counter() - started < 1.0
    await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)


async def test_an_exception_of_the_owner_comes_out_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with open_host(bytes([7]) * 32, listen=[], protocols=[], topics=[], validate=lambda topic, data: True):
            raise ZeroDivisionError


async def test_a_banned_peer_is_cut_and_kept_out_until_the_ban_ends(honest, until):
    async with honest() as host_a, honest() as host_b:
        await host_b.host.connect(host_a.host.addrs[0])
        await until(host_a.host.peers)
        await host_a.host.ban(host_b.host.address, 1.0)
        await until(lambda: not host_a.host.peers())
        assert host_a.host.statistics().bans == 1
        await trio.sleep(0.5)
        assert host_a.host.peers() == ()
        await until(host_a.host.peers, 10)  # host_b keeps trying, and is let in once the ban is over


async def test_two_can_t_listen_on_one_port(honest):
    async with honest() as first:
        (where,) = first.host.addrs
        with pytest.raises(CantListen):
            async with open_host(
                bytes(31) + b"\7",
                listen=[where.split("/p2p/")[0]],
                protocols=[],
                topics=[],
                validate=lambda topic, data: True,
            ):
                pass
