"""Two chains that mine what they get, behind one face: py-evm without HTTP between, and anvil."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx
import trio

from contracts.anvil import run_anvil
from contracts.artifact import vault_artifact
from contracts.devchain.genesis import born
from contracts.encoding import deals_query, encode_call, lock_query, words
from contracts.transaction import Transaction, sign
from protocol.deal import Deal
from protocol.eip712 import Domain, digest
from protocol.identity import Address, show
from protocol.vault_book import Windows
from protocol.vault_calls import VaultCall
from protocol.vault_disputes import SEED_DELAY
from protocol.vault_state import DealState, Lock
from tests.contracts.twin import Person

T = TypeVar("T")

COIN = 10**18
CHAIN = 1337
BORN = 1_700_000_000
WINDOWS = Windows(60, 86400)
JC, RP = Person.number(1), Person.number(2)
NEW_JC, NEW_RP = Person.number(77), Person.number(78)
PARTNERS = [Person.number(n) for n in range(100, 200)]
MEDIATORS = sorted((Person.number(n) for n in range(11, 32)), key=lambda person: person.address)
POOL = b"".join(member.address for member in MEDIATORS)
NAMED = b"".join(member.address for member in MEDIATORS[:3])
RICH = [JC, RP, *PARTNERS, *MEDIATORS]
"""Who has coins and a deposit when the chain begins."""
POOR = [NEW_JC, NEW_RP]
"""Who has coins only."""
FUNDS = {person.address: 100 * COIN for person in RICH}
COINS = FUNDS | {person.address: 100 * COIN for person in POOR}


class Chain(Protocol):
    """What a chain must do to be measured on."""

    vault: Address

    def send(self, raw: bytes) -> tuple[bool, int]:
        """Mine a signed transaction: whether it was done, and its gas."""

    def read(self, payload: bytes) -> bytes:
        """What the vault answers."""

    def now(self) -> int:
        """Moment of the newest block."""

    def move_to(self, moment: int) -> None:
        """Let time pass."""

    def mine(self) -> None:
        """An empty block."""

    def forget(self, depth: int) -> None:
        """Drop the newest blocks with their transactions, as a reorganisation does."""


class LedgerChain:
    """The dev chain's ledger, py-evm, without HTTP between.

    Its clock moves when a test moves it, so the hashes of its blocks, and the seats drawn by them, are the same each
    time.
    """

    def __init__(self) -> None:
        windows = WINDOWS.shortest, WINDOWS.longest
        self._ledger, vault = born(CHAIN, COINS, FUNDS, *windows, vault_artifact(), wall=lambda: BORN)
        self.vault = Address(vault)

    def send(self, raw: bytes) -> tuple[bool, int]:
        """See `Chain`."""
        self._ledger.take(raw)
        (mined,) = self._ledger.mine().transactions
        return mined.status == 1, mined.gas_used

    def read(self, payload: bytes) -> bytes:
        """See `Chain`."""
        state = self._ledger.state_at(self._ledger.head)
        return bytes(self._ledger.execute(state, bytes(20), self.vault, 0, payload, 10**7).output)

    def now(self) -> int:
        """See `Chain`."""
        return self._ledger.now()

    def move_to(self, moment: int) -> None:
        """See `Chain`."""
        self._ledger.next_timestamp = moment

    def mine(self) -> None:
        """See `Chain`."""
        self._ledger.mine()

    def forget(self, depth: int) -> None:
        """See `Chain`."""
        self._ledger.forget(depth)


class AnvilChain:
    """An anvil over HTTP, one request at a time."""

    def __init__(self, url: str, vault: Address) -> None:
        self.vault = vault
        self.client = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def send(self, raw: bytes) -> tuple[bool, int]:
        """Mine a signed transaction: whether it was done, and its gas."""
        name = self._ask("eth_sendRawTransaction", "0x" + raw.hex())
        while (receipt := self._ask("eth_getTransactionReceipt", name)) is None:
            pass
        return receipt["status"] == "0x1", int(receipt["gasUsed"], 16)

    def read(self, payload: bytes) -> bytes:
        """What the vault answers."""
        told = self._ask("eth_call", {"to": show(self.vault), "data": "0x" + payload.hex()}, "latest")
        return bytes.fromhex(told[2:])

    def now(self) -> int:
        """Moment of the newest block."""
        return int(self._ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def move_to(self, moment: int) -> None:
        """Let time pass."""
        self._ask("evm_setNextBlockTimestamp", moment)
        self.mine()

    def mine(self) -> None:
        """An empty block."""
        self._ask("evm_mine")

    def forget(self, depth: int) -> None:
        """Drop the newest blocks with their transactions, as a reorganisation does."""
        self._ask("anvil_rollback", depth)

    def _ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.client.post("/", json=body).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]


def on_anvil(work: Callable[[AnvilChain], T]) -> T:
    """Start an anvil, do the work on it, and end it; raises `ChainUnreachable` where there is none."""

    async def run() -> T:
        async with run_anvil(COINS, FUNDS, windows=WINDOWS, chain_id=CHAIN, block_time=0) as chain:
            assert chain.vault is not None
            paths = AnvilChain(chain.url, chain.vault)
            with paths.client:
                return await trio.to_thread.run_sync(lambda: work(paths))

    return trio.run(run)


@dataclass
class Caller:
    """A vault on a chain, called with anybody's key."""

    chain: Chain
    nonces: dict[Address, int] = field(default_factory=dict)
    deals: int = 0
    """How many were agreed on, so that no two are the same."""

    def __post_init__(self) -> None:
        self.domain = Domain(CHAIN, self.chain.vault)

    def signed(self, by: Person, call: VaultCall) -> bytes:
        """A transaction's bytes; the next one gets the next nonce."""
        payload, value = encode_call(call)
        nonce = self.nonces.get(by.address, 0)
        self.nonces[by.address] = nonce + 1
        return sign(Transaction(CHAIN, nonce, self.chain.vault, value, payload, 4_000_000, 10**10, 1), by.key).raw

    def do(self, by: Person, call: VaultCall) -> int:
        """Mine it, it must be done; the gas it used."""
        done, gas = self.chain.send(self.signed(by, call))
        assert done, type(call).__name__
        return gas

    def refused(self, by: Person, call: VaultCall) -> None:
        """Mine it; it must be refused."""
        done, _ = self.chain.send(self.signed(by, call))
        assert not done, type(call).__name__

    def sign(self, by: Person, struct: object) -> bytes:
        """A signature under the vault's domain."""
        return by.sign(digest(self.domain, struct))

    def state(self, deal: Deal) -> DealState:
        """Where a deal stands."""
        return DealState.of(words(self.chain.read(deals_query([deal.id(self.domain)])), 1)[0])

    def lock(self, who: Person, slot: int) -> Lock:
        """Somebody's lock."""
        return Lock.of(self.chain.read(lock_query(who.address, slot)))

    def sitting(self, deal: Deal) -> list[int]:
        """The seats of the present jury."""
        bits = self.state(deal).sitting
        return [seat for seat in range(24) if bits >> seat & 1]

    def pass_deadline(self, deal: Deal) -> None:
        """Until the running claim or stage is over."""
        self.chain.move_to(self.state(deal).deadline + 1)

    def wait_for_seed(self) -> None:
        """Until the block that draws a jury is there."""
        for _ in range(SEED_DELAY):
            self.chain.mine()
