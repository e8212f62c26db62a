"""A node comes back on the ports where its partners know it."""

from __future__ import annotations

import socket
from pathlib import Path

from node.ports import FILE, Ports


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_last_ports_are_chosen_again(tmp_path: Path) -> None:
    assert Ports(tmp_path).http("127.0.0.1:0") == "127.0.0.1:0"
    http, tcp = _free_port(), _free_port()
    Ports(tmp_path).remember(http, [f"/ip4/127.0.0.1/tcp/{tcp}/p2p/x"])
    again = Ports(tmp_path)
    assert again.http("127.0.0.1:0") == f"127.0.0.1:{http}"
    assert again.listen("/ip4/127.0.0.1/tcp/0") == f"/ip4/127.0.0.1/tcp/{tcp}"


def test_what_the_user_says_goes_first_and_a_taken_port_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        Ports(tmp_path).remember(taken.getsockname()[1], [])
        assert Ports(tmp_path).http("127.0.0.1:0") == "127.0.0.1:0"
        assert Ports(tmp_path).http("127.0.0.1:80") == "127.0.0.1:80"
        assert Ports(tmp_path).listen("/ip4/127.0.0.1/tcp/4001") == "/ip4/127.0.0.1/tcp/4001"


def test_a_damaged_memory_is_no_memory(tmp_path: Path) -> None:
    for garbage in ("", "[]", '{"http": "x"}', '{"http": 99999999}', "x" * 5000):
        (tmp_path / FILE).write_text(garbage)
        assert Ports(tmp_path).http("127.0.0.1:0") == "127.0.0.1:0"
