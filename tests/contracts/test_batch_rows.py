"""The batch door: rows of the outcome table with a lock for many deals, and the ways to cheat with trees and seats."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_hash.auto import keccak

from protocol.deal import Bill, Deal, Receipt, Result, Ruling, Vote, Voucher
from protocol.vault_batches import MAX_LOCK
from protocol.vault_calls import (
    Absent,
    Accuse,
    CastVotes,
    Commit,
    Delegate,
    Deliver,
    Enter,
    Finalize,
    Free,
    NoInputs,
    Open,
    Payment,
    Redeem,
    Settle,
    SettleLock,
    Withdraw,
)
from protocol.vault_state import Lock, Outcome, State
from protocol.vault_tree import SEATS, Leaf, SeatName, Tree, climb, node_hash, payer_leaf, provider_leaf
from tests.contracts.twin import BIRTH, Person, draft, drain, funded

JC, RP, OTHER, TOWER = (Person.number(n) for n in (1, 2, 3, 4))
PROVIDERS = [RP, OTHER, *(Person.number(n) for n in range(40, 45))]
MEDIATORS = sorted((Person.number(n) for n in range(11, 14)), key=lambda person: person.address)
POOL = b"".join(member.address for member in MEDIATORS)
PURSE = 1_000_000
UNTIL = BIRTH + 2000
SEALED = b"\x05" * 32


class Market:
    """One payer, its deals with several providers, and everybody's trees."""

    def __init__(self, count: int = 3, **changes: object) -> None:
        self.twin = funded([JC, TOWER, *PROVIDERS, *MEDIATORS], PURSE)
        usual = {"pool": keccak(POOL), "juror_stake": 0}
        self.deals = [
            draft(
                JC,
                rp,
                BIRTH,
                jc_seat=SeatName(0, 1, position).word(),
                rp_seat=SeatName(7, 1, 0).word(),
                **{**usual, **changes},
            )
            for position, rp in enumerate(PROVIDERS[:count])
        ]
        self.tree = Tree(tuple(payer_leaf(deal, self.twin.domain) for deal in self.deals))
        self.theirs = [Tree((provider_leaf(deal, self.twin.domain),)) for deal in self.deals]

    def lock(self, until: int = UNTIL) -> Market:
        """Everybody commits."""
        assert self.twin.do(JC, Commit(0, self.tree.root, self.tree.total, until)) is None
        for rp, tree in zip(PROVIDERS, self.theirs, strict=False):
            assert self.twin.do(rp, Commit(7, tree.root, tree.total, until)) is None
        return self

    def enter(self, position: int = 0) -> Enter:
        """The call that opens a deal out of its locks."""
        return Enter(self.deals[position], self.tree.path(position), self.theirs[position].path(0))

    def pay(self, mask: int, amounts: tuple[int, ...] = (), bills: tuple[bytes, ...] = ()) -> SettleLock:
        """The call that pays some seats."""
        return SettleLock(0, self.tree.leaves, mask, amounts, bills)

    def gains(self) -> list[int]:
        """What the payer and each provider won or lost so far."""
        return [
            self.twin.model.account(person.address).balance - PURSE for person in (JC, *PROVIDERS[: len(self.deals)])
        ]


def test_a_batch_is_paid_in_one_call_and_the_payers_shares_are_free_at_once() -> None:
    market = Market().lock()
    assert market.twin.do(JC, market.pay(0b111)) is None
    assert market.gains() == [-3000, 1000, 1000, 1000]
    assert market.twin.model.account(JC.address).locked == 0
    assert market.twin.model.account(RP.address).locked == market.deals[0].rp_share, "it can still be accused"
    assert market.twin.at(UNTIL + 1).do(RP, Commit(7, bytes(32), 0, 0)) is None
    drain(market.twin)


def test_each_seat_is_paid_once_however_often_the_payer_shows_it() -> None:
    market = Market().lock()
    for mask in (0b001, 0b011, 0b111, 0b111):
        assert market.twin.do(JC, market.pay(mask)) is None
    assert market.gains() == [-3000, 1000, 1000, 1000]


