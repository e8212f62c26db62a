"""A vault's bytecode under revm: calls to it, and what it remembers, read fast enough to look after every call."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from eth_hash.auto import keccak
from pyrevm import EVM, BlockEnv, CfgEnv, Env

from contracts.encoding import accounts_query, deals_query, lock_query, mediators_query, sealed_query, words
from protocol.identity import Address, show

CHAIN = 1337
_OUTPUT = re.compile(r"output: 0x([0-9a-f]*)")
READER = Address(b"\x11" * 20)
"""Who asks for views."""
_ERROR = bytes.fromhex("08c379a0")
_ACCOUNTS, _DEALS, _SEALED, _LOCKS, _MEDIATORS, _TALLIES = range(6)
"""Where the Vyper source's mappings stand, in order of declaration."""


class Bytecode:
    """One vault in an EVM of its own. Its address depends on who made it only, so signatures count in all of them."""

    def __init__(self, maker: Address, creation: bytes, *, evm: EVM, block: tuple[int, int]) -> None:
        """``block``: number and time of the block that it is made in."""
        self.evm = evm
        self.set_block(*block)
        self.vault: str = self.evm.deploy(show(maker), creation)
        self.address = Address(bytes.fromhex(self.vault[2:]))
        self.gas = 0
        """What the last call used, with the transaction's own cost."""

    def set_block(self, number: int, timestamp: int) -> None:
        """The block of the calls that follow."""
        self.evm.set_block_env(BlockEnv(number=number, timestamp=timestamp, gas_limit=10**9))

    def send(self, by: Address, payload: bytes, value: int = 0) -> str | None:
        """Bytes to the vault; the reason of a refusal or None."""
        try:
            self.evm.message_call(show(by), self.vault, calldata=payload, value=value, gas=20_000_000)
        except RuntimeError as error:
            return reason_of(str(error))
        self.gas = self.evm.result.gas_used
        return None

    def view(self, payload: bytes) -> bytes:
        """Call data to answer, without a trace."""
        return bytes(self.evm.message_call(show(READER), self.vault, calldata=payload, is_static=True))

    def coins(self) -> int:
        """What the vault holds of the chain's coin."""
        return int(self.evm.get_balance(self.vault))

    # by views, which any implementation has

    def account_words(self, people: Sequence[Address]) -> list[int]:
        """Balance and locked, a word for each."""
        return words(self.view(accounts_query(people)), len(people))

    def mediator_words(self, people: Sequence[Address]) -> list[int]:
        """Stake, busy and the moment to leave, a word for each."""
        return words(self.view(mediators_query(people)), len(people))

    def deal_words(self, ids: Sequence[bytes]) -> list[int]:
        """A word for each deal."""
        return words(self.view(deals_query(ids)), len(ids))

    def sealed(self, deal: bytes) -> bytes:
        """What a claim is about."""
        return self.view(sealed_query(deal))

    def lock(self, owner: Address, slot: int) -> bytes:
        """Three words."""
        return self.view(lock_query(owner, slot))

    # by storage, for the one that keeps a word for an account and so on, as the Vyper source does

    def stored(self, slots: Iterable[int]) -> tuple[int, ...]:
        """What stands in any places."""
        read = self.evm.storage
        return tuple(read(self.vault, slot) for slot in slots)

    def stored_accounts(self, people: Iterable[Address]) -> list[int]:
        """As `account_words`."""
        return [self.evm.storage(self.vault, _at(_ACCOUNTS, who)) for who in people]

    def stored_mediators(self, people: Iterable[Address]) -> list[int]:
        """As `mediator_words`."""
        return [self.evm.storage(self.vault, _at(_MEDIATORS, who)) for who in people]

    def stored_deal(self, deal: bytes) -> int:
        """One of `deal_words`."""
        return int(self.evm.storage(self.vault, _at(_DEALS, deal)))

    def stored_sealed(self, deal: bytes) -> int:
        """As `sealed`."""
        return int(self.evm.storage(self.vault, _at(_SEALED, deal)))

    def stored_tally(self, vote: bytes) -> int:
        """The seats that cast a ballot; 24 bits higher where the vote rests on nothing."""
        return int(self.evm.storage(self.vault, _at(_TALLIES, vote)))

    def stored_lock(self, owner: Address, slot: int) -> tuple[int, int, int]:
        """As `lock`."""
        first = _lock_at(owner, slot)
        read = self.evm.storage
        return read(self.vault, first), read(self.vault, first + 1), read(self.vault, first + 2)


def new_evm() -> EVM:
    """A chain where contracts may be as large as the Solidity one is."""
    return EVM(env=Env(cfg=CfgEnv(chain_id=CHAIN, limit_contract_code_size=1 << 16)))


@lru_cache(1 << 14)
def _at(mapping: int, key: bytes) -> int:
    return int.from_bytes(keccak(mapping.to_bytes(32, "big") + key.rjust(32, b"\0")), "big")


@lru_cache(1 << 10)
def _lock_at(owner: Address, slot: int) -> int:
    outer = _at(_LOCKS, owner).to_bytes(32, "big")
    return int.from_bytes(keccak(outer + slot.to_bytes(32, "big")), "big")


@lru_cache(1 << 10)
def _told(raw: str) -> str:
    data = bytes.fromhex(raw)
    if data[:4] != _ERROR:
        return ""
    length = int.from_bytes(data[36:68], "big")
    return data[68 : 68 + length].decode()


def reason_of(text: str) -> str:
    """The reason in what revm tells of a call that failed; empty where the vault gave none."""
    match = _OUTPUT.search(text)
    return text if match is None else _told(match[1])


def places(people: Iterable[Address], deals: Iterable[bytes], locks: Iterable[tuple[Address, int]]) -> tuple[int, ...]:
    """Where accounts, stakes, deals, what was sealed and locks stand."""
    found = [_at(mapping, who) for who in people for mapping in (_ACCOUNTS, _MEDIATORS)]
    found += [_at(mapping, deal) for deal in deals for mapping in (_DEALS, _SEALED)]
    found += [_lock_at(owner, slot) + word for owner, slot in locks for word in range(3)]
    return tuple(found)
