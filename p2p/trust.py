"""Who misbehaved how often, and who is shut out for how long."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.errors import SlowFrame
from p2p.settings import Settings
from protocol.errors import PeerFault

_ROOM = 10_000


def points_for(fault: PeerFault) -> float:
    """What a fault on a stream costs: one point, and little where the network may be as much to blame as the peer."""
    return 0.2 if isinstance(fault, SlowFrame) else 1.0


@dataclass(slots=True)
class _Record:
    points: float
    at: float


class Trust:
    """Points of fault by chain address, forgiven with time; too many of them are a ban that expires.

    Keys cost nothing, so a ban only stops the careless and the broken; against the rest stand the limits by IP.
    """

    __slots__ = ("_bans", "_records", "_settings")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: dict[bytes, _Record] = {}
        self._bans: dict[bytes, float] = {}

    def blame(self, address: bytes, points: float, now: float) -> bool:
        """Add a fault; True if it is the one that gets the peer banned."""
        record = self._records.get(address)
        if record is None:
            if len(self._records) >= _ROOM:
                self._records.pop(next(iter(self._records)))
            record = self._records[address] = _Record(0.0, now)
        record.points = max(0.0, record.points - (now - record.at) / self._settings.forgive) + points
        record.at = now
        if record.points < self._settings.patience or self.banned(address, now):
            return False
        del self._records[address]
        self.ban(address, self._settings.ban, now)
        return True

    def ban(self, address: bytes, seconds: float, now: float) -> None:
        """Shut a peer out until ``now + seconds``."""
        if len(self._bans) >= _ROOM:
            self._bans.pop(min(self._bans, key=lambda each: self._bans[each]))
        self._bans[address] = now + seconds

    def pardon(self, address: bytes) -> None:
        """Lift a ban and forget all faults."""
        self._bans.pop(address, None)
        self._records.pop(address, None)

    def banned(self, address: bytes, now: float) -> bool:
        """Whether a ban stands; one that expired is forgotten here."""
        until = self._bans.get(address)
        if until is None:
            return False
        if until <= now:
            del self._bans[address]
            return False
        return True

    def bans(self, now: float) -> int:
        """How many bans stand."""
        return sum(until > now for until in self._bans.values())
