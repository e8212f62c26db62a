"""The vault for a token: money goes in and out by what arrived; everything behind it is the same machine."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from contracts.artifact import TOKEN_ARTIFACT, token_vault_artifact
from contracts.build import build_token, compiled
from contracts.encoding import accounts_query, encode_approval, encode_token_deposit, words
from protocol.identity import Address, show
from protocol.vault_calls import Deposit, Open, Payment, Settle, VaultCall, Withdraw
from protocol.vault_state import Account
from tests.contracts import fuzz_vault
from tests.contracts.twin import WINDOWS, Person, Twin, draft

FEE, MUTE, REFUSES, REVERTS, GREEDY, DEPOSITS_AGAIN, WITHDRAWS_AGAIN = range(1, 8)
JC, RP = Person.number(1), Person.number(2)
RICH = 10**30


@cache
def token_code() -> bytes:
    source = Path(__file__).with_name("token.vy").read_text()
    return bytes.fromhex(compiled(source, {"optimize": "gas", "evm_version": "cancun"})["bytecode"][2:])


class TokenTwin(Twin):
    """The same model; the bytecode is the token's vault, whose only other call is `deposit`."""

    def __init__(self, people: Sequence[Person]) -> None:
        self.token = ""
        super().__init__(people, creation=token_vault_artifact().bytecode)
        for person in people:
            assert self.ask(person, "mint(address,uint256)", person.address, RICH) is None
            approval = encode_approval(Address(bytes.fromhex(self.vault[2:])), RICH)
            self.evm.message_call(show(person.address), self.token, calldata=approval)

    def constructor(self) -> bytes:
        self.token = self.evm.deploy(show(Person.number(97).address), token_code())
        return super().constructor() + bytes.fromhex(self.token[2:]).rjust(32, b"\0")

    def ask(self, by: Person, signature: str, *values: bytes | int) -> str | None:
        """Call the token."""
        payload = keccak(signature.encode())[:4] + b"".join(
            value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0") for value in values
        )
        self.evm.message_call(show(by.address), self.token, calldata=payload)
        return None

    def behave(self, mode: int) -> None:
        """From now on the token does it this way."""
        self.ask(JC, "behave(uint256)", mode)

    def tokens(self, who: bytes) -> int:
        """Somebody's tokens outside."""
        payload = keccak(b"balanceOf(address)")[:4] + who.rjust(32, b"\0")
        return int.from_bytes(bytes(self.evm.message_call(show(JC.address), self.token, calldata=payload)), "big")

    def held(self) -> int:
        return self.tokens(bytes.fromhex(self.vault[2:]))

    def account(self, who: Person) -> Account:
        """As the bytecode has it."""
        return Account.of(words(self.view(accounts_query([who.address])), 1)[0])

    def _do_bytecode(self, by: Person, call: VaultCall) -> str | None:
        if isinstance(call, Deposit):
            return self.send(by, encode_token_deposit(call.to, call.value))
        return super()._do_bytecode(by, call)

    def deposit(self, by: Person, amount: int) -> str | None:
        """To the bytecode alone."""
        return self.send(by, encode_token_deposit(by.address, amount))

    def withdraw(self, by: Person, amount: int) -> str | None:
        """To the bytecode alone."""
        return super()._do_bytecode(by, Withdraw(amount, by.address))


def test_the_shipped_bytecode_is_the_compiled_source_and_fits() -> None:
    made = build_token()
    assert made == json.loads(TOKEN_ARTIFACT.read_text())
    assert len(token_vault_artifact().runtime) + 160 <= 24_576


def test_a_deal_in_tokens_is_opened_and_paid_and_everything_leaves() -> None:
    twin = TokenTwin([JC, RP])
    for person in (JC, RP):
        assert twin.do(person, Deposit(person.address, 50_000)) is None
    deal = draft(JC, RP, twin.now)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    assert twin.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    assert twin.do(RP, Withdraw(50_000 + deal.pay, RP.address)) is None
    assert twin.do(JC, Withdraw(50_000 - deal.pay, JC.address)) is None
    assert twin.tokens(RP.address) == RICH + deal.pay
    assert twin.held() == 0


def test_what_arrives_is_credited_where_the_token_keeps_a_fee() -> None:
    twin = TokenTwin([JC, RP])
    twin.behave(FEE)
    assert twin.deposit(JC, 1000) is None
    assert twin.account(JC) == Account(990, 0) == Account(twin.held(), 0)
    assert twin.withdraw(JC, 990) is None
    assert twin.held() == 0


def test_a_token_that_returns_nothing_is_taken_at_its_balances() -> None:
    twin = TokenTwin([JC, RP])
    twin.behave(MUTE)
    assert twin.deposit(JC, 1000) is None
    assert twin.account(JC).balance == 1000
    assert twin.withdraw(JC, 400) is None
    assert twin.held() == 600


@pytest.mark.parametrize(("mode", "reason"), [(REFUSES, "token"), (REVERTS, "the token says no")])
def test_a_token_that_does_not_move_credits_nothing_and_loses_nothing(mode: int, reason: str) -> None:
    twin = TokenTwin([JC, RP])
    assert twin.deposit(JC, 1000) is None
    twin.behave(mode)
    assert twin.deposit(JC, 1000) == reason
    assert twin.withdraw(JC, 500) == reason
    assert twin.account(JC) == Account(1000, 0)


def test_a_token_that_takes_more_than_it_was_asked_takes_nothing_from_others() -> None:
    twin = TokenTwin([JC, RP])
    assert twin.deposit(JC, 1000) is None
    assert twin.deposit(RP, 1000) is None
    twin.behave(GREEDY)
    assert twin.withdraw(JC, 500) == "token"
    assert twin.held() == 2000


@pytest.mark.parametrize("mode", [DEPOSITS_AGAIN, WITHDRAWS_AGAIN])
def test_a_token_that_calls_back_gets_nothing_twice(mode: int) -> None:
    twin = TokenTwin([JC, RP])
    assert twin.deposit(JC, 1000) is None
    twin.behave(mode)
    refused = twin.deposit(JC, 1000) if mode == DEPOSITS_AGAIN else twin.withdraw(JC, 500)
    assert refused is not None
    assert (twin.account(JC).balance, twin.held()) == (1000, 1000)


def test_nobody_closes_the_way_out_by_giving_the_vault_too_much() -> None:
    twin = TokenTwin([JC, RP])
    assert twin.deposit(JC, 1000) is None
    twin.ask(RP, "mint(address,uint256)", bytes.fromhex(twin.vault[2:]), 1 << 97)
    assert twin.deposit(JC, 1) == "too much"
    assert twin.withdraw(JC, 1000) is None
    assert twin.account(JC) == Account(0, 0)


def test_a_vault_needs_a_token() -> None:
    twin = TokenTwin([JC])
    assert twin.birth(WINDOWS, b"\x07" * 20) == "token"


def test_behind_the_money_it_is_the_same_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_vault, "Twin", lambda people, others: TokenTwin(people))
    world = fuzz_vault.World(random.Random("tokens"))
    for _ in range(fuzz_vault.CALLS_IN_A_WORLD):
        world.step()
    world.wind_up()
    assert world.twin.accepted > 150
