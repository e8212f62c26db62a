"""What each path through the vault costs: within the design's bounds, and as it was last time.

After a change that is meant to cost more or less, ``LILYPAD_GAS=write`` takes the new figures down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.anvil import find_anvil
from tests.contracts.chains import LedgerChain
from tests.contracts.gas_paths import Cost, measure

SNAPSHOT = Path(__file__).with_name("gas_snapshot.json")
TOLERANCE = 0.01
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "gas.py"


@pytest.fixture(scope="module")
def costs() -> list[Cost]:
    found = list(measure(LedgerChain()))
    if os.environ.get("LILYPAD_GAS") == "write":
        SNAPSHOT.write_text(json.dumps({cost.title: cost.gas for cost in found}, indent=1) + "\n")
    return found


def test_every_path_keeps_the_bound_of_the_design(costs: list[Cost]) -> None:
    bounded = [cost for cost in costs if cost.bound is not None]
    assert len(bounded) == 7
    assert not [(cost.title, cost.gas, cost.bound) for cost in bounded if cost.gas > (cost.bound or 0)]


def test_no_path_costs_another_amount_than_last_time(costs: list[Cost]) -> None:
    before = json.loads(SNAPSHOT.read_text())
    assert {cost.title for cost in costs} == set(before)
    moved = {cost.title: (before[cost.title], cost.gas) for cost in costs}
    assert not {title: pair for title, pair in moved.items() if abs(pair[1] / pair[0] - 1) > TOLERANCE}


@pytest.mark.skipif(find_anvil() is None, reason="anvil is not installed")
def test_the_benchmark_measures_the_same_on_anvil() -> None:
    told = subprocess.run([sys.executable, str(BENCHMARK), "--json"], capture_output=True, check=True, text=True)
    found = json.loads(told.stdout)
    assert found["chain"] == "anvil"
    before = json.loads(SNAPSHOT.read_text())
    for name, gas in found["gas"].items():
        # which seats are drawn depends on a block's hash, and a seat far back in the pool costs a little more
        drawn = "drawn" in name or "appeal" in name
        assert abs(gas / before[name] - 1) <= (0.03 if drawn else 0.001), (name, gas, before[name])
