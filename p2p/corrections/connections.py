"""Connections and streams within limits: the muxer, the swarm and the host of the library, mended."""

from __future__ import annotations

import logging
import math
import socket
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, SupportsIndex

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.pubsub.pubsub import env_to_send_in_RPC  # taken before `names` replaces it
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from libp2p.stream_muxer.yamux.yamux import (
    DEFAULT_WINDOW_SIZE,
    GO_AWAY_NORMAL,
    HEADER_SIZE,
    TYPE_GO_AWAY,
    YAMUX_HEADER_FORMAT,
    Yamux,
)
from multiaddr import Multiaddr

from p2p.corrections.guards import guard_tasks, quietly
from p2p.corrections.watch import Watch
from p2p.errors import TooFast
from p2p.rates import Bucket

log = logging.getLogger("p2p")

_STREAM_ROOM = DEFAULT_WINDOW_SIZE + 64 * 1024
"""Bytes one stream may buffer: its window, and a little for those who count otherwise."""
_CONNECTION_ROOM = 4 * 1024 * 1024
"""Bytes all streams of one connection may buffer together."""
_READ_AHEAD = 64 * 1024


class _Overrun(trio.TooSlowError):
    """A peer sent more than its window; of all exceptions this kind alone makes the muxer end the connection."""


class _Inbox(bytearray):
    """What one stream received and nobody read yet."""

    def __init__(self, others: dict[int, bytearray]) -> None:
        super().__init__()
        self._others = others

    def extend(self, data: Iterable[SupportsIndex]) -> None:
        """Mends: the receive window is announced but not enforced, so a peer that ignores it fills our memory."""
        chunk = bytes(data)
        if (
            len(self) + len(chunk) > _STREAM_ROOM
            or sum(map(len, self._others.values())) + len(chunk) > _CONNECTION_ROOM
        ):
            raise _Overrun
        super().extend(chunk)


class _Inboxes(dict[int, bytearray]):
    """The muxer's buffers by stream, each of them bounded."""

    def __setitem__(self, stream: int, _empty: bytearray) -> None:
        super().__setitem__(stream, _Inbox(self))


class _Events(dict[int, trio.Event]):
    """Who waits for bytes, by stream. Mends: a stream that is reset on our side leaves its own reader waiting for ever,
    and a reader that wakes on a stream that is gone puts an event back which nobody takes away.
    """

    def __init__(self, streams: dict[int, Any]) -> None:
        super().__init__()
        self._streams = streams

    def __setitem__(self, stream: int, event: trio.Event) -> None:
        if stream in self._streams:
            super().__setitem__(stream, event)

    def pop(self, stream: int, *default: Any) -> Any:
        event = super().pop(stream, *default)
        if event is not None:
            event.set()
        return event


