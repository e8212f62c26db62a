"""Peers tell each other whom they know: a short list of places that the teller has dialled itself, asked for by stream.

Nothing in such a list is believed. A place is only somewhere to try: who lives there is proven by the handshake, dials
of strangers' places are few (`Settings.lonely_dials`), and what was never reached makes room first. So a liar can waste
a few dials, and push out nobody whom we have met.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from p2p.errors import BrokenFrame, TooFast, Unreachable
from p2p.events import Peer
from p2p.frames import Ended, FrameStream
from p2p.places import Scope, peer_at, scope_of_place
from p2p.rates import Limiter
from p2p.settings import Settings
from protocol.errors import PeerFault

PROTOCOL = "/lilypad/peers/1"
"""Request: an empty frame. Answer: a frame of multiaddrs, one a line, each with its peer id; then the stream ends."""
MOST_PLACES = 32
_LONGEST_ANSWER = MOST_PLACES * 256


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected."""

    def learn(self, address: bytes, addrs: Sequence[str]) -> None:
        """Note where a peer may live."""

    def remote_ip(self, address: bytes) -> str | None:
        """The IP at the other end of a connection."""


class Exchange:
    """Asks a neighbour now and then, more often while we know few; answers neighbours."""

    def __init__(self, lines: Lines, proven: Callable[[], Sequence[str]], rng: random.Random) -> None:
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
                    self._lines.blame(peer.id, fault, 1.0)

    async def ask(self, peer: Peer) -> int:
        """Learn what one neighbour tells; how many places that was. Raises `Unreachable` and other faults of its."""
        with trio.move_on_after(self._settings.send_within):
            frames = FrameStream(await self._lines.open_stream(peer.address, PROTOCOL, dial=False), self._settings)
            try:
                await frames.write(b"")
                answer = await frames.read()
            except Ended:
                raise Unreachable(peer.address, "it does not tell whom it knows") from None
            finally:
                await frames.close()
            return self._learn(answer)
        raise Unreachable(peer.address, "no answer in time")

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """Answer one request."""
        frames = FrameStream(stream, self._settings)
        try:
            if not self._answers.take(peer.address, 1, trio.current_time()):
                raise TooFast("asks for peers")
            with trio.move_on_after(self._settings.send_within):
                if await frames.read():
                    raise BrokenFrame("a request for peers that says something")
                await frames.write("\n".join(self._fit_for(peer)).encode())
        except PeerFault as fault:
            frames.broken = True
            self._lines.blame(peer.id, fault, 0.5)
        except Ended:
            pass
        finally:
            await frames.close()

    def _fit_for(self, asker: Peer) -> list[str]:
        """Places that mean the same to the asker: loopback and private addresses only to those who are as near."""
        near = _scope(f"/ip/{self._lines.remote_ip(asker.address)}")
        fit = [place for place in self._proven() if _scope(place) >= near and not place.endswith(asker.id)]
        return self._rng.sample(fit, min(len(fit), MOST_PLACES))

    def _learn(self, answer: bytes) -> int:
        if len(answer) > _LONGEST_ANSWER:
            raise BrokenFrame("a list of peers that is too long")
        try:
            places = answer.decode().split("\n")[:MOST_PLACES] if answer else []
        except UnicodeDecodeError as error:
            raise BrokenFrame("a list of peers that is no text") from error
        for place in places:
            self._lines.learn(peer_at(place).address, [place])
        return len(places)


def _scope(place: str) -> Scope:
    scope = scope_of_place(place)
    return Scope.INTERNET if scope is None else scope
