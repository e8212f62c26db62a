"""Attacks on the vault, each tried on model and bytecode; in none does anybody get, or lose, what is not its due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from pyrevm import EVM, AccountInfo, BlockEnv, CfgEnv, Env

from contracts.build import compiled
from contracts.encoding import accounts_query, compact, deal_words, encode_call, words
from protocol.deal import Bill, Deal, Receipt, Release, Result, Ruling, Started, Vote, Voucher
from protocol.eip712 import Domain, digest
from protocol.identity import Address, show
from protocol.vault_calls import (
    Absent,
    Accuse,
    CastVotes,
    Commit,
    Contest,
    Delegate,
    Deliver,
    Deposit,
    Draw,
    Enter,
    Expose,
    Finalize,
    Free,
    Join,
    NoInputs,
    Open,
    Part,
    Payment,
    Redeem,
    Settle,
    SettleLock,
    Transfer,
    VaultCall,
    Withdraw,
)
from protocol.vault_disputes import SEED_DELAY, Ballot
from protocol.vault_state import Account, Flag, Outcome, State
from protocol.vault_tree import SeatName, Tree, payer_leaf, provider_leaf
from tests.contracts.bytecode import reason_of
from tests.contracts.test_batch_rows import UNTIL, Market
from tests.contracts.twin import BIRTH, Person, Twin, draft, drain, funded

JC, RP, THIEF, TOWER = (Person.number(n) for n in (1, 2, 3, 4))
MEDIATORS = sorted((Person.number(n) for n in range(11, 18)), key=lambda person: person.address)
NAMED = b"".join(member.address for member in MEDIATORS[:3])
PURSE = 1_000_000
SEALED, OTHER_SEAL = b"\x05" * 32, b"\x06" * 32
MAX96 = (1 << 96) - 1
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def opened(**changes: object) -> tuple[Twin, Deal]:
    twin = funded([JC, RP, THIEF, TOWER, *MEDIATORS], PURSE)
    deal = draft(JC, RP, twin.now, **{"pool": keccak(NAMED), "juror_stake": 0, **changes})
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    return twin, deal


# code that is paid and calls back


@cache
def _thief_code() -> bytes:
    source = Path(__file__).with_name("thief.vy").read_text()
    return bytes.fromhex(compiled(source, {"optimize": "gas", "evm_version": "cancun"})["bytecode"][2:])


@pytest.mark.parametrize(
    ("mode", "reason", "left"),
    [(1, "", 100), (2, "", 100), (3, "", 100), (4, "", 100), (5, None, 100), (0, None, 0)],
)
def test_a_payee_that_calls_back_gets_its_own_and_no_more(mode: int, reason: str | None, left: int) -> None:
    twin = funded([JC, RP], PURSE)
    where = twin.vault[2:].rjust(64, "0")
    thief = twin.evm.deploy(show(JC.address), _thief_code() + bytes.fromhex(where), value=1000)

    def ask(signature: str, *values: int) -> None:
        payload = keccak(signature.encode())[:4] + b"".join(value.to_bytes(32, "big") for value in values)
        twin.evm.message_call(show(JC.address), thief, calldata=payload, gas=10**6)

    ask("put(uint256)", 100)
    if reason is None:
        ask("take(uint256,uint256)", 100, mode)
    else:
        with pytest.raises(RuntimeError):
            ask("take(uint256,uint256)", 100, mode)
    mine = words(twin.view(accounts_query([Address(bytes.fromhex(thief[2:]))])), 1)[0]
    assert Account.of(mine) == Account(left, 0)
    assert twin.held() == 2 * PURSE + left, "nobody else's coins moved"
    assert twin.evm.get_balance(thief) == 1000 - left


# signatures


_AMOUNTS = {"voucher": Voucher, "bill": Bill, "release": Release}


@pytest.mark.parametrize(("wanted", "signed"), list(permutations(_AMOUNTS, 2)))
def test_a_signature_for_one_purpose_does_not_serve_another(wanted: str, signed: str) -> None:
    twin, deal = opened()
    struct = _AMOUNTS[signed](deal.id(twin.domain), 600)
    uses: dict[str, Callable[[], str | None]] = {
        "voucher": lambda: twin.do(RP, Redeem(deal, 600, twin.sign(JC, struct))),
        "bill": lambda: twin.do(JC, Settle((Payment(deal, 600, twin.sign(RP, struct)),))),
        "release": lambda: twin.do(JC, Part(deal, 600, twin.sign(RP, struct))),
    }
    assert uses[wanted]() == "not signed"


def test_what_is_signed_for_one_deal_counts_in_no_other() -> None:
    twin, deal = opened()
    other = replace(deal, terms=b"\x01" * 32)
    assert twin.do(JC, Open(other, twin.sign(RP, other))) is None
    name = deal.id(twin.domain)
    late = deal.deliver_by + deal.grace + 1
    result = Result(name, SEALED, 0, 1)
    assert twin.do(RP, Redeem(other, 600, twin.sign(JC, Voucher(name, 600)))) == "not signed"
    assert twin.do(JC, Settle((Payment(other, 600, twin.sign(RP, Bill(name, 600))),))) == "not signed"
    assert twin.do(JC, Part(other, 0, twin.sign(RP, Release(name, 0)))) == "not signed"
    assert twin.do(RP, Deliver(other, SEALED, twin.sign(JC, Receipt(name, SEALED)))) == "not signed"
    assert twin.do(JC, Accuse(other, result, twin.sign(RP, result), NAMED)) == "not signed"
    assert twin.at(late).do(JC, Absent(other, twin.sign(RP, Started(name)))) == "not signed"


def test_a_signature_of_nobody_opens_no_deal_with_nobody() -> None:
    twin = funded([JC, RP], PURSE)
    deal = replace(draft(JC, RP, twin.now), rp=Address(bytes(20)), rp_stake=0, cheat=0, pay=0, fee=0)
    for garbage in (bytes(64), b"\xff" * 32 + bytes(32), bytes(32) + b"\x01" * 32):
        assert twin.do(JC, Open(deal, garbage)) == "not signed"
    beyond = b"\x01" * 32 + (HALF_ORDER + 1).to_bytes(32, "big")
    assert twin.do(JC, Open(draft(JC, RP, twin.now), beyond)) == "not signed"


def test_on_a_fork_with_another_id_old_signatures_are_refused_and_new_ones_count() -> None:
    home = funded([JC, RP], PURSE)
    fork = EVM(env=Env(cfg=CfgEnv(chain_id=4242)))
    fork.insert_account_info(home.vault, AccountInfo(code=bytes(home.evm.get_code(home.vault) or b"")))
    fork.set_block_env(BlockEnv(number=1001, timestamp=BIRTH))

    def send(by: Person, call: VaultCall) -> str | None:
        payload, value = encode_call(call)
        try:
            fork.message_call(show(by.address), home.vault, calldata=payload, value=value)
        except RuntimeError as error:
            return reason_of(str(error))
        return None

    for person in (JC, RP):
        fork.set_balance(show(person.address), PURSE)
        assert send(person, Deposit(person.address, PURSE)) is None
    deal = draft(JC, RP, BIRTH)
    assert send(JC, Open(deal, home.sign(RP, deal))) == "not signed"
    there = Domain(4242, home.domain.vault)
    assert send(JC, Open(deal, RP.sign(digest(there, deal)))) is None
    voucher = Voucher(deal.id(home.domain), 5)
    assert send(RP, Redeem(deal, 5, home.sign(JC, voucher))) == "not signed"
    assert send(RP, Redeem(deal, 5, JC.sign(digest(there, Voucher(deal.id(there), 5))))) is None
    assert home.do(JC, Open(deal, home.sign(RP, deal))) is None, "at home nothing happened"


def test_one_vote_is_not_another_rounds_nor_another_deals() -> None:
    twin, deal = opened()
    other = replace(deal, terms=b"\x01" * 32)
    assert twin.do(JC, Open(other, twin.sign(RP, other))) is None
    for one in (deal, other):
        result = Result(one.id(twin.domain), SEALED, 0, 1)
        assert twin.do(JC, Accuse(one, result, twin.sign(RP, result), NAMED)) is None
    name = deal.id(twin.domain)

    def ballot(of: bytes, turn: int, ruling: int) -> Ballot:
        return Ballot(ruling, SEALED, twin.sign(MEDIATORS[0], Vote(of, turn, ruling, SEALED)))

    here = ballot(name, 0, Ruling.RIGHT)
    for elsewhere in (ballot(name, 1, Ruling.WRONG), ballot(other.id(twin.domain), 0, Ruling.WRONG)):
        assert twin.do(RP, Expose(deal, NAMED, 0, here, elsewhere)) == "not signed"
        votes = ((0, elsewhere.signature),)
        assert twin.do(RP, CastVotes(deal, NAMED, Ruling.WRONG, SEALED, votes)) == "not signed"
    promise = Ballot(0, bytes(32), twin.sign(MEDIATORS[0], Vote(name, 0, 0, bytes(32))))
    assert twin.do(RP, Expose(deal, NAMED, 0, here, promise)) == "no vote", "a promise and a vote are no contradiction"


def test_one_juror_shown_twice_is_one_vote() -> None:
    twin, deal = opened()
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), NAMED)) is None
    vote = twin.sign(MEDIATORS[0], Vote(deal.id(twin.domain), 0, Ruling.WRONG, SEALED))
    ballots = CastVotes(deal, NAMED, Ruling.WRONG, SEALED, ((0, vote), (1, vote)))
    assert twin.do(JC, ballots) == "not signed"
    once = CastVotes(deal, NAMED, Ruling.WRONG, SEALED, ((0, vote),))
    assert twin.do(JC, once) is None
    assert twin.do(JC, once) == "not their turn"
    assert twin.model.deal(deal).state is State.JURY


# who may do what


def test_a_delegate_makes_and_answers_claims_and_nothing_else() -> None:
    twin, deal = opened()
    for party in (JC, RP):
        assert twin.do(party, Delegate(TOWER.address, True)) is None
    fresh = replace(deal, terms=b"\x01" * 32)
    before = twin.model.account(JC.address), twin.model.account(RP.address), twin.model.account(TOWER.address)
    assert twin.do(TOWER, Open(fresh, twin.sign(RP, fresh))) == "not a party"
    assert twin.do(TOWER, Settle((Payment(deal, deal.pay),))) == "not the payer"
    assert twin.do(TOWER, Part(deal, 0, twin.sign(RP, Release(deal.id(twin.domain), 0)))) == "not a party"
    assert twin.do(TOWER, Withdraw(PURSE + 1, TOWER.address)) == "not enough free"
    assert twin.do(TOWER, Commit(0, bytes(32), PURSE + 1, twin.now)) == "not enough free"
    assert twin.do(TOWER, Join(PURSE + 1)) == "not enough free"
    assert before == tuple(twin.model.account(who.address) for who in (JC, RP, TOWER))
    assert twin.do(JC, Delegate(TOWER.address, False)) is None
    assert twin.at(deal.deliver_by + deal.grace + 1).do(TOWER, Absent(deal, None)) == "not a party"


def test_a_stranger_with_everybodys_signatures_still_speaks_for_nobody() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    result = Result(name, SEALED, 0, 1)
    for call in (
        Redeem(deal, 600, twin.sign(JC, Voucher(name, 600))),
        Settle((Payment(deal, 600, twin.sign(RP, Bill(name, 600))),)),
        Part(deal, 600, twin.sign(JC, Release(name, 600))),
        Deliver(deal, SEALED, twin.sign(JC, Receipt(name, SEALED))),
        Accuse(deal, result, twin.sign(RP, result), NAMED),
    ):
        assert twin.do(THIEF, call) in ("not a party", "not the payer")


# front-running


def test_the_same_deal_opened_by_the_other_side_first_costs_the_second_nothing() -> None:
    twin = funded([JC, RP], PURSE)
    deal = draft(JC, RP, twin.now)
    mine, theirs = Open(deal, twin.sign(RP, deal)), Open(deal, twin.sign(JC, deal))
    assert twin.do(RP, theirs) is None
    before = twin.model.account(JC.address)
    assert twin.do(JC, mine) == "not new"
    assert twin.model.account(JC.address) == before


def test_a_provider_that_claims_delivery_to_stop_an_accusation_is_contested_at_the_same_price() -> None:
    twin, deal = opened()
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), NAMED)) == "not open"
    assert twin.do(JC, Contest(deal, NAMED)) is None
    assert twin.model.account(JC.address).locked == deal.jc_share + 3 * deal.fee


def test_a_payment_sent_just_before_does_not_stop_an_accusation() -> None:
    twin, deal = opened()
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(RP, Redeem(deal, 1, twin.sign(JC, Voucher(deal.id(twin.domain), 1)))) is None
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), NAMED)) is None


def test_whoever_ends_a_claim_it_ends_the_same() -> None:
    ends = set()
    for by in (JC, RP, THIEF):
        twin, deal = opened()
        assert twin.at(deal.deliver_by + deal.grace + 1).do(JC, Absent(deal, None)) is None
        assert twin.at(twin.model.deal(deal).deadline + 1).do(by, Finalize(deal)) is None
        ends.add(tuple(twin.model.account(who.address) for who in (JC, RP, THIEF)))
    assert len(ends) == 1


def test_one_deal_shown_many_times_in_one_payment_is_paid_once() -> None:
    twin, deal = opened()
    bill = twin.sign(RP, Bill(deal.id(twin.domain), 600))
    twice = Settle((Payment(deal, 600, bill), Payment(deal, deal.pay), Payment(deal, 600, bill, final=True)))
    assert twin.do(JC, twice) is None
    assert twin.model.account(RP.address) == Account(PURSE + 600, deal.rp_share)


# moments


def _absent(twin: Twin, deal: Deal) -> None:
    assert twin.at(deal.deliver_by + deal.grace + 1).do(JC, Absent(deal, None)) is None


def _delivered(twin: Twin, deal: Deal) -> None:
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None


def _answers(twin: Twin, deal: Deal) -> dict[str, tuple[Callable[[Twin, Deal], None], Person, object]]:
    name = deal.id(twin.domain)
    return {
        "no inputs": (_absent, RP, NoInputs(deal)),
        "voucher": (_absent, RP, Redeem(deal, 5, twin.sign(JC, Voucher(name, 5)))),
        "receipt": (_absent, RP, Deliver(deal, SEALED, twin.sign(JC, Receipt(name, SEALED)))),
        "contest": (_delivered, JC, Contest(deal, NAMED)),
        "voucher for a delivery": (_delivered, RP, Redeem(deal, 5, twin.sign(JC, Voucher(name, 5)))),
    }


@pytest.mark.parametrize("answer", ["no inputs", "voucher", "receipt", "contest", "voucher for a delivery"])
def test_at_its_deadline_a_claim_can_be_answered_and_not_ended_and_a_second_later_the_other_way(answer: str) -> None:
    for late in (0, 1):
        twin, deal = opened()
        claim, by, call = _answers(twin, deal)[answer]
        claim(twin, deal)
        twin.at(twin.model.deal(deal).deadline + late)
        if late:
            assert twin.do(by, call) == "too late"  # type: ignore[arg-type]
            assert twin.do(by, Finalize(deal)) is None
        else:
            assert twin.do(by, Finalize(deal)) == "too early"
            assert twin.do(by, call) is None  # type: ignore[arg-type]


def test_an_absence_is_claimed_and_a_delivery_made_at_no_moment_both() -> None:
    for late in (0, 1):
        twin, deal = opened()
        twin.at(deal.deliver_by + deal.grace + late)
        assert twin.do(JC, Absent(deal, None)) == (None if late else "too early")
        twin, deal = opened()
        twin.at(deal.deliver_by + deal.grace + late)
        assert twin.do(RP, Deliver(deal, SEALED, None)) == ("too late" if late else None)


def test_at_the_last_moment_a_deal_is_accused_and_a_second_later_it_is_over() -> None:
    for late in (0, 1):
        twin, deal = opened()
        result = Result(deal.id(twin.domain), SEALED, 0, 1)
        twin.at(deal.claim_until + late)
        assert twin.do(RP, Free(deal)) == (None if late else "too early")
        told = twin.do(JC, Accuse(deal, result, twin.sign(RP, result), NAMED))
        assert told == ("not open" if late else None)


# the draw


@pytest.mark.parametrize(
    ("wait", "told", "drawn"), [(0, "too early", False), (1, None, True), (256, None, True), (257, None, False)]
)
def test_a_jury_is_drawn_while_the_chain_knows_its_block_and_else_another_is_named(
    wait: int, told: str | None, drawn: bool
) -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    twin, deal = opened(pool=keccak(pool))
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), b"")) is None
    named = twin.model.deal(deal).block
    assert named == twin.block + SEED_DELAY
    twin.block = named + wait
    assert twin.do(THIEF, Draw(deal, pool)) == told
    standing = twin.model.deal(deal)
    assert (Flag.DRAWN in standing.flags) is drawn
    assert standing.block == (twin.block + SEED_DELAY if wait == 257 else named)
    if drawn:
        assert twin.do(JC, Draw(deal, pool)) == "not due", "a jury that one side dislikes is not drawn again"


def test_naming_a_new_block_again_and_again_wins_no_time() -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    twin, deal = opened(pool=keccak(pool))
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), b"")) is None
    deadline = twin.model.deal(deal).deadline
    for _ in range(3):
        twin.block += 300
        assert twin.do(JC, Draw(deal, pool)) is None
    assert twin.model.deal(deal).deadline == deadline
    assert twin.at(deadline + 1).do(JC, Draw(deal, pool)) == "too late"
    assert twin.do(RP, Finalize(deal, pool)) is None


# numbers at the ends of their types


def test_the_largest_amounts_open_pay_and_leave_to_the_unit() -> None:
    twin = Twin([JC, RP])
    most = 1 << 94
    for person in (JC, RP):
        assert twin.do(person, Deposit(person.address, most)) is None
    deal = draft(JC, RP, twin.now, pay=most // 2, jc_stake=most // 2, rp_stake=most // 2, cheat=most // 2, fee=0)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) is None
    assert twin.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    drain(twin)


@pytest.mark.parametrize("name", ["pay", "jc_stake", "rp_stake", "cheat"])
def test_a_share_beyond_all_money_is_not_locked(name: str) -> None:
    twin = funded([JC, RP], PURSE)
    changes = {"cheat": MAX96, "fee": 0, name: MAX96}
    deal = draft(JC, RP, twin.now, **changes)
    assert twin.do(JC, Open(deal, twin.sign(RP, deal))) == "not enough free"
    assert twin.do(JC, Commit(0, bytes(32), MAX96, twin.now)) == "not enough free"


@pytest.mark.parametrize("amount", [1 << 96, 1 << 128, (1 << 256) - 1])
def test_amounts_beyond_their_types_move_nothing(amount: int) -> None:
    twin, _deal = opened()
    for call in (
        Withdraw(amount, JC.address),
        Transfer(RP.address, amount),
        Join(amount),
        Commit(0, bytes(32), amount, twin.now),
    ):
        assert twin.do(JC, call) == "not enough free"


def test_a_leaf_whose_sum_overflows_is_in_no_lock() -> None:
    market = Market(1).lock()
    huge = replace(market.tree.leaves[0], rest=(1 << 256) - 1)
    payload, _ = encode_call(SettleLock(0, (huge, market.tree.leaves[0]), 3))
    assert market.twin.send(JC, payload) == ""
    market.twin.compare()


@pytest.mark.parametrize("field", ["jc", "rp"])
def test_a_party_that_is_no_address_enters_nowhere(field: str) -> None:
    market = Market(1)
    deal = market.deals[0]
    words_ = bytearray(deal_words(deal))
    at = 0 if field == "jc" else 32
    words_[at] = 1  # beyond 160 bits: its low bits are those of the party whose lock it is after
    name = market.twin.view(_selector("deal_id") + bytes(words_))
    tree = Tree((replace(payer_leaf(deal, market.twin.domain), deal=name),))
    theirs = Tree((replace(provider_leaf(deal, market.twin.domain), deal=name),))
    assert market.twin.do(JC, Commit(0, tree.root, tree.total, UNTIL)) is None
    assert market.twin.do(RP, Commit(7, theirs.root, theirs.total, UNTIL)) is None
    payload, _ = encode_call(Enter(deal, tree.path(0), theirs.path(0)))
    for by in (JC, RP):
        assert market.twin.send(by, payload[:4] + bytes(words_) + payload[4 + len(words_) :]) is not None
    market.twin.compare()


def _selector(name: str) -> bytes:
    kinds = ",".join("bytes32" if n in (15, 21) else "uint256" for n in range(22))
    return keccak(f"{name}(({kinds}))".encode())[:4]


@pytest.mark.parametrize("name", ["pay", "jc_stake", "rp_stake", "cheat", "fee", "juror_stake"])
def test_a_locked_deal_with_an_amount_beyond_its_type_enters_nowhere(name: str) -> None:
    market = Market(1).lock()
    position = list(Deal.__dataclass_fields__).index(name)
    payload, _ = encode_call(market.enter())
    at = 4 + 32 * position
    assert market.twin.send(JC, payload[:at] + (1 << 96).to_bytes(32, "big") + payload[at + 32 :]) == "amount"


# locks


def test_a_seat_number_with_more_bits_names_no_other_lock() -> None:
    market = Market(1).lock()
    deal = replace(market.deals[0], jc_seat=SeatName(0, 1, 0).word() | 1 << 79)
    assert market.twin.do(JC, Enter(deal, market.tree.path(0), market.theirs[0].path(0))) == "not in the lock"


def test_a_lock_that_ended_pays_until_it_is_replaced_and_then_no_more() -> None:
    market = Market().lock()
    assert market.twin.at(UNTIL + 1).do(JC, market.pay(0b001)) is None
    assert market.gains() == [-1000, 1000, 0, 0]
    assert market.twin.do(JC, Commit(0, bytes(32), 0, 0)) is None
    assert market.twin.do(JC, market.pay(0b010)) == "not in the lock"
    assert market.twin.model.account(JC.address).locked == 0
    assert market.gains() == [-1000, 1000, 0, 0]


def test_the_same_tree_locked_twice_backs_each_deal_once() -> None:
    market = Market(1).lock()
    assert market.twin.do(JC, Commit(1, market.tree.root, market.tree.total, UNTIL)) is None
    assert market.twin.do(RP, market.enter()) is None
    assert market.twin.do(RP, market.enter()) == "not new"
    assert market.twin.model.lock(JC.address, 1).left == market.deals[0].jc_share
    assert market.twin.at(UNTIL + 1).do(JC, Commit(1, bytes(32), 0, 0)) is None


def test_nobody_settles_anothers_lock() -> None:
    market = Market(1).lock()
    assert market.twin.do(RP, market.pay(1)) == "not in the lock"
    assert market.gains() == [0, 0]


# what is no call at all


def test_coins_sent_without_a_call_or_with_the_wrong_one_are_refused() -> None:
    twin = funded([JC, RP], PURSE)
    payload, _ = encode_call(Withdraw(1, JC.address))
    assert twin.send(JC, b"", 5) == ""
    assert twin.send(JC, b"\x01\x02\x03\x04", 0) == ""
    assert twin.send(JC, payload, 5) == "", "only a deposit takes coins"
    assert twin.send(JC, payload[:-1]) == "", "a call that is cut short"
    assert twin.held() == 2 * PURSE
    twin.compare()


def test_more_deals_votes_or_members_than_there_is_room_for_are_refused() -> None:
    twin, deal = opened()
    many, _ = encode_call(Settle((Payment(deal, deal.pay),) * 33))
    assert twin.send(JC, many) == ""
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    crowd, _ = encode_call(Contest(deal, b"\x01" * 500))
    assert twin.send(JC, crowd) == ""
    twin.compare()


def test_a_result_that_was_claimed_on_chain_is_accused_without_its_signature_and_no_other_is() -> None:
    twin, deal = opened()
    name = deal.id(twin.domain)
    assert twin.do(RP, Deliver(deal, SEALED, None)) is None
    assert twin.do(JC, Settle((Payment(deal, deal.pay),))) is None
    assert twin.do(JC, Accuse(deal, Result(name, OTHER_SEAL, 0, 1), None, NAMED)) == "not signed"
    assert twin.do(JC, Accuse(deal, Result(name, bytes(32), 0, 1), None, NAMED)) == "not signed"
    assert twin.do(JC, Accuse(deal, Result(name, SEALED, 0, 1), None, NAMED)) is None


def test_an_accusation_kept_from_a_jury_for_ever_still_lets_everybody_go() -> None:
    pool = b"".join(member.address for member in MEDIATORS)
    twin, deal = opened(pool=keccak(pool))
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.at(deal.claim_until).do(JC, Accuse(deal, result, twin.sign(RP, result), b"")) is None
    assert twin.at(twin.model.deal(deal).deadline + 1).do(RP, Finalize(deal, b"")) is None
    assert twin.model.deal(deal).outcome is Outcome.SPLIT
    assert twin.now <= BIRTH + 1000 + deal.judge + 1
    drain(twin)


def test_a_payment_of_nothing_moves_nothing() -> None:
    twin, _ = opened()
    before = dict(twin.model.accounts)
    assert twin.do(JC, Settle(())) is None
    assert twin.model.accounts == before


def test_coins_that_can_not_be_sent_stay_with_their_owner() -> None:
    twin = funded([JC, RP], PURSE)
    payload, _ = encode_call(Withdraw(5, twin.domain.vault))
    assert twin.send(JC, payload) == "", "the vault itself takes no coins without a deposit"
    twin.compare()


def test_a_jury_out_of_an_empty_pool_is_nobody_and_the_default_applies() -> None:
    twin, deal = opened(pool=keccak(b""))
    result = Result(deal.id(twin.domain), SEALED, 0, 1)
    assert twin.do(JC, Accuse(deal, result, twin.sign(RP, result), b"")) is None
    twin.block += SEED_DELAY + 1
    assert twin.do(JC, Draw(deal, b"")) is None
    assert twin.model.deal(deal).sitting == 0
    assert twin.at(twin.model.deal(deal).deadline + 1).do(RP, Finalize(deal, b"")) is None
    assert twin.model.deal(deal).outcome is Outcome.SPLIT
    drain(twin)


def test_a_signature_in_the_long_form_and_the_short_one_is_one_signature() -> None:
    twin, deal = opened()
    voucher = twin.sign(JC, Voucher(deal.id(twin.domain), 5))
    assert twin.do(RP, Redeem(deal, 5, voucher)) is None
    assert twin.do(RP, Redeem(deal, 5, compact(voucher))) == "paid"
