"""What strategic misuse gains, in one small market of each kind; `benchmarks/misuse.py` prints more."""

from __future__ import annotations

import functools

import pytest

from benchmarks.misuse import FRAUDS, KINDS, Played, misusers, play, row

SIZE, SEED = 10, 3


@functools.cache
def honest() -> Played:
    return play(SEED, SIZE, "honest")


@pytest.mark.parametrize("kind", KINDS)
def test_the_honest_keep_their_welfare_and_a_broken_word_does_not_pay(kind: str) -> None:
    played = play(SEED, SIZE, kind)
    found = row(kind, SIZE, [honest()], [played])
    assert found["others_keep"] >= 0.85  # one market of ten is noisy
    if kind in FRAUDS:
        assert found["gain"] <= found["gain_if_honest"]


def test_in_an_honest_market_everybody_gains_or_stays_out() -> None:
    assert all(gain >= 0 for gain in honest().gains.values())
    assert honest().deals == SIZE


def test_a_tyre_kicker_gets_holds_and_pays_nothing_for_them() -> None:
    played = play(SEED, SIZE, "tyre kicker")
    assert {played.gains[name] for name in misusers("tyre kicker", SIZE)} == {0}
