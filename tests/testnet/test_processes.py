"""A testnet of processes: faults that need containers, and typing errors."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from node.errors import ExitCode
from tests.helpers.processes import ROOT, wait_until
from tests.helpers.testnets import Testnet, open_testnet, working_below

pytestmark = pytest.mark.timeout(7200)


def test_what_is_typed_wrong_gets_one_clear_line(tmp_path: Path) -> None:
    net = Testnet(tmp_path / "none")
    (tmp_path / "ghost.toml").write_text('[[faults]]\nat = 1\nfault = "kill"\npeer = "nobody-1"\n')
    for words, said in (
        (("up", "--processes", "--scenario", tmp_path / "ghost.toml"), "there is no peer 'nobody-1'"),
        (("ps",), "there is no testnet"),
        (("up", "--processes", "--chain", "bitcoin"), "--chain bitcoin"),
        (("up", "--processes", "--liars", "9"), "more cheats"),
        (("up", "--scenario", tmp_path / "no.toml"), "there is no file"),
        (("up", "--image", "lilypad:never-made"), "is not there"),
    ):
        ended = net.command(*words)
        assert ended.code == ExitCode.USAGE, ended.err
        assert said in ended.complaint
        assert not net.folder.exists()


def test_a_start_without_its_chain_ends_at_once_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "chainless"
    words = [sys.executable, "-m", "testnet", "testnet", "up", "--processes", "--folder", str(folder)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until((folder / "chain" / "ready.json").exists, 120, "the chain was not started")
    began = time.monotonic()
    below = psutil.Process(process.pid).children(recursive=True)
    (chain,) = [child for child in below if "contracts.devchain" in child.cmdline()]
    chain.kill()
    _, told = process.communicate(timeout=300)
    assert process.returncode == ExitCode.UNREACHABLE
    assert "the py-evm chain has ended: the process of the chain itself was ended" in told
    assert time.monotonic() - began < 120
    assert not folder.exists()
    assert working_below(folder) == []


def test_a_start_that_is_interrupted_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "early"
    words = [sys.executable, "-m", "testnet", "testnet", "up", "--processes", "--folder", str(folder)]
    process = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    wait_until((folder / "chain" / "pid").exists, 60, "the chain was not started")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert "interrupted" in said
    assert not folder.exists()
    assert working_below(folder) == []


def test_the_network_of_processes_cannot_be_broken_and_says_so(tmp_path: Path) -> None:
    with open_testnet(tmp_path / "net", "--processes", "--providers", "1", "--clients", "1", "--mediators", "0") as net:
        for words in (("delay", "200ms"), ("partition", "client-1")):
            ended = net.command("fault", *words)
            assert ended.code == ExitCode.USAGE
            assert "--processes" in ended.err
        assert "choose from" in net.command("fault", "kill", "provider-9").err
        rows = {row["peer"]: row for row in net.well("ps", "--json").document}
        assert (rows["provider-1"]["stake"], rows["provider-1"]["connected"]) == ("0", 1), "each peer is counted once"
        net.well("fault", "pause", "provider-1")
        assert net.states()["provider-1"] == "paused"
        for _ in range(2):  # the second has nothing to do, and starts nobody beside who runs
            net.well("fault", "resume", "provider-1")
        net.well("fault", "clock", "+10s")
        net.well("fault", "reorg", "1")
        done = subprocess.run(
            [sys.executable, "-m", "testnet", "testnet", "up", "--processes", "--folder", str(net.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "something in" in done.stderr
