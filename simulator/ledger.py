"""A chain in virtual time that holds one vault: a pool of transactions, blocks, confirmations, reorganisations.

The vault is the exact model. A reorganisation puts back the state before its blocks and mines their transactions again,
in later blocks, where another order or time may make the vault refuse what it had taken.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

from eth_hash.auto import keccak

from protocol.deal import DealId
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.vault import Vault
from protocol.vault_book import Call, Recover, Refused, Windows
from protocol.vault_calls import Deposit, VaultCall, perform
from protocol.vault_state import Account, DealState, Mediator

NOWHERE = DealState()


@dataclass(frozen=True, slots=True)
class Transaction:
    """One call on its way."""

    sender: Address
    about: bytes
    call: VaultCall
    ready: float
    """When it can be mined."""
    order: int

    @property
    def name(self) -> tuple[Address, str, bytes]:
        """Who asks for what: sent once, however often it is asked for."""
        return self.sender, type(self.call).__name__, self.about


@dataclass(frozen=True, slots=True)
class State:
    """All that the vault remembers at one moment."""

    accounts: dict[Address, Account]
    deals: dict[DealId, DealState]
    mediators: dict[Address, Mediator]
    sealed: dict[DealId, bytes]
    tallies: dict[bytes, int]
    held: int


@dataclass(slots=True)
class Block:
    """What was mined at one moment."""

    number: int
    time: int
    before: State
    taken: list[Transaction] = field(default_factory=list)
    refused: list[tuple[Transaction, str]] = field(default_factory=list)


class Ledger:
    """One chain with one vault."""

    def __init__(self, domain: Domain, windows: Windows, recover: Recover, confirmations: int, birth: int) -> None:
        """``birth``: the moment of its first block, which holds the deposits."""
        self.vault = Vault(domain, windows, recover, lambda number: keccak(number.to_bytes(8, "big")))
        self.confirmations = confirmations
        self.pool: list[Transaction] = []
        self.known: set[tuple[Address, str, bytes]] = set()
        """Names of calls that are waiting or mined."""
        self.deposited = 0
        self.number = 0
        self.time = birth
        self._order = 0
        self.recent: deque[Block] = deque()
        """Blocks that are not yet confirmed, oldest first."""
        self.confirmed = self._state()
        self.confirmed_time = birth

    def deposit(self, who: Address, value: int) -> None:
        """Money that somebody brings, before the first block."""
        perform(self.vault, Call(who, 0), Deposit(who, value))
        self.deposited += value
        self.confirmed = self._state()

    def submit(self, now: float, ready: float, sender: Address, about: bytes, call: VaultCall) -> str | None:
        """Take a call into the pool; the reason if the vault would refuse it as things stand."""
        self._order += 1
        transaction = Transaction(sender, about, call, ready, self._order)
        if self._is_known(transaction):
            return None
        before = self._state()
        try:
            perform(self.vault, Call(sender, int(now), self.number + 1), call)
        except Refused as refusal:
            return refusal.reason or "refused"
        self._restore(before)
        self.known.add(transaction.name)
        self.pool.append(transaction)
        return None

    def mine(self, now: float) -> tuple[Block, list[tuple[Transaction, str]]]:
        """The next block, and the refusals in blocks that are now confirmed."""
        self.number += 1
        self.time = max(int(now), self.time)
        block = Block(self.number, self.time, self._state())
        ready = sorted((t for t in self.pool if t.ready <= now), key=lambda t: (t.ready, t.order))
        self.pool = [t for t in self.pool if t.ready > now]
        for transaction in ready:
            try:
                perform(self.vault, Call(transaction.sender, self.time, self.number), transaction.call)
            except Refused as refusal:
                block.refused.append((transaction, refusal.reason or "refused"))
            else:
                block.taken.append(transaction)
        self.recent.append(block)
        refusals: list[tuple[Transaction, str]] = []
        while len(self.recent) >= self.confirmations:
            settled = self.recent.popleft()
            self.confirmed = self.recent[0].before if self.recent else self._state()
            self.confirmed_time = settled.time
            for transaction, reason in settled.refused:
                self.known.discard(transaction.name)
                refusals.append((transaction, reason))
        return block, refusals

    def reorganise(self, depth: int, delays: list[float], now: float) -> list[Block]:
        """Drop the newest blocks; their transactions go back into the pool, each with its delay."""
        dropped = [self.recent.pop() for _ in range(min(depth, len(self.recent)))]
        if dropped:
            self._restore(dropped[-1].before)
        again = [t for block in dropped for t in (*block.taken, *(t for t, _ in block.refused))]
        for position, transaction in enumerate(again):
            self.pool.append(replace(transaction, ready=now + delays[position % len(delays)]))
        return dropped

    def standing(self, deal: DealId) -> DealState:
        """How a deal stands, as deep as peers want it."""
        return self.confirmed.deals.get(deal, NOWHERE)

    def _is_known(self, transaction: Transaction) -> bool:
        return transaction.name in self.known

    def _state(self) -> State:
        vault = self.vault
        return State(
            dict(vault.accounts),
            dict(vault.deals),
            dict(vault.mediators),
            dict(vault.sealed),
            dict(vault.tallies),
            vault.held,
        )

    def _restore(self, state: State) -> None:
        self.vault.accounts = dict(state.accounts)
        self.vault.deals = dict(state.deals)
        self.vault.mediators = dict(state.mediators)
        self.vault.sealed = dict(state.sealed)
        self.vault.tallies = dict(state.tallies)
        self.vault.held = state.held
