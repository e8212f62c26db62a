"""`lilypad doctor`: what is wrong is found, with what mends it, and ends the command with its code."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from node.errors import ExitCode
from node.keys import new_key
from tests.helpers.network import Chain, Network, configuration, save_cheap_key
from tests.helpers.processes import Ended, User


def examine(user: User, *arguments: str) -> tuple[Ended, dict[str, dict[str, Any]]]:
    """The findings by what they are about; all that is not well says what mends it."""
    ended = user.lilypad("doctor", "--json", *arguments)
    findings = json.loads(ended.out)["findings"]
    assert all(finding["mend"] for finding in findings if finding["grade"] != "ok")
    return ended, {finding["about"]: finding for finding in findings}


def test_a_running_node_is_well(network: Network) -> None:
    ended, found = examine(network.nodes["client"])
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["healthy"]
    assert {found[about]["grade"] for about in ("key", "state", "chain", "node", "vault", "peers")} == {"ok"}


def test_with_nothing_configured_nothing_is_wrong(user: User) -> None:
    ended, found = examine(user)
    assert ended.code == 0
    assert "on this machine" in found["network"]["what"]


def test_a_sandbox_that_does_not_work_and_a_chain_that_is_ahead(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "bwrap").write_text("#!/bin/sh\necho no namespaces >&2\nexit 1\n")
    (tools / "bwrap").chmod(0o755)
    user = User(tmp_path / "user", {"PATH": f"{tools}:{os.environ['PATH']}"})
    chain = Chain({}, {})
    try:
        (user.here / "lilypad.toml").write_text(configuration(chain))
        chain.pass_time(3600)
        _, found = examine(user)
    finally:
        chain.end()
    assert found["sandbox"]["grade"] == found["clock"]["grade"] == "warning"
    assert "may not make its walls" in found["sandbox"]["what"]
    assert re.search(r"is 3[56]\d\d s ahead", found["clock"]["what"])


def test_a_network_without_a_chain_a_key_or_a_node(user: User) -> None:
    (user.here / "lilypad.toml").write_text(
        f'network = "dead"\n[networks.dead]\nrpc = "http://127.0.0.1:9"\nvault = "0x{"11" * 20}"\n'
    )
    ended, found = examine(user)
    assert ended.code == ExitCode.USAGE
    assert "wallet new" in found["data folder"]["mend"]
    assert found["chain"]["grade"] == found["node"]["grade"] == "problem"
    assert "127.0.0.1:9" in found["chain"]["what"]
    assert "node start" in found["node"]["mend"]


def test_an_unknown_network(user: User) -> None:
    ended, found = examine(user, "--network", "atlantis")
    assert ended.code == ExitCode.USAGE
    assert "atlantis" in found["network"]["what"]
    assert "lilypad.toml" in found["network"]["mend"]


def test_a_key_that_others_can_read_and_a_damaged_state(user: User) -> None:
    save_cheap_key(new_key(), user.home / "key.json")
    (user.home / "key.json").chmod(0o644)
    user.home.chmod(0o755)
    (user.home / "state.sqlite").write_bytes(b"not a database, " * 1000)
    ended, found = examine(user)
    assert ended.code == ExitCode.FUNDS_OR_KEY
    assert "chmod 600" in found["key"]["mend"]
    assert found["data folder"]["grade"] == "warning"
    assert "back-up" in found["state"]["mend"]


def test_a_state_of_a_newer_version(user: User) -> None:
    save_cheap_key(new_key(), user.home / "key.json")
    with closing(sqlite3.connect(user.home / "state.sqlite")) as store:
        store.execute("PRAGMA user_version = 999")
    _, found = examine(user)
    assert "newer version" in found["state"]["what"]


def test_people_read_a_line_and_what_mends_it(user: User) -> None:
    ended = user.lilypad("doctor", "--network", "atlantis")
    lines = ended.out.splitlines()
    assert lines[0].startswith("PROBLEM  network")
    assert lines[1].strip().startswith("→ ")