class CorrectedYamux(Yamux):  # type: ignore[misc]
    """A muxed connection whose memory, streams and writes are bounded."""

    def __init__(self, secured: Any, peer_id: Any, watch: Watch) -> None:
        async def nothing() -> None: ...

        super().__init__(secured, peer_id, is_initiator=secured.is_initiator, on_close=nothing)
        self.stream_buffers = _Inboxes()
        self.stream_events = _Events(self.streams)
        self._watch = watch
        self._stall = watch.settings.write_stall
        self._opens = Bucket(watch.settings.stream_opens, trio.current_time())
        self._tcp = _socket_under(secured)
        self.remote_ip = "" if self._tcp is None else _ip_of(self._tcp)
        """The IP at the other end of the socket."""
        if self._tcp is not None:
            _keep_alive(self._tcp, watch.settings.keepalive)
        self.relay_ip = _relay_under(secured)
        """The IP of the relay that carries this connection; empty for a direct one."""
        _read_ahead(secured)
        self._pace(secured)

    def _pace(self, secured: Any) -> None:
        """Mends: each tiny frame (a ping, a window update, data for no stream) is answered as fast as it comes, so that
        one connection can take a whole core. Headers are read by their exact size, which is where we make it wait.
        """
        read, frames = secured.read, Bucket(self._watch.settings.mux_frames, trio.current_time())

        async def paced(size: int | None = None) -> Any:
            if size == HEADER_SIZE and (wait := frames.borrow(1, trio.current_time())):
                await trio.sleep(wait)
            return await read(size)

        secured.read = paced

    async def accept_stream(self) -> Any:
        """Mends: a peer may open streams without limit."""
        while True:
            stream = await super().accept_stream()
            _give_credit_in_halves(stream)
            theirs = sum(not each.is_initiator for each in self.streams.values())
            if theirs <= self._watch.settings.streams_per_peer and self._opens.take(1, trio.current_time()):
                return stream
            self._watch.counters.refused += 1
            self._watch.blame(self.peer_id, TooFast(f"{theirs} streams on one connection"), 0.1)
            await stream.reset()

    async def open_stream(self) -> Any:
        """Mends: the 257th stream waits for ever."""
        with trio.fail_after(self._watch.settings.send_within):
            stream = await super().open_stream()
        _give_credit_in_halves(stream)
        return stream

    async def _write_frame(self, data: bytes) -> None:
        """Mends: a write that is cancelled midway leaves half a Noise message on the wire and
        every later one unreadable; a peer that stops reading its socket blocks its writers for ever.
        """
        deadline = trio.current_time() + self._stall
        with trio.CancelScope(shield=True, deadline=deadline) as scope:
            async with self._write_lock:
                await self.secured_conn.write(data)
        if scope.cancelled_caught:
            self.sever()
            raise ConnectionClosedError("the peer takes no bytes", transport="tcp")
        await trio.lowlevel.checkpoint()

    async def say_goodbye(self, within: float) -> None:
        """Tell the other side that we leave, and leave."""
        self._stall = within
        with suppress(Exception), trio.move_on_after(within):
            await self._write_lock.acquire()
            self._write_lock.release()
            await self._write_frame(struct.pack(YAMUX_HEADER_FORMAT, 0, TYPE_GO_AWAY, 0, 0, GO_AWAY_NORMAL))

    def sever(self) -> None:
        """Close the socket at once and without a word; reads and writes under way end with an error."""
        if self._tcp is not None:
            self._tcp.close()


class CorrectedMuxers(MuxerMultistream):  # type: ignore[misc]
    """Negotiates yamux and nothing else, and builds our kind of it."""

    def __init__(self, original: Any, watch: Watch) -> None:
        super().__init__(original.transports, original.negotiate_timeout)
        self._watch = watch

    async def new_conn(self, conn: Any, peer_id: Any) -> Any:
        """Mends: the class that was configured for yamux is ignored."""
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        return self._annotate_connection(CorrectedYamux(conn, peer_id, self._watch), conn, protocol)


