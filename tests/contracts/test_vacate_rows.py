"""Shares in locks whose deal can enter no more come home; a deal still in its locks is accused in one call."""

from __future__ import annotations

import pytest

from protocol.deal import Result, Ruling, Vote
from protocol.vault_calls import Accuse, CastVotes, Commit, Delegate, Free, SettleLock, Vacate
from protocol.vault_state import Outcome, State
from tests.contracts.test_batch_rows import JC, MEDIATORS, OTHER, POOL, RP, SEALED, TOWER, UNTIL, Market
from tests.contracts.twin import BIRTH, Person, drain

AFTER_START = BIRTH + 101


def vacate(market: Market, by: Person, position: int = 0) -> Vacate:
    """The call that takes home the caller's share."""
    path = market.tree.path(position) if by is JC else market.theirs[position].path(0)
    return Vacate(market.deals[position], by is not JC, path)


def payer_alone(count: int = 1) -> Market:
    """Only the payer commits."""
    market = Market(count)
    assert market.twin.do(JC, Commit(0, market.tree.root, market.tree.total, UNTIL)) is None
    return market


def test_a_side_whose_partner_never_committed_takes_its_share_home_after_start_by() -> None:
    market = payer_alone()
    assert market.twin.at(AFTER_START - 1).do(JC, vacate(market, JC)) == "too early"
    assert market.twin.at(AFTER_START).do(JC, vacate(market, JC)) is None
    assert market.twin.model.account(JC.address).locked == 0
    assert market.twin.do(JC, Commit(0, bytes(32), 0, 0)) is None, "an emptied lock is replaced before its end"
    drain(market.twin)


def test_the_provider_takes_its_share_home_where_the_payer_never_committed() -> None:
    market = Market(1)
    assert market.twin.do(RP, Commit(7, market.theirs[0].root, market.theirs[0].total, UNTIL)) is None
    assert market.twin.at(AFTER_START).do(RP, vacate(market, RP)) is None
    assert market.twin.model.account(RP.address).locked == 0


def test_only_the_dead_deals_of_a_lock_are_vacated() -> None:
    market = payer_alone(2)
    assert market.twin.do(OTHER, Commit(7, market.theirs[1].root, market.theirs[1].total, UNTIL)) is None
    assert market.twin.at(AFTER_START).do(JC, vacate(market, JC, 0)) is None
    assert market.twin.do(JC, vacate(market, JC, 1)) == "may still enter"
    assert market.twin.model.account(JC.address).locked == market.deals[1].jc_share
    assert market.twin.do(OTHER, market.enter(1)) is None


def test_a_share_is_vacated_once() -> None:
    market = payer_alone()
    assert market.twin.at(AFTER_START).do(JC, vacate(market, JC)) is None
    assert market.twin.do(JC, vacate(market, JC)) == "left"
    assert market.twin.model.account(JC.address).locked == 0


def test_a_vacated_seat_is_skipped_by_a_payment() -> None:
    market = payer_alone()
    assert market.twin.at(AFTER_START).do(JC, vacate(market, JC)) is None
    assert market.twin.do(JC, market.pay(1)) is None
    assert market.gains() == [0, 0]


def test_while_both_locks_stand_nobody_takes_a_share_out() -> None:
    market = Market(1).lock()
    for by in (JC, RP):
        assert market.twin.at(AFTER_START).do(by, vacate(market, by)) == "may still enter"
    assert market.twin.at(market.deals[0].claim_until).do(RP, vacate(market, RP)) == "may still enter"


def test_after_the_last_claim_both_shares_come_home_though_the_locks_go_on() -> None:
    market = Market(1).lock()
    assert market.twin.do(JC, market.pay(1)) is None
    assert market.twin.at(market.deals[0].claim_until + 1).do(RP, vacate(market, RP)) is None
    assert market.twin.do(JC, vacate(market, JC)) == "left"
    assert market.twin.now < UNTIL
    assert [market.twin.model.account(who.address).locked for who in (JC, RP)] == [0, 0]
    assert market.gains() == [-1000, 1000]
    drain(market.twin)


def test_a_payer_that_replaces_its_emptied_lock_gives_up_accusing_and_the_provider_is_free() -> None:
    market = Market(1).lock()
    assert market.twin.do(JC, market.pay(1)) is None
    assert market.twin.at(AFTER_START).do(RP, vacate(market, RP)) == "may still enter"
    assert market.twin.do(JC, Commit(0, bytes(32), 0, 0)) is None
    assert market.twin.do(JC, market.enter()) == "another lock"
    assert market.twin.do(RP, vacate(market, RP)) is None
    assert market.twin.model.account(RP.address).locked == 0


