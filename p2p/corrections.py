"""Everything that py-libp2p 0.8.1 gets wrong in the open air, mended from outside: one class for each class mended.

Nothing of the library is patched in place except the two names at the end of this file: our classes inherit from its
classes, so an unmended host may live in the same process (the tests use one as the attacker). Each method says what it
mends. A new release has to be compared with this file method by method; until then `check_release` refuses it.
"""

from __future__ import annotations

import functools
import logging
import math
import socket
import struct
from collections import OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from importlib.metadata import version
from typing import Any, Protocol, SupportsIndex

import trio
from libp2p.host.basic_host import BasicHost
from libp2p.identity.identify_push.identify_push import ID_PUSH
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection import swarm_connection
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.pubsub import gossipsub as gossipsub_module
from libp2p.pubsub import pubsub as pubsub_module
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
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

from p2p.errors import BrokenGossip, TooFast, WrongLibrary
from p2p.rates import Bucket, Limiter
from p2p.settings import Settings
from p2p.statistics import Counters
from protocol.errors import PeerFault

RELEASE = "0.8.1"

log = logging.getLogger("p2p")

_STREAM_ROOM = 2 * DEFAULT_WINDOW_SIZE + 64 * 1024
"""Bytes one stream may buffer: the window twice, since the library's accounting may announce a read twice over."""
_CONNECTION_ROOM = 4 * 1024 * 1024
"""Bytes all streams of one connection may buffer together."""
_RPC_CAP = 1024 * 1024
_RPC_PARTS = 512
"""Messages, subscriptions or control entries in one gossip RPC."""
_RPC_IDS = 64
"""Message ids in one IHAVE or IWANT: each IWANT id may make us send a whole message."""


def check_release() -> None:
    """Raise `WrongLibrary` unless the release that this file was written against is installed."""
    found = version("libp2p")
    if found != RELEASE:
        raise WrongLibrary(
            f"p2p/corrections.py mends libp2p {RELEASE}, but {found} is installed: "
            "compare each correction with the new release, run tests/p2p, then raise RELEASE"
        )


class Watch(Protocol):
    """What the corrected classes ask of, and tell, the host that owns them; nothing here may raise."""

    settings: Settings
    counters: Counters

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from this IP may begin its handshake."""

    def admits_peer(self, peer_id: Any, ip: str) -> bool:
        """Whether a proven peer may stay connected."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def heard(self, topic: str, data: bytes) -> None:
        """A valid message of somebody else."""


# -- connections --------------------------------------------------------------------------------------------------


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


class CorrectedYamux(Yamux):  # type: ignore[misc]
    """A muxed connection whose memory, streams and writes are bounded."""

    def __init__(self, secured: Any, peer_id: Any, watch: Watch) -> None:
        async def nothing() -> None: ...

        super().__init__(secured, peer_id, is_initiator=secured.is_initiator, on_close=nothing)
        self.stream_buffers = _Inboxes()
        self._watch = watch
        self._stall = watch.settings.write_stall
        self._opens = Bucket(watch.settings.stream_opens, trio.current_time())
        self._tcp = _socket_under(secured)
        self.remote_ip = "" if self._tcp is None else _ip_of(self._tcp)
        """The IP at the other end of the socket."""
        if self._tcp is not None:
            _keep_alive(self._tcp, watch.settings.keepalive)
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
        """Mends: a peer may open streams without limit, and autotuning grows each one's window to 16 MiB."""
        while True:
            stream = await super().accept_stream()
            stream._apply_autotune_epoch = _never_grow
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
        stream._apply_autotune_epoch = _never_grow
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
        _guard_tasks(self.manager, self.watch.counters)
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

    async def dial(self, addr: Multiaddr, peer_id: Any) -> Any:
        """One attempt at one address. Mends: ``dial_peer`` waits 250 ms for the second address even when the first one
        answered, and refuses a peer for 60 s after a failure.
        """
        return await self._dial_addr_single_attempt(addr, peer_id)

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
                await _quietly(net_stream.reset)

    def _schedule_identify(self, peer_id: Any, *, reason: str) -> None:
        """Mends: each new connection is asked for addresses and protocols that we do not use, in a task outside of our
        nurseries. We still answer when we are asked.
        """

    async def _push_identify_to_all_peers(self) -> None:
        """As above."""

    def sender_record(self) -> bytes:
        """Our signed addresses. Mends: they are rebuilt for each RPC, a few milliseconds each."""
        if self._record is None:
            self._record = bytes(_original_record(self)[0])
        return self._record


