"""Reaches peers that can't be dialled: a third peer carries the bytes (libp2p circuit relay v2, hop and stop).

    hidden ── hop: RESERVE ──> relay <── hop: CONNECT ── caller
    hidden <── stop: CONNECT ─ relay      then the two streams are one raw line, and caller and hidden shake hands on it

Both ends prove who they are on that line with Noise as on any other, so a relay sees only sealed bytes. Being a relay
is opt-in and bounded: so many reservations, circuits, bytes and seconds. A reservation belongs to whoever asks for it,
by the key of the connection; what the request says about that is ignored.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

import trio
from libp2p.connection_types import ConnectionType
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, Reservation, Status, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as WirePeer
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.connecting import as_peer
from p2p.errors import Unreachable
from p2p.events import Peer
from p2p.places import network_of, peer_at, relay_of
from p2p.rates import Bucket
from p2p.settings import Settings
from protocol.errors import PeerFault

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
_CHUNK = 16 * 1024
_ASK_WITHIN = 10.0


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    peer_id: str
    addrs: tuple[str, ...]
    machinery: Any

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    async def reach(self, multiaddr: str) -> Peer:
        """Connect once to whoever lives there; raises `Unreachable`."""

    def keep(self, multiaddr: str) -> Peer:
        """Stay connected to whoever lives there."""

    def remote_ip(self, address: bytes) -> str | None:
        """The IP at the other end of a connection."""

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from there may begin its handshake."""

    async def called(self, peer: Peer) -> None:
        """A peer has reached us through a relay."""

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""


