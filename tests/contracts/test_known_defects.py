"""Defects verified in earlier contracts of this kind, and traps of this design: each is tried here and must fail."""

from __future__ import annotations

import pytest
from eth_hash.auto import keccak
from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env

from contracts.encoding import deal_id_query
from protocol.deal import Deal, Result, Ruling, Vote, Voucher
from protocol.eip712 import Domain, digest
from protocol.identity import show
from protocol.vault_calls import (
    Absent,
    Accuse,
    CastVotes,
    Contest,
    Deliver,
    Deposit,
    Draw,
    Finalize,
    Free,
    Join,
    Open,
    Payment,
    Redeem,
    Settle,
    Withdraw,
)
from protocol.vault_disputes import SEED_DELAY, jury_order
from protocol.vault_state import State
from tests.contracts.twin import BIRTH, Person, Twin, draft, drain, funded

JC, RP, THIEF = Person.number(1), Person.number(2), Person.number(3)
MEDIATORS = sorted((Person.number(n) for n in range(11, 18)), key=lambda person: person.address)
PURSE = 1_000_000
SEALED = b"\x05" * 32


def opened(**changes: object) -> tuple[Twin, Deal]:
    twin = funded([JC, RP, THIEF, *MEDIATORS], PURSE)
    deal = draft(JC, RP, twin.now, **changes)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    return twin, deal


def test_a_provider_that_vanishes_does_not_lock_the_payers_money() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + 51).do(JC, Absent(deal, None)) is None
    assert twin.at(twin.now + deal.answer + 1).do(JC, Finalize(deal)) is None
    drain(twin)


def test_a_payer_that_never_judges_does_not_keep_the_providers_pay() -> None:
    twin, deal = opened()
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.at(twin.now + deal.answer + 1).do(RP, Finalize(deal)) is None
    assert twin.model.account(RP.address).balance == PURSE + deal.pay + deal.jc_stake


def test_nobody_can_squat_on_a_deals_id() -> None:
    twin = funded([JC, RP, THIEF], PURSE)
    honest, squat = draft(JC, RP, twin.now), draft(JC, THIEF, twin.now)
    assert twin.do(THIEF, Open(squat, twin.sign(JC, squat))) is None
    assert honest.id(twin.domain) != squat.id(twin.domain)
    assert twin.do(RP, Open(honest, twin.sign(JC, honest))) is None


def test_a_dummy_deal_frees_no_money_of_another() -> None:
    twin, deal = opened()
    dummy = draft(JC, RP, twin.now, pay=0, jc_stake=0, rp_stake=0, fee=0, cheat=0, terms=b"\x01" * 32)
    assert twin.do(JC, Open(dummy, twin.sign(RP, dummy))) is None
    assert twin.do(JC, Settle((Payment(dummy, 0, final=True),))) is None
    assert twin.model.account(JC.address).locked == deal.jc_share
    assert twin.do(JC, Withdraw(PURSE - deal.jc_share + 1, JC.address)) == "not enough free"
    assert twin.do(JC, Settle((Payment(deal, deal.pay),))) is None


def test_a_party_never_judges_its_own_deal() -> None:
    members = sorted([JC, RP, MEDIATORS[0]], key=lambda person: person.address)
    pool = b"".join(member.address for member in members)
    twin, deal = opened(pool=keccak(pool))
    for member in members:
        assert twin.do(member, Join(1000)) is None
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.do(JC, Contest(deal, pool)) is None
    mine = members.index(JC)
    vote = twin.sign(JC, Vote(deal.id(twin.domain), 0, Ruling.WRONG, SEALED))
    assert twin.do(JC, CastVotes(deal, pool, Ruling.WRONG, SEALED, ((mine, vote),))) == "not their turn"


def test_a_result_after_the_grace_is_not_accepted() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + deal.grace + 1).do(RP, Deliver(deal, SEALED, None)) == "too late"
    assert twin.at(deal.claim_until).do(RP, Deliver(deal, SEALED, None)) == "too late"


@pytest.mark.parametrize("units", [0, 2**64 - 1])
def test_the_units_a_provider_reports_change_neither_pay_nor_stake(units: int) -> None:
    pool = b"".join(member.address for member in MEDIATORS[:3])
    twin, deal = opened(pool=keccak(pool))
    result = Result(deal.id(twin.domain), SEALED, 0, units)
    before = twin.model.account(RP.address)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), pool)) is None
    assert twin.model.account(RP.address) == before


def test_nobody_locks_or_moves_anothers_money() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    for call in (
        Settle((Payment(deal, deal.pay),)),
        Redeem(deal, 5, twin.sign(JC, Voucher(name, 5))),
        Absent(deal, None),
        Deliver(deal, SEALED, None),
        Withdraw(PURSE + 1, THIEF.address),
        Free(deal),
        Finalize(deal),
    ):
        assert twin.do(THIEF, call) is not None, call


