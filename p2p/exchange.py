"""Peers tell each other whom they know, asked for by stream: a short list of places of peers that are connected.

Told are places that the teller has dialled itself, and those that a peer gave for itself when it asked, if the IP is
the one that it asked from. Nothing in such a list is believed. A place is only somewhere to try: who lives there is
proven by the handshake, dials of strangers' places are few (`Settings.lonely_dials`), and what was never reached makes
room first. So a liar can waste a few dials, and push out nobody whom we have met.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from p2p.errors import BrokenFrame, TooFast, Unreachable
from p2p.events import Peer
from p2p.frames import Ended, FrameStream
from p2p.places import Scope, peer_at, places_of, scope_of_place
from p2p.rates import Limiter
from p2p.settings import Settings
from p2p.trust import points_for
from protocol.errors import PeerFault

PROTOCOL = "/lilypad/peers/1"
"""Request: a frame of the asker's own multiaddrs, or an empty one. Answer: a frame of others' places. One multiaddr a
line, each with its peer id; then the stream ends.
"""
MOST_PLACES = 32
MOST_OWN = 8
_LONGEST_PLACE = 256


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    addrs: tuple[str, ...]

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected."""

    def learn(self, address: bytes, addrs: Sequence[str]) -> None:
        """Note where a peer may live."""

    def vouch(self, peer: Peer, place: str) -> None:
        """Note that a peer says from the IP of this place that it lives there."""

    def remote_ip(self, address: bytes) -> str | None:
        """The IP at the other end of a connection."""


class Exchange:
    """Asks a neighbour now and then, more often while we know few; answers neighbours."""

    def __init__(
        self,
        lines: Lines,
        proven: Callable[[], Sequence[str]],
        rng: random.Random,
    ) -> None:
        self._lines = lines
        self._settings = lines.settings
        self._proven = proven
        self._rng = rng
        self._answers = Limiter(lines.settings.peer_answers)

    async def ask_for_ever(self) -> None:
        """Ask a random neighbour, every few seconds while we are lonely, else every few minutes."""
        while True:
            peers = self._lines.peers()
            lonely = len(peers) < self._settings.wanted_peers
            wait = self._settings.ask_peers if lonely else 10 * self._settings.ask_peers
            await trio.sleep(wait * (0.5 + self._rng.random()))
            if peers := self._lines.peers():
                peer = self._rng.choice(peers)
                try:
                    await self.ask(peer)
                except Unreachable:
                    pass  # it does not know this protocol, or is gone
                except PeerFault as fault:
                    self._lines.blame(peer.id, fault, points_for(fault))

    async def ask(self, peer: Peer) -> int:
        """Learn what one neighbour tells; how many places that was. Raises `Unreachable` and other faults of its."""
        with trio.move_on_after(self._settings.send_within):
            frames = FrameStream(await self._lines.open_stream(peer.address, PROTOCOL, dial=False), self._settings)
            try:
                await frames.write("\n".join(self._lines.addrs[:MOST_OWN]).encode())
                answer = await frames.read()
            except Ended:
                raise Unreachable(peer.address, "it does not tell whom it knows") from None
            finally:
                await frames.close()
            return self._learn(peer, answer)
        raise Unreachable(peer.address, "no answer in time")

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """Answer one request."""
        frames = FrameStream(stream, self._settings)
        try:
            if not self._answers.take(peer.address, 1, trio.current_time()):
                raise TooFast("asks for peers")
            with trio.move_on_after(self._settings.send_within):
                self._note_own(peer, await frames.read())
                await frames.write("\n".join(self._fit_for(peer)).encode())
        except PeerFault as fault:
            frames.broken = True
            self._lines.blame(peer.id, fault, points_for(fault) / 2)
        except Ended:
            pass
        finally:
            await frames.close()

    def _fit_for(self, asker: Peer) -> list[str]:
        """Places that mean the same to the asker: loopback and private addresses only to those who are as near."""
        near = _scope(f"/ip/{self._lines.remote_ip(asker.address)}")
        fit = [place for place in self._proven() if _scope(place) >= near and not place.endswith(asker.id)]
        return self._rng.sample(fit, min(len(fit), MOST_PLACES))

    def _note_own(self, asker: Peer, request: bytes) -> None:
        """Where the asker says it can be dialled; the ports behind its own IP are its to give away."""
        ip = self._lines.remote_ip(asker.address)
        for place in places_of(asker.address, _places_in(request, MOST_OWN)):
            self._lines.learn(asker.address, [place])
            if ip and place.split("/")[2] == ip:
                self._lines.vouch(asker, place)

    def _learn(self, teller: Peer, answer: bytes) -> int:
        """Only what means the same to the teller as to us: nobody far away may aim us at our own network."""
        near = _scope(f"/ip/{self._lines.remote_ip(teller.address)}")
        places = [place for place in _places_in(answer, MOST_PLACES) if _scope(place) >= near]
        for place in places:
            self._lines.learn(peer_at(place).address, [place])
        return len(places)


def _places_in(frame: bytes, most: int) -> list[str]:
    if len(frame) > most * _LONGEST_PLACE:
        raise BrokenFrame("a list of places that is too long")
    try:
        return frame.decode().split("\n")[:most] if frame else []
    except UnicodeDecodeError as error:
        raise BrokenFrame("a list of places that is no text") from error


def _scope(place: str) -> Scope:
    scope = scope_of_place(place)
    return Scope.INTERNET if scope is None else scope
