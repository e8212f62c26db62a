"""Payments that wait a while for company, so that one call settles many; see `contracts.batching` for the policy.

::

    asked ──► waiting ──due, full, or gas is cheap──► bound to a batch, on disk ──► sent, mined

A batch is bound to its payments before it is sent: after a crash whoever asks for one of them waits for that same call.
Payments still waiting are asked for again by their deals' own machines.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import trio

from contracts.batching import Policy, Settlements
from contracts.client import Intent
from contracts.connection import Connection
from contracts.errors import ChainError, NotSent, Reverted
from contracts.journal import Receipt, SqliteJournal
from contracts.sender import Sent
from protocol.deal import DealId
from protocol.vault_calls import Payment

_RETRY = 2.0
_PRICE_EVERY = 15.0
"""Seconds between two looks at the price of gas, while anything waits."""


class Settling:
    """The queue of one payer; start `run` beside it."""

    def __init__(self, line: Connection, policy: Policy, now: Callable[[], float]) -> None:
        """``now`` gives seconds of the chain's clock."""
        self._line = line
        self._now = now
        self._queue = Settlements(policy)
        self._sent: dict[DealId, trio.Event] = {}
        self._added = trio.Event()
        self._alone: set[DealId] = set()
        """Of a batch that the vault refused as a whole."""

    async def settle(self, name: DealId, payment: Payment, late: int | None) -> Receipt | None:
        """Pay in company; the receipt of the call that did it, or None where it must be paid alone.

        ``late``: when it must have been mined.
        """
        journal = self._journal
        while True:
            intent = journal.bound(name.hex())
            before = journal.attempts(intent) if intent is not None else ()
            if intent is not None and before:
                receipt = await self._line.client.wait(Sent(intent, before[-1].hash))
                if receipt.status == 1:
                    return receipt
                journal.bind([name.hex()], f"failed {intent}")
            self._queue.add(name, payment, int(self._now()), late)
            sent = self._sent.setdefault(name, trio.Event())
            self._added.set()
            await sent.wait()
            if name in self._alone:
                return None

    def hurry(self, name: DealId, late: int) -> None:
        """The payee has turned to the vault: its pay must be mined by this moment."""
        if self._queue.hurry(name, late):
            self._added.set()

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            self._added = trio.Event()
            try:
                await self._send_due()
            except ChainError:
                await trio.sleep(_RETRY)
            due = self._queue.next_look()
            pause = float("inf") if due is None else min(_PRICE_EVERY, max(0.05, due - self._now()))
            with trio.move_on_after(pause):
                await self._added.wait()

    async def _send_due(self) -> None:
        if not self._queue.names:
            return
        price = await self._line.client.gas_price() if self._queue.policy.worth else 0
        while (call := self._queue.take(int(self._now()), price)) is not None:
            domain = self._line.client.domain
            names = [payment.deal.id(domain) for payment in call.payments]
            intent = f"settle {len(names)}: {hashlib.sha256(b''.join(sorted(names))).hexdigest()}"
            self._journal.bind([name.hex() for name in names], intent)
            while True:
                try:
                    await self._line.client.submit(Intent(intent, call))
                    break
                except (Reverted, NotSent):
                    self._alone.update(names)
                    break
                except ChainError:
                    await trio.sleep(_RETRY)
            for name in names:
                self._sent.pop(name, trio.Event()).set()

    @property
    def _journal(self) -> SqliteJournal:
        assert self._line.journal is not None
        return self._line.journal
