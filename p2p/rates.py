"""A token bucket: so many things a second, with room for a burst."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """What somebody may do: ``per_second`` on average and ``burst`` at once, in whatever unit is counted."""

    per_second: float
    burst: float


class Bucket:
    """Tokens that refill with time; the caller brings the clock (seconds, monotonic)."""

    __slots__ = ("_rate", "_seen", "_tokens")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._seen = now

    def take(self, amount: float, now: float) -> bool:
        """Take ``amount`` if it is there."""
        self._refill(now)
        if amount > self._tokens:
            return False
        self._tokens -= amount
        return True

    def borrow(self, amount: float, now: float) -> float:
        """Take ``amount`` in any case; returns the seconds to wait until the debt is paid back."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate.per_second)

    def full(self, now: float) -> bool:
        """Whether nothing was taken lately, so that the bucket may be forgotten."""
        self._refill(now)
        return self._tokens >= self._rate.burst

    def _refill(self, now: float) -> None:
        self._tokens = min(self._rate.burst, self._tokens + (now - self._seen) * self._rate.per_second)
        self._seen = now


class Limiter:
    """One bucket for each of many; those who are quiet are forgotten, so that memory follows activity."""

    __slots__ = ("_buckets", "_rate", "_room")

    def __init__(self, rate: Rate, room: int = 4096) -> None:
        self._rate = rate
        self._room = room
        self._buckets: dict[object, Bucket] = {}

    def take(self, who: object, amount: float, now: float) -> bool:
        """As `Bucket.take`, out of ``who``'s own bucket."""
        return self._of(who, now).take(amount, now)

    def borrow(self, who: object, amount: float, now: float) -> float:
        """As `Bucket.borrow`, out of ``who``'s own bucket."""
        return self._of(who, now).borrow(amount, now)

    def _of(self, who: object, now: float) -> Bucket:
        found = self._buckets.get(who)
        if found is None:
            if len(self._buckets) >= self._room:
                self._buckets = {key: kept for key, kept in self._buckets.items() if not kept.full(now)}
            found = self._buckets[who] = Bucket(self._rate, now)
        return found