def test_a_seat_that_left_meanwhile_fails_nobody() -> None:
    market = Market().lock()
    assert market.twin.do(RP, market.enter(0)) is None
    assert market.twin.do(JC, market.pay(0b111)) is None
    assert market.gains() == [-2000, 0, 1000, 1000]
    assert market.twin.do(JC, Settle((Payment(market.deals[0], 1000, final=True),))) is None
    assert market.gains() == [-3000, 1000, 1000, 1000]


def test_less_than_the_pay_needs_the_payees_bill_in_a_batch_too() -> None:
    market = Market().lock()
    amounts = (1000, 600, 300)
    bills = tuple(
        market.twin.sign(rp, Bill(deal.id(market.twin.domain), amount))
        for rp, deal, amount in zip(PROVIDERS[1:3], market.deals[1:], amounts[1:], strict=True)
    )
    assert market.twin.do(JC, market.pay(0b111, amounts, bills[::-1])) == "not signed"
    assert market.twin.do(JC, market.pay(0b111, (1000, 600, 1300), bills)) == "amount"
    assert market.twin.do(JC, market.pay(0b111, amounts, bills[:1])) == ""
    assert market.twin.do(JC, market.pay(0b111, amounts[:2], bills)) == ""
    assert market.twin.do(JC, market.pay(0b111, amounts, bills)) is None
    assert market.gains() == [-1900, 1000, 600, 300]


def test_an_entered_deal_is_like_any_other_and_its_voucher_pays() -> None:
    market = Market().lock()
    deal = market.deals[1]
    assert market.twin.do(OTHER, market.enter(1)) is None
    assert market.twin.model.deal(deal).state is State.OPEN
    assert market.twin.model.account(JC.address).locked == market.tree.total
    voucher = market.twin.sign(JC, Voucher(deal.id(market.twin.domain), 900))
    assert market.twin.do(OTHER, Redeem(deal, 900, voucher)) is None
    assert market.gains() == [-900, 0, 900, 0]
    assert market.twin.at(deal.claim_until + 1).do(OTHER, Free(deal)) is None
    assert market.twin.model.account(OTHER.address).locked == 0


def test_a_provider_that_vanishes_loses_its_timeout_stake_out_of_its_lock() -> None:
    market = Market().lock()
    deal = market.deals[0]
    assert market.twin.at(deal.deliver_by + deal.grace + 1).do(JC, market.enter()) is None
    assert market.twin.do(JC, Absent(deal, None)) is None
    assert market.twin.at(twin_deadline(market, deal) + 1).do(JC, Finalize(deal)) is None
    assert market.gains()[:2] == [deal.rp_stake, -deal.rp_stake]
    assert market.twin.model.account(RP.address).locked == 0
    assert market.twin.model.account(JC.address).locked == market.tree.total - deal.jc_share


def test_inputs_that_never_arrive_let_a_deal_of_a_batch_lapse() -> None:
    market = Market().lock()
    deal = market.deals[0]
    assert market.twin.at(deal.deliver_by + deal.grace + 1).do(JC, market.enter()) is None
    assert market.twin.do(JC, Absent(deal, None)) is None
    assert market.twin.do(RP, NoInputs(deal)) is None
    assert market.gains() == [0, 0, 0, 0]


def test_a_payer_that_vanishes_pays_out_of_its_lock() -> None:
    market = Market().lock()
    deal = market.deals[0]
    receipt = market.twin.sign(JC, Receipt(deal.id(market.twin.domain), SEALED))
    assert market.twin.at(deal.claim_until).do(RP, market.enter()) is None
    assert market.twin.do(RP, Deliver(deal, SEALED, receipt)) is None
    assert market.twin.at(twin_deadline(market, deal) + 1).do(RP, Finalize(deal)) is None
    assert market.gains()[:2] == [-1200, 1200]


