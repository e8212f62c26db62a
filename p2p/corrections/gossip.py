"""Gossip that strangers can neither end nor fill: the router and the pubsub service of the library, mended."""

from __future__ import annotations

import functools
import logging
import random
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import Any

import trio
from libp2p.pubsub.gossipsub import PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from p2p.corrections.connections import CorrectedHost
from p2p.corrections.guards import guard_tasks, quietly
from p2p.corrections.watch import Watch
from p2p.errors import BrokenGossip, TooFast
from p2p.rates import Bucket, Limiter
from protocol.errors import PeerFault

log = logging.getLogger("p2p")

_RPC_CAP = 1024 * 1024
_RPC_PARTS = 512
"""Messages, subscriptions or control entries in one gossip RPC."""
_SETTLING = 64
"""Messages of one forwarder that may wait for what they announce."""
_ENVELOPE = 16 * 1024
"""Bytes after which nothing more is put into an envelope of ours."""
_TOLD_US = 20_000
"""Pairs of message and neighbour that are remembered, ``_TOLD_US_FOR`` seconds long."""
_TOLD_US_FOR = 5.0
_COME_BACK = 1.0
"""Seconds before a gossip stream that ended is opened anew."""
_RPC_IDS = 64
"""Message ids in one IHAVE or IWANT: each IWANT id may make us send a whole message."""


