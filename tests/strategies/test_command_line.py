"""`lilypad strategy`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.app import app

runner = CliRunner()


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A plugin that `strategy new` wrote."""
    monkeypatch.chdir(tmp_path)
    made = runner.invoke(app, ["strategy", "new", "my-own"])
    assert made.exit_code == 0
    return made.stdout.strip()


def test_a_new_strategy_passes_the_kit(mine: str) -> None:
    assert mine == "./my_own.py:MyOwn"
    tested = runner.invoke(app, ["strategy", "test", mine, "--json"])
    assert tested.exit_code == 0
    assert json.loads(tested.stdout)["passed"] is True


def test_the_kit_finds_a_strategy_that_raises(mine: str, tmp_path: Path) -> None:
    (tmp_path / "my_own.py").write_text("class MyOwn:\n    def decide(self, view):\n        return 1 / 0\n")
    assert runner.invoke(app, ["strategy", "test", mine]).exit_code == 6


def test_a_bench_is_one_document(mine: str) -> None:
    done = runner.invoke(app, ["strategy", "bench", mine, "--domains", "1", "--rounds", "10", "--json"])
    document = json.loads(done.stdout)
    assert document["strategy"] == mine
    keys = "opponent domain negotiations agreement_rate utility opponent_utility pareto_distance nash_distance"
    assert set(document["rows"][0]) == {*keys.split(), "per_cpu_second"}


def test_a_tournament_has_a_board_and_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "talk.svg"
    words = ["strategy", "tournament", "micro", "conceder", "--domains", "2", "--picture", str(picture), "--json"]
    rows = json.loads(runner.invoke(app, words).stdout)["rows"]
    assert [row["strategy"] for row in rows] == ["micro", "conceder"]
    assert all(row["confidence"] > 0 for row in rows)
    drawn = picture.read_text()
    assert drawn.startswith("<svg")
    assert all(word in drawn for word in ("Pareto front", "Nash point", "reserves", "deal after"))


@pytest.mark.parametrize("reference", ["nobody", "./nowhere.py:It", "no_such_package:It", "exec:no-such-command", ":"])
def test_what_is_not_there_ends_with_code_2(reference: str) -> None:
    assert runner.invoke(app, ["strategy", "bench", reference]).exit_code == 2