def twin_deadline(market: Market, deal: Deal) -> int:
    return market.twin.model.deal(deal).deadline


@pytest.mark.parametrize("paid", [False, True])
@pytest.mark.parametrize("ruling", [Ruling.WRONG, Ruling.RIGHT])
def test_a_wrong_result_in_a_batch_costs_the_collateral_before_and_after_payment(paid: bool, ruling: Ruling) -> None:
    market = Market().lock()
    deal = market.deals[0]
    if paid:
        assert market.twin.do(JC, market.pay(0b001)) is None
    assert market.twin.do(JC, market.enter()) is None
    assert market.twin.model.deal(deal).paid is paid
    result = Result(deal.id(market.twin.domain), SEALED, 0, 1)
    assert market.twin.do(JC, Accuse(deal, result, market.twin.sign(RP, result), POOL)) is None
    vote = Vote(result.deal, 0, ruling, SEALED)
    votes = tuple((seat, market.twin.sign(MEDIATORS[seat], vote)) for seat in range(2))
    assert market.twin.do(JC, CastVotes(deal, POOL, ruling, SEALED, votes)) is None
    pay = deal.pay if paid or ruling is Ruling.RIGHT else 0
    if ruling is Ruling.WRONG:
        assert market.gains()[:2] == [deal.cheat - 200 - pay, pay - deal.cheat]
    else:
        assert market.gains()[:2] == [-pay - 300, pay + 100]
    assert market.twin.model.account(RP.address).locked == 0


def test_a_seat_paid_in_its_lock_cannot_be_paid_again_by_entering() -> None:
    market = Market().lock()
    deal = market.deals[0]
    voucher = market.twin.sign(JC, Voucher(deal.id(market.twin.domain), 1000))
    assert market.twin.do(JC, market.pay(0b001)) is None
    assert market.twin.do(RP, market.enter()) is None
    assert market.twin.do(RP, Redeem(deal, 1000, voucher)) == "paid"
    assert market.twin.do(RP, Deliver(deal, SEALED, None)) == "not open"
    assert market.twin.do(JC, Settle((Payment(deal, 1000, final=True),))) is None
    assert market.gains()[:2] == [-1000, 1000]
    assert market.twin.model.deal(deal).state is State.OPEN, "a paid deal is skipped"


def test_a_deal_enters_once_and_never_by_the_other_door() -> None:
    market = Market().lock()
    deal = market.deals[0]
    assert market.twin.do(JC, Open(deal, market.twin.sign(RP, deal))) == "seat"
    assert market.twin.do(JC, market.enter()) is None
    assert market.twin.do(RP, market.enter()) == "not new"
    assert market.twin.at(deal.claim_until + 1).do(RP, Free(deal)) is None
    assert market.twin.do(JC, market.enter()) == "not new"


def test_a_provider_cannot_free_its_own_share_by_paying_it() -> None:
    market = Market().lock()
    tree = market.theirs[0]
    assert market.twin.do(RP, SettleLock(7, tree.leaves, 1)) is None
    assert market.twin.model.account(RP.address).locked == market.deals[0].rp_share
    assert market.twin.do(RP, Commit(7, bytes(32), 0, 0)) == "still locked"


def test_only_parties_and_their_delegates_enter_a_deal() -> None:
    market = Market().lock()
    assert market.twin.do(TOWER, market.enter()) == "not a party"
    assert market.twin.do(OTHER, market.enter()) == "not a party"
    assert market.twin.do(RP, Delegate(TOWER.address, True)) is None
    assert market.twin.do(TOWER, market.enter()) is None
    assert market.twin.do(JC, Delegate(TOWER.address, True)) is None
    assert market.twin.do(TOWER, market.enter(1)) is None


def test_after_the_last_moment_for_a_claim_nothing_enters() -> None:
    market = Market().lock()
    assert market.twin.at(market.deals[0].claim_until + 1).do(JC, market.enter()) == "too late"
    assert market.twin.at(UNTIL + 1).do(JC, Commit(0, bytes(32), 0, 0)) is None
    assert market.twin.model.account(JC.address).locked == 0
    assert market.gains() == [0, 0, 0, 0]


