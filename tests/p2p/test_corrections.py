"""Single corrections of the library, where no stranger's behaviour shows them alone."""

from __future__ import annotations

import functools
import inspect
import logging
import struct
import subprocess
import sys

import pytest
import trio
import trio.testing
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from p2p.corrections import connections, gossip, mended, release
from p2p.errors import WrongLibrary
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
GOSSIP = "/meshsub/1.1.0"
OFFERS = "/lilypad/1/resource-offers"
IDENTIFY = "/ipfs/id/1.0.0"


def test_another_release_is_refused_and_says_which_corrections_to_look_at(monkeypatch):
    monkeypatch.setattr(release, "version", lambda name: "0.9.0")
    with pytest.raises(WrongLibrary, match=r"0\.9\.0 is installed.*still needed; look whether these are: none"):
        release.check_release()

    async def accept_stream(self):
        """Another one."""

    monkeypatch.setattr(Yamux, "accept_stream", accept_stream)
    monkeypatch.delattr(Swarm, "_schedule_prune")
    with pytest.raises(WrongLibrary) as refused:
        release.check_release()
    told = str(refused.value).partition("look whether these are: ")[2].partition(". Then")[0].split(", ")
    assert told == [
        "libp2p.network.swarm:Swarm._schedule_prune (gone)",
        "libp2p.stream_muxer.yamux.yamux:Yamux.accept_stream",
    ]


def test_every_method_that_is_mended_is_known_by_its_fingerprint():
    assert list(mended.changed()) == []
    classes = [each for module in (connections, gossip) for each in vars(module).values() if isinstance(each, type)]
    missing = [
        place
        for ours in classes
        if ours.__module__.startswith("p2p.corrections")
        for base in ours.__mro__[1:]
        if base.__module__.startswith("libp2p")
        for name, method in vars(ours).items()
        if inspect.isfunction(method) and name in vars(base) and name != "__init__"
        if not getattr(vars(base)[name], "__isabstractmethod__", False)
        if (place := f"{base.__module__}:{base.__qualname__}.{name}") not in mended.FINGERPRINTS
    ]
    assert missing == [], {place: mended.fingerprint(place) for place in missing}


def test_the_light_parts_don_t_load_the_library():
    light = "import sys, p2p.errors, p2p.events, p2p.settings, p2p.statistics; print('libp2p' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_library_does_not_write_strangers_faults_into_our_log():
    assert not logging.getLogger("libp2p.network.swarm").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("service", ["swarm", "pubsub"])
async def test_a_task_of_the_library_that_fails_is_counted_and_nothing_more(service, honest, still_serves):
    async def fail() -> None:
        raise KeyError("anything")

    async with honest() as host:
        getattr(host.host.machinery, service).manager.run_task(fail)
        await trio.sleep(0.05)
        assert host.host.statistics().faults == 1
        await still_serves(host)


async def test_a_handler_that_raises_costs_its_stream_and_not_the_connection(honest, stranger, meet, until):
    async def fail(stream):
        raise KeyError(await stream.read(1))

    async with honest() as host, stranger() as caller:
        host.host.machinery.host.set_stream_handler("/fails", fail)
        await meet(caller, host.host)
        target = host.host.machinery.swarm.get_peer_id()
        stream = await caller.new_stream(target, [TALK])
        await (await caller.new_stream(target, ["/fails"])).write(b"x")
        await until(lambda: host.host.statistics().faults == 1)
        await stream.write(struct.pack(">I", 5) + b"still")
        await until(lambda: host.frames == [b"still"])


async def test_a_heartbeat_that_fails_is_followed_by_the_next(honest, monkeypatch, until, still_serves):
    async with honest(settings=Settings(heartbeat=0.05)) as host:
        router = host.host.machinery.router
        beat, failures = router.mesh_heartbeat, iter([KeyError(), KeyError()])

        def sometimes():
            for failure in failures:
                raise failure
            return beat()

        monkeypatch.setattr(router, "mesh_heartbeat", sometimes)
        await until(lambda: host.host.statistics().faults == 2)
        await still_serves(host)


async def test_a_gossip_peer_that_can_t_be_forgotten_does_not_stop_the_loop(honest, monkeypatch, until, still_serves):
    async with honest() as host:

        def fail(peer_id):
            raise KeyError(peer_id)

        async with honest() as leaver:
            await leaver.host.connect(host.host.addrs[0])
            await until(lambda: host.host.machinery.pubsub.peers)
            with monkeypatch.context() as broken:
                broken.setattr(host.host.machinery.pubsub, "_forget_all_subscriptions", fail)
                leaver.host.machinery.swarm.get_connections()[0].muxed_conn.sever()
                # once where its stream ends, once where its connection does
                await until(lambda: host.host.statistics().faults >= 2)
        await until(lambda: not host.host.peers())
        async with honest() as newcomer:
            await newcomer.host.connect(host.host.addrs[0])
            known = ID.from_base58(newcomer.host.peer_id)
            await until(lambda: known in host.host.machinery.pubsub.peers)
            newcomer.host.machinery.swarm.get_connections()[0].muxed_conn.sever()
            await until(lambda: known not in host.host.machinery.pubsub.peers)
        await still_serves(host)


