"""Where peers can be dialled, and when to try again after one did not answer."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2p.settings import Settings

_ADDRESSES_EACH = 8
_HOPELESS = 8  # failures
_STABLE = 10.0  # seconds after which a connection counts as one that worked


@dataclass(slots=True)
class Entry:
    """One peer of the book: its dialable addresses, newest first."""

    addrs: tuple[str, ...] = ()
    kept: bool = False
    """Somebody on our side asked for this peer, so it is redialled as long as the host lives."""
    failures: int = 0
    not_before: float = 0.0
    joined_at: float | None = None
    proven: str = ""
    """The place where we dialled it last, with success; or its own IP and the port that it named."""

    unanswered: int = 0
    """Dials in a row that failed; that a connection ended is none."""

    @property
    def works(self) -> bool:
        """Whether there is such a place, and we have not failed to reach the peer since."""
        return bool(self.proven) and (self.joined_at is not None or self.unanswered <= 1)


class Book:
    """Addresses by chain address, bounded; strangers' entries make room for newer ones, kept ones stay."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()

    def learn(self, address: bytes, addrs: Sequence[str], *, kept: bool = False) -> None:
        """Note ``addrs`` (already checked to belong to ``address``) in front of what was known."""
        entry = self._entries.setdefault(address, Entry())
        self._entries.move_to_end(address)
        # what our owner asked for stays in front, or strangers could push it out
        both = [*entry.addrs, *addrs] if entry.kept and not kept else [*addrs, *entry.addrs]
        entry.addrs = tuple(dict.fromkeys(both))[:_ADDRESSES_EACH]
        entry.kept = entry.kept or kept
        if len(self._entries) > self._settings.known_peers:
            strangers = [each for each, known in self._entries.items() if not known.kept]
            # whom we have met stays longer than whom we only heard of, or a liar could empty our book
            unmet = (each for each in strangers if not self._entries[each].proven)
            if strangers:
                del self._entries[next(unmet, strangers[0])]

    def addrs(self, address: bytes) -> tuple[str, ...]:
        """Everywhere ``address`` may be dialled; empty if unknown."""
        entry = self._entries.get(address)
        return entry.addrs if entry is not None else ()

    def forget(self, address: bytes) -> None:
        """Drop a peer, kept or not."""
        self._entries.pop(address, None)

    def due(self, now: float, *, lonely: bool) -> Iterator[bytes]:
        """Whom to dial now: kept peers, and when ``lonely`` anybody, newest first within each."""
        for kept in (True, False) if lonely else (True,):
            for address, entry in reversed(self._entries.items()):
                if entry.kept is kept and entry.addrs and entry.joined_at is None and entry.not_before <= now:
                    yield address

    def next_due(self, now: float, *, lonely: bool) -> float:
        """Seconds until somebody may be dialled again."""
        waits = [
            entry.not_before - now
            for entry in self._entries.values()
            if (entry.kept or lonely) and entry.addrs and entry.joined_at is None
        ]
        return max(0.0, min(waits, default=60.0))

    def trying(self, address: bytes, until: float) -> None:
        """A dial is under way: not due before ``until``."""
        if (entry := self._entries.get(address)) is not None:
            entry.not_before = max(entry.not_before, until)

    def kept(self, address: bytes) -> bool:
        """Whether our owner asked for this peer."""
        entry = self._entries.get(address)
        return entry is not None and entry.kept

    def reached(self, address: bytes, place: str) -> None:
        """``place`` is where this peer lives: a dial worked, or it said so from that very IP."""
        if (entry := self._entries.get(address)) is not None:
            entry.proven, entry.unanswered = place, 0

    def proven_place(self, address: bytes) -> str:
        """Such a place of one peer that we have not failed to reach since, or empty."""
        entry = self._entries.get(address)
        return entry.proven if entry is not None and entry.works else ""

    def proven(self) -> tuple[str, ...]:
        """Such places, of all peers that we have not failed to reach since."""
        return tuple(entry.proven for entry in self._entries.values() if entry.works)

    def joined(self, address: bytes, now: float) -> None:
        """A connection stands: no redial until it is gone."""
        if (entry := self._entries.get(address)) is not None:
            entry.joined_at = now

    def left(self, address: bytes, now: float) -> None:
        """The connection is gone. One that broke at once counts as a failure, or we would dial in a hot loop."""
        if (entry := self._entries.get(address)) is not None:
            if entry.joined_at is not None and now - entry.joined_at >= _STABLE:
                entry.failures = 0
            entry.joined_at = None
            self._back_off(entry, now)

    def failed(self, address: bytes, now: float) -> None:
        """A dial did not work. Strangers who never answer are forgotten."""
        if (entry := self._entries.get(address)) is not None:
            entry.unanswered += 1
            self._back_off(entry, now)
            if not entry.kept and entry.failures >= _HOPELESS:
                del self._entries[address]

    def _back_off(self, entry: Entry, now: float) -> None:
        wait = min(self._settings.redial_first * 2.0 ** min(entry.failures, 16), self._settings.redial_most)
        entry.failures += 1
        # half of the wait is random: peers that lost the same neighbour must not come back all at once
        entry.not_before = now + wait * (0.5 + self._rng.random() / 2)

    def __len__(self) -> int:
        return len(self._entries)
