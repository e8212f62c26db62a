"""Turns a relayed connection into a direct one where two routers let it (libp2p spec, relay/DCUtR), over TCP.

    called ── CONNECT, where I am seen ──> caller          over the relayed connection; its time is measured
    called <── CONNECT, where I am seen ── caller
    called ── SYNC ──> caller: dials at once               both from the ports on which they listen
    called: dials half a round trip later                  the two SYNs cross: one connection

It works where a router keeps the outside port of an inside one whoever is dialled (endpoint-independent mapping, RFC
4787 section 4.1), as most at home and Linux' own do, and drops what it does not expect instead of refusing it. It does
not work behind symmetric ones; then the relay goes on carrying. The caller shakes hands as the initiator on the crossed
connection, the called as the other side. Where to dial is the other's word, so such dials are few and rationed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol

import trio
from libp2p.relay.circuit_v2.pb.dcutr_pb2 import HolePunch
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.errors import Unreachable
from p2p.events import Peer
from p2p.places import fits, scope_of_ip, tcp_place
from p2p.rates import Limiter
from p2p.settings import Settings
from p2p.statistics import Counters
from p2p.talking import SETTLED
from protocol.errors import PeerFault

PROTOCOL = "/libp2p/dcutr"
_ATTEMPTS = 3
_MOST_PLACES = 4
_TALK_WITHIN = 10.0
_DIRECT_WITHIN = 1.5
_CROSS_WITHIN = 6.0
"""Seconds: a SYN that came too early is sent again after one and three."""
_RETIRE_WITHIN = 20.0
"""Seconds that the other side may go on writing on the relayed connection."""


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters
    addrs: tuple[str, ...]

    def seen_at(self) -> tuple[str, ...]:
        """Multiaddrs (without ``/p2p``) at which others see us."""

    def relayed(self, address: bytes) -> list[Any]:
        """The muxed connections to a peer that go through a relay."""

    def direct(self, address: bytes) -> bool:
        """Whether there is a connection to a peer that does not."""

    def relay_ip(self, address: bytes) -> str:
        """The IP of the relay between us and a peer, or empty."""

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    async def dial_directly(self, peer: Peer, place: str) -> None:
        """One more connection to a peer, at that place; raises `Unreachable`."""

    async def cross(self, peer: Peer, place: str, *, initiator: bool) -> None:
        """Dial from the port where we listen, and shake hands in that role; raises `Unreachable`."""

    def leave(self, conn: Any) -> float:
        """Write nothing more in talks on this connection; when something was last said on it, on trio's clock."""

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""


class Punching:
    """Both roles."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._asked = Limiter(lines.settings.punches_each)

    async def called(self, peer: Peer) -> None:
        """A peer has reached us through a relay: try to do without."""
        if not self._lines.settings.punch:
            return
        for attempt in range(_ATTEMPTS):
            await trio.sleep(0.2 + attempt)
            if not self._lines.relayed(peer.address):
                return
            with suppress(PeerFault):
                await self._invite(peer)
            if self._lines.direct(peer.address):
                self._lines.counters.punched += 1
                await self.retire(peer)
                return
        self._lines.counters.punches_failed += 1

    async def _invite(self, peer: Peer) -> None:
        stream = await self._lines.open_stream(peer.address, PROTOCOL, dial=False)
        try:
            with trio.fail_after(_TALK_WITHIN):
                began = trio.current_time()
                await write_delimited_msg(stream, self._own())
                theirs = self._places(await read_delimited_msg(stream, HolePunch), peer)
                trip = trio.current_time() - began
            if await self._directly(peer, theirs):
                return
            with trio.fail_after(_TALK_WITHIN):
                await write_delimited_msg(stream, HolePunch(type=HolePunch.SYNC))
        except PeerFault:
            raise
        except Exception as error:  # whatever the library makes of a stranger's answer
            raise Unreachable(peer.address, f"no hole is punched: {error!r}") from error
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
                await stream.close()
        await trio.sleep(trip / 2)
        await self._cross(peer, theirs, initiator=False)

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """A peer that we have reached through a relay wants to do without."""
        try:
            callers = [conn for conn in self._lines.relayed(peer.address) if conn.is_initiator]
            now = trio.current_time()
            if not self._lines.settings.punch or not callers or not self._asked.take(peer.address, 1, now):
                return  # closed, not reset: a reset overtakes the word that we speak this protocol
            with trio.fail_after(_TALK_WITHIN):
                theirs = self._places(await read_delimited_msg(stream, HolePunch), peer)
                await write_delimited_msg(stream, self._own())
                synchronised = (await read_delimited_msg(stream, HolePunch)).type == HolePunch.SYNC
            if synchronised and not self._lines.direct(peer.address):
                await self._cross(peer, theirs, initiator=True)
        except Exception:  # the stream ended, or what came is no invitation; a stranger only loses its stream
            pass
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
                await stream.close()
        if self._lines.direct(peer.address):
            self._lines.counters.punched += 1
            await self.retire(peer)

    async def _directly(self, peer: Peer, places: Iterable[str]) -> bool:
        """Whoever can be dialled needs no hole."""
        reached = False
        async with trio.open_nursery() as nursery:

            async def dial(place: str) -> None:
                nonlocal reached
                with suppress(PeerFault):
                    await self._lines.dial_directly(peer, place)
                    reached = True
                    nursery.cancel_scope.cancel()

            nursery.cancel_scope.deadline = trio.current_time() + _DIRECT_WITHIN
            for place in places:
                nursery.start_soon(dial, place)
        return reached

    async def _cross(self, peer: Peer, places: Iterable[str], *, initiator: bool) -> None:
        async with trio.open_nursery() as nursery:

            async def dial(place: str) -> None:
                with suppress(PeerFault):
                    await self._lines.cross(peer, place, initiator=initiator)
                    nursery.cancel_scope.cancel()

            nursery.cancel_scope.deadline = trio.current_time() + _CROSS_WITHIN
            for place in places:
                nursery.start_soon(dial, place)

    async def retire(self, peer: Peer) -> None:
        """End the relayed connection, once what was said on it has arrived; new talks use the direct one."""
        until = trio.current_time() + _RETIRE_WITHIN
        while (conns := self._lines.relayed(peer.address)) and self._lines.direct(peer.address):
            for conn in conns:
                if trio.current_time() > min(until, self._lines.leave(conn) + 2 * SETTLED):
                    conn.sever()
            await trio.sleep(0.2)

    def _own(self) -> Any:
        """The ports where we listen, at the IPs that others see, and what else they see us at."""
        seen = list(self._lines.seen_at()[:2])
        ports = dict.fromkeys(place.split("/")[4] for place in self._lines.addrs)
        guesses = ["/".join([*place.split("/")[:4], port]) for place in seen for port in ports]
        places = dict.fromkeys([*guesses, *seen, *(place.split("/p2p/")[0] for place in self._lines.addrs)])
        return HolePunch(
            type=HolePunch.CONNECT, ObsAddrs=[Multiaddr(place).to_bytes() for place in list(places)[:_MOST_PLACES]]
        )

    def _places(self, message: Any, peer: Peer) -> list[str]:
        """Where they are, as far as it may be dialled: nobody far away may aim us at our own network."""
        if message.type != HolePunch.CONNECT:
            raise Unreachable(peer.address, "it does not begin with where it is")
        near = scope_of_ip(self._lines.relay_ip(peer.address))
        named = dict.fromkeys(map(tcp_place, message.ObsAddrs[:_MOST_PLACES]))
        return [f"{place}/p2p/{peer.id}" for place in named if place and fits(place, near)]
