"""Hundreds of small markets, each with its own faults; every rule must hold in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from simulator.run import Report, run

FIXED = 200
FRESH = 20
CHUNK = 25


@cache
def report(seed: int) -> Report:
    """A fixed seed's run, made once for all tests."""
    return run(seed)


@pytest.mark.parametrize("first", range(0, FIXED, CHUNK))
def test_every_rule_holds_under_the_fixed_seeds(first: int) -> None:
    for seed in range(first, first + CHUNK):
        assert report(seed).deals == report(seed).closed


def test_every_rule_holds_under_fresh_seeds() -> None:
    seeds = [int.from_bytes(os.urandom(6), "big") for _ in range(FRESH)]
    print("fresh seeds:", *seeds)
    for seed in seeds:
        run(seed)


def test_every_rule_holds_among_peers_that_crash_all_the_time() -> None:
    for seed in range(CHUNK):
        run(seed, restless=True)


def test_the_seeds_reach_what_they_are_there_for() -> None:
    sometimes = sum((report(seed).sometimes for seed in range(FIXED)), Counter[str]())
    wanted = (
        "counter-offer",
        "outbid",
        "bound",
        "ended: done",
        "ended: the job failed",
        "ended: no offer fits",
        "ended: no agreement",
        "ended: timed out",
        "ended: disputed",
        "buyer restarted mid-deal",
        "provider restarted mid-deal",
        "reorganised",
        "absence claimed",
        "absent provider lost its stake",
        "called: NoInputs",
        "called: Deliver",
        "called: Contest",
        "called: Free",
        "voucher redeemed",
        "jury silent",
        "check accepted",
        "check rejected",
        "mediator refused",
        "a lie was believed",
        "refused: Open",
        "refused: Finalize",
    )
    assert [what for what in wanted if not sometimes[what]] == []


def test_the_same_seed_gives_the_same_trace_byte_for_byte() -> None:
    code = "from simulator.run import run; print(run(14, traced=True).digest)"
    env = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(Path(__file__).parents[2])}
    elsewhere = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    here = [run(14, traced=True).digest for _ in range(2)]
    assert {*here, elsewhere.stdout.strip()} == {here[0]}
    assert here[0] != run(15, traced=True).digest


def test_a_replay_tells_the_story_of_a_seed() -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "simulator.replay", "--seed", "3"]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert "every rule held" in told.stdout
    assert "Requested" in told.stdout
