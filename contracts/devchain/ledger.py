"""Blocks, a pool of waiting transactions and the state they lead to; py-evm executes, the rest is kept here.

py-evm's own chain class wants every block a whole second later than the last, so a busy chain would run ahead of the
wall clock and deadlines would pass early. Here blocks may share a second: only py-evm's state and executor are used.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth.constants import BLANK_ROOT_HASH, CREATE_CONTRACT_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.prague.state import PragueState
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth.vm.message import Message
from eth_hash.auto import keccak
from eth_utils.exceptions import ValidationError

GAS_LIMIT = 30_000_000
BASE_FEE = 1_000_000_000
"""Wei a unit of gas; constant, there is no market for block space here."""
_RECENT = 256
_BUMP_PERCENT = 10
_MOST_WAITING = 4096


class Rejected(Exception):
    """A transaction the pool does not take; the text is what a geth node says."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction and what became of it."""

    transaction: Any
    hash: bytes
    status: int
    gas_used: int
    created: bytes | None
    logs: tuple[tuple[bytes, tuple[int, ...], bytes], ...]
    price: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block as far as clients see one."""

    number: int
    parent: bytes
    timestamp: int
    state_root: bytes
    transactions: tuple[Mined, ...] = ()

    @property
    def gas_used(self) -> int:
        """By all its transactions."""
        return sum(mined.gas_used for mined in self.transactions)


@dataclass(frozen=True, slots=True)
class Executed:
    """What a call without a transaction gave."""

    output: bytes
    gas_used: int
    """Before refunds, with the intrinsic gas."""
    reverted: bool
    failed: str | None
    """Why it failed other than by a revert."""


@dataclass(slots=True)
class Ledger:
    """The chain's whole content; not concurrent, its server calls it from one task."""

    chain_id: int
    fund: Mapping[bytes, int]
    """Balances at genesis, wei."""
    wall: Callable[[], float] = time.time
    """The wall clock, seconds since 1970; one that stands still makes a chain that is the same each time."""
    blocks: list[Block] = field(init=False)
    hashes: list[bytes] = field(init=False)
    by_hash: dict[bytes, int] = field(default_factory=dict)
    mined: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Transaction hash to block number and index."""
    waiting: dict[bytes, dict[int, Any]] = field(default_factory=dict)
    """Sender to nonce to transaction."""
    offset: int = 0
    """Seconds that the chain's clock is ahead of the wall clock."""
    next_timestamp: int | None = None
    least_tip: int = 0
    """Wei a unit of gas below which transactions wait, as where blocks are full of better ones; a test sets it."""
    _db: Any = field(init=False)

    def __post_init__(self) -> None:
        self._db = AtomicDB()
        state = PragueState(self._db, self._context(0, int(self.wall())), BLANK_ROOT_HASH)
        for address, balance in self.fund.items():
            state.set_balance(address, balance)
        state.persist()
        self.blocks, self.hashes = [], []
        self._append(Block(0, bytes(32), int(self.wall()), state.state_root))

    @property
    def head(self) -> Block:
        """The newest block."""
        return self.blocks[-1]

    def now(self) -> int:
        """The timestamp the next block would get, unless one was set."""
        return max(self.head.timestamp, int(self.wall()) + self.offset)

    def state_at(self, block: Block, *, pending: bool = True) -> Any:
        """A fresh state on top of a block; ``pending`` gives calls the next block's number and time."""
        number = block.number + 1 if pending else block.number
        stamp = (self.next_timestamp or self.now()) if pending and block is self.head else block.timestamp
        return PragueState(self._db, self._context(number, stamp), block.state_root)

    def _context(self, number: int, timestamp: int) -> Any:
        recent = self.hashes[max(0, number - _RECENT) : number][::-1] if number else []
        mix = keccak(b"dev chain" + number.to_bytes(8, "big"))
        return ExecutionContext(
            bytes(20), timestamp, number, 0, mix, GAS_LIMIT, recent, self.chain_id, BASE_FEE, excess_blob_gas=0
        )

    def _append(self, block: Block) -> None:
        name = keccak(
            block.parent
            + block.state_root
            + block.number.to_bytes(8, "big")
            + block.timestamp.to_bytes(8, "big")
            + b"".join(mined.hash for mined in block.transactions)
        )
        self.blocks.append(block)
        self.hashes.append(name)
        self.by_hash[name] = block.number
        for index, mined in enumerate(block.transactions):
            self.mined[mined.hash] = block.number, index

    def seal(self, state_root: bytes) -> None:
        """A block without transactions that leads to a given state; for what a chain begins with."""
        self._append(Block(self.head.number + 1, self.hashes[-1], self.now(), state_root))

    # transactions

    def take(self, raw: bytes) -> bytes:
        """Put a signed transaction into the pool and return its hash; raises `Rejected`."""
        try:
            transaction = PragueTransactionBuilder.decode(raw)
            transaction.validate()
            sender = transaction.sender
        except (ValidationError, rlp.exceptions.RLPException, ValueError, TypeError, IndexError) as error:
            raise Rejected(f"rlp: {error}") from error
        name: bytes = transaction.hash
        if transaction.chain_id not in (None, self.chain_id):
            raise Rejected("invalid chain id for signer")
        if name in self.mined:
            raise Rejected("already known")
        state = self.state_at(self.head)
        if transaction.nonce < state.get_nonce(sender):
            raise Rejected(f"nonce too low: next nonce {state.get_nonce(sender)}, tx nonce {transaction.nonce}")
        if transaction.gas > GAS_LIMIT:
            raise Rejected("exceeds block gas limit")
        if transaction.intrinsic_gas > transaction.gas:
            raise Rejected(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {transaction.intrinsic_gas}")
        if transaction.max_fee_per_gas < BASE_FEE:
            raise Rejected("max fee per gas less than block base fee")
        if state.get_balance(sender) < transaction.value + transaction.gas * transaction.max_fee_per_gas:
            raise Rejected("insufficient funds for gas * price + value")
        queue = self.waiting.setdefault(sender, {})
        rival = queue.get(transaction.nonce)
        if rival is not None:
            self._replace(rival, transaction)
        elif sum(map(len, self.waiting.values())) >= _MOST_WAITING:
            raise Rejected("txpool is full")
        queue[transaction.nonce] = transaction
        return name

    def _replace(self, rival: Any, transaction: Any) -> None:
        if rival.hash == transaction.hash:
            raise Rejected("already known")
        for name in ("max_fee_per_gas", "max_priority_fee_per_gas"):
            if getattr(transaction, name) * 100 < getattr(rival, name) * (100 + _BUMP_PERCENT):
                raise Rejected("replacement transaction underpriced")

    def ready(self) -> bool:
        """Whether a block mined now would hold a transaction."""
        state = self.state_at(self.head)
        nexts = [queue.get(state.get_nonce(sender)) for sender, queue in self.waiting.items()]
        return any(one is not None and one.max_priority_fee_per_gas >= self.least_tip for one in nexts)

    def mine(self) -> Block:
        """One block of everything that can go into it."""
        parent = self.head
        timestamp = self.next_timestamp or self.now()
        self.next_timestamp = None
        if timestamp > int(self.wall()) + self.offset:
            self.offset = timestamp - int(self.wall())
        state = PragueState(self._db, self._context(parent.number + 1, timestamp), parent.state_root)
        done: list[Mined] = []
        room = GAS_LIMIT
        for sender in list(self.waiting):
            queue = self.waiting[sender]
            while (transaction := queue.get(state.get_nonce(sender))) is not None and transaction.gas <= room:
                if transaction.max_priority_fee_per_gas < self.least_tip:
                    break
                del queue[transaction.nonce]
                mined = self._apply(state, transaction)
                if mined is None:
                    continue
                room -= mined.gas_used
                done.append(mined)
            for stale in [nonce for nonce in queue if nonce < state.get_nonce(sender)]:
                del queue[stale]
            if not queue:
                del self.waiting[sender]
        state.persist()
        block = Block(parent.number + 1, self.hashes[-1], timestamp, state.state_root, tuple(done))
        self._append(block)
        return block

    def _apply(self, state: Any, transaction: Any) -> Mined | None:
        state.lock_changes()
        try:
            computation = state.apply_transaction(transaction)
        except ValidationError:
            return None  # it could pay when the pool took it, and no longer can
        created = None
        if transaction.to == CREATE_CONTRACT_ADDRESS:
            created = computation.msg.storage_address
        return Mined(
            transaction,
            transaction.hash,
            0 if computation.is_error else 1,
            PragueVM.finalize_gas_used(transaction, computation),
            created,
            tuple(computation.get_log_entries()),
            min(transaction.max_fee_per_gas, transaction.max_priority_fee_per_gas + BASE_FEE),
        )

    def execute(self, state: Any, sender: bytes, to: bytes | None, value: int, data: bytes, gas: int) -> Executed:
        """Run a call or a creation that leaves no trace; nobody pays for the gas."""
        tokens = len(data) + 3 * (len(data) - data.count(0))
        intrinsic = 21_000 + 4 * tokens
        if to is None:
            intrinsic += 32_000 + 2 * ((len(data) + 31) // 32)
        context = state.get_transaction_context_class()(gas_price=BASE_FEE, origin=sender)
        state.lock_changes()
        state.mark_address_warm(sender)
        if state.get_balance(sender) < value:
            return Executed(b"", intrinsic, reverted=False, failed="insufficient funds for transfer")
        if to is None:
            created = keccak(rlp.encode([sender, state.get_nonce(sender)]))[12:]
            state.mark_address_warm(created)
            message = Message(
                gas - intrinsic, CREATE_CONTRACT_ADDRESS, sender, value, b"", data, create_address=created
            )
            computation = state.computation_class.apply_create_message(state, message, context)
        else:
            state.mark_address_warm(to)
            message = Message(gas - intrinsic, to, sender, value, data, state.get_code(to))
            computation = state.computation_class.apply_message(state, message, context)
        used = max(gas - computation.get_gas_remaining(), 21_000 + 10 * tokens)
        reverted = computation.is_error and not computation.should_burn_gas
        failed = str(computation.error) if computation.is_error and not reverted else None
        return Executed(bytes(computation.output), used, reverted, failed)

    # for tests

    def forget(self, depth: int) -> None:
        """Drop the newest blocks with all their transactions, as a reorganisation does."""
        keep = max(1, len(self.blocks) - depth)
        for block, name in zip(self.blocks[keep:], self.hashes[keep:], strict=True):
            del self.by_hash[name]
            for mined in block.transactions:
                del self.mined[mined.hash]
        del self.blocks[keep:]
        del self.hashes[keep:]