# -- gossip -------------------------------------------------------------------------------------------------------


class CorrectedRouter(GossipSub):  # type: ignore[misc]
    """GossipSub 1.1 that answers only what is within reason."""

    def __init__(self, watch: Watch, topics: Iterable[str]) -> None:
        settings = watch.settings
        super().__init__(
            # 1.2 sends an IDONTWANT per message and peer whatever the size: twice the work for small messages
            [gossipsub_module.PROTOCOL_ID_V11],
            settings.degree,
            settings.degree_low,
            settings.degree_high,
            heartbeat_initial_delay=min(0.1, settings.heartbeat),
            heartbeat_interval=settings.heartbeat,  # the default is 120 s
            # counts our own messages too and drops without a word; `CorrectedPubsub` has limits of its own
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
            adaptive_gossip_enabled=False,
        )
        self._watch = watch
        self._topics = frozenset(topics)
        self.max_iwant_requests_per_second = 4.0
        # grows by one entry a message, and is only emptied by the adaptive mode
        self.recent_message_deliveries: dict[str, deque[float]] = defaultdict(functools.partial(deque, maxlen=1))

    async def heartbeat(self) -> None:
        """Mends: one exception in a heartbeat ends the service."""
        while True:
            try:
                await super().heartbeat()
            except Exception as error:
                self._watch.counters.faults += 1
                log.warning("gossip heartbeat failed: %r", error)
                await trio.sleep(self.heartbeat_interval)

    async def handle_rpc(self, rpc: Any, sender_peer_id: Any) -> None:
        """Mends: state is kept for any topic a stranger names, one IWANT may ask for the same message
        thousands of times, back-offs may last for ever, and peers offered in a PRUNE are dialled.
        """
        asked, control = rpc.control, rpc_pb2.ControlMessage()
        for have in asked.ihave[:_RPC_IDS]:
            if have.topicID in self._topics:
                control.ihave.add(topicID=have.topicID, messageIDs=have.messageIDs[:_RPC_IDS])
        wanted = dict.fromkeys(each for want in asked.iwant[:_RPC_IDS] for each in want.messageIDs[:_RPC_IDS])
        if wanted:
            control.iwant.add(messageIDs=list(wanted)[:_RPC_IDS])
        for topic in dict.fromkeys(graft.topicID for graft in asked.graft[:_RPC_IDS]):
            if topic in self._topics:
                control.graft.add(topicID=topic)
        for prune in asked.prune[:_RPC_IDS]:
            if prune.topicID in self._topics:
                control.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, 600))
        await super().handle_rpc(rpc_pb2.RPC(control=control), sender_peer_id)

    def _get_peers_to_send(
        self, topic_ids: Iterable[str], msg_forwarder: Any, origin: Any, msg_id: bytes | None = None
    ) -> Iterable[Any]:
        """Mends: a message published while the mesh still forms is never sent to those who join it a moment
        later. Where few listen they all get it, and our own messages go to everybody (GossipSub 1.1, flood publishing).
        """
        topics = tuple(topic_ids)
        chosen = set(super()._get_peers_to_send(topics, msg_forwarder, origin, msg_id))
        for topic in topics:
            listeners = self.pubsub.peer_topics.get(topic, ())
            if origin == self.pubsub.my_id or len(listeners) <= self.degree_high:
                chosen.update(listeners)
        return chosen - {msg_forwarder, origin}

    def send_rpc(self, peer_id: Any, rpc: Any, priority: bool = False) -> None:
        """Mends: every RPC carries our signed addresses, which the other end checks and stores each time, and is copied
        and cut up for each peer even when it fits.
        """
        rpc.ClearField("senderRecord")
        queue = self.pubsub.peer_queues.get(peer_id)
        if queue is None:
            return
        if peer_id in self._pending_control or rpc.ByteSize() > queue.max_message_size:
            super().send_rpc(peer_id, rpc, priority)
        elif not queue.push(rpc, priority=priority):
            self._handle_dropped_rpc(peer_id, rpc, "queue_full")


