"""The vault twice, as model and as bytecode under revm: every call goes to both, and they must agree in everything."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from coincurve import PrivateKey, PublicKey
from eth_abi.abi import decode
from pyrevm import EVM, BlockEnv, CfgEnv, Env

from contracts.artifact import vault_artifact
from contracts.encoding import (
    accounts_query,
    deals_query,
    encode_call,
    lock_query,
    mediators_query,
    sealed_query,
    words,
)
from protocol.deal import Deal, DealId
from protocol.eip712 import Domain, digest
from protocol.identity import Address, address_of_public_key, show
from protocol.vault import Vault
from protocol.vault_book import Call, Refused, Windows
from protocol.vault_calls import Deposit, VaultCall, Withdraw, perform
from protocol.vault_state import Account, DealState, Lock, Mediator

BIRTH = 1_800_000_000
CHAIN = 1337
WINDOWS = Windows(60, 600)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_OUTPUT = re.compile(r"output: (0x[0-9a-f]*)")


@dataclass(frozen=True)
class Person:
    """Somebody with a key."""

    key: PrivateKey
    address: Address

    @staticmethod
    def number(number: int) -> Person:
        """The same person for the same number."""
        key = PrivateKey(number.to_bytes(32, "big"))
        return Person(key, address_of_public_key(key.public_key.format()))

    def sign(self, hash_: bytes) -> bytes:
        """65 bytes: r, s, v."""
        raw = self.key.sign_recoverable(hash_, hasher=None)
        return raw[:64] + bytes([27 + raw[64]])


@lru_cache(1 << 14)
def recover(hash_: bytes, signature: bytes) -> Address | None:
    """The signer by a signature of 65 or 64 bytes; None for what ecrecover or the low-s rule refuses."""
    if len(signature) == 64:
        s, parity = signature[32] & 0x7F, signature[32] >> 7
        signature = signature[:32] + bytes([s]) + signature[33:] + bytes([27 + parity])
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return None
    try:
        point = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), hash_, hasher=None)
    except ValueError:
        return None
    return address_of_public_key(point.format())


class Disagreement(AssertionError):
    """Model and bytecode do not do the same."""


class Twin:
    """Two vaults that must stay equal. Time stands still until ``now`` is set."""

    def __init__(self, people: Sequence[Person], coins: int = 10**30, creation: bytes | None = None) -> None:
        self.now = BIRTH
        self.block = 1000
        self.calls = 0
        self.accepted = 0
        self.gas = 0
        """What the last call used, with the transaction's own cost."""
        self.people = people
        self.evm = EVM(env=Env(cfg=CfgEnv(chain_id=CHAIN)))
        for person in people:
            self.evm.set_balance(show(person.address), coins)
        self._set_block()
        maker = show(Person.number(99).address)
        self._born_as = creation or _creation()
        self.vault = self.evm.deploy(maker, self._born_as + self.constructor())
        self.domain = Domain(CHAIN, Address(bytes.fromhex(self.vault[2:])))
        self.model = Vault(self.domain, WINDOWS, recover, self.block_hash)
        self.deals: dict[DealId, Deal] = {}

    def sign(self, by: Person, struct: object) -> bytes:
        """A signature under this vault's domain."""
        return by.sign(digest(self.domain, struct))

    def block_hash(self, number: int) -> bytes:
        """What the bytecode sees as a recent block's hash."""
        return bytes(self.evm.block_hash(number))

    def at(self, now: int) -> Twin:
        """Set the clock (never back)."""
        assert now >= self.now
        self.now = now
        return self

    def do(self, by: Person, call: VaultCall) -> str | None:
        """Perform on both; the reason of a refusal or None; raises `Disagreement`."""
        self.calls += 1
        for deal in _deals_of(call):
            self.deals[deal.id(self.domain)] = deal
        told = self._do_model(by, call)
        found = self._do_bytecode(by, call)
        if told != found:
            raise Disagreement(f"{type(call).__name__}: the model says {told!r}, the bytecode {found!r}\n{call}")
        if told is None:
            self.accepted += 1
        self.compare()
        return told

    def _do_model(self, by: Person, call: VaultCall) -> str | None:
        try:
            perform(self.model, Call(by.address, self.now, self.block), call)
        except Refused as refusal:
            return refusal.reason
        return None

    def _do_bytecode(self, by: Person, call: VaultCall) -> str | None:
        return self.send(by, *encode_call(call))

    def send(self, by: Person, payload: bytes, value: int = 0) -> str | None:
        """Bytes to the bytecode alone; the reason of a refusal or None."""
        self._set_block()
        try:
            self.evm.message_call(show(by.address), self.vault, calldata=payload, value=value, gas=20_000_000)
        except RuntimeError as error:
            return _reason(str(error))
        self.gas = self.evm.result.gas_used
        return None

    def held(self) -> int:
        """Money in the bytecode's hands."""
        return int(self.evm.get_balance(self.vault))

    def constructor(self) -> bytes:
        """The arguments that the vault is born with."""
        return _words(WINDOWS.shortest, WINDOWS.longest)

    def birth(self, windows: Windows, token: bytes = b"") -> str | None:
        """Deploy one more vault, outside of the comparison; the reason of a refusal or None."""
        arguments = _words(windows.shortest, windows.longest) + (token and token.rjust(32, b"\0"))
        try:
            self.evm.deploy(show(Person.number(98).address), self._born_as + arguments)
        except RuntimeError as error:
            return _reason(str(error))
        return None

    def _set_block(self) -> None:
        self.evm.set_block_env(BlockEnv(number=self.block, timestamp=self.now, gas_limit=10**9))

    def view(self, payload: bytes) -> bytes:
        """Call data to answer, without a trace."""
        return bytes(self.evm.message_call(show(self.people[0].address), self.vault, calldata=payload, is_static=True))

    def compare(self) -> None:
        """Every account, every deal, and the coins the vault holds."""
        addresses = [person.address for person in self.people]
        for who, word in zip(addresses, words(self.view(accounts_query(addresses)), len(addresses)), strict=True):
            if Account.of(word) != self.model.account(who):
                raise Disagreement(
                    f"{show(who)}: {self.model.account(who)} in the model, {Account.of(word)} in the bytecode"
                )
        stakes = words(self.view(mediators_query(addresses)), len(addresses))
        for who, word in zip(addresses, stakes, strict=True):
            if Mediator.of(word) != self.model.mediator(who):
                raise Disagreement(f"{show(who)}: {self.model.mediator(who)} in the model, {Mediator.of(word)} found")
        recent = list(self.deals)[-16:]
        for name, word in zip(recent, words(self.view(deals_query(recent)), len(recent)), strict=True):
            expected = self.model.deals.get(name, DealState())
            if word != expected.word():
                raise Disagreement(f"deal {name.hex()}: {expected} in the model, {DealState.of(word)} in the bytecode")
        if recent and self.view(sealed_query(recent[-1])) != self.model.sealed.get(recent[-1], bytes(32)):
            raise Disagreement("what was sealed")
        for (owner, slot), expected_lock in self.model.locks.items():
            if Lock.of(self.view(lock_query(owner, slot))) != expected_lock:
                raise Disagreement(f"lock {slot} of {show(owner)}: {expected_lock} in the model")
            if not 0 <= expected_lock.left <= expected_lock.total:
                raise Disagreement(f"more left the lock than was in it: {expected_lock}")
        if self.held() != self.model.total():
            raise Disagreement(f"coins: {self.model.total()} owed, {self.held()} held")
        for account in self.model.accounts.values():
            if not 0 <= account.locked <= account.balance:
                raise Disagreement(f"locked beyond the balance: {account}")
        for mediator in self.model.mediators.values():
            if not 0 <= mediator.busy <= mediator.stake:
                raise Disagreement(f"at risk beyond the stake: {mediator}")


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def _creation() -> bytes:
    """The shipped code, or a mutant's that `mutate_vault` lets these tests look for."""
    mutant = os.environ.get("LILYPAD_VAULT_MUTANT")
    return Path(mutant).read_bytes() if mutant else vault_artifact().bytecode


