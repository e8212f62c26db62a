"""What strategic misuse gains, in a few small markets of each kind; `benchmarks/misuse.py` prints more of it."""

from __future__ import annotations

import functools

import pytest

from benchmarks.misuse import KINDS, Played, Row, misusers, play, row

SIZE, SEEDS = 10, range(3, 9)
SHARE = 0.3
"""More of them than the benchmark has: a market without any double booking says nothing about it."""


@functools.cache
def played(seed: int, kind: str) -> Played:
    return play(seed, SIZE, kind, SHARE)


def compared(kind: str) -> Row:
    honest = [played(seed, "honest") for seed in SEEDS]
    return row(kind, SIZE, honest, [played(seed, kind) for seed in SEEDS], SHARE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_honest_keep_their_welfare_and_misuse_does_not_pay(kind: str) -> None:
    found = compared(kind)
    assert found.others_keep >= 0.85  # so few markets are noisy
    assert found.gain <= found.gain_if_honest + 2 * found.error


def test_who_books_twice_loses_by_it() -> None:
    found = compared("double booker")
    assert found.gain < found.gain_if_honest


def test_in_an_honest_market_everybody_gains_or_stays_out() -> None:
    for seed in SEEDS:
        assert all(gain >= 0 for gain in played(seed, "honest").gains.values())
        assert played(seed, "honest").deals >= SIZE - 1  # a job may be worth no machine that the others leave


def test_a_tyre_kicker_gets_holds_and_pays_nothing_for_them() -> None:
    gains = played(SEEDS[0], "tyre kicker").gains
    assert {gains[name] for name in misusers("tyre kicker", SIZE, SHARE)} == {0}
