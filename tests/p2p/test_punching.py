"""Peers at home, each behind a router that keeps strangers out, reach each other: directly where routers let them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import wait_until
from tests.p2p.nat.networks import WAN, Internet, internet

SCRIPT = Path(__file__).parent / "nat/peer.py"


class Process:
    """A peer in its namespace, and the last thing it said."""

    def __init__(self, space: str, *arguments: str) -> None:
        self.last: dict[str, Any] = {}
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", space, sys.executable, str(SCRIPT), *arguments], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.last = json.loads(line)

    def through(self, other: Process) -> list[str]:
        """What carries each connection to another."""
        found: list[str] = self.last["through"].get(other.last["peer"], [])
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def _peers(net: Internet) -> Iterator[dict[str, Process]]:
    """A relay; somebody at home who is called; callers from a home, from behind a symmetric router, from outside."""
    peers: dict[str, Process] = {}
    spaces = {"relay": net.public(1), "called": net.home(12), "home": net.home(11), "public": net.public(2)}
    spaces["symmetric"] = net.home(13, symmetric=True)
    try:
        peers["relay"] = Process(spaces["relay"], "9001", f"/ip4/{WAN}.1/tcp/4001", "--serve-relay")
        wait_until(lambda: peers["relay"].last, 60, "the relay did not start")
        relay = peers["relay"].last["addrs"][0]
        peers["called"] = Process(spaces["called"], "9002", "/ip4/10.12.0.2/tcp/4002", "--relay", relay)
        wait_until(lambda: peers["called"].last.get("relayed"), 60, "no place at the relay")
        wait_until(lambda: peers["called"].last["seen_at"], 60, "nobody said where it is seen")
        call = ("--call", peers["called"].last["relayed"][0], "--relay", relay)
        for number, (name, place) in enumerate(
            {"home": "10.11.0.2", "symmetric": "10.13.0.2", "public": f"{WAN}.2"}.items()
        ):
            peers[name] = Process(spaces[name], str(9100 + number), f"/ip4/{place}/tcp/4003", *call)
        yield peers
    finally:
        for peer in peers.values():
            peer.end()


def test_a_hole_is_punched_where_routers_let_it_and_the_relay_carries_the_rest():
    missing = [tool for tool in ("ip", "iptables", "sysctl") if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    try:
        net = internet()
        made = net.__enter__()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs the right to make network namespaces: {error.stderr!r}")
    try:
        with _peers(made) as peers:
            called = peers["called"]
            for name in ("home", "public"):
                caller = peers[name]
                wait_until(lambda c=caller: c.last and c.through(called) == ["direct"], 60, f"{name} stays relayed")
                assert caller.last["punched"] == 1
            # what was said while the line changed has arrived, and in its order; so does what is said since
            for name in ("home", "public", "symmetric"):
                caller, before = peers[name], peers[name].last["answers"]
                wait_until(lambda c=caller, b=before: c.last["answers"] >= b + 4, 60, f"{name} hears no answer")
                assert caller.last["in_order"]
            # gossip too goes on over the new line
            mine, before = peers["home"].last["peer"], called.last["heard"].get(peers["home"].last["peer"], 0)
            wait_until(lambda: called.last["heard"].get(mine, 0) > before + 2, 60, "no gossip over the new line")

            wait_until(lambda: called.last["punches_failed"], 60, "the symmetric router was never given up")
            assert peers["symmetric"].through(called) == ["relay"]

            # and everybody says what holds
            wait_until(lambda: called.last["dialable"] is not None, 60, "nobody was asked to dial it")
            assert (called.last["behind_router"], called.last["dialable"]) == (True, False)
            assert f"behind a router: seen at /ip4/{WAN}.12/tcp/4002" in called.last["sentence"]
            assert "reachable through 1 relay(s) of 1" in called.last["sentence"]
            assert peers["public"].last["behind_router"] is False
    finally:
        net.__exit__(None, None, None)