def test_who_calls_draw_and_when_does_not_choose_the_jury() -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    juries = set()
    for caller, wait in ((JC, 1), (RP, 1), (JC, 7), (THIEF, 200)):
        twin, deal = opened(pool=keccak(pool), juror_stake=0)
        assert twin.do(RP, Deliver(deal, SEALED, None)) is None
        assert twin.do(JC, Contest(deal, b"")) is None
        seed = keccak(deal.id(twin.domain) + twin.block_hash(twin.block + SEED_DELAY))
        twin.block += SEED_DELAY + wait
        assert twin.do(caller, Draw(deal, pool)) is None
        sitting = twin.model.deal(deal).sitting
        assert sitting == sum(1 << seat for seat, _ in jury_order(pool, seed)[:3])
        juries.add(sitting)
    assert len(juries) == 1


def test_an_accuser_that_was_right_gets_its_bond_back_and_pays_no_fee() -> None:
    pool = b"".join(member.address for member in MEDIATORS[:3])
    twin, deal = opened(pool=keccak(pool), juror_stake=0)
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), pool)) is None
    vote = Vote(deal.id(twin.domain), 0, Ruling.WRONG, SEALED)
    votes = tuple((seat, twin.sign(MEDIATORS[seat], vote)) for seat in range(2))
    assert twin.do(JC, CastVotes(deal, pool, Ruling.WRONG, SEALED, votes)) is None
    assert twin.model.account(JC.address).balance == PURSE + deal.cheat - 2 * deal.fee


def test_a_deal_cannot_be_opened_again_after_it_ended() -> None:
    twin, deal = opened()
    assert twin.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    assert twin.do(RP, Open(deal, twin.sign(JC, deal))) == "not new"
    assert twin.do(RP, Redeem(deal, 5, twin.sign(JC, Voucher(deal.id(twin.domain), 5)))) == "no such claim"


def test_paying_never_frees_a_stake_that_may_still_be_lost() -> None:
    twin, deal = opened()
    assert twin.do(JC, Settle((Payment(deal, deal.pay),))) is None
    assert twin.model.account(RP.address).locked == deal.rp_share
    assert twin.do(RP, Free(deal)) == "too early"


def test_a_signature_for_one_vault_does_not_count_in_another() -> None:
    twin = funded([JC, RP], PURSE)
    deal = draft(JC, RP, twin.now)
    for elsewhere in (
        Domain(1, twin.domain.vault),
        Domain(1337, JC.address),
        Domain(1337, twin.domain.vault, version="2"),
    ):
        assert twin.do(JC, Open(deal, RP.sign(digest(elsewhere, deal)))) == "not signed"


def test_after_a_fork_of_the_chain_signatures_count_on_one_side_only() -> None:
    home = Twin([JC])
    code = bytes(home.evm.get_code(home.vault) or b"")
    assert code
    fork = EVM(env=Env(cfg=CfgEnv(chain_id=4242)))
    fork.insert_account_info(home.vault, AccountInfo(code=code))
    fork.set_block_env(BlockEnv(number=1, timestamp=BIRTH))
    deal = draft(JC, RP, BIRTH)
    name = bytes(fork.message_call(show(JC.address), home.vault, calldata=deal_id_query(deal)))
    assert name == deal.id(Domain(4242, home.domain.vault)) != deal.id(home.domain)


def test_moving_to_another_vault_while_deals_are_open_loses_nothing() -> None:
    old, deal = opened()
    new = Twin([JC, RP])
    free = old.model.account(JC.address).free
    assert old.do(JC, Withdraw(free, JC.address)) is None
    assert new.do(JC, Deposit(JC.address, free)) is None
    fresh = draft(JC, RP, new.now)
    assert new.do(RP, Deposit(RP.address, PURSE)) is None
    assert new.do(JC, Open(fresh, new.sign(RP, fresh))) is None
    assert old.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    assert old.do(RP, Withdraw(PURSE + deal.pay, RP.address)) is None
    assert old.do(JC, Withdraw(deal.jc_stake, JC.address)) is None
    assert old.model.account(JC.address).balance == 0
    assert new.model.deal(fresh).state is State.OPEN


def test_coins_forced_into_the_vault_belong_to_nobody_and_break_nothing() -> None:
    twin, deal = opened()
    twin.evm.set_balance(twin.vault, twin.evm.get_balance(twin.vault) + 12345)
    settle = Settle((Payment(deal, deal.pay, final=True),))
    twin._do_model(JC, settle)
    assert twin._do_bytecode(JC, settle) is None
    for person in (JC, RP):
        withdraw = Withdraw(twin.model.account(person.address).balance, person.address)
        twin._do_model(person, withdraw)
        assert twin._do_bytecode(person, withdraw) is None
    assert twin.evm.get_balance(twin.vault) == twin.model.total() + 12345