class CorrectedRouter(GossipSub):  # type: ignore[misc]
    """GossipSub 1.1 that answers only what is within reason."""

    def __init__(self, watch: Watch, topics: Iterable[str]) -> None:
        settings = watch.settings
        super().__init__(
            # 1.2 sends an IDONTWANT per message and peer whatever the size: twice the work for small messages
            [PROTOCOL_ID_V11],
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
        # its thresholds are infinite, one of its signs is wrong, and it is asked for each message and peer; who
        # misbehaves is scored, and banned, by `trust`
        self.scorer = None
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
            if origin == self.pubsub.my_id or len(listeners) <= self.degree:
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
        elif not queue.push(rpc, priority=priority or self._can_t_wait(rpc)):
            self._handle_dropped_rpc(peer_id, rpc, "queue_full")

    def _handle_dropped_rpc(self, peer_id: Any, rpc: Any, reason: str) -> None:
        """Mends: what a slow neighbour has no room for is dropped and not counted."""
        self._watch.counters.gossip_unsent += len(rpc.publish)
        super()._handle_dropped_rpc(peer_id, rpc, reason)

    def _can_t_wait(self, rpc: Any) -> bool:
        """What others also pass on may wait for company (`CorrectedPubsub.handle_sending_messages`)."""
        mine = self.pubsub.my_id.to_bytes()
        return not rpc.publish or any(message.from_id == mine for message in rpc.publish)


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
        self._settling: dict[Any, int] = defaultdict(int)
        self._returning: set[Any] = set()
        self._told_us = _Seen(_TOLD_US, _TOLD_US_FOR)

    async def run(self) -> None:
        """Mends: an exception in any task of the service ends the service, and with it the process."""
        guard_tasks(self.manager, self._watch.counters)
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
            await quietly(stream.reset)
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
                self._told_us.add(peer_id.to_bytes() + self.get_message_id(message)[:128])
                await self.push_msg(peer_id, message)
            else:
                self._too_fast(peer_id)
        if rpc.HasField("control"):
            await self.router.handle_rpc(rpc, peer_id)
        await trio.lowlevel.checkpoint()

    async def handle_sending_messages(self, peer_id: Any, stream: Any, queue: Any) -> None:
        """Mends: one envelope for each message and neighbour, even for one that has just told us the same. What we
        pass on waits a moment: then it shares an envelope with others, and goes to nobody who has sent it meanwhile.
        """
        waiting = queue._queue
        try:
            while (rpc := await queue.pop()) is not None:
                if not waiting._priority and not self.router._can_t_wait(rpc):
                    linger = self._linger(rpc)
                    until = trio.current_time() + linger * (0.5 + random.random())
                    with trio.CancelScope(deadline=until):
                        while not waiting._priority and not queue.closed:
                            await queue._notify.wait()
                envelope, size = rpc_pb2.RPC(), 0
                while rpc is not None:
                    self._add(envelope, rpc, peer_id)
                    size += rpc.ByteSize()
                    if size > _ENVELOPE or not waiting:
                        break
                    rpc = waiting.pop()
                if envelope.ByteSize() and not await self.write_msg(stream, envelope):
                    return
        except Exception as error:  # whatever a stranger's stream raises
            log.debug("gossip to %s ended: %r", peer_id, error)
            self._handle_dead_peer(peer_id)

    def _linger(self, rpc: Any) -> float:
        """Seconds. Where few listen, an author tells everybody whom it knows: what came from it is old news to most."""
        settings = self._watch.settings
        for message in rpc.publish:
            from_author = self._told_us.has(message.from_id + self.get_message_id(message)[:128])
            if not from_author or len(self.peer_topics.get(message.topicIDs[0], ())) > settings.degree:
                return settings.gossip_linger
        return settings.gossip_linger_known

    def _add(self, envelope: Any, rpc: Any, peer_id: Any) -> None:
        known = peer_id.to_bytes()
        for message in rpc.publish:
            if not self._told_us.has(known + self.get_message_id(message)[:128]):
                envelope.publish.append(message)
        envelope.subscriptions.extend(rpc.subscriptions)
        if rpc.HasField("senderRecord"):
            envelope.senderRecord = rpc.senderRecord
        if rpc.HasField("control"):
            envelope.control.MergeFrom(rpc.control)

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
            if not self._watch.takes_time(msg.topicIDs[0]):
                await super().push_msg(msg_forwarder, msg)
            elif not self._is_msg_seen(msg) and self._settling[msg_forwarder] < _SETTLING:
                self._settling[msg_forwarder] += 1
                self.manager.run_task(self._settle, msg_forwarder, msg)
        except Exception as error:  # whatever is in a stranger's message
            self._watch.counters.gossip_broken += 1
            fault = error if isinstance(error, PeerFault) else BrokenGossip(repr(error))
            self._watch.blame(msg_forwarder, fault, 1.0)

    async def _settle(self, msg_forwarder: Any, msg: Any) -> None:
        """Mends: the library's slow validators hold up everything else from that neighbour, and run again for each
        copy that arrives meanwhile.
        """
        try:
            if await self._watch.settle(msg_forwarder, msg.topicIDs[0], msg.data):
                await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # whatever is in a stranger's message
            self._watch.counters.gossip_broken += 1
            self._watch.blame(msg_forwarder, BrokenGossip(repr(error)), 1.0)
        finally:
            self._settling[msg_forwarder] -= 1
            if not self._settling[msg_forwarder]:
                del self._settling[msg_forwarder]

    def notify_subscriptions(self, publish_message: Any) -> None:
        """Mends: 32 messages wait for a slow reader, the next ones are dropped without being counted."""
        if publish_message.from_id != self.my_id.to_bytes():
            self._watch.gossiped(publish_message.topicIDs[0], publish_message.data, publish_message.from_id)

    def _handle_dead_peer(self, peer_id: Any) -> None:
        """Mends: it is called from the loop that follows disconnections, which one exception would end. And a peer
        whose gossip stream ends with one of its two connections is never gossiped with again.
        """
        topics = {topic for topic, peers in self.peer_topics.items() if peer_id in peers}
        try:
            super()._handle_dead_peer(peer_id)
            if self._is_connected(peer_id) and peer_id not in self._returning:
                self.manager.run_task(self._come_back, peer_id, topics)
        except Exception as error:
            self._watch.counters.faults += 1
            log.warning("forgetting a gossip peer failed: %r", error)

    async def _come_back(self, peer_id: Any, topics: set[str]) -> None:
        """Gossip anew with a peer that is still connected, and remember what it has told on a stream that goes on."""
        self._returning.add(peer_id)
        try:
            await trio.sleep(_COME_BACK)
            if self._is_connected(peer_id) and peer_id not in self.peers:
                await self._handle_new_peer_with_retry(peer_id, 10.0)
                for topic in topics if peer_id in self._readers and peer_id in self.peers else ():
                    self.peer_topics.setdefault(topic, set()).add(peer_id)
        finally:
            self._returning.discard(peer_id)

    def _is_connected(self, peer_id: Any) -> bool:
        conns = self.host.get_network().get_connections(peer_id)
        return any(not conn.is_closed and not conn.muxed_conn.event_shutting_down.is_set() for conn in conns)


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