class CorrectedSwarm(Swarm):  # type: ignore[misc]
    """Connections in and out, within limits, dialled only by us."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watch = watch
        self.upgrader.muxer_multistream = CorrectedMuxers(self.upgrader.muxer_multistream, watch)
        # its slots are given back only when the swarm ends, so it would cap the connections of a lifetime
        self._inbound_limiter = trio.CapacityLimiter(math.inf)
        self._handshakes: dict[object, tuple[str, trio.CancelScope]] = {}

    @property
    def half_open(self) -> int:
        """Connections whose handshake is not done."""
        return sum(not scope.cancel_called for _, scope in self._handshakes.values())

    async def run(self) -> None:
        """Mends: an exception in any task of the service ends the service, and with it the process."""
        guard_tasks(self.manager, self.watch.counters)
        await super().run()

    async def _handle_inbound_connection(self, read_write_closer: Any, maddr: Any) -> None:
        """Mends: silent connections hold their place for the whole handshake time, there is no limit by IP,
        and the task of an inbound connection stays until the swarm ends.
        """
        ip = _ip_of(read_write_closer.stream.socket)
        if not self.watch.admits_ip(ip):
            self.watch.counters.refused += 1
            return  # trio closes the socket of a handler that returns
        scope = trio.CancelScope(deadline=trio.current_time() + self.watch.settings.handshake_within)
        muxed = None
        self._make_room_for_handshake()
        self._handshakes[scope] = (ip, scope)
        try:
            with scope:
                muxed = await self.upgrade_inbound_raw_conn(RawConnection(read_write_closer, False), maddr)
        except Exception as error:  # whatever a stranger's handshake raises
            log.debug("handshake with %s failed: %r", ip, error)
        finally:
            del self._handshakes[scope]
        if muxed is not None:
            await muxed.event_closed.wait()

    def _make_room_for_handshake(self) -> None:
        if self.half_open < self.watch.settings.handshakes:
            return
        held: dict[str, list[trio.CancelScope]] = defaultdict(list)
        for ip, scope in self._handshakes.values():
            if not scope.cancel_called:
                held[ip].append(scope)
        if held:
            max(held.values(), key=len)[0].cancel()

    async def add_conn(self, muxed_conn: Any, direction: str = "unknown") -> Any:
        """Mends: limits by peer spare connections younger than 20 s, and there is none by IP or ban."""
        peer_id = muxed_conn.peer_id
        if not self.watch.admits_peer(peer_id, muxed_conn.remote_ip):
            self.watch.counters.refused += 1
            muxed_conn.sever()
            raise SwarmException("this peer may not connect")
        standing = [conn for conn in self.get_connections(peer_id) if not conn.is_closed]
        for extra in standing[: max(0, len(standing) + 1 - self.watch.settings.connections_per_peer)]:
            self.manager.run_task(extra.close)
        return await super().add_conn(muxed_conn, direction)

    async def dial(self, addr: Multiaddr, peer_id: Any, source: tuple[str, int] | None = None) -> Any:
        """One attempt at one address, from an IP and port of ours if ``source`` says so. Mends: ``dial_peer`` waits 250
        ms for the second address even when the first one answered, and refuses a peer for 60 s after a failure.
        """
        return await self._dial_addr_single_attempt(addr, peer_id, source)

    async def dial_as_listener(self, addr: Multiaddr, peer_id: Any, source: tuple[str, int]) -> None:
        """The same, but shake hands as whoever was dialled: the other side dials us at this moment (simultaneous open).
        Raises whatever a dial or a handshake raises.
        """
        raw = await self.transport_manager.transport_for_dialing(addr).dial_with_source(addr, source)
        raw.is_initiator = False
        muxed = await self.upgrade_inbound_raw_conn(raw, addr)
        if muxed.peer_id != peer_id:
            muxed.sever()
            raise SwarmException(f"not {peer_id}")

    async def prove(self, addr: Multiaddr, peer_id: Any) -> None:
        """Whether that peer lives at that address: a handshake on a connection that is used for nothing else. Raises
        whatever a dial or a handshake raises.
        """
        raw = await self.transport_manager.transport_for_dialing(addr).dial(addr)
        try:
            secured = await self.upgrader.upgrade_security(raw, True, peer_id)
            await secured.close()
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1.0):
                await quietly(raw.close)

    async def dial_peer(self, peer_id: Any) -> list[Any]:
        """Mends: the auto-connector, peer exchange and any ``new_stream`` dial addresses that strangers gave us."""
        standing = [conn for conn in self.get_connections(peer_id) if not conn.is_closed]
        if not standing:
            raise SwarmException(f"not connected to {peer_id}")
        return standing

    async def notify_disconnected(self, conn: Any) -> None:
        """Mends: the auto-connector notes every peer that ever left, and is woken to dial another."""
        await self._notify("disconnected", conn)

    def _schedule_prune(self) -> None:
        """Mends: above its watermark the pruner cuts whom it likes; our limits refuse newcomers instead."""

    async def close_all(self, within: float) -> None:
        """Mends: connections are closed one after another, a fifth of a second and more each."""
        everything = [conn.muxed_conn for conns in list(self.connections.values()) for conn in conns]
        async with trio.open_nursery() as nursery:
            for muxed in everything:
                nursery.start_soon(muxed.say_goodbye, within)
        for muxed in everything:
            muxed.sever()
        self.connections.clear()


class CorrectedHost(BasicHost):  # type: ignore[misc]
    """Streams whose handlers may fail."""

    def __init__(self, swarm: CorrectedSwarm) -> None:
        self.places: Callable[[], Iterable[str]] = tuple
        """Multiaddrs where we can be dialled."""
        super().__init__(network=swarm, negotiate_timeout=5, disable_identify_address_discovery=True)
        # lets anybody write into our peer store, where we never look
        self.remove_stream_handler(ID_PUSH)
        self._record: bytes | None = None

    async def _swarm_stream_handler(self, net_stream: Any) -> None:
        """Mends: an exception in a stream's handler, ours or the library's, ends the whole host."""
        try:
            await super()._swarm_stream_handler(net_stream)
        except Exception as error:  # whatever a stranger made it raise
            watch: Watch = self._network.watch
            watch.counters.faults += 1
            log.debug("stream %s failed: %r", net_stream.get_protocol(), error)
            with trio.CancelScope(shield=True), trio.move_on_after(watch.settings.write_stall):
                await quietly(net_stream.reset)

    def _schedule_identify(self, peer_id: Any, *, reason: str) -> None:
        """Mends: each new connection is asked for addresses and protocols that we do not use, in a task outside of our
        nurseries. We still answer when we are asked.
        """

    async def _push_identify_to_all_peers(self) -> None:
        """As above."""

    def get_addrs(self) -> list[Multiaddr]:
        """Mends: identify and signed records tell where we listen (``0.0.0.0`` spelled out, a private address behind a
        router), and not where we can be dialled.
        """
        return [Multiaddr(place) for place in self.places()]

    def sender_record(self) -> bytes:
        """Our signed addresses. Mends: they are rebuilt for each RPC, a few milliseconds each."""
        if self._record is None:
            self._record = bytes(env_to_send_in_RPC(self)[0])
        return self._record


def _give_credit_in_halves(stream: Any) -> None:
    """Mends: each read is answered by a window update, twice as large as what was read, which doubles the frames of
    every conversation; and autotuning grows each window to 16 MiB. Here a peer hears of room when half of it is free.
    """

    async def credit(*, bytes_read: int = 0) -> None:
        stream._pending_recv_release += bytes_read
        if (freed := stream._pending_recv_release) >= DEFAULT_WINDOW_SIZE // 2:
            stream._pending_recv_release = 0
            stream.recv_window += freed
            await stream.send_window_update(freed)

    stream._auto_tune_and_send_window_update = credit


def _read_ahead(secured: Any) -> None:
    """Mends: every length, header and body is a system call and several turns of the scheduler of its own; and a body
    that arrives in more than a hundred pieces counts as a broken connection.
    """
    raw = getattr(getattr(secured.conn, "read_writer", None), "read_write_closer", None)
    if raw is None:
        return
    read, buffer = raw.read, bytearray()

    async def buffered(size: int | None = None) -> bytes:
        while len(buffer) < (size or 1) and (chunk := await read(_READ_AHEAD)):
            buffer.extend(chunk)
        chunk = bytes(buffer[:size])
        del buffer[: len(chunk)]
        return chunk

    raw.read = buffered


def _ip_of(tcp: Any) -> str:
    """The IP at the other end. Mends: the library knows none for IPv6, so that all of it would count as one address."""
    try:
        return str(tcp.getpeername()[0])
    except OSError:
        return ""  # it has hung up already


def _socket_under(secured: Any) -> Any:
    """The trio socket below Noise; None for a transport without sockets (the deterministic tests)."""
    raw = getattr(getattr(getattr(secured, "conn", None), "read_writer", None), "read_write_closer", None)
    return getattr(getattr(getattr(raw, "stream", None), "stream", None), "socket", None)


def _relay_under(secured: Any) -> str:
    raw = getattr(getattr(getattr(secured, "conn", None), "read_writer", None), "read_write_closer", None)
    return str(getattr(getattr(raw, "stream", None), "relay_ip", ""))


def _keep_alive(tcp: Any, seconds: int) -> None:
    """Mends: a peer whose machine vanished stays connected until somebody writes to it."""
    with suppress(OSError, AttributeError):
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 4))
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)
