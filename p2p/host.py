"""One peer on the network: dials and is dialled, sends and gets frames, publishes and hears gossip.

    open_host(...) ──> Host ── events ──> Heard | Got | PeerJoined | PeerLeft
                        ▲
       connect, learn, send, publish, ban

What strangers do ends at this border: their faults are counted and blamed, never raised. What raises is our own misuse,
and `Unreachable` from ``connect`` and ``send``. The host itself only joins its parts: whom it is connected to
(`connecting`), what it says and reads on streams (`talking`), what it gossips (`gossiping`), and what it serves.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio
from libp2p.peer.id import ID

from content.blocks import Blocks
from p2p import bodies, machinery
from p2p.bitswap import Bitswap
from p2p.blocks_wire import PROTOCOL as BITSWAP
from p2p.connecting import Connections, as_peer
from p2p.dht import PROTOCOL as KAD
from p2p.dht import Dht
from p2p.errors import Unreachable
from p2p.events import HostEvent, Line, Peer
from p2p.exchange import PROTOCOL as PEERS
from p2p.exchange import Exchange
from p2p.gossiping import Gossip, Validate, wire_topics
from p2p.metrics import render
from p2p.outside import AUTONAT, Outside
from p2p.places import peer_at, reachable
from p2p.punching import PROTOCOL as DCUTR
from p2p.punching import Punching
from p2p.reachability import LanView, Reachability
from p2p.relay import HOP, STOP, Relay, RelayClient
from p2p.settings import Settings
from p2p.statistics import Counters, Statistics
from p2p.talking import Talking
from protocol.errors import PeerFault
from protocol.identity import address_of_peer

log = logging.getLogger("p2p")


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
                host.live_in(nursery)
                run: Any = machinery.run
                # it ends by `stop` alone: a start that is broken off would wait for it, and never come to setting that
                with trio.CancelScope(shield=True):
                    await nursery.start(run, host.machinery, listen, host.wire_topics, stop, host.settings.close_within)
                host.begin()
                yield host
            except Exception as error:  # carried around the nursery, which would wrap it in a group
                failure = error
            finally:
                stop.set()
                nursery.cancel_scope.cancel()
    finally:
        host.end()
    while isinstance(failure, ExceptionGroup) and len(failure.exceptions) == 1:  # the library's nurseries wrap, too
        failure = failure.exceptions[0]
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
        self.wire_topics = wire_topics(topics)
        self.machinery = machinery.build(secret, self.wire_topics, self, time.time_ns(), transport)
        self.peer_id: str = self.machinery.peer_id
        self.address: bytes = address_of_peer(self.peer_id)
        self.addrs: tuple[str, ...] = ()
        """Dialable multiaddrs, each with ``/p2p/…``."""
        self._say, self.events = trio.open_memory_channel[HostEvent](settings.event_queue)
        self._nursery: trio.Nursery | None = None
        self.connections = Connections(self, random.Random(secret))
        self.talking = Talking(self, frozenset(protocols), self._say)
        self.gossip = Gossip(self, topics, validate, self._say)
        self.exchange_peers = Exchange(self, self.connections.book.proven, random.Random(secret))
        self.dht = Dht(self, random.Random(secret))
        self.outside = Outside(self, random.Random(secret))
        self.lan = LanView()
        self.relay_client = RelayClient(self)
        self.punching = Punching(self)
        self.relay = Relay(self) if settings.relay else None
        self.bitswap: Bitswap | None = None
        """Blocks to and from IPFS peers, if the host was opened with a store."""
        for protocol in protocols:
            self.machinery.host.set_stream_handler(protocol, self.talking.accepted)
        self._serve(bodies.PROTOCOL, self.gossip.bodies.accepted)
        self._serve(PEERS, self.exchange_peers.accepted)
        self._serve(AUTONAT, self.outside.accepted)
        if settings.dht:
            self._serve(KAD, self.dht.accepted)
        self._serve(DCUTR, self.punching.accepted)
        self._serve(STOP, self.relay_client.accepted)
        if self.relay is not None:
            self._serve(HOP, self.relay.accepted)

    # -- what our owner does --------------------------------------------------------------------------------------

    async def connect(self, multiaddr: str) -> Peer:
        """Connect to whoever lives there and stay connected: it is redialled from now on. Raises `Unreachable`,
        `NotDialable`.
        """
        peer = self.keep(multiaddr)
        await self.connections.connect(peer.address, [multiaddr])
        return peer

    async def reach(self, multiaddr: str) -> Peer:
        """Connect this once; raises `Unreachable`, `NotDialable`."""
        return await self.connections.connect(peer_at(multiaddr).address, [multiaddr])

    def keep(self, multiaddr: str) -> Peer:
        """Dial this peer whenever it is not connected, until `forget`; raises `NotDialable`."""
        return self.connections.keep(multiaddr)

    def learn(self, address: bytes, addrs: Sequence[str]) -> None:
        """Note where a peer can be dialled. Raises `NotTheirs` if an address names somebody else, `NotDialable`."""
        self.connections.learn(address, addrs)

    def forget(self, address: bytes) -> None:
        """Neither dial nor remember a peer any longer; a connection that stands is left alone."""
        self.connections.book.forget(address)

    async def send(self, to: bytes, protocol: str, frame: bytes) -> None:
        """Hand one frame to the connection with ``to``, opening what is not open. Raises `Unreachable` after at most
        ``settings.send_within``; a frame that was handed over may still be lost with the connection.
        """
        await self.talking.send(to, protocol, frame)

    async def publish(self, topic: str, data: bytes) -> None:
        """Gossip to everybody who listens to ``topic``. Lossy by nature: say again what matters. In a small network the
        data itself goes out at once; otherwise its id does, a moment later, and everybody pulls the data once.
        """
        await self.gossip.publish(topic, data)

    async def ban(self, address: bytes, seconds: float | None = None) -> None:
        """Cut a peer off and keep it out, by default for ``settings.ban`` seconds."""
        self.connections.trust.ban(address, self.settings.ban if seconds is None else seconds, trio.current_time())
        self.connections.cut(address)
        await trio.lowlevel.checkpoint()

    def pardon(self, address: bytes) -> None:
        """Lift a ban."""
        self.connections.trust.pardon(address)

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected now."""
        return tuple(self.connections.connected().values())

    def lines(self) -> tuple[Line, ...]:
        """Every connection that stands."""
        return tuple(
            Line(peer, not conn.muxed_conn.is_initiator, conn.muxed_conn.remote_ip, conn.muxed_conn.relay_ip)
            for address, peer in self.connections.connected().items()
            for conn in self.connections.to(address)
        )

    def remote_ip(self, address: bytes) -> str | None:
        """The IP of the live connection to that peer."""
        found = next(iter(self.connections.to(address)), None)
        return None if found is None else str(found.muxed_conn.remote_ip)

    def reachability(self) -> Reachability:
        """What is known about whether others can reach us; nothing is guessed."""
        reached = self.outside.reached_by.values()
        return Reachability(
            self.addrs,
            frozenset(self.connections.dialled_from),
            self.relay_client.places(),
            seen_at=self.outside.seen_at(),
            asked=len(reached),
            reached=sum(reached),
            relays_wanted=len(self.settings.relays),
            punched=self.counters.punched,
            punches_failed=self.counters.punches_failed,
            dht=self.settings.dht,
            dht_peers=len(self.dht.table),
            dht_answered=self.dht.last_answers,
            lan=self.lan.state,
            lan_found=self.lan.found,
        )

    def statistics(self) -> Statistics:
        """Counters and sizes, now."""
        count = self.counters
        return Statistics(
            **{name: getattr(count, name) for name in Counters.__slots__},
            peers=len(self.connections.connected()),
            connections=len(self.machinery.swarm.get_connections()),
            streams=len(self.talking.talks),
            known_peers=len(self.connections.book),
            bans=self.connections.trust.bans(trio.current_time()),
            half_open=self.machinery.swarm.half_open,
            dht_peers=len(self.dht.table),
            relays=len(self.relay_client.places()),
            relay_places=self.relay.holds() if self.relay else 0,
            relay_circuits=self.relay.circuits if self.relay else 0,
            relay_bytes=self.relay.carried if self.relay else 0,
        )

    def metrics(self) -> str:
        """The same, and how quickly talks are answered, as Prometheus reads it."""
        return render(self.statistics(), self.talking.answers)

    # -- what `open_host` does ------------------------------------------------------------------------------------

    def exchange(self, blocks: Blocks) -> None:
        """Serve a store over bitswap."""
        self.bitswap = Bitswap(blocks, self)
        self.machinery.host.set_stream_handler(BITSWAP, self.bitswap.accepted)

    def live_in(self, nursery: trio.Nursery) -> None:
        """Where our tasks run; before anybody can connect."""
        self._nursery = nursery

    def begin(self) -> None:
        """Start our own tasks; the machinery runs already."""
        listening = [str(addr) for addr in self.machinery.host.get_transport_addrs()]
        self.addrs = reachable(listening, self.settings.announce, self.peer_id)
        self.machinery.host.places = self.places
        self.start(partial(self.connections.tell_for_ever, self._say))
        self.start(self.gossip.bodies.announce_for_ever)
        self.start(self.exchange_peers.ask_for_ever)
        if self.settings.outside:
            self.start(self.outside.ask_for_ever)
            self.start(self.outside.ask_to_be_dialled_for_ever)
        if self.settings.dht:
            self.start(self.dht.look_for_ever)
        for relay in self.settings.relays:
            self.start(partial(self.relay_client.reserve_for_ever, relay))
        if self.settings.lan:
            from p2p.lan import find_for_ever  # zeroconf takes long to load

            self.start(partial(find_for_ever, self))
        self.start(self.connections.redial_for_ever)

    def end(self) -> None:
        """Nothing more will be said; whoever reads events gets to the end of them."""
        self._say.close()

    # -- what the corrected classes ask (`corrections.Watch`) ------------------------------------------------------

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from this IP may begin its handshake."""
        return self.connections.admits_ip(ip)

    def admits_peer(self, peer_id: Any, ip: str) -> bool:
        """Whether a proven peer may stay connected."""
        return self.connections.admits_peer(peer_id, ip)

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """Score a fault; a peer that exhausts our patience is banned and cut off."""
        log.debug("%s: %s (%g points)", peer_id, fault, points)
        self.connections.blame(peer_id, points)

    def places(self) -> tuple[str, ...]:
        """Where we can be dialled, through relays too."""
        return self.addrs + self.relay_client.places()

    def gossiped(self, topic: str, data: bytes, publisher: bytes) -> None:
        """A valid message of somebody else; ``publisher``: the bytes of the peer id that signed it."""
        self.gossip.gossiped(topic, data, publisher)

    def takes_time(self, topic: str) -> bool:
        """Whether messages on this topic are to be settled before they are passed on."""
        return self.gossip.takes_time(topic)

    async def settle(self, forwarder: Any, topic: str, data: bytes) -> bool:
        """Whether everything that a message needs is here now, and it may be passed on."""
        return await self.gossip.settle(forwarder, topic, data)

    # -- what our parts ask (their `Lines`) -------------------------------------------------------------------------

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer, connecting first if ``dial`` allows it; raises `Unreachable`."""
        peer = await self.connections.connect(to, self.connections.book.addrs(to) if dial else ())
        for lines_left in reversed(range(max(1, len(self.connections.to(to))))):
            try:
                return await self.machinery.host.new_stream(ID.from_base58(peer.id), [protocol])
            except Exception as error:  # the library raises many kinds
                # of two connections one may be ending, and the library may have chosen that
                if not lines_left or not self.connections.to(to):
                    raise Unreachable(to, f"no stream for {protocol}: {error}") from error
        raise AssertionError("unreachable")

    async def dial_through(self, place: str) -> None:
        """Connect to a relayed multiaddr; raises `Unreachable` and whatever a handshake raises."""
        await self.relay_client.dial(place)

    def heard(self, topic: str, data: bytes) -> None:
        """A body that nobody knew yet."""
        self.gossip.heard(topic, data)

    async def called(self, peer: Peer) -> None:
        """A peer has reached us through a relay."""
        await self.punching.called(peer)

    def seen_at(self) -> tuple[str, ...]:
        """Multiaddrs (without ``/p2p``) at which others see us."""
        return self.outside.seen_at()

    def relayed(self, address: bytes) -> list[Any]:
        """The muxed connections to a peer that go through a relay."""
        return [conn.muxed_conn for conn in self.connections.to(address) if conn.muxed_conn.relay_ip]

    def direct(self, address: bytes) -> bool:
        """Whether there is a connection to a peer that does not."""
        return any(not conn.muxed_conn.relay_ip for conn in self.connections.to(address))

    def relay_ip(self, address: bytes) -> str:
        """The IP of the relay between us and a peer, or empty."""
        return next((str(conn.relay_ip) for conn in self.relayed(address)), "")

    async def dial_directly(self, peer: Peer, place: str) -> None:
        """One more connection to a peer, at that place; raises `Unreachable`."""
        await self.connections.dial_directly(peer, place)

    async def cross(self, peer: Peer, place: str, *, initiator: bool) -> None:
        """Dial from the port where we listen while the other does so too; raises `Unreachable`."""
        await self.connections.cross(peer, place, initiator=initiator)

    def leave(self, conn: Any) -> float:
        """Write nothing more in talks on this connection; when something was last said on it, on trio's clock."""
        return self.talking.leave(conn)

    async def reach_at(self, address: bytes, places: Sequence[str]) -> Peer:
        """Connect once, at one of these places; raises `Unreachable`."""
        return await self.connections.connect(address, places)

    def proven_place(self, address: bytes) -> str:
        """Where that peer was reached, or said from that very IP that it can be; empty if nowhere."""
        return self.connections.book.proven_place(address)

    async def prove(self, peer: Peer, place: str) -> None:
        """That we can dial that peer there; raises `Unreachable`."""
        await self.connections.prove(peer, place)

    def vouch(self, peer: Peer, place: str) -> None:
        """Note that a peer says from the IP of this place that it lives there."""
        self.connections.book.reached(peer.address, place)
        if self.settings.dht:
            self.dht.met(peer)

    def hang_up(self, address: bytes) -> None:
        """End the connection to a peer with whom nobody talks, unless we have few."""
        if len(self.connections.connected()) > self.settings.wanted_peers and not self.talking.talks.with_peer(address):
            self.connections.cut(address)

    def joined(self, peer: Peer) -> None:
        """The first connection with a peer stands."""
        if self.settings.outside:
            self.outside.met(peer)
        if self.settings.dht:
            self.dht.met(peer)

    def left(self, address: bytes) -> None:
        """The last connection with a peer is gone."""
        self.gossip.bodies.forget(address)

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""
        assert self._nursery is not None
        self._nursery.start_soon(task)

    def _serve(self, protocol: str, handler: Callable[[Any, Peer], Awaitable[None]]) -> None:
        async def accepted(stream: Any) -> None:
            await handler(stream, as_peer(stream.muxed_conn.peer_id))

        self.machinery.host.set_stream_handler(protocol, accepted)
