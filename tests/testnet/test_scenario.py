"""Scenario files and faults as typed: what is meant is understood, and nonsense gets one clear error."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from random import Random

import pytest

from node.errors import UserError
from simulator.assignment import best_total
from testnet.faults import Delay, Heal, Jump, Kill, Loss, Partition, Pause, Reorg, Resume, parse_words, words_of
from testnet.plan import Plan, draw_members
from testnet.scenario import Scenario, as_table, load_scenario
from testnet.simulated import simulate
from testnet.welfare import Wanted, welfare

ROUGH = Path(__file__).resolve().parents[2] / "examples" / "testnet" / "rough.toml"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("partition a,b c", Partition(("a", "b"), ("c",))),
        ("partition a for 10s", Partition(("a",), (), 10.0)),
        ("delay 200ms", Delay(0.2)),
        ("loss 5% for 1m", Loss(0.05, 60.0)),
        ("heal", Heal()),
        ("kill provider-1 for 5s", Kill("provider-1", 5.0)),
        ("pause provider-1", Pause("provider-1")),
        ("resume provider-1", Resume("provider-1")),
        ("clock +1h", Jump(3600.0)),
        ("clock -30s client-1", Jump(-30.0, "client-1")),
        ("reorg 3", Reorg(3)),
    ],
)
def test_a_fault_is_read_as_typed_and_written_as_it_is_read(typed: str, meant: object) -> None:
    fault = parse_words(typed.split())
    assert fault == meant
    assert parse_words(words_of(fault)) == fault


@pytest.mark.parametrize(
    "typed",
    ["", "storm", "delay", "delay 5", "delay -5s", "delay 99d", "loss 100%", "loss 5", "heal for 5s", "reorg 0",
     "reorg many", "reorg ³", "partition , a", "delay 5s peer-1",
     "clock 1h for 2s", "kill", "partition", "loss 5% for 0s"],
)  # fmt: skip
def test_nonsense_is_no_fault(typed: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_words(typed.split())
    assert refused.value.mend


def test_the_shipped_scenario_is_what_it_says() -> None:
    scenario = load_scenario(ROUGH)
    members = draw_members(scenario)
    assert len(members) == 12
    assert sorted(member.kind for member in members if not member.honest) == ["copier", "double-booker", "liar"]
    assert [timed.at for timed in scenario.faults] == sorted(timed.at for timed in scenario.faults)
    assert {type(timed.fault) for timed in scenario.faults} == {Delay, Loss, Partition, Kill, Reorg, Jump}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[peers]\nproviders = 0", "a provider"),
        ("[peers]\nproviders = -1", "does not fit"),
        ("[peers]\nproviders = 2\nliars = 3", "more cheats"),
        ("[peers]\nproviders = 1000", "from 0 to"),
        ('[peers]\nproviders = "six"', "does not fit"),
        ("[peers]\ncows = 1", "unknown keys cows"),
        ("[load]\nworth = [5, 1]", "out of range"),
        ("[load]\nrate = 0", "out of range"),
        ("[load]\ncheck = 2", "no chance"),
        ("[rules]\nmood = 1", "no network has"),
        ("[[faults]]\nat = -1\nfault = 'heal'", "no moment"),
        ("[[faults]]\nfault = 'kill'\nwhom = 'x'", "has the keys"),
        ("[[faults]]\nfault = 'delay'\ntime = '1s'\npeer = 'x'", "has the keys"),
        ("faults = 3", "list of tables"),
        ("[[", "can't be read"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UserError, match=complaint) as refused:
        load_scenario(tmp_path / "s.toml")
    assert refused.value.mend


def test_the_best_total_is_that_of_the_best_of_all_pairings() -> None:
    rng = Random(7)
    for _ in range(200):
        rows, columns = rng.randint(1, 4), rng.randint(1, 5)
        gains = [[rng.randint(-50, 100) for _ in range(columns)] for _ in range(rows)]
        wide = [[*row, *[0] * rows] for row in gains]  # whoever finds no gain stays alone
        best = max(
            sum(max(0, wide[row][column]) for row, column in enumerate(chosen))
            for chosen in permutations(range(columns + rows), rows)
        )
        assert best_total(gains) == best


def test_welfare_pairs_only_jobs_that_compete() -> None:
    places = [100, 200]
    together = [Wanted(0.0, 1000, 100, 5.0), Wanted(1.0, 1000, 200, 5.0)]
    assert welfare(together, places)["share"] == 1.0
    apart = [Wanted(0.0, 1000, 100, 5.0), Wanted(9.0, 1000, 200, 5.0)]
    assert welfare(apart, places) == {"gained": "1700", "optimum": "1800", "share": 0.9444}
    assert welfare([Wanted(0.0, 50, None, 0.0)], places)["share"] is None


def test_the_same_scenario_plays_in_the_simulator(tmp_path: Path) -> None:
    scenario = load_scenario(ROUGH)
    plan = Plan(tmp_path, "rough", "processes", "py-evm", draw_members(scenario), as_table(scenario))
    report = simulate(plan)
    assert report["jobs"] == sum(report["outcomes"].values()) == scenario.load.jobs
    assert "RUNNING" not in report["outcomes"]
    assert report["deals"] >= scenario.load.jobs - report["outcomes"].get("NO_AGREEMENT", 0)
    assert report == simulate(plan), "one seed, one story"
    assert 0 < report["welfare"]["share"] <= 1


def test_a_plan_without_faults_is_a_fine_day_in_the_simulator(tmp_path: Path) -> None:
    scenario = Scenario()
    plan = Plan(tmp_path, "fine", "processes", "py-evm", draw_members(scenario), as_table(scenario))
    report = simulate(plan)
    assert report["outcomes"] == {"DONE": scenario.load.jobs}
    assert 0.5 < report["welfare"]["share"] <= 1
