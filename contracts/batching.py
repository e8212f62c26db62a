"""When to settle: several payments in one call cost less each, but no provider should wait for its money for long."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.deal import DealId
from protocol.vault import MAX_SETTLED
from protocol.vault_calls import Payment, Settle

ALONE = 31_000
"""Gas that a payment settled alone costs more than one of many (measured: 48,846 against 17,843)."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long to wait against how much gas."""

    wait: int = 600
    """The longest that a payment waits for company, seconds."""
    worth: int = 0
    """Waiting is not worth it where gas saved for a payment costs less than this, base units; 0: always wait."""
    margin: int = 3600
    """Before a moment at which a payment would be late, seconds: for a stuck transaction to be replaced."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    payment: Payment
    since: int
    late: int


class Settlements:
    """Payments that wait for company. Pure: moments are given, seconds of the chain's clock."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._waiting: dict[DealId, _Waiting] = {}

    def add(self, name: DealId, payment: Payment, now: int, late: int | None = None) -> None:
        """Queue a payment once; ``late`` is when it must have been mined (the deadline of a delivery that was claimed).

        Without ``late`` it is the deal's ``claim_until``. Adding it again keeps its place and takes the nearer moment.
        """
        limit = payment.deal.claim_until if late is None else late
        known = self._waiting.get(name)
        if known is not None:
            limit = min(limit, known.late)
        self._waiting[name] = _Waiting(payment, now if known is None else known.since, limit)

    def hurry(self, name: DealId, late: int) -> bool:
        """It must have been mined sooner than was thought; False where it does not wait."""
        known = self._waiting.get(name)
        if known is not None:
            self._waiting[name] = _Waiting(known.payment, known.since, min(known.late, late))
        return known is not None

    def drop(self, name: DealId) -> None:
        """It was paid in another way."""
        self._waiting.pop(name, None)

    @property
    def names(self) -> tuple[DealId, ...]:
        """What waits, oldest first."""
        return tuple(self._waiting)

    def next_look(self) -> int | None:
        """The moment at which something is due by itself; None while nothing waits."""
        return min((self._due(one) for one in self._waiting.values()), default=None)

    def take(self, now: int, gas_price: int) -> Settle | None:
        """The next call to send, if any is due: as soon as one payment is, all that fit go along.

        ``gas_price`` in base units a unit of gas. Call again until it says None: a call has room for 32.
        """
        waiting = sorted(self._waiting.items(), key=lambda item: self._due(item[1]))
        if not waiting:
            return None
        cheap = ALONE * gas_price < self.policy.worth
        full = len(waiting) >= MAX_SETTLED
        if not (full or cheap or self._due(waiting[0][1]) <= now):
            return None
        taken = waiting[:MAX_SETTLED]
        for name, _ in taken:
            del self._waiting[name]
        return Settle(tuple(one.payment for _, one in taken))

    def _due(self, one: _Waiting) -> int:
        return min(one.since + self.policy.wait, one.late - self.policy.margin)