class _Carried(ReadWriteCloser):  # type: ignore[misc]
    """A stream to a relay, as the raw line of a connection."""

    def __init__(self, stream: Any, start: Callable[[Callable[[], Awaitable[None]]], None]) -> None:
        self._stream = stream
        # the corrections look for a socket below; its IP is nobody's, so all relayed peers share one peer's limits
        self.stream = SimpleNamespace(socket=SimpleNamespace(getpeername=lambda: ("", 0), close=self._sever))
        self._start = start
        self.relay_ip = str(stream.muxed_conn.remote_ip)
        """Where the relay is."""

    def _sever(self) -> None:
        self._start(partial(_reset, self._stream))

    async def read(self, n: int | None = None) -> bytes:
        try:
            return bytes(await self._stream.read(n))
        except Exception:  # the library raises many kinds when a stream is over
            return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write(data)
        except Exception as error:  # as above
            raise ConnectionClosedError("the relayed line broke", transport="relay") from error

    async def close(self) -> None:
        await _reset(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        return None

    def get_transport_addresses(self) -> list[Any]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.RELAYED


# -- being reached, and reaching -------------------------------------------------------------------------------------


class RelayClient:
    """Holds places at the relays that our owner named, takes what comes through them, and dials through any."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.held: dict[str, float] = {}
        """Relays (multiaddrs) that hold a place for us, and until when on trio's clock."""

    def places(self) -> tuple[str, ...]:
        """Where we can be reached through relays at this moment."""
        now = trio.current_time()
        return tuple(f"{relay}/p2p-circuit/p2p/{self._lines.peer_id}" for relay, end in self.held.items() if end > now)

    async def reserve_for_ever(self, relay: str) -> None:
        """Hold a place at one relay; asks again at half time, and soon after a failure."""
        peer = self._lines.keep(relay)
        while True:
            wait = 2.0
            try:
                seconds = await self._reserve(peer)
            except PeerFault:
                self.held.pop(relay, None)
            else:
                self.held[relay] = trio.current_time() + seconds
                wait = max(1.0, seconds / 2)
            with trio.move_on_after(wait):
                await self._gone(peer, relay)

    async def _gone(self, peer: Peer, relay: str) -> None:
        """Until the connection to the relay is lost, and the reservation with it."""
        if relay not in self.held:
            await trio.sleep_forever()
        while self._lines.remote_ip(peer.address) is not None:  # noqa: ASYNC110
            await trio.sleep(1.0)
        self.held.pop(relay, None)

    async def _reserve(self, relay: Peer) -> float:
        answer = await _ask(self._lines, relay, HopMessage(type=HopMessage.RESERVE))
        if answer.status != Status.OK:
            raise Unreachable(relay.address, f"the relay said {answer.status}")
        return float(min(max(0.0, answer.reservation.expire - time.time()), 24 * 3600.0))

    async def accepted(self, stream: Any, relay: Peer) -> None:
        """Somebody wants us through a relay; lasts as long as that connection."""
        with trio.move_on_after(_ASK_WITHIN):
            message = await read_delimited_msg(stream, StopMessage)
            ours = any(peer_at(place).address == relay.address for place in self.held)
            if message.type != StopMessage.CONNECT or not ours or not self._lines.admits_ip("relayed"):
                await write_delimited_msg(stream, StopMessage(type=StopMessage.STATUS, status=Status.PERMISSION_DENIED))
                await _reset(stream)
                return
            await write_delimited_msg(stream, StopMessage(type=StopMessage.STATUS, status=Status.OK))
            raw = RawConnection(_Carried(stream, self._lines.start), False, ConnectionType.RELAYED)
            muxed = await self._lines.machinery.swarm.upgrade_inbound_raw_conn(raw, Multiaddr("/p2p-circuit"))
        self._lines.start(partial(self._lines.called, as_peer(muxed.peer_id)))
        await muxed.event_closed.wait()

    async def dial(self, place: str) -> None:
        """Connect to the peer at a relayed multiaddr. Raises `Unreachable` and whatever a handshake raises."""
        relay, peer = peer_at(relay_of(place)), peer_at(place)
        await self._lines.reach(relay_of(place))
        stream = await self._lines.open_stream(relay.address, HOP, dial=False)
        carried = False
        try:
            hop = HopMessage(type=HopMessage.CONNECT, peer=WirePeer(id=ID.from_base58(peer.id).to_bytes()))
            await write_delimited_msg(stream, hop)
            answer = await read_delimited_msg(stream, HopMessage)
            if answer.status != Status.OK:
                raise Unreachable(peer.address, f"the relay said {answer.status}")
            raw = RawConnection(_Carried(stream, self._lines.start), True, ConnectionType.RELAYED)
            await self._lines.machinery.swarm.upgrade_outbound_raw_conn(raw, ID.from_base58(peer.id))
            carried = True
        finally:
            if not carried:
                await _reset(stream)


async def _ask(lines: Lines, relay: Peer, message: Any) -> Any:
    with trio.move_on_after(_ASK_WITHIN):
        stream = await lines.open_stream(relay.address, HOP, dial=True)
        try:
            await write_delimited_msg(stream, message)
            return await read_delimited_msg(stream, HopMessage)
        except Exception as error:  # whatever the library makes of a relay's answer
            raise Unreachable(relay.address, f"no relay: {error!r}") from error
        finally:
            await _reset(stream)
    raise Unreachable(relay.address, "no answer in time")


# -- being a relay ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Place:
    until: float
    network: str


class Relay:
    """Holds places for peers that nobody can dial, and carries bytes to them."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._settings = lines.settings
        self._places: dict[bytes, _Place] = {}
        self._calls: dict[bytes, int] = {}
        self.circuits = 0
        self.carried = 0
        """Bytes of all circuits so far."""

    def holds(self) -> int:
        """For how many peers a place is held at this moment."""
        now = trio.current_time()
        return sum(place.until > now for place in self._places.values())

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """One request on the hop protocol."""
        joined: Any = None
        with trio.move_on_after(_ASK_WITHIN):
            message = await read_delimited_msg(stream, HopMessage)
            match message.type:
                case HopMessage.RESERVE:
                    await write_delimited_msg(stream, self._reserve(peer))
                case HopMessage.CONNECT:
                    joined = await self._connect(stream, peer, message.peer.id)
                case _:
                    await _refuse(stream, Status.MALFORMED_MESSAGE)
        if joined is not None:
            await self._carry(stream, joined, peer)
            return
        await trio.sleep(0.2)  # the answer gets out before the reset overtakes it
        await _reset(stream)

    def _reserve(self, peer: Peer) -> Any:
        now, network = trio.current_time(), network_of(self._lines.remote_ip(peer.address) or "")
        self._places = {each: place for each, place in self._places.items() if place.until > now}
        neighbours = sum(place.network == network for each, place in self._places.items() if each != peer.address)
        full = peer.address not in self._places and len(self._places) >= self._settings.relay_places
        # who comes through a relay has no address of its own, and must not chain relays
        if full or neighbours >= self._settings.relay_places_per_ip or not network:
            return HopMessage(type=HopMessage.STATUS, status=Status.RESERVATION_REFUSED)
        known = self._places.setdefault(peer.address, _Place(0.0, network))
        known.until = now + self._settings.relay_place
        return HopMessage(
            type=HopMessage.STATUS,
            status=Status.OK,
            reservation=Reservation(
                expire=int(time.time() + self._settings.relay_place),
                addrs=[Multiaddr(place).to_bytes() for place in self._lines.addrs[:8]],
            ),
            limit=self._limit(),
        )

    def _limit(self) -> Any:
        return Limit(duration=int(self._settings.relay_seconds), data=self._settings.relay_bytes)

    async def _connect(self, stream: Any, caller: Peer, wanted: bytes) -> Any:
        try:
            target = peer_at(f"/ip4/127.0.0.1/tcp/1/p2p/{ID(wanted)}")
        except PeerFault:
            await _refuse(stream, Status.MALFORMED_MESSAGE)
            return None
        place = self._places.get(target.address)
        if place is None or place.until <= trio.current_time():
            await _refuse(stream, Status.NO_RESERVATION)
            return None
        busy = self.circuits >= self._settings.relay_circuits
        if busy or self._calls.get(caller.address, 0) >= self._settings.relay_circuits_per_peer:
            await _refuse(stream, Status.RESOURCE_LIMIT_EXCEEDED)
            return None
        try:
            onward = await self._lines.open_stream(target.address, STOP, dial=False)
            who = WirePeer(id=ID.from_base58(caller.id).to_bytes())
            await write_delimited_msg(onward, StopMessage(type=StopMessage.CONNECT, peer=who, limit=self._limit()))
            answer = await read_delimited_msg(onward, StopMessage)
            if answer.status != Status.OK:
                raise Unreachable(target.address, "it does not want to be called")  # noqa: TRY301
        except Exception:  # whatever the other end does or fails to do
            await _refuse(stream, Status.CONNECTION_FAILED)
            return None
        await write_delimited_msg(stream, HopMessage(type=HopMessage.STATUS, status=Status.OK, limit=self._limit()))
        return onward

    async def _carry(self, one: Any, other: Any, caller: Peer) -> None:
        """Bytes both ways, until somebody hangs up or a limit is reached."""
        self.circuits += 1
        self._calls[caller.address] = self._calls.get(caller.address, 0) + 1
        try:
            with trio.move_on_after(self._settings.relay_seconds):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, one, other, nursery.cancel_scope)
                    nursery.start_soon(self._pump, other, one, nursery.cancel_scope)
        finally:
            self.circuits -= 1
            self._calls[caller.address] -= 1
            if not self._calls[caller.address]:
                del self._calls[caller.address]
            await _reset(one)
            await _reset(other)

    async def _pump(self, source: Any, sink: Any, done: trio.CancelScope) -> None:
        rate, left = Bucket(self._settings.relay_rate, trio.current_time()), self._settings.relay_bytes
        with suppress(Exception):  # a stream that is over raises many kinds
            while left > 0 and (chunk := await source.read(_CHUNK)):
                left -= len(chunk)
                await trio.sleep(rate.borrow(len(chunk), trio.current_time()))
                with trio.fail_after(self._settings.write_stall):
                    await sink.write(chunk)
                self.carried += len(chunk)
        done.cancel()


async def _refuse(stream: Any, status: Any) -> None:
    await write_delimited_msg(stream, HopMessage(type=HopMessage.STATUS, status=status))


async def _reset(stream: Any) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
        await stream.reset()