def _deals_of(call: VaultCall) -> list[Deal]:
    deal = getattr(call, "deal", None)
    if deal is not None:
        return [deal]
    return [payment.deal for payment in getattr(call, "payments", ())]


def _reason(text: str) -> str:
    match = _OUTPUT.search(text)
    if match is None:
        return text
    raw = bytes.fromhex(match[1][2:])
    return decode(["string"], raw[4:])[0] if raw[:4] == bytes.fromhex("08c379a0") else ""


def draft(jc: Person, rp: Person, now: int, **changes: object) -> Deal:
    """A deal that the vault takes, with what a test wants changed."""
    deal = Deal(
        jc=jc.address,
        rp=rp.address,
        pay=1000,
        jc_stake=200,
        rp_stake=1000,
        cheat=10_000,
        fee=100,
        juror_stake=500,
        start_by=now + 100,
        deliver_by=now + 200,
        claim_until=now + 1000,
        grace=50,
        answer=100,
        judge=100,
        appeal=0,
        pool=bytes(32),
        jurors=3,
        quorum=2,
        silence=0,
        jc_seat=0,
        rp_seat=0,
        terms=bytes(32),
    )
    return replace(deal, **changes)  # type: ignore[arg-type]


def funded(people: Sequence[Person], amount: int = 1_000_000) -> Twin:
    """A twin in which everybody has something."""
    twin = Twin(people)
    for person in people:
        assert twin.do(person, Deposit(person.address, amount)) is None
    return twin


def drain(twin: Twin) -> None:
    """Everybody takes out what is free: it must always work."""
    for person in twin.people:
        assert twin.do(person, Withdraw(twin.model.account(person.address).free, person.address)) is None
