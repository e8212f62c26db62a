"""Whom a buyer trusts, and where it bids in a crowd."""

from __future__ import annotations

from agents.auction import MOST_ASKED, Auction, Lot
from agents.reputation import HALF_LIFE, Reputation
from benchmarks.welfare import Market, cheapest_first, optimum, play
from protocol.identity import Address

BOB, EVE = Address(b"b" * 20), Address(b"e" * 20)


def who(number: int) -> Address:
    return Address(bytes([number]) * 20)


def test_a_stranger_gets_the_benefit_of_the_doubt() -> None:
    assert Reputation().doubt(0.0, BOB) == 0.0


def test_a_broken_word_counts_and_fades() -> None:
    reputation = Reputation()
    reputation.note(0.0, EVE, kept=False)
    fresh = reputation.doubt(0.0, EVE)
    assert fresh == 0.5
    assert reputation.doubt(HALF_LIFE, EVE) < fresh
    assert reputation.doubt(40 * HALF_LIFE, EVE) < 0.001


def test_kept_words_outweigh_an_old_broken_one() -> None:
    reputation = Reputation()
    reputation.note(0.0, BOB, kept=False)
    for day in range(1, 20):
        saved = reputation.note(day * 86400.0, BOB, kept=True)
    assert reputation.doubt(20 * 86400.0, BOB) < 0.05
    again = Reputation()
    again.restore(saved)
    assert again.doubt(20 * 86400.0, BOB) == reputation.doubt(20 * 86400.0, BOB)


def test_a_bid_goes_as_far_as_the_next_best_is_no_better() -> None:
    auction = Auction([Lot(BOB, 1000, 1, 300), Lot(EVE, 1000, 1, 500)])
    choice = auction.choose()
    assert choice is not None
    assert choice.lot.provider == BOB
    assert 500 <= choice.limit <= 600


def test_who_is_outbid_moves_on_and_comes_back_when_the_price_falls() -> None:
    auction = Auction([Lot(BOB, 1000, 1, 300), Lot(EVE, 1000, 1, 500)])
    auction.raised(BOB, 700)
    assert (choice := auction.choose()) is not None
    assert choice.lot.provider == EVE
    auction.hear(Lot(BOB, 1000, 2, 300))
    assert (choice := auction.choose()) is not None
    assert choice.lot.provider == BOB


def test_nothing_is_bid_where_nothing_is_gained() -> None:
    assert Auction([Lot(BOB, 300, 1, 300)]).choose() is None


def test_the_hungarian_algorithm_finds_what_trying_everything_finds() -> None:
    from itertools import permutations

    for seed in range(5):
        market = Market.draw(seed, 5, 6, 0.5)
        tried = max(
            sum(max(0, market.surplus(job, machine)) for job, machine in enumerate(chosen))
            for chosen in permutations(range(6), 5)
        )
        assert optimum(market, list(range(6))) == tried


def test_a_crowd_of_agents_comes_near_the_optimum_with_few_bids() -> None:
    played = play(3, 20, 20, 0.5, 0.0, faults=False)
    assert played.efficiency > 0.93 > played.cheapest
    assert played.bids <= 15
    assert played.double_booked == 0
    assert callable(cheapest_first)


def test_one_that_announces_less_than_it_asks_is_asked_last_until_it_announces_what_it_asks() -> None:
    auction = Auction([Lot(BOB, 1000, 1, 100), Lot(EVE, 1000, 1, 500)])

    def first() -> Address | None:
        choice = auction.choose()
        return None if choice is None else choice.lot.provider

    assert first() == BOB
    auction.asks(BOB, 300)
    assert first() == EVE
    auction.hear(Lot(BOB, 1000, 2, 90))  # the same lure again
    assert first() == EVE
    auction.lost(EVE)
    last = auction.choose()
    assert last is not None
    assert (last.lot.provider, last.lot.price) == (BOB, 300)  # better than nobody, at what it asks
    auction.hear(Lot(EVE, 1000, 3, 500))
    auction.hear(Lot(BOB, 1000, 3, 300))  # it was taken meanwhile, and now says so
    assert first() == BOB


def test_what_is_offered_does_not_depend_on_what_its_seller_asks() -> None:
    starts = set()
    for asked in (100, 200, 400):
        choice = Auction([Lot(BOB, 1000, 1, asked), Lot(EVE, 1000, 1, 500)]).choose()
        assert choice is not None
        starts.add(choice.start)
    assert starts == {500}


def test_a_job_watches_all_machines_and_bids_at_few() -> None:
    lots = [Lot(who(number), 100 + number, 1, 10) for number in range(MOST_ASKED + 5)]
    auction = Auction(lots)
    asked = [who(number) for number in range(MOST_ASKED)]
    best = auction.choose(asked[:-1])
    assert best is not None
    assert best.lot.provider == who(MOST_ASKED + 4)
    among = auction.choose(asked)
    assert among is not None
    assert among.lot.provider == who(MOST_ASKED - 1)
