"""Two honest hosts: they connect, talk both ways, come and go."""

from __future__ import annotations

import time

import pytest
import trio

from p2p.errors import FrameTooLong, NotDialable, UnknownName, Unreachable
from p2p.events import PeerJoined, PeerLeft
from p2p.host import open_host
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
DEAL = "/lilypad/deal/1"


async def test_both_sides_talk_on_one_stream(honest, until):
    async with honest() as alice, honest() as bob:
        await alice.host.connect(bob.host.addrs[0])
        for number in range(20):
            await alice.host.send(bob.host.address, TALK, b"ask %d" % number)
            await until(lambda: len(bob.frames) == number + 1)  # noqa: B023
            await bob.host.send(alice.host.address, TALK, b"answer %d" % number)
        await until(lambda: len(alice.frames) == 20)

        assert bob.frames == [b"ask %d" % number for number in range(20)]
        assert alice.frames == [b"answer %d" % number for number in range(20)]
        assert alice.host.statistics().streams == bob.host.statistics().streams == 1


async def test_frames_of_many_senders_arrive_whole_and_large_ones_too(honest, until):
    async with honest() as alice, honest() as bob:
        await alice.host.connect(bob.host.addrs[0])
        frames = [bytes([number]) * 200_000 for number in range(8)]
        async with trio.open_nursery() as nursery:
            for frame in frames:
                nursery.start_soon(alice.host.send, bob.host.address, TALK, frame)
        await until(lambda: len(bob.frames) == len(frames), 20)
        assert sorted(bob.frames) == frames


async def test_each_side_is_told_who_came_and_who_left(honest, until):
    async with honest() as alice:
        async with honest() as bob:
            peer = await alice.host.connect(bob.host.addrs[0])
            assert (peer.id, peer.address) == (bob.host.peer_id, bob.host.address)
            await until(lambda: alice.said and bob.said)
            assert alice.said == [PeerJoined(peer)]
            assert alice.host.peers() == (peer,)
            assert alice.host.remote_ip(bob.host.address) == "127.0.0.1"
        await until(lambda: len(alice.said) == 2)
        assert alice.said[1] == PeerLeft(peer)
        assert alice.host.peers() == ()
        assert alice.host.remote_ip(peer.address) is None


async def test_a_learned_address_is_dialled_when_there_is_something_to_say(honest, until):
    async with honest(settings=Settings(wanted_peers=0)) as alice, honest() as bob:
        alice.host.learn(bob.host.address, bob.host.addrs)
        assert alice.host.peers() == ()
        await alice.host.send(bob.host.address, DEAL, b"hello")
        await until(lambda: bob.frames == [b"hello"])


async def test_a_lonely_host_dials_whom_it_has_learned_of(honest, until):
    async with honest() as alice, honest() as bob:
        alice.host.learn(bob.host.address, bob.host.addrs)
        await until(alice.host.peers)


async def test_two_who_dial_each_other_at_once_end_up_connected(honest, until):
    async with honest() as alice, honest() as bob:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.host.connect, bob.host.addrs[0])
            nursery.start_soon(bob.host.connect, alice.host.addrs[0])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(alice.host.send, bob.host.address, TALK, b"a")
            nursery.start_soon(bob.host.send, alice.host.address, TALK, b"b")
        await until(lambda: alice.frames == [b"b"] and bob.frames == [b"a"])
        await trio.sleep(0.5)
        await alice.host.send(bob.host.address, TALK, b"still")
        await until(lambda: bob.frames == [b"a", b"still"])


async def test_nobody_at_the_address_is_unreachable_in_time(honest):
    async with honest() as alice, honest() as bob:
        address, nowhere = bob.host.address, f"/ip4/127.0.0.1/tcp/1/p2p/{bob.host.peer_id}"
        with pytest.raises(Unreachable), trio.fail_after(5):
            await alice.host.connect(nowhere)
        with pytest.raises(Unreachable), trio.fail_after(5):
            await alice.host.send(address, TALK, b"hello?")
        with pytest.raises(Unreachable):
            await alice.host.send(bytes(20), TALK, b"hello?")


async def test_a_host_that_is_somebody_else_is_not_accepted_for_the_one_we_dialled(honest):
    async with honest() as alice, honest() as bob, honest() as carol:
        mixed = carol.host.addrs[0].replace(carol.host.peer_id, bob.host.peer_id)
        with pytest.raises(Unreachable):
            await alice.host.connect(mixed)
        assert alice.host.peers() == ()


async def test_a_silent_listener_costs_the_caller_no_more_than_its_limit(honest):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with honest(settings=Settings(send_within=1.0, dial_within=0.5)) as alice, honest() as bob:
        alice.host.learn(bob.host.address, [f"/ip4/127.0.0.1/tcp/{port}/p2p/{bob.host.peer_id}"])
        started = time.perf_counter()
        with pytest.raises(Unreachable):
            await alice.host.send(bob.host.address, TALK, b"hello?")
        assert time.perf_counter() - started < 2
    for listener in listeners:
        await listener.aclose()


async def test_what_we_must_not_do_is_said_loudly(honest):
    async with honest() as alice:
        with pytest.raises(UnknownName):
            await alice.host.send(bytes(20), "/other/1", b"")
        with pytest.raises(UnknownName):
            await alice.host.publish("/other", b"")
        with pytest.raises(FrameTooLong):
            await alice.host.send(bytes(20), TALK, bytes(256 * 1024 + 1))
        with pytest.raises(FrameTooLong):
            await alice.host.publish("/lilypad/1/resource-offers", bytes(64 * 1024 + 1))
        with pytest.raises(NotDialable):
            await alice.host.connect("/ip4/127.0.0.1/udp/1/quic")


async def test_an_idle_stream_is_closed_and_opened_again_when_needed(honest, until):
    async with honest(settings=Settings(idle_stream=0.3)) as alice, honest() as bob:
        await alice.host.connect(bob.host.addrs[0])
        await alice.host.send(bob.host.address, TALK, b"one")
        await until(lambda: alice.host.statistics().streams == bob.host.statistics().streams == 0)
        await bob.host.send(alice.host.address, TALK, b"two")
        await until(lambda: alice.frames == [b"two"])


async def test_the_end_is_quick_and_leaves_no_task_behind(honest, until):
    before = trio.lowlevel.current_statistics().tasks_living
    async with honest() as alice:
        async with honest() as bob:
            await bob.host.connect(alice.host.addrs[0])
            await bob.host.send(alice.host.address, TALK, b"x")
            await until(lambda: alice.frames)
            started = time.perf_counter()
        assert time.perf_counter() - started < 1.0
        started = time.perf_counter()
    assert time.perf_counter() - started < 1.0
    await until(lambda: trio.lowlevel.current_statistics().tasks_living <= before)


async def test_the_end_is_quick_under_cancellation_too(honest, until):
    before = trio.lowlevel.current_statistics().tasks_living
    async with honest() as alice:
        with trio.CancelScope() as scope:
            async with honest() as bob:
                await bob.host.connect(alice.host.addrs[0])
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
    async with honest() as alice, honest() as bob:
        await bob.host.connect(alice.host.addrs[0])
        await until(alice.host.peers)
        await alice.host.ban(bob.host.address, 1.0)
        await until(lambda: not alice.host.peers())
        assert alice.host.statistics().bans == 1
        await trio.sleep(0.5)
        assert alice.host.peers() == ()
        await until(alice.host.peers, 10)  # bob keeps trying, and is let in once the ban is over
