"""One peer on the network: dials and is dialled, sends and gets frames, publishes and hears gossip.

    open_host(...) ──> Host ── events ──> Heard | Got | PeerJoined | PeerLeft
                        ▲
       connect, learn, send, publish, ban

What strangers do ends at this border: their faults are counted and blamed, never raised. What raises is our own misuse,
and `Unreachable` from ``connect`` and ``send``.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from content.blocks import Blocks
from p2p import bodies, machinery
from p2p.bitswap import Bitswap
from p2p.blocks_wire import PROTOCOL as BITSWAP
from p2p.book import Book
from p2p.errors import BrokenGossip, FrameTooLong, UnknownName, Unreachable
from p2p.events import Got, Heard, HostEvent, Peer, PeerJoined, PeerLeft
from p2p.exchange import PROTOCOL as PEERS
from p2p.exchange import Exchange
from p2p.frames import Ended, FrameStream
from p2p.metrics import render
from p2p.places import Scope, network_of, peer_at, places_of, reachable, relay_of, scope_of_ip
from p2p.rates import Bucket, Limiter
from p2p.reachability import Reachability
from p2p.relay import HOP, STOP, Relay, RelayClient
from p2p.settings import Settings
from p2p.statistics import Counters, Histogram, Statistics
from p2p.talks import Talk, Talks
from p2p.trust import Trust
from protocol.errors import PeerFault
from protocol.identity import address_of_peer

Validate = Callable[[str, bytes], bool]
"""Topic and data of a gossip message: may it be heard and passed on? Must be quick; an exception counts as no."""


@asynccontextmanager
async def open_host(
    secret: bytes,
    *,
    listen: Sequence[str],
    protocols: Sequence[str],
    topics: Sequence[str],
    validate: Validate,
    bootstrap: Sequence[str] = (),
    settings: Settings | None = None,
    blocks: Blocks | None = None,
    transport: Any | None = None,
) -> AsyncIterator[Host]:
    """Run a host as long as the block lasts.

    ``secret``: the 32 bytes of a secp256k1 key. ``listen``: multiaddrs such as ``/ip4/127.0.0.1/tcp/0``.
    ``bootstrap``: multiaddrs with a ``/p2p`` part, dialled again for as long as the host lives.
    ``blocks``: a store to serve and to fill over bitswap.
    ``transport``: instead of TCP, any transport of the library's kind (the deterministic tests bring one in memory).
    Raises `NotDialable` for a bootstrap address that can't be one, `CantListen`, and `WrongLibrary` under another
    release of the library.
    """
    host = Host(secret, protocols, topics, validate, settings or Settings(), transport)
    if blocks is not None:
        host.exchange(blocks)
    for place in bootstrap:
        host.keep(place)
    failure: Exception | None = None
    stop = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            try:
                run: Any = machinery.run
                await nursery.start(run, host.machinery, listen, host.wire_topics, stop, host.settings.close_within)
                await host.begin(nursery)
                yield host
            except Exception as error:  # carried around the nursery, which would wrap it in a group
                failure = error
            finally:
                stop.set()
                nursery.cancel_scope.cancel()
    finally:
        host.end()
    if failure is not None:
        raise failure


class Host:
    """See the module; made by `open_host`. Addresses are 20-byte chain addresses throughout."""

    def __init__(
        self,
        secret: bytes,
        protocols: Sequence[str],
        topics: Sequence[str],
        validate: Validate,
        settings: Settings,
        transport: Any | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self.answers = Histogram()
        """How long talks that we began waited for their first answer."""
        self.wire_topics = (*topics, *(topic + bodies.IDS for topic in topics))
        self.machinery = machinery.build(secret, self.wire_topics, self, time.time_ns(), transport)
        self.peer_id: str = self.machinery.peer_id
        self.address: bytes = address_of_peer(self.peer_id)
        self.addrs: tuple[str, ...] = ()
        """Dialable multiaddrs, each with ``/p2p/…``."""
        self._say, self.events = trio.open_memory_channel[HostEvent](settings.event_queue)
        self._protocols = frozenset(protocols)
        self._topics = frozenset(topics)
        self._validate = validate
        self._book = Book(settings, random.Random(secret))
        self._trust = Trust(settings)
        self._talks = Talks()
        self._peers: dict[bytes, Peer] = {}
        self._accepts = Limiter(settings.accepts_per_ip)
        self._frames = Limiter(settings.frames_in)
        self._bytes = Limiter(settings.bytes_in)
        self._dialling: dict[bytes, trio.Lock] = defaultdict(trio.Lock)
        self._opening: dict[tuple[bytes, str], trio.Lock] = defaultdict(trio.Lock)
        self._dials = trio.CapacityLimiter(settings.dials)
        self._lonely_dials = Bucket(settings.lonely_dials, 0.0)
        self._changed = trio.Event()
        self._redial = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._dialled_from: set[Scope] = set()
        self.bitswap: Bitswap | None = None
        """Blocks to and from IPFS peers, if the host was opened with a store."""
        for protocol in protocols:
            self.machinery.host.set_stream_handler(protocol, self._accepted)
        self._bodies = bodies.Bodies(self, validate, self.machinery.pubsub.publish)
        self.machinery.host.set_stream_handler(bodies.PROTOCOL, self._asked_for_bodies)
        self.relay_client: RelayClient | None = None
        self.relay: Relay | None = None
        self.exchange_peers = Exchange(self, self._book.proven, self._book.reached, random.Random(secret))
        self.machinery.host.set_stream_handler(PEERS, self._asked_for_peers)
        for topic in self.wire_topics:
            self.machinery.pubsub.set_topic_validator(topic, self._judge, False)
        self.machinery.swarm.register_notifee(_Changes(self._on_change))

    # -- what our owner does --------------------------------------------------------------------------------------

    async def connect(self, multiaddr: str) -> Peer:
        """Connect to whoever lives there and stay connected: it is redialled from now on. Raises `Unreachable`,
        `NotDialable`.
        """
        peer = self.keep(multiaddr)
        await self._connect(peer.address, [multiaddr])
        return peer

    async def reach(self, multiaddr: str) -> Peer:
        """Connect this once; raises `Unreachable`, `NotDialable`."""
        return await self._connect(peer_at(multiaddr).address, [multiaddr])

    def keep(self, multiaddr: str) -> Peer:
        """Dial this peer whenever it is not connected, until `forget`; raises `NotDialable`."""
        peer = peer_at(multiaddr)
        self._book.learn(peer.address, [multiaddr], kept=True)
        self._redial.set()
        return peer

    def learn(self, address: bytes, addrs: Sequence[str]) -> None:
        """Note where a peer can be dialled. Raises `NotTheirs` if an address names somebody else, `NotDialable`."""
        places = places_of(address, addrs[:8])
        if address == self.address:
            return
        self._book.learn(address, places)
        self._redial.set()

    def forget(self, address: bytes) -> None:
        """Neither dial nor remember a peer any longer; a connection that stands is left alone."""
        self._book.forget(address)

    async def send(self, to: bytes, protocol: str, frame: bytes) -> None:
        """Hand one frame to the connection with ``to``, opening what is not open. Raises `Unreachable` after at most
        ``settings.send_within``; a frame that was handed over may still be lost with the connection.
        """
        if protocol not in self._protocols:
            raise UnknownName(protocol)
        if len(frame) > self.settings.frame_cap:
            raise FrameTooLong(f"{len(frame)} bytes, where {self.settings.frame_cap} are allowed")
        why = "no answer in time"
        with trio.move_on_after(self.settings.send_within):
            # a stream may have ended without our knowing: then once more, on a new one
            for _ in range(2):
                talk = self._talks.live(to, protocol) or await self._open(to, protocol)
                try:
                    await talk.frames.write(frame)
                except Ended:
                    why = "the stream broke"
                    self._talks.remove(talk)
                    continue
                if talk.asked_at is None:
                    talk.asked_at = trio.current_time()
                self.counters.frames_out += 1
                self.counters.bytes_out += len(frame)
                return
        raise Unreachable(to, why)

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip to everybody who listens to ``topic``. Lossy by nature: say again what matters. In a small network the
        data itself goes out at once; otherwise its id does, a moment later, and everybody pulls the data once.
        """
        if topic not in self._topics:
            raise UnknownName(topic)
        if len(data) > self.settings.gossip_cap:
            raise FrameTooLong(f"{len(data)} bytes, where {self.settings.gossip_cap} are allowed")
        self.counters.gossip_out += 1
        if self._bodies.worth_an_id(data, len(self.machinery.pubsub.peer_topics.get(topic, ()))):
            self._bodies.offer(topic, data)
            await trio.lowlevel.checkpoint()
        else:
            await self.machinery.pubsub.publish(topic, data)

    async def ban(self, address: bytes, seconds: float | None = None) -> None:
        """Cut a peer off and keep it out, by default for ``settings.ban`` seconds."""
        self._trust.ban(address, self.settings.ban if seconds is None else seconds, trio.current_time())
        await self._cut(address)

    def pardon(self, address: bytes) -> None:
        """Lift a ban."""
        self._trust.pardon(address)

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected now."""
        return tuple(self._connected().values())

    def remote_ip(self, address: bytes) -> str | None:
        """The IP of the live connection to that peer."""
        found = next(iter(self._connections(address)), None)
        return None if found is None else str(found.muxed_conn.remote_ip)

    def reachability(self) -> Reachability:
        """What is known about whether others can reach us; nothing is guessed."""
        relayed = self.relay_client.places() if self.relay_client is not None else ()
        return Reachability(self.addrs, frozenset(self._dialled_from), relayed)

    def statistics(self) -> Statistics:
        """Counters and sizes, now."""
        count = self.counters
        return Statistics(
            **{name: getattr(count, name) for name in Counters.__slots__},
            peers=len(self._connected()),
            connections=len(self.machinery.swarm.get_connections()),
            streams=len(self._talks),
            known_peers=len(self._book),
            bans=self._trust.bans(trio.current_time()),
            half_open=self.machinery.swarm.half_open,
        )

    def metrics(self) -> str:
        """The same, and how quickly talks are answered, as Prometheus reads it."""
        return render(self.statistics(), self.answers)

    # -- what `open_host` does ------------------------------------------------------------------------------------

    def exchange(self, blocks: Blocks) -> None:
        """Serve a store over bitswap."""
        self.bitswap = Bitswap(blocks, self)
        self.machinery.host.set_stream_handler(BITSWAP, self.bitswap.accepted)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start our own tasks; the machinery runs already."""
        self._nursery = nursery
        listening = [str(addr) for addr in self.machinery.host.get_transport_addrs()]
        self.addrs = reachable(listening, self.settings.announce, self.peer_id)
        nursery.start_soon(self._tell_of_peers)
        nursery.start_soon(self._bodies.announce_for_ever)
        nursery.start_soon(self.exchange_peers.ask_for_ever)
        self.relay_client = RelayClient(self, nursery)
        self.machinery.host.set_stream_handler(STOP, self._called_by_relay)
        for relay in self.settings.relays:
            nursery.start_soon(self.relay_client.reserve_for_ever, relay)
        if self.settings.relay:
            self.relay = Relay(self)
            self.machinery.host.set_stream_handler(HOP, self._asked_to_relay)
        if self.settings.lan:
            from p2p.lan import find_for_ever  # zeroconf takes long to load

            nursery.start_soon(find_for_ever, self)
        nursery.start_soon(self._redial_for_ever)

    def end(self) -> None:
        """Nothing more will be said; whoever reads events gets to the end of them."""
        self._say.close()

    # -- what the corrected classes ask (`corrections.Watch`) ------------------------------------------------------

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from this IP may begin its handshake."""
        everything = self.machinery.swarm.get_connections()
        inbound = sum(not conn.muxed_conn.is_initiator for conn in everything)
        return inbound < self.settings.inbound_connections and self._accepts.take(
            network_of(ip), 1, trio.current_time()
        )

    def admits_peer(self, peer_id: Any, ip: str) -> bool:
        """Whether a proven peer may stay: of our kind of key, not banned, not one too many of its IP."""
        try:
            address = address_of_peer(str(peer_id))
        except PeerFault:
            return False
        if address == self.address or self._trust.banned(address, trio.current_time()):
            return False
        everything = self.machinery.swarm.get_connections()
        place = network_of(ip)
        from_there = sum(1 for conn in everything if network_of(conn.muxed_conn.remote_ip) == place)
        return from_there < self.settings.connections_per_ip

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """Score a fault; a peer that exhausts our patience is banned and cut off."""
        try:
            address = address_of_peer(str(peer_id))
        except PeerFault:
            return
        if self._trust.blame(address, points, trio.current_time()) and self._nursery is not None:
            self._nursery.start_soon(self._cut, address)

    def gossiped(self, topic: str, data: bytes, publisher: bytes) -> None:
        """A message of somebody else: a body, or ids whose bodies we hold by now."""
        self._bodies.met(publisher)
        if topic in self._topics:
            self._bodies.keep(topic, data)
            self.heard(topic, data)

    def takes_time(self, topic: str) -> bool:
        """Ids do: their bodies are pulled first."""
        return topic not in self._topics

    async def settle(self, forwarder: Any, topic: str, data: bytes) -> bool:
        """Hold the bodies that these ids tell of."""
        if not bodies.well_formed(data):
            raise BrokenGossip("an announcement that is no list of ids")
        address = address_of_peer(str(forwarder))
        return await self._bodies.holds_all(forwarder, address, topic.removesuffix(bodies.IDS), data)

    def heard(self, topic: str, data: bytes) -> None:
        """Pass gossip on to our owner, unless the queue is nearly full: frames can't be lost, gossip can."""
        if self._say.statistics().current_buffer_used >= self.settings.event_queue * 3 // 4:
            self.counters.gossip_late += 1
            return
        try:
            self._say.send_nowait(Heard(topic, data))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self.counters.gossip_late += 1
        else:
            self.counters.gossip_in += 1

    # -- what bitswap asks (`bitswap.Lines`) ------------------------------------------------------------------------

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer, connecting first if ``dial`` allows it; raises `Unreachable`."""
        peer = await self._connect(to, self._book.addrs(to) if dial else ())
        try:
            return await self.machinery.host.new_stream(ID.from_base58(peer.id), [protocol])
        except Exception as error:  # the library raises many kinds
            raise Unreachable(to, f"no stream for {protocol}: {error}") from error

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""
        assert self._nursery is not None
        self._nursery.start_soon(task)

    # -- streams --------------------------------------------------------------------------------------------------

    async def _asked_for_bodies(self, stream: Any) -> None:
        peer_id = stream.muxed_conn.peer_id
        await self._bodies.accepted(stream, _peer(peer_id).address, peer_id)

    async def _called_by_relay(self, stream: Any) -> None:
        assert self.relay_client is not None
        await self.relay_client.accepted(stream, _peer(stream.muxed_conn.peer_id))

    async def _asked_to_relay(self, stream: Any) -> None:
        assert self.relay is not None
        await self.relay.accepted(stream, _peer(stream.muxed_conn.peer_id))

    async def _asked_for_peers(self, stream: Any) -> None:
        await self.exchange_peers.accepted(stream, _peer(stream.muxed_conn.peer_id))

    async def _accepted(self, stream: Any) -> None:
        peer = _peer(stream.muxed_conn.peer_id)
        await self._listen(self._new_talk(peer, str(stream.get_protocol()), stream))

    async def _open(self, to: bytes, protocol: str) -> Talk:
        """A talk with ``to``; whoever asks while one is being opened gets that one."""
        key = (to, protocol)
        async with self._opening[key]:
            try:
                if (talk := self._talks.live(to, protocol)) is not None:
                    return talk
                peer = await self._connect(to, self._book.addrs(to))
                stream = await self.open_stream(to, protocol, dial=False)
                talk = self._new_talk(peer, protocol, stream)
                assert self._nursery is not None
                self._nursery.start_soon(self._listen, talk)
                return talk
            finally:
                if not self._opening[key].statistics().tasks_waiting:
                    del self._opening[key]

    def _new_talk(self, peer: Peer, protocol: str, stream: Any) -> Talk:
        talk = Talk(peer, protocol, FrameStream(stream, self.settings))
        surplus = self._talks.add(talk)
        if surplus is not None and self._nursery is not None:
            self._talks.remove(surplus)
            self._nursery.start_soon(surplus.frames.reset)
        return talk

    async def _listen(self, talk: Talk) -> None:
        """Read a stream to its end, no faster than our owner reads and the peer's rate allows."""
        try:
            while True:
                frame = await talk.frames.read()
                if talk.asked_at is not None and not talk.answered:
                    self.answers.see(trio.current_time() - talk.asked_at)
                talk.answered = True
                self.counters.frames_in += 1
                self.counters.bytes_in += len(frame)
                await self._say.send(Got(talk.peer, talk.protocol, frame))
                now = trio.current_time()
                await trio.sleep(
                    max(
                        self._frames.borrow(talk.peer.address, 1, now),
                        self._bytes.borrow(talk.peer.address, len(frame), now),
                    )
                )
        except PeerFault as fault:
            self.counters.frames_broken += 1
            self.blame(talk.peer.id, fault, 1.0)
            talk.frames.broken = True
        except (Ended, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the stream is over, or our owner stopped listening
        finally:
            self._talks.remove(talk)
            await talk.frames.close()

    # -- connections ----------------------------------------------------------------------------------------------

    async def _connect(self, address: bytes, places: Sequence[str]) -> Peer:
        """The peer, connected; dials its addresses one after another. Raises `Unreachable`."""
        async with self._dialling[address]:
            try:
                for conn in self._connections(address):
                    return _peer(conn.muxed_conn.peer_id)
                if address == self.address:
                    raise Unreachable(address, "that is ourselves")
                if self._trust.banned(address, trio.current_time()):
                    raise Unreachable(address, "it is banned")
                why = "no address known"
                with trio.move_on_after(self.settings.dial_within):
                    for place in places:
                        try:
                            return await self._dial(place)
                        except Exception as error:  # whatever a dial raises, the next address may do
                            why = str(error)
                    if why == "no address known":
                        raise Unreachable(address, why)
                    self._failed(address)
                    raise Unreachable(address, why)
                self._failed(address)
                raise Unreachable(address, "no answer in time")
            finally:
                if not self._dialling[address].statistics().tasks_waiting:
                    del self._dialling[address]

    async def _dial(self, place: str) -> Peer:
        peer = peer_at(place)
        self.counters.dials += 1
        if relay_of(place):
            assert self.relay_client is not None
            await self.relay_client.dial(place)
        else:
            await self.machinery.swarm.dial(Multiaddr(place), ID.from_base58(peer.id))
        self._book.reached(peer.address, place)
        return peer

    def _failed(self, address: bytes) -> None:
        self.counters.dials_failed += 1
        self._book.failed(address, trio.current_time())

    async def _cut(self, address: bytes) -> None:
        for conn in self._connections(address):
            conn.muxed_conn.sever()

    def _connections(self, address: bytes) -> list[Any]:
        peer = self._peers.get(address)
        everything = self.machinery.swarm.connections
        if peer is not None and not everything.get(ID.from_base58(peer.id)):
            peer = None
        candidates = (
            everything[ID.from_base58(peer.id)]
            if peer is not None
            else [conn for conns in everything.values() for conn in conns]
        )
        return [conn for conn in candidates if _live(conn) and _peer(conn.muxed_conn.peer_id).address == address]

    def _connected(self) -> dict[bytes, Peer]:
        return {
            peer.address: peer
            for peer_id, conns in self.machinery.swarm.connections.items()
            if any(map(_live, conns))
            for peer in (_peer(peer_id),)
        }

    # -- tasks ----------------------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        now, connected = trio.current_time(), self._connected()
        for address in connected.keys() - self._peers.keys():
            self._book.joined(address, now)
        for address in self._peers.keys() - connected.keys():
            self._book.left(address, now)
            self._bodies.forget(address)
        self._peers = connected
        for conn in self.machinery.swarm.get_connections():
            if not conn.muxed_conn.is_initiator and (scope := scope_of_ip(conn.muxed_conn.remote_ip)) is not None:
                self._dialled_from.add(scope)
        self._changed.set()
        self._redial.set()

    async def _tell_of_peers(self) -> None:
        """Say who joined and left. One that came and went while nobody listened is not mentioned."""
        told: dict[bytes, Peer] = {}
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            connected = dict(self._peers)
            for address, peer in connected.items():
                if address not in told:
                    await self._say.send(PeerJoined(peer))
            for address, peer in told.items():
                if address not in connected:
                    await self._say.send(PeerLeft(peer))
            told = connected

    async def _redial_for_ever(self) -> None:
        """Dial whom we keep, and with too few peers anybody we know, each with its own back-off."""
        assert self._nursery is not None
        while True:
            self._redial = trio.Event()
            now = trio.current_time()
            lonely = len(self._peers) < self.settings.wanted_peers
            for address in list(self._book.due(now, lonely=lonely)):
                if self._dials.available_tokens == 0:
                    break
                if address in self._dialling or address in self._peers or address == self.address:
                    continue
                if not self._book.kept(address) and not self._lonely_dials.take(1, now):
                    continue
                self._book.trying(address, now + self.settings.dial_within)
                self._nursery.start_soon(self._redial_one, address)
                await trio.lowlevel.checkpoint()
            with trio.move_on_after(max(0.1, self._book.next_due(now, lonely=lonely))):
                await self._redial.wait()

    async def _redial_one(self, address: bytes) -> None:
        async with self._dials:
            try:
                await self._connect(address, self._book.addrs(address))
            except Unreachable:
                pass
            finally:
                self._redial.set()

    def _judge(self, forwarder: Any, message: Any) -> bool:
        # our own messages come here too; whoever publishes has judged them
        topic = message.topicIDs[0]
        if forwarder == self.machinery.pubsub.my_id or self.takes_time(topic):
            return True
        return self._validate(topic, message.data)


class _Changes:
    """Tells us of every connection that comes or goes; the library calls these by name."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    async def connected(self, _network: Any, _conn: Any) -> None:
        self._changed()

    async def disconnected(self, _network: Any, _conn: Any) -> None:
        self._changed()

    async def opened_stream(self, _network: Any, _stream: Any) -> None: ...

    async def closed_stream(self, _network: Any, _stream: Any) -> None: ...

    async def listen(self, _network: Any, _multiaddr: Any) -> None: ...

    async def listen_close(self, _network: Any, _multiaddr: Any) -> None: ...


def _peer(peer_id: Any) -> Peer:
    text = str(peer_id)
    return Peer(text, address_of_peer(text))


def _live(conn: Any) -> bool:
    return not conn.is_closed and not conn.muxed_conn.event_shutting_down.is_set()
