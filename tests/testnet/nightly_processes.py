"""A testnet of processes whose peers all restart at once, or can't start for a while."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.errors import ExitCode
from tests.helpers.processes import assert_gone, descendants, wait_until
from tests.helpers.testnets import open_testnet

pytestmark = pytest.mark.timeout(7200)


def test_a_network_whose_peers_all_restart_finds_itself_again_without_first_peers(tmp_path: Path) -> None:
    before = descendants()
    with open_testnet(
        tmp_path / "again", "--processes", "--providers", "2", "--clients", "1", "--mediators", "1"
    ) as net:
        time.sleep(12)  # whom they met is written down every ten seconds
        for place in (net.folder / "peers").glob("*/lilypad.toml"):
            lines = place.read_text().splitlines()
            place.write_text("\n".join("bootstrap = []" if line.startswith("bootstrap") else line for line in lines))
        net.well("restart")
        assert net.well("run", "cowsay:v0.1", "again", "--json").document["outcome"] == "DONE"
        assert set(net.states().values()) == {"running"}
    assert_gone(before, 10)


def test_a_peer_that_ends_at_its_start_is_started_again_and_in_the_end_its_reason_is_told(tmp_path: Path) -> None:
    with open_testnet(tmp_path / "net", "--processes", "--providers", "1", "--clients", "1", "--mediators", "0") as net:
        (row,) = (row for row in net.well("ps", "--json").document if row["peer"] == "provider-1")
        log, port = net.folder / "peers" / "provider-1" / "log", int(row["http"].rpartition(":")[2])
        net.well("fault", "kill", "provider-1")
        with held(port) as holder:
            thread = threading.Thread(target=let_go, args=(holder, log))
            thread.start()
            net.well("restart", "provider-1")
            thread.join()
        net.well("fault", "kill", "provider-1")
        with held(port):
            ended = net.command("restart", "provider-1")
        assert ended.code == ExitCode.UNREACHABLE
        assert "can't listen" in ended.complaint


def let_go(holder: socket.socket, log: Path) -> None:
    """Free a port as soon as a peer has missed it."""
    wait_until(lambda: "can't listen" in log.read_text(), 120, "it found its port free")
    holder.close()


@contextmanager
def held(port: int) -> Iterator[socket.socket]:
    """Somebody else listens there."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield holder