class _Seen:
    """Message ids heard lately. Mends: the library's cache has no bound in number and starts a thread for each host."""

    def __init__(self, room: int, seconds: float) -> None:
        self._room = room
        self._seconds = seconds
        self._ids: OrderedDict[bytes, float] = OrderedDict()

    def has(self, key: bytes) -> bool:
        """Whether ``key`` was added within the time."""
        return key in self._ids

    def add(self, key: bytes) -> bool:
        """Remember ``key``; True if it is new."""
        now = trio.current_time()
        while self._ids and (len(self._ids) >= self._room or next(iter(self._ids.values())) <= now - self._seconds):
            self._ids.popitem(last=False)
        fresh = key not in self._ids
        self._ids[key] = now
        self._ids.move_to_end(key)
        return fresh


class _Outboxes(dict[Any, Any]):
    """Mends: 32 waiting RPCs a peer lose the second half of any burst."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def __setitem__(self, peer_id: Any, queue: Any) -> None:
        queue._queue.max_size = self._room
        super().__setitem__(peer_id, queue)


class CorrectedPubsub(Pubsub):  # type: ignore[misc]
    """Gossip in and out, each forwarder within its rate, no message able to end us."""

    def __init__(
        self, host: CorrectedHost, router: CorrectedRouter, watch: Watch, topics: Iterable[str], counter: int
    ) -> None:
        known = frozenset(topics)
        super().__init__(host, router, strict_signing=True, max_inbound_rpc_size=_RPC_CAP, allowed_topics=known)
        self.seen_messages.stop()  # type: ignore[has-type]
        self.seen_messages = _Seen(watch.settings.remember, watch.settings.remember_for)
        self.peer_queues = _Outboxes(watch.settings.outbox)
        # starts at the time in seconds: after a restart the same numbers come again, and are dropped as heard
        self.counter = counter
        self._watch = watch
        self._known = known
        self._messages = Limiter(watch.settings.gossip_in)
        self._rpcs = Limiter(watch.settings.gossip_rpcs_in)
        self._bytes = Limiter(watch.settings.gossip_bytes_in)
        self._budget = Bucket(watch.settings.gossip_budget, trio.current_time())
        self._readers: dict[Any, list[trio.CancelScope]] = defaultdict(list)

    async def run(self) -> None:
        """Mends: an exception in any task of the service ends the service, and with it the process."""
        _guard_tasks(self.manager, self._watch.counters)
        await super().run()

    async def stream_handler(self, stream: Any) -> None:
        """Mends: bytes that are no RPC raise through the host; and a peer may open any number of these streams."""
        peer_id = stream.muxed_conn.peer_id
        readers = self._readers[peer_id]
        if len(readers) >= self._watch.settings.connections_per_peer:
            readers.pop(0).cancel()
        scope = trio.CancelScope()
        readers.append(scope)
        try:
            with scope:
                await self._read(stream, peer_id)
        except PeerFault as fault:
            self._watch.counters.gossip_broken += 1
            self._watch.blame(peer_id, fault, 2.0)
        except Exception as error:  # the stream broke, or a stranger broke it
            log.debug("gossip stream failed: %r", error)
        finally:
            if scope in readers:
                readers.remove(scope)
            if not self._readers[peer_id]:
                del self._readers[peer_id]
        with trio.move_on_after(self._watch.settings.write_stall):
            await _quietly(stream.reset)
        if peer_id not in self._readers:
            self._handle_dead_peer(peer_id)

    async def _read(self, stream: Any, peer_id: Any) -> None:
        """Mends: the length is read byte by byte, and each message becomes a task before anybody has counted it."""
        buffer = bytearray()
        while True:
            size, start = _varint(buffer)
            if size is not None and size > self.max_inbound_rpc_size:
                raise BrokenGossip(f"an RPC of {size} bytes")
            if size is None or len(buffer) < start + size:
                chunk = await stream.read(64 * 1024)
                if not chunk:
                    return
                buffer += chunk
                continue
            body = bytes(buffer[start : start + size])
            del buffer[: start + size]
            await self._take(body, peer_id)

    async def _take(self, body: bytes, peer_id: Any) -> None:
        now = trio.current_time()
        if not self._rpcs.take(peer_id, 1, now) or not self._bytes.take(peer_id, len(body), now):
            self._too_fast(peer_id)
            return
        if not self._budget.take(len(body), now):
            self._watch.counters.gossip_too_fast += 1  # many neighbours together: nobody's own fault
            return
        rpc = rpc_pb2.RPC()
        try:
            rpc.ParseFromString(body)
        except Exception as error:
            raise BrokenGossip("bytes that are no gossip") from error
        if max(len(rpc.publish), len(rpc.subscriptions)) > _RPC_PARTS:
            raise BrokenGossip("too much in one RPC")
        for subscription in rpc.subscriptions:
            self.handle_subscription(peer_id, subscription)
        for message in rpc.publish:
            if not self._is_subscribed_to_msg(message):
                continue
            if self._messages.take(peer_id, 1, now):
                await self.push_msg(peer_id, message)
            else:
                self._too_fast(peer_id)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, peer_id)
        await trio.lowlevel.checkpoint()

    def _too_fast(self, peer_id: Any) -> None:
        self._watch.counters.gossip_too_fast += 1
        self._watch.blame(peer_id, TooFast("gossip"), 0.02)

    async def push_msg(self, msg_forwarder: Any, msg: Any) -> None:
        """Mends: a key or signature that can't be decoded, or a validator that raises, ends the service. State is kept
        for every topic that a message names, so ours name exactly one that we know.
        """
        if msg_forwarder == self.my_id:
            await super().push_msg(msg_forwarder, msg)
            return
        try:
            if len(msg.topicIDs) != 1 or msg.topicIDs[0] not in self._known:
                raise BrokenGossip("a message with other topics than one")  # noqa: TRY301
            if len(msg.data) > self._watch.settings.gossip_cap or len(msg.from_id) + len(msg.seqno) > 128:
                raise BrokenGossip("a message that is too long")  # noqa: TRY301
            await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # whatever is in a stranger's message
            self._watch.counters.gossip_broken += 1
            fault = error if isinstance(error, PeerFault) else BrokenGossip(repr(error))
            self._watch.blame(msg_forwarder, fault, 1.0)

    def notify_subscriptions(self, publish_message: Any) -> None:
        """Mends: 32 messages wait for a slow reader, the next ones are dropped without being counted."""
        if publish_message.from_id != self.my_id.to_bytes():
            self._watch.heard(publish_message.topicIDs[0], publish_message.data)

    def _handle_dead_peer(self, peer_id: Any) -> None:
        """Mends: it is called from the loop that follows disconnections, which one exception would end."""
        try:
            super()._handle_dead_peer(peer_id)
        except Exception as error:
            self._watch.counters.faults += 1
            log.warning("forgetting a gossip peer failed: %r", error)


# -- small tools --------------------------------------------------------------------------------------------------


def _never_grow(_buffered: int) -> int:
    return 0


def _varint(buffer: bytearray) -> tuple[int | None, int]:
    """The unsigned varint in front of ``buffer`` and where it ends; None while it is incomplete."""
    size = 0
    for position, byte in enumerate(buffer[:4]):
        size |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return size, position + 1
    if len(buffer) >= 4:
        raise BrokenGossip("a length of more than 28 bits")
    return None, 0


async def _quietly(closing: Callable[[], Awaitable[None]]) -> None:
    with suppress(Exception):
        await closing()


def _guard_tasks(manager: Any, counters: Counters) -> None:
    original = manager.run_task

    def run_task(task: Callable[..., Awaitable[None]], *args: Any, **options: Any) -> None:
        @functools.wraps(task)
        async def guarded(*inner: Any) -> None:
            try:
                await task(*inner)
            except Exception as error:
                counters.faults += 1
                log.debug("task %r failed: %r", task, error)

        # the manager treats the end of a daemon as a failure, so those have guards of their own
        original(task if options.get("daemon") else guarded, *args, **options)

    manager.run_task = run_task


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


def _keep_alive(tcp: Any, seconds: int) -> None:
    """Mends: a peer whose machine vanished stays connected until somebody writes to it."""
    with suppress(OSError, AttributeError):
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, seconds // 4))
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


# The library warns of every refused connection, with its traceback, and Python prints that where nobody chose a
# handler: strangers could fill our log. LIBP2P_DEBUG installs handlers, and is left alone.
if not logging.getLogger("libp2p").handlers:
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)

# The names that have to be replaced in place: they are looked up in the module at each call.

_original_record = pubsub_module.env_to_send_in_RPC


def _sender_record(host: Any) -> tuple[bytes, bool]:
    if isinstance(host, CorrectedHost):
        return host.sender_record(), False
    built: tuple[bytes, bool] = _original_record(host)
    return built


pubsub_module.env_to_send_in_RPC = _sender_record
gossipsub_module.env_to_send_in_RPC = _sender_record
# `logging.debug(...)` on the root logger installs a handler there: a library must not decide where a program logs
swarm_connection.logging = logging.getLogger("libp2p.network.connection")
