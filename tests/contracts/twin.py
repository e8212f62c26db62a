"""The vault twice, as model and as bytecode under revm: every call goes to both, and they must agree in everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from coincurve import PrivateKey, PublicKey
from pyrevm import EVM

from contracts.artifact import vault_artifact
from contracts.encoding import accounts_query, deals_query, encode_call, mediators_query
from protocol.deal import Deal, DealId
from protocol.eip712 import Domain, digest
from protocol.identity import Address, address_of_public_key, show
from protocol.vault import Vault
from protocol.vault_book import Call, Refused, Windows
from protocol.vault_calls import Deposit, VaultCall, Withdraw, perform
from protocol.vault_state import DealState
from tests.contracts.bytecode import CHAIN, READER, Bytecode, new_evm, places, reason_of
from tests.contracts.recording import Step, Story, begin

BIRTH = 1_800_000_000
WINDOWS = Windows(60, 600)
_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_RECENT = 8
"""Deals looked at after each call; older ones are looked at again when they are called."""
_VIEWED_EVERY = 32
"""Calls from one look through the views to the next."""
_NEVER = DealState()


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


_MAKER = Person.number(99).address


class Disagreement(AssertionError):
    """Model and bytecode do not do the same."""


class Twin:
    """Vaults that must stay equal: model, bytecode, and others beside it. Time stands still until ``now`` is set."""

    def __init__(
        self,
        people: Sequence[Person],
        coins: int = 10**30,
        creation: bytes | None = None,
        others: Sequence[bytes] = (),
    ) -> None:
        """``creation``: another bytecode than the shipped one; ``others``: those of independent implementations."""
        self.now = BIRTH
        self.block = 1000
        self.calls = 0
        self.accepted = 0
        self.people = people
        self._addresses = [person.address for person in people]
        self.evm = new_evm()
        self._born_as = creation or _creation()
        arguments = self.constructor()
        self.bytecode = self._born(self.evm, self._born_as + arguments, coins)
        self.others = [self._born(new_evm(), other + arguments, coins) for other in others]
        story = Story(_MAKER, arguments, dict.fromkeys(self._addresses, coins), (self.block, self.now))
        self._story = begin(story) if self._born_as == _creation() else None
        self.vault = self.bytecode.vault
        assert all(other.vault == self.vault for other in self.others)
        self.domain = Domain(CHAIN, self.bytecode.address)
        self.model = Vault(self.domain, WINDOWS, self._recover, self.block_hash)
        self.deals: dict[DealId, Deal] = {}
        self._signers: dict[tuple[bytes, bytes], Address] = {}

    def _born(self, evm: EVM, creation: bytes, coins: int) -> Bytecode:
        for person in self.people:
            evm.set_balance(show(person.address), coins)
        return Bytecode(_MAKER, creation, evm=evm, block=(self.block, self.now))

    @property
    def gas(self) -> int:
        """What the last call used, with the transaction's own cost."""
        return self.bytecode.gas

    def sign(self, by: Person, struct: object) -> bytes:
        """A signature under this vault's domain."""
        hash_ = digest(self.domain, struct)
        signature = by.sign(hash_)
        self._signers[hash_, signature] = by.address
        return signature

    def _recover(self, hash_: bytes, signature: bytes) -> Address | None:
        # who signed is known where it was signed here; the bytecodes work it out all the same
        return self._signers.get((hash_, signature)) or recover(hash_, signature)

    def block_hash(self, number: int) -> bytes:
        """What the bytecode sees as a recent block's hash."""
        return bytes(self.evm.block_hash(number))

    def at(self, now: int) -> Twin:
        """Set the clock (never back)."""
        assert now >= self.now
        self.now = now
        return self

    def do(self, by: Person, call: VaultCall) -> str | None:
        """Perform on all; the reason of a refusal or None; raises `Disagreement`."""
        self.calls += 1
        for deal in deals_of(call):
            self.deals[self.model.id(deal)] = deal
        told = self._do_model(by, call)
        found = self._do_bytecode(by, call)
        if told != found:
            raise Disagreement(f"{type(call).__name__}: the model says {told!r}, the bytecode {found!r}\n{call}")
        for other in self.others:
            other.set_block(self.block, self.now)
            found = other.send(by.address, *encode_call(call))
            if told != found:
                raise Disagreement(f"{type(call).__name__}: the model says {told!r}, another {found!r}\n{call}")
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
        self.bytecode.set_block(self.block, self.now)
        told = self.bytecode.send(by.address, payload, value)
        if self._story is not None:
            slots = places(self._addresses, islice(reversed(self.deals), 3), self.model.locks)
            after = self.bytecode.stored(slots)
            self._story.steps.append(Step(self.block, self.now, by.address, payload, value, told, slots, after))
        return told

    def held(self) -> int:
        """Money in the bytecode's hands."""
        return self.bytecode.coins()

    def constructor(self) -> bytes:
        """The arguments that the vault is born with."""
        return _words(WINDOWS.shortest, WINDOWS.longest)

    def birth(self, windows: Windows, token: bytes = b"") -> str | None:
        """Deploy one more vault, outside of the comparison; the reason of a refusal or None."""
        arguments = _words(windows.shortest, windows.longest) + (token and token.rjust(32, b"\0"))
        try:
            self.evm.deploy(show(Person.number(98).address), self._born_as + arguments)
        except RuntimeError as error:
            return reason_of(str(error))
        return None

    def view(self, payload: bytes) -> bytes:
        """Call data to answer, without a trace."""
        return self.bytecode.view(payload)

    def compare(self) -> None:
        """Every account, stake and lock, the latest deals, and the coins the vault holds."""
        model, code = self.model, self.bytecode
        people = self._addresses
        accounts = [model.account(who).word() for who in people]
        mediators = [model.mediator(who).word() for who in people]
        recent = list(islice(reversed(self.deals), _RECENT))
        deals = [model.deals.get(name, _NEVER).word() for name in recent]
        _same("accounts", accounts, code.stored_accounts(people))
        _same("stakes", mediators, code.stored_mediators(people))
        _same("deals", deals, [code.stored_deal(name) for name in recent])
        for name in recent[:2]:
            _same("what was sealed", int.from_bytes(model.sealed.get(name, b""), "big"), code.stored_sealed(name))
        for vote in islice(reversed(model.tallies), 2):
            _same("a tally", model.tallies[vote], code.stored_tally(vote))
        for (owner, slot), lock in model.locks.items():
            if lock.number:
                _same(
                    "a lock", lock.words(), b"".join(word.to_bytes(32, "big") for word in code.stored_lock(owner, slot))
                )
                if not 0 <= lock.left <= lock.total:
                    raise Disagreement(f"more left the lock than was in it: {lock}")
        _same("coins", model.total(), self.held())
        if self.calls % _VIEWED_EVERY == 0:
            self.compare_views()
        for account in model.accounts.values():
            if not 0 <= account.locked <= account.balance:
                raise Disagreement(f"locked beyond the balance: {account}")
        for mediator in model.mediators.values():
            if not 0 <= mediator.busy <= mediator.stake:
                raise Disagreement(f"at risk beyond the stake: {mediator}")

    def compare_views(self) -> None:
        """The same through what anybody can ask, in every implementation."""
        model = self.model
        recent = list(islice(reversed(self.deals), 2 * _RECENT))
        for code in (self.bytecode, *self.others):
            _same("accounts", [model.account(w).word() for w in self._addresses], code.account_words(self._addresses))
            _same("stakes", [model.mediator(w).word() for w in self._addresses], code.mediator_words(self._addresses))
            _same("deals", [model.deals.get(name, _NEVER).word() for name in recent], code.deal_words(recent))
            for name in recent:
                _same("what was sealed", model.sealed.get(name, bytes(32)), code.sealed(name))
            for (owner, slot), lock in model.locks.items():
                _same("a lock", lock.words(), code.lock(owner, slot))
        for other in self.others:
            _same("coins", model.total(), other.coins())
        if self._story is not None:
            queries = [accounts_query(self._addresses), mediators_query(self._addresses), deals_query(recent)]
            for payload in (*queries, accounts_query([]), mediators_query([]), deals_query([])):
                self._story.steps.append(Step(self.block, self.now, READER, payload, 0, None, (), ()))


def _same(what: str, told: object, found: object) -> None:
    if told != found:
        raise Disagreement(f"{what}: {told} in the model, {found} in the bytecode")


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big") for value in values)


def _creation() -> bytes:
    """The shipped code, or a mutant's that `mutate_vault` lets these tests look for."""
    mutant = os.environ.get("LILYPAD_VAULT_MUTANT")
    return Path(mutant).read_bytes() if mutant else vault_artifact().bytecode


def deals_of(call: VaultCall) -> list[Deal]:
    """The deals that a call is about; a line is one."""
    named = [getattr(call, name, None) for name in ("line", "deal")]
    deals = [deal for deal in named if isinstance(deal, Deal)]
    if deals:
        return deals
    return [payment.deal for payment in getattr(call, "payments", ())]


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
        terms=b"\x02" * 32,
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