@pytest.mark.parametrize(("until", "reason"), [(BIRTH + 1000, None), (BIRTH + 999, "locked too short")])
def test_a_lock_that_ends_before_the_last_claim_backs_nothing(until: int, reason: str | None) -> None:
    market = Market().lock(until)
    assert market.twin.do(JC, market.enter()) == reason


@pytest.mark.parametrize(("made", "reason"), [(BIRTH + 100, None), (BIRTH + 101, "locked too late")])
def test_a_lock_made_after_start_by_backs_nothing(made: int, reason: str | None) -> None:
    market = Market(1)
    assert market.twin.do(JC, Commit(0, market.tree.root, market.tree.total, UNTIL)) is None
    assert market.twin.at(made).do(RP, Commit(7, market.theirs[0].root, market.theirs[0].total, UNTIL)) is None
    assert market.twin.do(RP, market.enter()) == reason


def test_where_one_side_never_commits_the_others_money_comes_home_when_its_lock_ends() -> None:
    market = Market(1)
    assert market.twin.do(JC, Commit(0, market.tree.root, market.tree.total, UNTIL)) is None
    assert market.twin.do(RP, market.enter()) == "another lock"
    assert market.twin.at(UNTIL).do(JC, Commit(0, bytes(32), 0, 0)) == "still locked"
    assert market.twin.at(UNTIL + 1).do(JC, Commit(0, bytes(32), 0, 0)) is None
    drain(market.twin)


def test_a_lock_is_replaced_early_only_when_every_share_has_left() -> None:
    market = Market(2).lock()
    again = Commit(0, b"\x01" * 32, 5, UNTIL)
    assert market.twin.do(JC, market.pay(0b01)) is None
    assert market.twin.do(JC, again) == "still locked"
    assert market.twin.do(JC, market.pay(0b10)) is None
    assert market.twin.do(JC, again) is None
    assert market.twin.model.lock(JC.address, 0).number == 2
    assert market.twin.do(RP, market.enter()) == "another lock"


def test_a_lock_holds_no_more_than_is_free_and_no_longer_than_allowed() -> None:
    twin = funded([JC], PURSE)
    assert twin.do(JC, Commit(0, SEALED, PURSE + 1, UNTIL)) == "not enough free"
    assert twin.do(JC, Commit(0, SEALED, PURSE, BIRTH + MAX_LOCK + 1)) == "too long"
    assert twin.do(JC, Commit(0, SEALED, PURSE, BIRTH + MAX_LOCK)) is None
    assert twin.do(JC, Withdraw(1, JC.address)) == "not enough free"
    assert twin.do(JC, Commit(1, SEALED, 1, UNTIL)) == "not enough free"
    assert twin.at(BIRTH + MAX_LOCK + 1).do(JC, Commit(0, SEALED, PURSE, twin.now)) is None


def test_a_tree_that_promises_more_than_its_lock_holds_backs_nothing() -> None:
    market = Market()
    assert market.twin.do(JC, Commit(0, market.tree.root, market.tree.total - 1, UNTIL)) is None
    assert market.twin.do(RP, Commit(7, market.theirs[0].root, market.theirs[0].total, UNTIL)) is None
    assert market.twin.do(RP, market.enter()) == "not in the lock"
    assert market.twin.do(JC, market.pay(0b111)) == "not in the lock"


def test_a_sum_that_leaves_out_a_sibling_is_found() -> None:
    market = Market().lock()
    deal, path = market.deals[0], market.tree.path(0)
    lied = ((path[0][0], 0), *path[1:])
    assert market.twin.do(RP, Enter(deal, lied, market.theirs[0].path(0))) == "not in the lock"