@pytest.mark.parametrize(
    ("made", "until", "vacated"),
    [(BIRTH + 100, BIRTH + 1000, False), (BIRTH + 101, BIRTH + 1000, True), (BIRTH + 100, BIRTH + 999, True)],
)
def test_a_partner_that_committed_too_late_or_too_short_counts_as_absent(made: int, until: int, vacated: bool) -> None:
    market = payer_alone()
    assert market.twin.at(made).do(RP, Commit(7, market.theirs[0].root, market.theirs[0].total, until)) is None
    told = market.twin.at(AFTER_START).do(JC, vacate(market, JC))
    assert told == (None if vacated else "may still enter")
    assert (market.twin.do(RP, market.enter()) is None) != vacated, "what is vacated never enters, and the other way"


def test_a_partner_that_anchored_another_tree_is_waited_for_until_the_end() -> None:
    market = payer_alone()
    assert market.twin.do(RP, Commit(7, b"\x07" * 32, 0, UNTIL)) is None
    assert market.twin.at(AFTER_START).do(JC, vacate(market, JC)) == "may still enter"
    assert market.twin.at(market.deals[0].claim_until + 1).do(JC, vacate(market, JC)) is None


def test_what_entered_is_vacated_by_nobody() -> None:
    market = Market(1).lock()
    assert market.twin.do(RP, market.enter()) is None
    for by in (JC, RP):
        assert market.twin.at(market.deals[0].claim_until + 1).do(by, vacate(market, by)) == "left"
    assert market.twin.do(RP, Free(market.deals[0])) is None
    drain(market.twin)


def test_only_the_owner_or_its_delegate_vacates() -> None:
    market = payer_alone()
    call = vacate(market, JC)
    for by in (RP, TOWER):
        assert market.twin.at(AFTER_START).do(by, call) == "not a party"
    assert market.twin.do(JC, Delegate(TOWER.address, True)) is None
    assert market.twin.do(TOWER, call) is None


def test_a_share_is_vacated_as_what_it_is() -> None:
    market = payer_alone()
    assert market.twin.do(OTHER, Commit(7, market.theirs[0].root, market.theirs[0].total, UNTIL)) is None
    deal = market.deals[0]
    for call in (
        Vacate(deal, False, (*market.theirs[0].path(0)[:-1], (b"\x01" * 32, 0))),
        Vacate(deal, False, ((bytes(32), 1), *market.tree.path(0)[1:])),
    ):
        assert market.twin.at(AFTER_START).do(JC, call) == "not in the lock"
    assert market.twin.do(RP, Vacate(deal, True, market.theirs[0].path(0))) == "may still enter", "the payer's is there"


@pytest.mark.parametrize("paid", [False, True])
def test_a_deal_in_its_locks_is_accused_in_one_call(paid: bool) -> None:
    market = Market().lock()
    deal = market.deals[0]
    if paid:
        assert market.twin.do(JC, market.pay(1)) is None
    result = Result(deal.id(market.twin.domain), SEALED, 0, 1)
    signature = market.twin.sign(RP, result)
    seated = (market.tree.path(0), market.theirs[0].path(0))
    accuse = Accuse(deal, result, signature, POOL, seated)
    assert market.twin.do(RP, accuse) == "not a party"
    assert market.twin.do(JC, Accuse(deal, result, market.twin.sign(JC, result), POOL, seated)) == "not signed"
    assert market.twin.do(JC, Accuse(deal, result, signature, POOL, seated[::-1])) == "not in the lock"
    assert market.twin.do(JC, Accuse(deal, result, signature, POOL)) == "not open"
    assert market.twin.do(JC, accuse) is None
    assert market.twin.do(JC, accuse) == "not new"
    assert market.twin.model.sealed[deal.id(market.twin.domain)] == SEALED
    vote = Vote(deal.id(market.twin.domain), 0, Ruling.WRONG, SEALED)
    votes = tuple((seat, market.twin.sign(MEDIATORS[seat], vote)) for seat in (0, 1))
    assert market.twin.do(JC, CastVotes(deal, POOL, Ruling.WRONG, SEALED, votes)) is None
    assert market.twin.model.deal(deal).state is State.CLOSED
    assert market.twin.model.deal(deal).outcome is Outcome.WRONG
    pay, gain = (deal.pay if paid else 0), deal.cheat - 2 * deal.fee
    assert market.gains()[:2] == [gain - pay, pay - deal.cheat]


def test_accusing_out_of_the_locks_is_in_time_until_the_last_moment() -> None:
    for late, told in ((0, None), (1, "too late")):
        market = Market().lock()
        deal = market.deals[0]
        result = Result(deal.id(market.twin.domain), SEALED, 0, 1)
        seated = (market.tree.path(0), market.theirs[0].path(0))
        accuse = Accuse(deal, result, market.twin.sign(RP, result), POOL, seated)
        assert market.twin.at(deal.claim_until + late).do(JC, accuse) == told


def test_a_provider_cannot_pay_itself_out_of_a_lock_that_backs_a_deal() -> None:
    market = Market(1).lock()
    assert market.twin.do(RP, SettleLock(7, market.theirs[0].leaves, 1)) is None
    assert market.twin.at(AFTER_START).do(RP, vacate(market, RP)) == "may still enter"
