"""Finds peers that nobody we know is connected to: a Kademlia DHT of the market's own (libp2p spec, kad-dht).

    lookup(target):  ask the nearest we know ── FIND_NODE ──> they name nearer ones ── dial, ask ──> … none is nearer

Only who can be dialled is told of, and only who was dialled and answered. What a peer names is somewhere to try: who
lives there is proven by the handshake, dials are few a second, and no peer's word fills a lookup. It routes to peers
and nothing else: values are not kept, and who provides what is not (`docs/decisions/0009`). Messages are those of the
specification, so any libp2p implementation can take part under this protocol id.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import trio
from libp2p.kad_dht.pb.kademlia_pb2 import Message
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.dht_table import K, Table, key_of, key_of_peer, public_network_of
from p2p.errors import TooFast, Unreachable
from p2p.events import Peer
from p2p.places import Scope, fits, peer_at, scope_of_ip, tcp_place
from p2p.rates import Bucket, Limiter, Rate
from p2p.settings import Settings
from p2p.statistics import Counters
from protocol.errors import PeerFault

PROTOCOL = "/lilypad/kad/1.0.0"
_ALPHA = 3
"""Peers asked at a time."""
_ASKED = 32
"""Peers asked in one lookup."""
_NAMED_BY_ONE = 8
"""Of those that one peer named, so many are asked in one lookup."""
_OF_ONE_NETWORK = 4
"""Of those that share a public network, so many."""
_ADDRESSES = 4
"""Of one peer that was named."""
_KEY = 128
"""Bytes of a target, at most."""
_CHECKS = Rate(1, 8)
_WAITING_CHECKS = 64


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters
    peer_id: str

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    async def reach_at(self, address: bytes, places: Sequence[str]) -> Peer:
        """Connect once, at one of these places; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected."""

    def proven_place(self, address: bytes) -> str:
        """Where that peer was reached or can be believed to be; empty if nowhere."""

    def remote_ip(self, address: bytes) -> str | None:
        """The IP at the other end of a connection."""

    async def prove(self, peer: Peer, place: str) -> None:
        """That we can dial that peer there; raises `Unreachable`."""

    def hang_up(self, address: bytes) -> None:
        """End a connection that nobody uses any more, unless we have few."""

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""


@dataclass(slots=True)
class _Candidate:
    peer: Peer
    places: tuple[str, ...]
    named_by: bytes
    """Address of the peer whose word it is; empty for those of our own table."""
    asked: bool = False
    answered: bool = False


class Dht:
    """Our part of it: asks, and answers."""

    def __init__(self, lines: Lines, rng: random.Random) -> None:
        self._lines = lines
        self._settings = lines.settings
        self._rng = rng
        self._me = Peer(lines.peer_id, peer_at(f"/ip4/127.0.0.1/tcp/1/p2p/{lines.peer_id}").address)
        self.table = Table(key_of_peer(self._me), lines.settings.dht_per_network)
        self._answers = Limiter(lines.settings.dht_answers)
        self._dials = Bucket(lines.settings.dht_dials, 0.0)
        self._checks = Bucket(_CHECKS, 0.0)
        self._say, self._hear = trio.open_memory_channel[Peer](_WAITING_CHECKS)
        self._met = trio.Event()
        """Somebody was connected at least once."""
        self.last_answers = 0
        """Peers that answered in the last lookup."""

    # -- asking -------------------------------------------------------------------------------------------------------

    async def look_for_ever(self) -> None:
        """Find ourselves first, which fills the table, then random places: often while we know few, else rarely."""
        self._lines.start(self._check_for_ever)
        target = ID.from_base58(self._me.id).to_bytes()
        await self._met.wait()
        while True:
            await self.lookup(target)
            lonely = len(self._lines.peers()) < self._settings.wanted_peers
            wait = self._settings.dht_lonely if lonely else self._settings.dht_refresh
            await trio.sleep(wait * (0.5 + self._rng.random()))
            target = self._rng.randbytes(34)

    async def find(self, peer: Peer) -> tuple[str, ...]:
        """Where a peer can be dialled, as those say who are near it; not proven. Empty if nobody knows."""
        found = await self.lookup(ID.from_base58(peer.id).to_bytes())
        return next((each.places for each in found if each.peer == peer), ())

    async def lookup(self, target: bytes) -> list[_Candidate]:
        """Walk towards ``target`` (raw bytes, a peer id for instance); whoever was named, nearest first. Bounded in
        peers, dials and time, whatever they answer.
        """
        self._lines.counters.dht_lookups += 1
        key = key_of(target)
        known = {entry.peer.address: _Candidate(entry.peer, (entry.place,), b"") for entry in self.table.closest(key)}
        if len(known) < _ALPHA:
            # a newcomer begins with whoever it is connected to
            known |= {
                peer.address: _Candidate(peer, (), b"") for peer in self._lines.peers() if peer.address not in known
            }
        with trio.move_on_after(self._settings.dht_within):
            while batch := self._next(known, key):
                async with trio.open_nursery() as nursery:
                    for candidate in batch:
                        candidate.asked = True
                        nursery.start_soon(self._ask_about, candidate, target, known)
        self.last_answers = sum(each.answered for each in known.values())
        return sorted(known.values(), key=lambda each: key_of_peer(each.peer) ^ key)

    def _next(self, known: dict[bytes, _Candidate], key: int) -> list[_Candidate]:
        """Whom to ask now: the nearest that were not, as long as they are among the nearest that may be alive."""
        asked = [each for each in known.values() if each.asked]
        if len(asked) >= _ASKED:
            return []
        alive = [each for each in known.values() if each.answered or not each.asked]
        nearest = sorted(alive, key=lambda each: key_of_peer(each.peer) ^ key)[:K]
        chosen: list[_Candidate] = []
        for each in nearest:
            if each.asked or len(chosen) == _ALPHA:
                continue
            before = asked + chosen
            network = public_network_of(each.places[0]) if each.places else None
            if network and sum(network in map(public_network_of, other.places) for other in before) >= _OF_ONE_NETWORK:
                continue
            if each.named_by and sum(other.named_by == each.named_by for other in before) >= _NAMED_BY_ONE:
                continue
            chosen.append(each)
        return chosen

    async def _ask_about(self, candidate: _Candidate, target: bytes, known: dict[bytes, _Candidate]) -> None:
        connected = {peer.address for peer in self._lines.peers()}
        try:
            if candidate.peer.address not in connected:
                await trio.sleep(self._dials.borrow(1, trio.current_time()))
            with trio.fail_after(self._settings.dht_ask_within):
                if candidate.peer.address not in connected:
                    await self._lines.reach_at(candidate.peer.address, candidate.places)
                answer = await self._ask(candidate.peer, target)
        except (PeerFault, trio.TooSlowError):
            self.table.failed(candidate.peer)
            return
        finally:
            if candidate.peer.address not in connected:
                self._lines.hang_up(candidate.peer.address)
        candidate.answered = True
        near = scope_of_ip(self._lines.remote_ip(candidate.peer.address) or "")
        for peer, places in _named(answer, near):
            if peer.address not in known and peer.address != self._me.address and len(known) < K * _ASKED:
                known[peer.address] = _Candidate(peer, places, candidate.peer.address)

    async def _ask(self, peer: Peer, target: bytes) -> Any:
        """What a connected peer answers; one that does belongs into the table. Raises `Unreachable`."""
        stream = await self._lines.open_stream(peer.address, PROTOCOL, dial=False)
        try:
            await write_delimited_msg(stream, Message(type=Message.FIND_NODE, key=target))
            answer = await read_delimited_msg(stream, Message)
        except Exception as error:  # whatever the library makes of a stranger's answer
            raise Unreachable(peer.address, f"no answer from its DHT: {error!r}") from error
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
                await stream.close()
        if place := self._lines.proven_place(peer.address):
            self.table.answered(peer, place)
        return answer

    # -- who might belong into the table ------------------------------------------------------------------------------

    def met(self, peer: Peer) -> None:
        """Somebody is connected; whether it takes part is found out by asking it, not too often."""
        with suppress(trio.WouldBlock):
            self._say.send_nowait(peer)
        self._met.set()

    async def _check_for_ever(self) -> None:
        async for peer in self._hear:
            if place := self._lines.proven_place(peer.address):
                await trio.sleep(self._checks.borrow(1, trio.current_time()))
                with trio.move_on_after(2 * self._settings.dht_ask_within), suppress(PeerFault):
                    await self._lines.prove(peer, place)
                    await self._ask(peer, ID.from_base58(self._me.id).to_bytes())

    # -- answering ----------------------------------------------------------------------------------------------------

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """Answer one peer's questions until its stream ends."""
        try:
            while True:
                with trio.fail_after(self._settings.dht_idle):
                    asked = await read_delimited_msg(stream, Message)
                if not self._answers.take(peer.address, 1, trio.current_time()):
                    self._lines.counters.refused += 1
                    self._lines.blame(peer.id, TooFast("asks the DHT"), 0.1)
                    break
                if (answer := self._answer(asked, peer)) is not None:
                    with trio.fail_after(self._settings.dht_ask_within):
                        await write_delimited_msg(stream, answer)
        except Exception:  # the stream ended, or what came is no question; who sends garbage only loses its stream
            pass
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
                await stream.close()
        if peer.address not in {entry.peer.address for entry in self.table}:
            self.met(peer)

    def _answer(self, asked: Any, asker: Peer) -> Any:
        self._lines.counters.dht_answers += 1
        if asked.type == Message.PING:
            return Message(type=Message.PING)
        if asked.type not in (Message.FIND_NODE, Message.GET_PROVIDERS, Message.GET_VALUE) or len(asked.key) > _KEY:
            return None  # what would have to be kept is not
        near = scope_of_ip(self._lines.remote_ip(asker.address) or "")
        nearest = [e for e in self.table.closest(key_of(asked.key), K + 1) if e.peer.address != asker.address][:K]
        told = [(entry.peer, entry.place) for entry in nearest]
        wanted = _wanted(asked.key)
        if wanted is not None and wanted not in [peer for peer, _ in told]:
            told = [(wanted, self._lines.proven_place(wanted.address)), *told[: K - 1]]
        return Message(
            type=asked.type,
            key=asked.key,
            closerPeers=[_wire(peer, place) for peer, place in told if place and fits(place, near)],
        )


def _wire(peer: Peer, place: str) -> Any:
    address = Multiaddr(place.rpartition("/p2p/")[0]).to_bytes()
    return Message.Peer(id=ID.from_base58(peer.id).to_bytes(), addrs=[address], connection=Message.CAN_CONNECT)


def _named(answer: Any, near: Scope | None) -> list[tuple[Peer, tuple[str, ...]]]:
    """Whom an answer names and where; what is no place or no peer of ours is passed over."""
    found = []
    for wire in answer.closerPeers[:K]:
        places = []
        for raw in wire.addrs[:_ADDRESSES]:
            with suppress(Exception):  # the parser raises whatever the bytes make it raise
                place = f"{tcp_place(raw)}/p2p/{ID(wire.id)}"
                peer_at(place)
                if fits(place, near):
                    places.append(place)
        if places:
            found.append((peer_at(places[0]), tuple(dict.fromkeys(places))))
    return found


def _wanted(raw: bytes) -> Peer | None:
    with suppress(Exception):
        return peer_at(f"/ip4/127.0.0.1/tcp/1/p2p/{ID(raw)}")
    return None
