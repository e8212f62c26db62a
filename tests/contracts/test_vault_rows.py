"""Every row of the outcome table without a jury, on model and bytecode at once: who ends with what, to the unit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from contracts.encoding import compact, deal_words, encode_call
from protocol.deal import Bill, Deal, Receipt, Release, Started, Voucher
from protocol.eip712 import layout
from protocol.vault_batches import MAX_LOCK
from protocol.vault_book import Windows
from protocol.vault_calls import (
    Absent,
    Delegate,
    Deliver,
    Deposit,
    Finalize,
    Free,
    NoInputs,
    Open,
    Part,
    Payment,
    Redeem,
    Settle,
    Transfer,
    Withdraw,
)
from protocol.vault_state import Outcome, State
from tests.contracts.twin import BIRTH, Person, Twin, draft, drain, funded

JC, RP, OTHER, TOWER = (Person.number(n) for n in (1, 2, 3, 4))
PURSE = 1_000_000
SEALED = b"\x05" * 32


def opened(**changes: object) -> tuple[Twin, Deal]:
    twin = funded([JC, RP, OTHER, TOWER], PURSE)
    deal = draft(JC, RP, twin.now, **changes)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    return twin, deal


def gains(twin: Twin) -> tuple[int, int]:
    """What the two parties won or lost, with nothing left locked."""
    accounts = [twin.model.account(person.address) for person in (JC, RP)]
    assert all(account.locked == 0 for account in accounts)
    return accounts[0].balance - PURSE, accounts[1].balance - PURSE


def test_all_is_well_and_the_providers_stake_is_free_when_the_payer_says_final() -> None:
    twin, deal = opened()
    assert twin.do(JC, Settle((Payment(deal, 1000, final=True),))) is None
    assert gains(twin) == (-1000, 1000)
    assert twin.model.deal(deal).outcome is Outcome.DONE
    drain(twin)


def test_all_is_well_and_the_providers_stake_waits_until_nobody_can_accuse() -> None:
    twin, deal = opened()
    assert twin.do(JC, Settle((Payment(deal, 1000),))) is None
    assert twin.model.account(RP.address).locked == deal.rp_share
    assert twin.at(deal.claim_until).do(OTHER, Free(deal)) == "too early"
    assert twin.at(deal.claim_until + 1).do(OTHER, Free(deal)) is None
    assert gains(twin) == (-1000, 1000)


def test_a_bill_below_the_pay_needs_the_providers_signature() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    forged = Payment(deal, 700, twin.sign(JC, Bill(name, 700)))
    assert twin.do(JC, Settle((forged,))) == "not signed"
    assert twin.do(JC, Settle((Payment(deal, 700, twin.sign(RP, Bill(name, 700)), final=True),))) is None
    assert gains(twin) == (-700, 700)


def test_a_deal_settled_meanwhile_is_skipped_and_the_others_are_paid() -> None:
    twin, first = opened()
    second = draft(JC, OTHER, twin.now)
    assert twin.do(OTHER, Open(second, twin.sign(JC, second))) is None
    name = first.id(twin.domain)
    assert twin.do(RP, Redeem(first, 400, twin.sign(JC, Voucher(name, 400)))) is None
    never = draft(JC, TOWER, twin.now)
    batch = Settle((Payment(first, 1000), Payment(second, 1000), Payment(second, 1000), Payment(never, 1000)))
    assert twin.do(JC, batch) is None
    assert twin.model.account(RP.address).balance == PURSE + 400
    assert twin.model.account(OTHER.address).balance == PURSE + 1000
    assert twin.model.account(JC.address) == type(twin.model.account(JC.address))(PURSE - 1400, 0)


def test_the_bills_of_one_call_are_taken_in_order() -> None:
    twin, first = opened()
    others = [draft(JC, OTHER, twin.now, terms=bytes([n]) * 32) for n in (3, 4, 5)]
    for deal in others:
        assert twin.do(JC, Open(deal, twin.sign(OTHER, deal))) is None
    amounts = {first: 700, others[0]: 1000, others[1]: 0, others[2]: 999}
    signers = {first: RP, others[1]: OTHER, others[2]: OTHER}
    payments = [
        Payment(deal, amount, twin.sign(signers[deal], Bill(deal.id(twin.domain), amount)) if amount < 1000 else None)
        for deal, amount in amounts.items()
    ]
    assert twin.do(JC, Settle(tuple(payments))) is None
    assert [twin.model.account(who.address).balance - PURSE for who in (JC, RP, OTHER)] == [-2699, 700, 1999]


def test_a_bond_of_one_unit_is_lost_like_any_other() -> None:
    twin, deal = opened(fee=1, jurors=1, quorum=1)
    assert twin.at(deal.deliver_by + deal.grace + 1).do(JC, Absent(deal, None)) is None
    receipt = twin.sign(JC, Receipt(deal.id(twin.domain), SEALED))
    assert twin.do(RP, Deliver(deal, SEALED, receipt)) is None
    assert twin.do(JC, Settle((Payment(deal, 1000, final=True),))) is None
    assert gains(twin) == (-1001, 1001)


def test_at_the_last_moment_for_a_claim_a_delivery_by_silence_can_still_be_accused() -> None:
    for late, state in ((0, State.OPEN), (1, State.CLOSED)):
        twin, deal = opened()
        assert twin.do(RP, Deliver(deal, SEALED, None)) is None
        assert twin.at(deal.claim_until + late).do(RP, Finalize(deal)) is None
        assert twin.model.deal(deal).state is state


def test_only_the_payer_settles() -> None:
    twin, deal = opened()
    assert twin.do(RP, Settle((Payment(deal, 1000, final=True),))) == "not the payer"


def test_a_voucher_pays_once() -> None:
    twin, deal = opened()
    voucher = twin.sign(JC, Voucher(deal.id(twin.domain), 900))
    assert twin.do(RP, Redeem(deal, 901, voucher)) == "not signed"
    assert twin.do(OTHER, Redeem(deal, 900, voucher)) == "not a party"
    assert twin.do(RP, Redeem(deal, 900, voucher)) is None
    assert twin.do(RP, Redeem(deal, 900, voucher)) == "paid"
    assert twin.at(deal.claim_until + 1).do(RP, Free(deal)) is None
    assert gains(twin) == (-900, 900)


def test_a_provider_that_vanishes_loses_its_timeout_stake() -> None:
    twin, deal = opened()
    late = deal.deliver_by + deal.grace
    assert twin.at(late).do(JC, Absent(deal, None)) == "too early"
    assert twin.at(late + 1).do(JC, Absent(deal, None)) is None
    assert twin.model.account(JC.address).locked == deal.jc_share + 300
    assert twin.at(late + 1 + deal.answer).do(OTHER, Finalize(deal)) == "too early"
    assert twin.at(late + 2 + deal.answer).do(OTHER, Finalize(deal)) is None
    assert gains(twin) == (deal.rp_stake, -deal.rp_stake)
    assert twin.model.deal(deal).outcome is Outcome.VANISHED
    drain(twin)


def test_inputs_that_never_arrive_let_the_deal_lapse() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + 51).do(JC, Absent(deal, None)) is None
    assert twin.do(OTHER, NoInputs(deal)) == "not a party"
    assert twin.at(twin.now + deal.answer).do(RP, NoInputs(deal)) is None
    assert gains(twin) == (0, 0)
    assert twin.model.deal(deal).outcome is Outcome.LAPSED


def test_a_provider_that_signed_started_has_no_way_out_by_missing_inputs() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    twin.at(deal.deliver_by + 51)
    assert twin.do(JC, Absent(deal, twin.sign(JC, Started(name)))) == "not signed"
    assert twin.do(JC, Absent(deal, twin.sign(RP, Started(name)))) is None
    assert twin.do(RP, NoInputs(deal)) == "it had started"
    assert twin.at(twin.now + deal.answer + 1).do(RP, NoInputs(deal)) == "too late"


def test_a_voucher_answers_a_claim_of_absence_and_keeps_the_bond() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + 51).do(JC, Absent(deal, None)) is None
    voucher = twin.sign(JC, Voucher(deal.id(twin.domain), 1000))
    assert twin.at(twin.now + deal.answer).do(RP, Redeem(deal, 1000, voucher)) is None
    assert twin.at(deal.claim_until + 1).do(OTHER, Free(deal)) is None
    assert gains(twin) == (-1300, 1300)


def test_a_receipt_answers_a_claim_of_absence_and_the_payer_must_pay_or_contest() -> None:
    twin, deal = opened()
    receipt = twin.sign(JC, Receipt(deal.id(twin.domain), SEALED))
    assert twin.at(deal.claim_until).do(JC, Absent(deal, None)) is None
    assert twin.do(RP, Deliver(deal, SEALED, None)) == "no receipt"
    assert twin.at(twin.now + deal.answer).do(RP, Deliver(deal, SEALED, receipt)) is None
    assert twin.model.deal(deal).state is State.DELIVERED
    assert twin.at(twin.now + deal.answer + 1).do(OTHER, Finalize(deal)) is None
    assert gains(twin) == (-1000 - 200 - 300, 1500)


def test_a_payer_that_vanishes_after_delivery_pays_and_loses_its_stake() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + deal.grace).do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.do(JC, Absent(deal, None)) == "not open"
    assert twin.at(twin.now + deal.answer + 1).do(RP, Finalize(deal)) is None
    assert twin.model.account(RP.address).locked == deal.rp_share, "it can still be accused"
    assert twin.at(deal.claim_until + 1).do(RP, Free(deal)) is None
    assert gains(twin) == (-1200, 1200)


def test_a_payer_that_answers_a_delivery_in_time_keeps_its_stake() -> None:
    twin, deal = opened()
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    twin.at(twin.now + deal.answer)
    assert twin.do(JC, Settle((Payment(deal, 1000, final=True),))) is None
    assert gains(twin) == (-1000, 1000)


def test_a_payer_that_answers_a_delivery_a_second_late_is_skipped() -> None:
    twin, deal = opened()
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    twin.at(twin.now + deal.answer + 1)
    assert twin.do(JC, Settle((Payment(deal, 1000, final=True),))) is None
    assert twin.model.deal(deal).state is State.DELIVERED


def test_a_late_delivery_without_a_receipt_does_not_count() -> None:
    twin, deal = opened()
    twin.at(deal.deliver_by + deal.grace + 1)
    assert twin.do(RP, Deliver(deal, SEALED, None)) == "too late"
    stolen = twin.sign(RP, Receipt(deal.id(twin.domain), SEALED))
    assert twin.do(RP, Deliver(deal, SEALED, stolen)) == "not signed"
    receipt = twin.sign(JC, Receipt(deal.id(twin.domain), SEALED))
    assert twin.at(deal.claim_until).do(RP, Deliver(deal, SEALED, receipt)) is None


def test_both_can_part_at_any_moment_with_what_they_agree_on() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    assert twin.do(RP, Part(deal, 300, twin.sign(RP, Release(name, 300)))) == "not signed"
    assert twin.do(OTHER, Part(deal, 300, twin.sign(JC, Release(name, 300)))) == "not a party"
    assert twin.do(RP, Part(deal, 1001, twin.sign(JC, Release(name, 1001)))) == "amount"
    assert twin.do(RP, Part(deal, 300, twin.sign(JC, Release(name, 300)))) is None
    assert twin.do(RP, Part(deal, 300, twin.sign(JC, Release(name, 300)))) == "not open"
    assert gains(twin) == (-300, 300)


def test_parting_after_payment_frees_the_providers_stake_and_pays_nothing_more() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    assert twin.do(JC, Settle((Payment(deal, 1000),))) is None
    for more in (1, 300):
        assert twin.do(RP, Part(deal, more, twin.sign(JC, Release(name, more)))) == "amount"
    assert twin.do(RP, Part(deal, 0, twin.sign(JC, Release(name, 0)))) is None
    assert gains(twin) == (-1000, 1000)


def test_a_deal_nobody_claims_anything_about_goes_home() -> None:
    twin, deal = opened()
    assert twin.at(deal.claim_until + 1).do(OTHER, Free(deal)) is None
    assert gains(twin) == (0, 0)
    assert twin.do(OTHER, Free(deal)) == "not open"
    assert twin.do(OTHER, Finalize(deal)) == "no such claim"


def test_a_watchtower_claims_and_answers_but_is_never_paid() -> None:
    twin, deal = opened()
    assert twin.at(deal.deliver_by + 51).do(TOWER, Absent(deal, None)) == "not a party"
    assert twin.do(JC, Delegate(TOWER.address, True)) is None
    assert twin.do(RP, Delegate(TOWER.address, True)) is None
    assert twin.do(TOWER, Absent(deal, None)) is None
    voucher = twin.sign(JC, Voucher(deal.id(twin.domain), 1000))
    assert twin.do(RP, Delegate(TOWER.address, False)) is None
    assert twin.do(TOWER, Redeem(deal, 1000, voucher)) == "not a party"
    assert twin.do(RP, Delegate(TOWER.address, True)) is None
    assert twin.do(TOWER, Redeem(deal, 1000, voucher)) is None
    assert twin.model.account(TOWER.address).balance == PURSE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start_by": BIRTH - 1}, "too late"),
        ({"start_by": BIRTH}, None),
        ({"claim_until": BIRTH + MAX_LOCK}, None),
        ({"claim_until": BIRTH + MAX_LOCK + 1}, "too long"),
        ({"start_by": BIRTH + 199}, None),
        ({"start_by": BIRTH + 200}, "order of time"),
        ({"grace": 0}, "order of time"),
        ({"grace": MAX_LOCK + 1}, "order of time"),
        ({"grace": 799}, None),
        ({"grace": 800}, "order of time"),
        ({"deliver_by": BIRTH + 1000}, "order of time"),
        ({"answer": 59}, "window"),
        ({"answer": 60}, None),
        ({"answer": 600}, None),
        ({"answer": 601}, "window"),
        ({"judge": 59}, "window"),
        ({"judge": 601}, "window"),
        ({"appeal": 59}, "window"),
        ({"appeal": 60}, None),
        ({"appeal": 601}, "window"),
        ({"jurors": 4}, "jury"),
        ({"quorum": 4}, "jury"),
        ({"quorum": 3}, None),
        ({"jurors": 0, "quorum": 0}, "jury"),
        ({"jurors": 24, "quorum": 13}, None),
        ({"jurors": 25, "quorum": 13}, "jury"),
        ({"silence": 2}, None),
        ({"silence": 3}, "jury"),
        ({"cheat": 1299}, "collateral"),
        ({"cheat": 1300}, None),
        ({"jc_seat": 1}, "seat"),
        ({"rp_seat": 1}, "seat"),
        ({"rp": JC.address}, "one party"),
        ({"rp": TOWER.address}, "not signed"),
        ({"jc": TOWER.address}, "not a party"),
        ({"pay": PURSE - 200, "cheat": PURSE * 2}, "not enough free"),
        ({"cheat": PURSE - 1000}, None),
        ({"cheat": PURSE - 999}, "not enough free"),
        ({"jc_stake": PURSE - 1000}, None),
        ({"jc_stake": PURSE - 999}, "not enough free"),
    ],
)
def test_the_vault_takes_only_deals_that_can_end_well(changes: dict[str, object], reason: str | None) -> None:
    twin = funded([JC, RP, TOWER], PURSE)
    deal = replace(draft(JC, RP, twin.now), **changes)  # type: ignore[arg-type]
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) == reason


def test_a_deal_is_opened_once_by_either_party() -> None:
    twin = funded([JC, RP, OTHER], PURSE)
    deal = draft(JC, RP, twin.now)
    assert twin.do(OTHER, Open(deal, twin.sign(JC, deal))) == "not a party"
    assert twin.do(RP, Open(deal, twin.sign(JC, deal))) is None
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) == "not new"


def test_a_malleable_signature_is_none() -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    twin = funded([JC, RP], PURSE)
    deal = draft(JC, RP, twin.now)
    good = twin.sign(RP, deal)
    high = order - int.from_bytes(good[32:64], "big")
    parity = 1 - (good[64] - 27)
    bad = good[:32] + (high | parity << 255).to_bytes(32, "big")
    assert twin.do(JC, Open(deal, bad)) == "not signed"
    assert twin.do(JC, Open(deal, bytes(64))) == "not signed"


def test_money_moves_only_while_it_is_free() -> None:
    twin, deal = opened()
    free = PURSE - deal.jc_share
    assert twin.do(JC, Withdraw(free + 1, JC.address)) == "not enough free"
    assert twin.do(JC, Transfer(OTHER.address, free + 1)) == "not enough free"
    assert twin.do(JC, Transfer(OTHER.address, 10)) is None
    assert twin.do(OTHER, Transfer(OTHER.address, 10)) is None
    assert twin.do(JC, Withdraw(free - 10, OTHER.address)) is None
    assert twin.do(OTHER, Deposit(JC.address, 0)) is None


@pytest.mark.parametrize("name", ["pay", "jc_stake", "rp_stake", "cheat", "fee", "juror_stake"])
def test_an_amount_beyond_its_type_is_refused_whatever_is_signed(name: str) -> None:
    twin = funded([JC, RP], PURSE)
    plan = layout(Deal)
    raw = deal_words(draft(JC, RP, twin.now))
    words = [raw[at : at + 32] for at in range(0, len(raw), 32)]
    words[[field for field, _ in plan.fields].index(name)] = (1 << 96).to_bytes(32, "big")
    struct = keccak(plan.hash + b"".join(words))
    signature = compact(RP.sign(keccak(b"\x19\x01" + twin.domain.separator() + struct)))
    selector = encode_call(Open(draft(JC, RP, twin.now), bytes(64)))[0][:4]
    assert twin.send(JC, selector + b"".join(words) + signature) == "amount"


def test_a_line_is_one_deal_whose_vouchers_name_the_running_total() -> None:
    twin, line = opened(pay=100_000, cheat=110_000)
    name = line.id(twin.domain)
    vouchers = [twin.sign(JC, Voucher(name, 1000 * job)) for job in range(1, 101)]
    bill = twin.sign(RP, Bill(name, 40_000))
    assert twin.do(RP, Redeem(line, 40_000, vouchers[38])) == "not signed"
    assert twin.do(JC, Settle((Payment(line, 40_000, bill, final=True),))) is None
    assert gains(twin) == (-40_000, 40_000)


def test_the_vault_takes_no_more_than_its_fields_hold() -> None:
    twin = Twin([JC, RP], 1 << 97)
    assert twin.do(JC, Deposit(JC.address, 1 << 96)) == "too much"
    assert twin.do(JC, Deposit(JC.address, (1 << 96) - 1)) is None
    assert twin.do(RP, Deposit(RP.address, 1)) == "too much"
    assert twin.do(RP, Deposit(RP.address, 0)) is None


def test_a_settlement_has_as_many_amounts_as_deals() -> None:
    twin = funded([JC, RP], PURSE)
    selector = encode_call(Settle(()))[0][:4]
    told = (128, 160, 224, 0, 0, 1, 5, 0)
    assert twin.send(JC, selector + b"".join(word.to_bytes(32, "big") for word in told)) == "lengths"


@pytest.mark.parametrize(
    ("windows", "reason"),
    [((0, 600), "windows"), ((61, 60), "windows"), ((1, 30 * 86400), None), ((1, 30 * 86400 + 1), "windows")],
)
def test_a_vault_is_born_with_sensible_windows_only(windows: tuple[int, int], reason: str | None) -> None:
    assert Twin([JC]).birth(Windows(*windows)) == reason
