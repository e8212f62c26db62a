"""Twelve containers, three of them dishonest, on a bad day: every job ends rightly, every unit is explained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers.testnets import IMAGE, docker, has_image, open_testnet

ROUGH = Path(__file__).resolve().parents[2] / "examples" / "testnet" / "rough.toml"
JOBS = int(os.environ.get("LILYPAD_TESTNET_JOBS", "30"))
RATE = float(os.environ.get("LILYPAD_TESTNET_RATE", "1.0"))


pytestmark = [
    pytest.mark.skipif(not has_image(), reason="the image is not there: docker/build makes it, and .ci/run does"),
    pytest.mark.timeout(3600),
]


def test_a_bad_day_among_twelve_containers(tmp_path: Path) -> None:
    folder = tmp_path / "rough"
    with open_testnet(folder, "--scenario", ROUGH, "--image", IMAGE) as net:
        assert len([state for state in net.states().values() if state == "running"]) == 13
        load = net.command("load", "--jobs", JOBS, "--rate", RATE, "--json", "--within", "1200", timeout=3000)
        assert load.code == 0, f"{load.out}\n{load.err}\n{net.logs(['client-1', 'client-2', 'client-3'])}"
        assert load.document["asked"] == JOBS
        report = net.report()
        assert report["wrong"] == [], json.dumps(report["money"], indent=2)
        assert report["outcomes"].get("RUNNING", 0) == 0
        assert report["outcomes"]["DONE"] >= JOBS // 2, report["failures"]
        assert report["money"]["explained"]
        assert report["money"]["slashed"] == []
        assert report["simulated"]["jobs"] >= 30
        page = (folder / "report.html").read_text()
        assert page.count("<svg") >= 4
        deal = next(iter(_deals(net.well("logs", "client-1").out)))
        steps = net.well("trace", deal, "--json").document
        assert {step["role"] for step in steps} >= {"client", "provider"}
        assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)
    label = f"label=lilypad.testnet={folder.name}"
    assert docker("ps", "-aq", "--filter", label) == ""
    assert docker("ps", "-aq", "--filter", f"label=lilypad.testnet.wire={folder.name}") == ""
    assert folder.name not in docker("network", "ls", "--format", "{{.Name}}")


def _deals(log: str) -> list[str]:
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["deal"] for line in lines if line.get("what", "").startswith("agreed")]
