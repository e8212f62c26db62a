"""Whom a host is connected to: dials, redials with a back-off of each peer's own, admits strangers, shuts out the rest.

Dialled are those whom our owner asked for, as long as the host lives, and while we have few peers anybody in the book,
a few a second. The library itself dials nobody (`corrections.connections`).
"""

from __future__ import annotations

import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import trio
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2p.book import Book
from p2p.errors import Unreachable
from p2p.events import HostEvent, Peer, PeerJoined, PeerLeft
from p2p.machinery import Machinery
from p2p.places import Scope, network_of, peer_at, places_of, relay_of, scope_of_ip
from p2p.rates import Bucket, Limiter
from p2p.settings import Settings
from p2p.statistics import Counters
from p2p.trust import Trust
from protocol.errors import PeerFault
from protocol.identity import address_of_peer

log = logging.getLogger("p2p")


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters
    address: bytes
    machinery: Machinery

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""

    async def dial_through(self, place: str) -> None:
        """Connect to a relayed multiaddr; raises `Unreachable` and whatever a handshake raises."""

    def joined(self, peer: Peer) -> None:
        """The first connection with a peer stands."""

    def left(self, address: bytes) -> None:
        """The last connection with a peer is gone."""


class Connections:
    """All connections of one host. Addresses are 20-byte chain addresses."""

    def __init__(self, lines: Lines, rng: random.Random) -> None:
        settings = lines.settings
        self._lines = lines
        self._settings = settings
        self._counters = lines.counters
        self._swarm = lines.machinery.swarm
        self.book = Book(settings, rng)
        self.trust = Trust(settings)
        self.dialled_from: set[Scope] = set()
        """From how far away somebody has dialled us."""
        self.crossing: set[bytes] = set()
        """Peers that we dial while they dial us."""
        self._peers: dict[bytes, Peer] = {}
        self._accepts = Limiter(settings.accepts_per_ip)
        self._dialling: dict[bytes, trio.Lock] = defaultdict(trio.Lock)
        self._dials = trio.CapacityLimiter(settings.dials)
        self._lonely_dials = Bucket(settings.lonely_dials, 0.0)
        self._changed = trio.Event()
        self._redial = trio.Event()
        self._swarm.register_notifee(_Changes(self._on_change))

    # -- whom we know -----------------------------------------------------------------------------------------------

    def keep(self, multiaddr: str) -> Peer:
        """Dial this peer whenever it is not connected; raises `NotDialable`."""
        peer = peer_at(multiaddr)
        self.book.learn(peer.address, [multiaddr], kept=True)
        self._redial.set()
        return peer

    def learn(self, address: bytes, addrs: Sequence[str]) -> None:
        """Note where a peer can be dialled. Raises `NotTheirs` if an address names somebody else, `NotDialable`."""
        places = places_of(address, addrs[:8])
        if address == self._lines.address:
            return
        self.book.learn(address, places)
        self._redial.set()

    def connected(self) -> dict[bytes, Peer]:
        """Whoever is connected at this moment."""
        return {
            peer.address: peer
            for peer_id, conns in self._swarm.connections.items()
            if any(map(_live, conns))
            for peer in (as_peer(peer_id),)
        }

    def to(self, address: bytes) -> list[Any]:
        """The live connections to one peer."""
        peer = self._peers.get(address)
        everything = self._swarm.connections
        if peer is not None and not everything.get(ID.from_base58(peer.id)):
            peer = None
        candidates = (
            everything[ID.from_base58(peer.id)]
            if peer is not None
            else [conn for conns in everything.values() for conn in conns]
        )
        return [conn for conn in candidates if _live(conn) and as_peer(conn.muxed_conn.peer_id).address == address]

    # -- whom we let in ---------------------------------------------------------------------------------------------

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from this IP may begin its handshake."""
        inbound = sum(not conn.muxed_conn.is_initiator for conn in self._swarm.get_connections())
        return inbound < self._settings.inbound_connections and self._accepts.take(
            network_of(ip), 1, trio.current_time()
        )

    def admits_peer(self, peer_id: Any, ip: str) -> bool:
        """Whether a proven peer may stay: of our kind of key, not banned, not one too many of its IP."""
        try:
            address = address_of_peer(str(peer_id))
        except PeerFault:
            return False
        if address == self._lines.address or self.trust.banned(address, trio.current_time()):
            return False
        place = network_of(ip)
        from_there = sum(network_of(conn.muxed_conn.remote_ip) == place for conn in self._swarm.get_connections())
        return from_there < self._settings.connections_per_ip

    def blame(self, peer_id: Any, points: float) -> None:
        """Score a fault; a peer that exhausts our patience is banned and cut off."""
        try:
            address = address_of_peer(str(peer_id))
        except PeerFault:
            return
        if self.trust.blame(address, points, trio.current_time()):
            log.info("banned %s for %g s", peer_id, self._settings.ban)
            self.cut(address)

    def cut(self, address: bytes) -> None:
        """End all connections to a peer at once."""
        for conn in self.to(address):
            conn.muxed_conn.sever()

    # -- dialling ---------------------------------------------------------------------------------------------------

    async def connect(self, address: bytes, places: Sequence[str]) -> Peer:
        """The peer, connected; dials its addresses one after another. Raises `Unreachable`."""
        async with self._dialling[address]:
            try:
                for conn in self.to(address):
                    return as_peer(conn.muxed_conn.peer_id)
                if address == self._lines.address:
                    raise Unreachable(address, "that is ourselves")
                if self.trust.banned(address, trio.current_time()):
                    raise Unreachable(address, "it is banned")
                why = "no address known"
                with trio.move_on_after(self._settings.dial_within):
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

    async def prove(self, peer: Peer, place: str) -> None:
        """That this peer can be dialled there; raises `Unreachable`."""
        if relay_of(place):
            raise Unreachable(peer.address, "a relay is not where it lives")
        if (
            any(conn.muxed_conn.is_initiator and conn.muxed_conn.remote_ip for conn in self.to(peer.address))
            and self.book.proven_place(peer.address) == place
        ):
            return
        with trio.move_on_after(self._settings.dial_within):
            try:
                await self._swarm.prove(Multiaddr(place), ID.from_base58(peer.id))
            except Exception as error:  # whatever a dial raises
                raise Unreachable(peer.address, str(error)) from error
            return
        raise Unreachable(peer.address, "no answer in time")

    async def dial_directly(self, peer: Peer, place: str) -> None:
        """One more connection to a peer, at that place; raises `Unreachable`."""
        try:
            await self._swarm.dial(Multiaddr(place), ID.from_base58(peer.id))
        except Exception as error:  # whatever a dial raises
            raise Unreachable(peer.address, str(error)) from error

    async def cross(self, peer: Peer, place: str, *, initiator: bool) -> None:
        """Dial from the port where we listen while the other does so too; raises `Unreachable`."""
        source, target = self._source(place), ID.from_base58(peer.id)
        if source is None:
            raise Unreachable(peer.address, "we listen on no port to dial from")
        self.crossing.add(peer.address)
        try:
            if initiator:
                await self._swarm.dial(Multiaddr(place), target, source)
            else:
                await self._swarm.dial_as_listener(Multiaddr(place), target, source)
        except Exception as error:  # whatever a dial raises
            raise Unreachable(peer.address, str(error)) from error
        finally:
            self.crossing.discard(peer.address)

    def _source(self, place: str) -> tuple[str, int] | None:
        """The IP and port to dial a place from, so that a router shows the same outside as for those who dial us."""
        kind = place.split("/")[1]
        for listening in self._lines.machinery.host.get_transport_addrs():
            parts = str(listening).split("/")
            if parts[1] == kind and parts[3:4] == ["tcp"]:
                return parts[2], int(parts[4])
        return None

    async def _dial(self, place: str) -> Peer:
        peer = peer_at(place)
        self._counters.dials += 1
        if relay_of(place):
            await self._lines.dial_through(place)
        else:
            await self._dial_place(place, ID.from_base58(peer.id))
        self.book.learn(peer.address, [place])
        self.book.reached(peer.address, place)
        return peer

    async def _dial_place(self, place: str, peer_id: Any) -> None:
        if place in self._settings.relays and (source := self._source(place)) is not None:
            # so that the relay sees, and tells us, what our router makes of the port where we listen
            with suppress(Exception), trio.move_on_after(self._settings.dial_within / 2):
                await self._swarm.dial(Multiaddr(place), peer_id, source)
                return
        await self._swarm.dial(Multiaddr(place), peer_id)

    def _failed(self, address: bytes) -> None:
        self._counters.dials_failed += 1
        self.book.failed(address, trio.current_time())

    # -- tasks ------------------------------------------------------------------------------------------------------

    def _on_change(self) -> None:
        now, connected = trio.current_time(), self.connected()
        for address in [each for each in connected if each not in self._peers]:  # in order: sets of bytes have none
            self.book.joined(address, now)
            self._lines.joined(connected[address])
        for address in [each for each in self._peers if each not in connected]:
            self.book.left(address, now)
            self._lines.left(address)
        self._peers = connected
        for conn in self._swarm.get_connections():
            muxed = conn.muxed_conn
            if muxed.is_initiator or as_peer(muxed.peer_id).address in self.crossing:
                continue
            if (scope := scope_of_ip(muxed.remote_ip)) is not None:
                self.dialled_from.add(scope)
        self._changed.set()
        self._redial.set()

    async def tell_for_ever(self, say: trio.MemorySendChannel[HostEvent]) -> None:
        """Say who joined and left. One that came and went while nobody listened is not mentioned."""
        told: dict[bytes, Peer] = {}
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            connected = dict(self._peers)
            for address, peer in connected.items():
                if address not in told:
                    await say.send(PeerJoined(peer))
            for address, peer in told.items():
                if address not in connected:
                    await say.send(PeerLeft(peer))
            told = connected

    async def redial_for_ever(self) -> None:
        """Dial whom we keep, and with too few peers anybody we know, each with its own back-off."""
        while True:
            self._redial = trio.Event()
            now = trio.current_time()
            lonely = len(self._peers) < self._settings.wanted_peers
            for address in list(self.book.due(now, lonely=lonely)):
                if self._dials.available_tokens == 0:
                    break
                if address in self._dialling or address in self._peers or address == self._lines.address:
                    continue
                if not self.book.kept(address) and not self._lonely_dials.take(1, now):
                    continue
                self.book.trying(address, now + self._settings.dial_within)
                self._lines.start(partial(self._redial_one, address))
                await trio.lowlevel.checkpoint()
            with trio.move_on_after(max(0.1, self.book.next_due(now, lonely=lonely))):
                await self._redial.wait()

    async def _redial_one(self, address: bytes) -> None:
        async with self._dials:
            try:
                await self.connect(address, self.book.addrs(address))
            except Unreachable:
                pass
            finally:
                self._redial.set()


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


def as_peer(peer_id: Any) -> Peer:
    """The peer that the library calls by that id; raises `PeerFault` for a key of another kind."""
    text = str(peer_id)
    return Peer(text, address_of_peer(text))


def _live(conn: Any) -> bool:
    return not conn.is_closed and not conn.muxed_conn.event_shutting_down.is_set()
