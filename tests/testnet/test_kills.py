"""A testnet of processes whose peers are killed at random moments under load: no deal is lost, and none paid twice."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.helpers.testnets import open_testnet

MOMENTS = int(os.environ.get("LILYPAD_KILLS", "5"))
"""Kills of each role."""
RULES = "[rules]\nlock_within = 60\ntransfer = 120\ngrace = 90\nanswer = 60\njudge = 120\n"

pytestmark = pytest.mark.timeout(7200)


def scenario(folder: Path, text: str) -> Path:
    place = folder / "scenario.toml"
    place.write_text(text)
    return place


def test_each_role_is_killed_at_random_moments_and_no_deal_is_lost_or_paid_twice(tmp_path: Path) -> None:
    rng = Random(int(os.environ.get("LILYPAD_KILL_SEED", time.time())))
    jobs, rate = 6 * MOMENTS, 1.0
    kills = []
    for number in range(MOMENTS):
        for role in ("client", "provider", "mediator"):
            moment = round(number * jobs / rate / MOMENTS + rng.uniform(0, 0.9 * jobs / rate / MOMENTS), 2)
            peer = f"{role}-{rng.randint(1, 2)}"
            kills.append(
                f'[[faults]]\nat = {moment}\nfault = "kill"\npeer = "{peer}"\nfor = {rng.uniform(0.1, 2):.2f}\n'
            )
    text = f"[peers]\nproviders = 2\nclients = 2\nmediators = 2\n[load]\njobs = {jobs}\nrate = {rate}\n{RULES}"
    with open_testnet(
        tmp_path / "kills", "--processes", "--scenario", scenario(tmp_path, text + "".join(kills))
    ) as net:
        load = net.command("load", "--json", "--within", "1800", timeout=6000)
        assert load.code == 0, f"{load.out}\n{load.err}\n{text}{''.join(kills)}"
        report = net.report()
        assert report["wrong"] == [], report["money"]
        assert report["outcomes"] == {"DONE": report["jobs"]} or set(report["outcomes"]) <= {
            "DONE",
            "NO_OFFER",  # nobody was up to be asked; nothing was agreed, and nothing is owed
            "NO_AGREEMENT",
        }, report["failures"]
        assert report["money"]["calls"].get("absent", 0) == 0
        paid = sum(int(each["in"]) for each in report["money"]["statements"] if each["peer"].startswith("provider"))
        assert paid > 0