def test_one_place_in_a_tree_is_one_leaf() -> None:
    """Paths of other lengths would let two leaves share a position, and paying one would look like paying both."""
    market = Market(2)
    first, second = market.tree.leaves
    deep = climb(second, 0, market.tree.path(0)[:6])
    crooked = node_hash((keccak(first.words()), first.share), deep)
    total = first.share + deep[1]
    assert market.twin.do(JC, Commit(0, crooked, total, UNTIL)) is None
    rp_tree = market.theirs[0]
    assert market.twin.do(RP, Commit(7, rp_tree.root, rp_tree.total, UNTIL)) is None
    short = ((deep[0], deep[1]), *((bytes(32), 0),) * 6)
    assert market.twin.do(RP, Enter(market.deals[0], short, rp_tree.path(0))) == "not in the lock"


def test_a_position_beyond_the_tree_is_no_seat() -> None:
    market = Market(1)
    beyond = replace(market.deals[0], jc_seat=SeatName(0, 1, SEATS).word())
    tree = Tree((payer_leaf(beyond, market.twin.domain),))
    theirs = Tree((provider_leaf(beyond, market.twin.domain),))
    assert market.twin.do(JC, Commit(0, tree.root, tree.total, UNTIL)) is None
    assert market.twin.do(RP, Commit(7, theirs.root, theirs.total, UNTIL)) is None
    assert market.twin.do(RP, Enter(beyond, tree.path(0), theirs.path(0))) == "seat"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_trees_of_every_shape_are_the_contracts_trees(count: int) -> None:
    market = Market(count).lock()
    for position, rp in enumerate(PROVIDERS[:count]):
        assert market.twin.do(rp, market.enter(position)) is None
    assert market.twin.do(JC, market.pay((1 << count) - 1)) is None
    assert market.twin.model.lock(JC.address, 0).left == 0


def test_a_full_lock_pays_all_its_seats() -> None:
    twin = funded([JC, RP], PURSE)
    leaves = tuple(Leaf(RP.address, 10 + seat, 3, keccak(bytes([seat]))) for seat in range(SEATS))  # type: ignore[arg-type]
    tree = Tree(leaves)
    assert twin.do(JC, Commit(3, tree.root, tree.total, UNTIL)) is None
    assert twin.do(JC, SettleLock(3, leaves, (1 << SEATS) - 2)) is None
    assert twin.do(JC, SettleLock(3, leaves[:-1], 1)) == "not in the lock"
    assert twin.do(JC, SettleLock(3, leaves, (1 << 255) | 1)) is None
    assert twin.model.account(JC.address).locked == 0
    assert twin.model.account(RP.address).balance == PURSE + sum(leaf.pay for leaf in leaves)


def test_an_empty_lock_is_settled_by_showing_nothing() -> None:
    twin = funded([JC], PURSE)
    assert twin.do(JC, SettleLock(0, (), 1)) is None
    assert twin.do(JC, Commit(0, SEALED, 5, UNTIL)) is None
    assert twin.do(JC, SettleLock(0, (), 1)) == "not in the lock"


def test_the_deals_in_locks_still_have_to_be_fair() -> None:
    market = Market(1, cheat=1299)
    market.lock()
    assert market.twin.do(JC, market.enter()) == "collateral"
    assert market.twin.at(UNTIL + 1).do(RP, Commit(7, bytes(32), 0, 0)) is None


def test_the_words_of_a_lock_hold_what_they_are_given() -> None:
    lock = Lock(SEALED, 7, 1, 2, 3, 4, (1 << SEATS) - 2)
    assert Lock.of(lock.words()) == lock
    assert lock.has_left(1)
    assert not lock.has_left(0)
    assert SeatName.of(SeatName(1, 2, 3).word()) == SeatName(1, 2, 3)


def test_an_ended_deal_of_a_batch_has_its_outcome() -> None:
    market = Market(1).lock()
    deal = market.deals[0]
    assert market.twin.do(RP, market.enter()) is None
    assert market.twin.do(JC, Settle((Payment(deal, deal.pay, final=True),))) is None
    assert market.twin.model.deal(deal).outcome is Outcome.DONE
    drain(market.twin)
