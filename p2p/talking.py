"""The talks of a host: opens them, writes on the oldest that lives, reads each no faster than its peer may send."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import trio

from p2p.connecting import as_peer
from p2p.errors import FrameTooLong, UnknownName, Unreachable
from p2p.events import Got, HostEvent, Peer
from p2p.frames import Ended, FrameStream
from p2p.rates import Limiter
from p2p.settings import Settings
from p2p.statistics import Counters, Histogram
from p2p.talks import Talk, Talks
from p2p.trust import points_for
from protocol.errors import PeerFault

SETTLED = 1.0
"""Seconds after which a frame that was handed over has arrived, or never will."""


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer, connecting first if ``dial`` allows it; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""


class Talking:
    """Frames out and in."""

    def __init__(self, lines: Lines, protocols: frozenset[str], say: trio.MemorySendChannel[HostEvent]) -> None:
        self._lines = lines
        self._settings = lines.settings
        self._counters = lines.counters
        self._protocols = protocols
        self._say = say
        self.answers = Histogram()
        """How long talks that we began waited for their first answer."""
        self.talks = Talks()
        self._opening: dict[tuple[bytes, str], trio.Lock] = defaultdict(trio.Lock)
        self._frames = Limiter(self._settings.frames_in)
        self._bytes = Limiter(self._settings.bytes_in)

    async def send(self, to: bytes, protocol: str, frame: bytes) -> None:
        """As `Host.send`."""
        if protocol not in self._protocols:
            raise UnknownName(protocol)
        if len(frame) > self._settings.frame_cap:
            raise FrameTooLong(f"{len(frame)} bytes, where {self._settings.frame_cap} are allowed")
        why = "no answer in time"
        with trio.move_on_after(self._settings.send_within):
            # a stream may have ended without our knowing: then once more, on a new one
            for _ in range(2):
                talk = self.talks.live(to, protocol) or await self._open(to, protocol)
                try:
                    await talk.frames.write(frame)
                except Ended:
                    why = "the stream broke"
                    self.talks.remove(talk)
                    continue
                if talk.asked_at is None:
                    talk.asked_at = trio.current_time()
                self._counters.frames_out += 1
                self._counters.bytes_out += len(frame)
                return
        raise Unreachable(to, why)

    async def accepted(self, stream: Any) -> None:
        """Read a stream that somebody opened."""
        await self._listen(self._new_talk(as_peer(stream.muxed_conn.peer_id), str(stream.get_protocol()), stream))

    async def _open(self, to: bytes, protocol: str) -> Talk:
        """A talk with ``to``; whoever asks while one is being opened gets that one."""
        key = (to, protocol)
        async with self._opening[key]:
            try:
                if (talk := self.talks.live(to, protocol)) is not None:
                    return talk
                await self._let_settle(to, protocol)
                stream = await self._lines.open_stream(to, protocol, dial=True)
                talk = self._new_talk(as_peer(stream.muxed_conn.peer_id), protocol, stream)
                self._lines.start(partial(self._listen, talk))
                return talk
            finally:
                if not self._opening[key].statistics().tasks_waiting:
                    del self._opening[key]

    async def _let_settle(self, to: bytes, protocol: str) -> None:
        """What goes over another connection must not overtake what was said on one that we leave."""
        said = max((talk.frames.last_used for talk in self.talks.left(to, protocol)), default=-math.inf)
        await trio.sleep_until(max(trio.current_time(), said + SETTLED))

    def _new_talk(self, peer: Peer, protocol: str, stream: Any) -> Talk:
        talk = Talk(peer, protocol, FrameStream(stream, self._settings))
        surplus = self.talks.add(talk)
        if surplus is not None:
            self.talks.remove(surplus)
            self._lines.start(surplus.frames.reset)
        return talk

    async def _listen(self, talk: Talk) -> None:
        """Read a stream to its end, no faster than our owner reads and the peer's rate allows."""
        try:
            while True:
                frame = await talk.frames.read()
                if talk.asked_at is not None and not talk.answered:
                    self.answers.see(trio.current_time() - talk.asked_at)
                talk.answered = True
                self._counters.frames_in += 1
                self._counters.bytes_in += len(frame)
                await self._say.send(Got(talk.peer, talk.protocol, frame))
                now, who = trio.current_time(), talk.peer.address
                await trio.sleep(max(self._frames.borrow(who, 1, now), self._bytes.borrow(who, len(frame), now)))
        except PeerFault as fault:
            self._counters.frames_broken += 1
            self._lines.blame(talk.peer.id, fault, points_for(fault))
            talk.frames.broken = True
        except (Ended, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the stream is over, or our owner stopped listening
        finally:
            self.talks.remove(talk)
            await talk.frames.close()

    def leave(self, conn: Any) -> float:
        """Write nothing more in talks on this connection; when something was last said on it, on trio's clock."""
        last = 0.0
        for talk in self.talks:
            if talk.frames.carried_by(conn):
                talk.frames.broken = True
                last = max(last, talk.frames.last_used)
        return last
