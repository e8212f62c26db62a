"""Hundreds of disputes before honest, lazy, silent and bought juries; nobody honest loses what a jury can take."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from simulator import court
from simulator.run import Report

FIXED = 60
BOUGHT = (110, 193)
"""Seeds with first juries that an appeal overturns, bought or blind: chance brings few."""
CHUNK = 15


@cache
def report(seed: int) -> Report:
    """A fixed seed's run, made once for all tests."""
    return court.run(seed)


@pytest.mark.parametrize("first", range(0, FIXED, CHUNK))
def test_every_rule_holds_before_every_kind_of_jury(first: int) -> None:
    assert sum(report(seed).disputes for seed in range(first, first + CHUNK)) > CHUNK


def test_the_seeds_reach_what_they_are_there_for() -> None:
    sometimes = sum((report(seed).sometimes for seed in (*range(FIXED), *BOUGHT)), Counter[str]())
    wanted = (
        "called: Accuse",
        "called: Contest",
        "called: Draw",
        "called: Appeal",
        "votes handed in",
        "juror voted itself",
        "promises shown",
        "jury refilled",
        "jury silent",
        "juror lost its stake",
        "ruled RIGHT",
        "ruled WRONG",
        "ruled NOT_FETCHABLE",
        "upheld on appeal",
        "overturned on appeal",
    )
    assert [what for what in wanted if not sometimes[what]] == []
