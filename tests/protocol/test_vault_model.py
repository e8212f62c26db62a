"""The model vault by itself: words keep what they hold, and it is fast enough to be a simulator's ledger."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.deal import Deal
from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.vault import Vault
from protocol.vault_book import Call, Refused, Windows
from protocol.vault_calls import Deposit, Open, Payment, Settle, Withdraw, perform
from protocol.vault_disputes import jury_order
from protocol.vault_state import Account, DealState, Flag, Mediator, Outcome, State

NOW = 1_800_000_000
JC, RP = Address(b"\x01" * 20), Address(b"\x02" * 20)
DOMAIN = Domain(1337, Address(b"\x09" * 20))
SEATS, MOMENTS = st.integers(0, 2**24 - 1), st.integers(0, 2**40 - 1)


def named(hash_: bytes, signature: bytes) -> Address:
    """A cheap stand-in for signatures: the signer's address, said aloud."""
    return Address(signature)


def a_vault() -> Vault:
    vault = Vault(DOMAIN, Windows(60, 600), named, lambda number: bytes(32))
    for who in (JC, RP):
        perform(vault, Call(who, NOW), Deposit(who, 10**12))
    return vault


def a_deal(number: int = 0) -> Deal:
    return Deal(
        jc=JC,
        rp=RP,
        pay=1000,
        jc_stake=200,
        rp_stake=1000,
        cheat=10_000,
        fee=100,
        juror_stake=500,
        start_by=NOW + 100,
        deliver_by=NOW + 200,
        claim_until=NOW + 1000,
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
        terms=(number + 1).to_bytes(32, "big"),
    )


@given(
    st.builds(
        DealState,
        st.sampled_from(State),
        st.integers(0, 127).map(Flag),
        MOMENTS,
        MOMENTS,
        SEATS,
        SEATS,
        SEATS,
        SEATS,
        SEATS,
        st.sampled_from(Outcome),
        SEATS,
    )
)
def test_a_deals_word_holds_everything_about_it(state: DealState) -> None:
    assert DealState.of(state.word()) == state
    assert state.word() < 2**256


@given(st.integers(0, 2**96), st.integers(0, 2**96), MOMENTS)
def test_words_of_accounts_and_mediators_hold_what_they_are_given(low: int, high: int, moment: int) -> None:
    assert Account.of(Account(low, high).word()) == Account(low, high)
    mediator = Mediator(low % 2**96, high % 2**96, moment)
    assert Mediator.of(mediator.word()) == mediator


@given(st.binary(min_size=32, max_size=32), st.integers(1, 24))
def test_a_jurys_order_is_a_shuffle_of_the_pool(seed: bytes, size: int) -> None:
    pool = b"".join(bytes([n]) * 20 for n in range(size))
    order = jury_order(pool, seed)
    assert sorted(order) == [(n, bytes([n]) * 20) for n in range(size)]


def test_every_seat_of_a_pool_is_drawn_about_equally_often() -> None:
    pool = b"".join(bytes([n]) * 20 for n in range(7))
    firsts = [jury_order(pool, n.to_bytes(32, "big"))[0][0] for n in range(1400)]
    assert all(140 < firsts.count(seat) < 260 for seat in range(7))


def test_what_is_refused_changes_nothing() -> None:
    vault = a_vault()
    before = dict(vault.accounts), dict(vault.deals), vault.held
    for call in (Withdraw(10**12 + 1, JC), Open(a_deal(), JC), Open(replace(a_deal(), pay=10**12, cheat=10**13), RP)):
        with pytest.raises(Refused):
            perform(vault, Call(JC, NOW), call)
    assert (vault.accounts, vault.deals, vault.held) == before


def test_thousands_of_calls_a_second() -> None:
    vault = a_vault()
    began = time.perf_counter()
    for number in range(1000):
        deal = a_deal(number)
        perform(vault, Call(JC, NOW), Open(deal, RP))
        perform(vault, Call(JC, NOW), Settle((Payment(deal, 1000, final=True),)))
    rate = 2000 / (time.perf_counter() - began)
    print(f"{rate:,.0f} calls a second")
    assert vault.account(RP).balance == 10**12 + 1_000_000
    assert rate > 1000
