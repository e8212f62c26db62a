"""The live streams of a host, by peer and protocol: which one to write on, and how many there may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from p2p.events import Peer
from p2p.frames import FrameStream

_AT_MOST = 3
"""Streams of one peer and protocol: in use, opened by the other side at the same moment, and being replaced."""


@dataclass(eq=False, slots=True)
class Talk:
    """One long-lived stream with a peer; who opened it makes no difference."""

    peer: Peer
    protocol: str
    frames: FrameStream
    asked_at: float | None = None
    """When our first frame went out, until something comes back."""
    answered: bool = False


class Talks:
    """All talks. The oldest one alive is the one to write on, so that frames keep their order."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[bytes, str], list[Talk]] = {}

    def add(self, talk: Talk) -> Talk | None:
        """Note a new stream; returns the one that has to go for it, if there are too many."""
        held = self._by_key.setdefault((talk.peer.address, talk.protocol), [])
        held.append(talk)
        return held[0] if len(held) > _AT_MOST else None

    def remove(self, talk: Talk) -> None:
        """Forget a stream; harmless when it is forgotten already."""
        key = (talk.peer.address, talk.protocol)
        held = self._by_key.get(key, [])
        if talk in held:
            held.remove(talk)
        if not held:
            self._by_key.pop(key, None)

    def live(self, address: bytes, protocol: str) -> Talk | None:
        """The stream to write on."""
        return next((talk for talk in self._by_key.get((address, protocol), ()) if not talk.frames.broken), None)

    def left(self, address: bytes, protocol: str) -> list[Talk]:
        """Streams that are still read, and no longer written on."""
        return [talk for talk in self._by_key.get((address, protocol), ()) if talk.frames.broken]

    def with_peer(self, address: bytes) -> bool:
        """Whether there is any stream with that peer."""
        return any(key[0] == address for key in self._by_key)

    def __iter__(self) -> Iterator[Talk]:
        return (talk for held in list(self._by_key.values()) for talk in list(held))

    def __len__(self) -> int:
        return sum(map(len, self._by_key.values()))