async def test_who_reads_a_stream_that_we_reset_is_woken_and_nothing_is_kept(honest, until):
    async with honest() as host, honest() as other:

        async def wait(stream):
            await trio.sleep_forever()

        other.host.machinery.host.set_stream_handler("/waits", wait)
        await host.host.connect(other.host.addrs[0])
        (conn,) = host.host.machinery.swarm.get_connections()
        await trio.sleep(0.3)  # gossip and identify open theirs
        kept = len(conn.muxed_conn.stream_events)
        for size in (None, 10):
            stream = await host.host.machinery.host.new_stream(conn.muxed_conn.peer_id, ["/waits"])
            with trio.fail_after(5):
                async with trio.open_nursery() as nursery:

                    async def read(stream=stream, size=size):
                        with pytest.raises((StreamReset, StreamEOF)):
                            await stream.read(size)

                    nursery.start_soon(read)
                    await trio.testing.wait_all_tasks_blocked(0.05)
                    await stream.reset()
        await until(lambda: len(conn.muxed_conn.stream_events) <= kept)


async def test_the_257th_stream_is_refused_in_time(honest, stranger, meet, until):
    async with honest(settings=Settings(send_within=0.3)) as host, stranger() as other:
        await meet(other, host.host)
        await until(host.host.peers)
        (conn,) = host.host.machinery.swarm.get_connections()
        with trio.fail_after(10), pytest.raises(trio.TooSlowError):
            await _open_streams(conn, 300)


async def _open_streams(conn, count: int) -> None:
    for _ in range(count):
        await conn.muxed_conn.open_stream()


async def test_a_connection_that_takes_no_bytes_is_cut(honest, stranger, meet, until):
    async with honest(settings=Settings(write_stall=0.3)) as host, stranger() as deaf:
        await meet(deaf, host.host)
        await until(host.host.peers)
        _deafen(deaf, trio.Event())
        (conn,) = host.host.machinery.swarm.get_connections()
        with trio.move_on_after(10), pytest.raises(Exception, match="takes no bytes"):
            await _write_padding(conn, 100)
        await until(lambda: not host.host.peers())


async def test_a_write_that_is_cancelled_midway_leaves_the_connection_whole(honest, stranger, meet, until):
    async with honest() as host, stranger() as slow:
        received = bytearray()

        async def keep(stream):
            while chunk := await stream.read(65536):
                received.extend(chunk)

        slow.set_stream_handler(TALK, keep)
        await meet(slow, host.host)
        await until(host.host.peers)
        (peer,), (conn,) = host.host.peers(), host.host.machinery.swarm.get_connections()
        await host.host.send(peer.address, TALK, b"before")
        hears_again = trio.Event()
        _deafen(slow, hears_again)
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.3):
                nursery.start_soon(_soon, 0.6, hears_again)
                await _write_padding(conn, 100)
        await host.host.send(peer.address, TALK, b"after")
        await until(lambda: received.endswith(b"after"))


async def _soon(seconds: float, event: trio.Event) -> None:
    await trio.sleep(seconds)
    event.set()


async def _write_padding(conn, count: int) -> None:
    """Muxer frames of 60 kB each for a stream that does not exist: no window holds them back."""
    for _ in range(count):
        await conn.muxed_conn._write_frame(struct.pack(">BBHII", 0, 0, 0, 999_999, 60_000) + bytes(60_000))


def _deafen(stranger, until_event: trio.Event) -> None:
    """The stranger stops reading its socket until the event."""
    for conn in stranger.get_network().get_connections():
        tcp = conn.muxed_conn.secured_conn.conn.read_writer.read_write_closer.stream
        read = tcp.read

        async def wait_first(size=None, read=read):
            await until_event.wait()
            return await read(size)

        tcp.read = wait_first


async def test_nobody_is_dialled_but_by_us(honest, until):
    async with honest(settings=Settings(wanted_peers=0)) as host, honest() as other:
        target = ID.from_base58(other.host.peer_id)
        host.host.machinery.host.peerstore.add_addrs(target, [Multiaddr(other.host.addrs[0])], 100)
        with pytest.raises(SwarmException):
            await host.host.machinery.host.new_stream(target, [TALK])
        assert other.host.peers() == ()


async def test_newcomers_are_not_asked_by_the_library_who_they_are(honest, stranger, meet, until):
    async with honest(settings=Settings(outside=False)) as host, stranger() as asked:
        questions = []
        asked.set_stream_handler(IDENTIFY, functools.partial(_note, questions))
        await meet(asked, host.host)
        await until(host.host.peers)
        await trio.sleep(0.3)
        assert questions == []


async def _note(seen: list[object], stream: object) -> None:
    seen.append(stream)


async def test_only_the_first_envelope_carries_our_signed_addresses(honest, stranger, meet, until):
    async with honest() as host, stranger() as neighbour:
        received = bytearray()

        async def keep(stream):
            while chunk := await stream.read(65536):
                received.extend(chunk)

        neighbour.set_stream_handler(GOSSIP, keep)
        await meet(neighbour, host.host)
        await until(lambda: host.host.machinery.pubsub.peers)
        stream = await neighbour.new_stream(host.host.machinery.swarm.get_peer_id(), [GOSSIP])
        subscribe = rpc_pb2.RPC(subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=OFFERS)])
        await stream.write(bytes([subscribe.ByteSize()]) + subscribe.SerializeToString())
        await until(lambda: host.host.machinery.pubsub.peer_topics)
        await host.host.publish(OFFERS, b"an offer")
        await until(lambda: b"an offer" in received)
        record = host.host.machinery.host.sender_record()
        assert received.count(record) == 1
