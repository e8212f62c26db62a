"""A node's line to the chain: carries calls to the vault, watches deals, and keeps the clock.

The chain's state is the truth and is polled; there are no filters and no logs. A call of ours that lands, or a hint
from a peer, only makes the next look come at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import trio

from agents.events import OWN_FUNDS, ChainSaw, Event, Refused, Solvency
from contracts.client import Intent, VaultClient
from contracts.errors import ChainError, ChainUnreachable, NotSent, Reverted
from node.clock import Clock
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.vault_calls import Open, VaultCall
from protocol.vault_state import DealState, State

log = logging.getLogger("lilypad.chain")

RETRY = 1.0
"""Seconds before a call is tried again that no endpoint would take."""

NOT_ENOUGH = "not enough free"
"""What the vault says of either side of an `Open`."""

Hear = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction of ours that the chain has taken."""

    about: bytes
    call: str
    hash: bytes
    gas: int


class ChainLink:
    """One vault, as one node uses it."""

    def __init__(self, client: VaultClient, clock: Clock, poll: float, nursery: trio.Nursery) -> None:
        self.client = client
        self.landed: Callable[[Landed], None] = lambda landed: None
        self.jumped: Callable[[], None] = lambda: None
        self._clock = clock
        self._poll = poll
        self._nursery = nursery
        self._watched: dict[DealId, tuple[DealState | None, list[Hear]]] = {}
        self._look = trio.Event()

    def transact(self, about: bytes, call: VaultCall, hear: Hear) -> None:
        """Ask the vault, once for this kind of call and subject, now and in every later life of the node."""
        self._nursery.start_soon(self._submit, about, call, hear)

    def watch(self, deal: Deal, hear: Hear) -> None:
        """Report the deal's standing at the next look, which is now, and whenever it changes."""
        name = deal.id(self.client.domain)
        hearers = self._watched.get(name, (None, []))[1]
        if hear not in hearers:
            hearers.append(hear)
        self._watched[name] = (None, hearers)
        self._look.set()

    def unwatch(self, deal: Deal, hear: Hear) -> None:
        """No longer tell this hearer."""
        name = deal.id(self.client.domain)
        state, hearers = self._watched.get(name, (None, []))
        if hear in hearers:
            hearers.remove(hear)
        if not hearers:
            self._watched.pop(name, None)
        else:
            self._watched[name] = (state, hearers)

    def look_up(self, who: Address, hear: Hear) -> None:
        """Tell how much free money an account has in the vault."""
        self._nursery.start_soon(self._look_up, who, hear)

    async def _look_up(self, who: Address, hear: Hear) -> None:
        try:
            free = (await self.client.accounts((who,)))[0].free
        except ChainError as error:
            log.warning("an account could not be looked up: %s", error)
            free = 0
        hear(Solvency(who, free))

    async def run(self) -> None:
        """Look at the chain for as long as the node lives."""
        while True:
            self._look = trio.Event()
            try:
                await self._look_once()
            except ChainError as error:
                log.warning("the chain could not be read: %s", error)
            with trio.move_on_after(self._poll):
                await self._look.wait()

    async def _look_once(self) -> None:
        names = list(self._watched)
        seen = await self.client.read((), names)
        if self._clock.saw_block(seen.head.timestamp):
            self.jumped()
        for name, state in zip(names, seen.deals, strict=True):
            before, hearers = self._watched.get(name, (state, []))
            if state == before:
                continue
            disputed = state.state in (State.JURY, State.RULED)
            sealed = await self.client.sealed(name) if disputed else b""
            self._watched[name] = (state, hearers)
            for hear in list(hearers):
                hear(ChainSaw(name, state, seen.head.timestamp, sealed))

    async def _reason(self, call: VaultCall, reason: str) -> str:
        if not isinstance(call, Open) or reason != NOT_ENOUGH:
            return reason
        try:
            own = (await self.client.accounts((call.deal.jc,)))[0]
        except ChainError:
            return reason
        return OWN_FUNDS if own.free < call.deal.jc_share else "the provider has not enough free in the vault"

    async def _submit(self, about: bytes, call: VaultCall, hear: Hear) -> None:
        kind = type(call).__name__
        intent = Intent(f"{kind}:{about.hex()}", call)
        while True:
            try:
                receipt = await self.client.wait(await self.client.submit(intent))
                break
            except Reverted as error:
                hear(Refused(about, call, await self._reason(call, error.reason)))
                return
            except NotSent as error:
                hear(Refused(about, call, str(error)))
                return
            except ChainUnreachable as error:
                log.warning("%s waits for the chain: %s", kind, error)
                await trio.sleep(RETRY)
        self._look.set()
        if receipt.status != 1:
            hear(Refused(about, call, "the vault refused it when it was mined"))
            return
        self.landed(Landed(about, kind.lower(), receipt.hash, receipt.gas_used))
