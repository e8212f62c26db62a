"""Two chains that mine what they get, behind one face: py-evm without HTTP between, and anvil."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import httpx
import trio

from contracts.anvil import run_anvil
from contracts.artifact import vault_artifact
from contracts.devchain.genesis import born
from protocol.identity import Address, show
from protocol.vault_book import Windows
from tests.contracts.twin import Person

T = TypeVar("T")

COIN = 10**18
CHAIN = 1337
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
    """The dev chain's ledger, py-evm, without HTTP between."""

    def __init__(self) -> None:
        self._ledger, vault = born(CHAIN, COINS, FUNDS, WINDOWS.shortest, WINDOWS.longest, vault_artifact())
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
