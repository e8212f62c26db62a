"""What a user is told to do about a fault mends that fault."""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.ending import _known
from node.errors import UserError
from node.keys import load_key, new_key
from node.parsing import integer
from node.reach import one_each
from p2p.events import Line, Peer
from tests.helpers.network import save_cheap_key
from tests.helpers.processes import PASSPHRASE, ROOT, User
from tests.helpers.programs import program, write_module


def test_what_is_no_number_is_to_be_digits() -> None:
    with pytest.raises(UserError, match=r"write digits alone, as in chain_id = 1000"):
        integer("x", "chain_id")


def test_a_full_disk_wants_room_and_not_a_back_up(tmp_path: Path) -> None:
    store = sqlite3.connect(tmp_path / "state.sqlite")
    store.execute("create table t (x)")
    (pages,) = store.execute("pragma page_count").fetchone()
    store.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(sqlite3.OperationalError) as full:
        store.execute("insert into t values (zeroblob(100000))")
    store.close()
    for error in (full.value, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))):
        told = _known(error)
        assert told is not None
        assert "free some room" in told.mend
    (tmp_path / "broken.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as broken:
        sqlite3.connect(tmp_path / "broken.sqlite").execute("select * from t")
    told = _known(broken.value)
    assert told is not None
    assert "back-up" in told.mend


def test_a_key_file_that_is_a_folder_is_said_to_be_none(user: User) -> None:
    (user.home / "key.json").mkdir(parents=True)
    ended = user.inside("wallet", "show")
    assert ended.code == 8
    assert "is no file" in ended.complaint
    assert "chmod" not in ended.err


def test_a_key_file_whose_address_was_changed_is_not_believed(tmp_path: Path) -> None:
    key, other = new_key(), new_key()
    save_cheap_key(key, tmp_path / "key.json")
    content = json.loads((tmp_path / "key.json").read_text())
    assert load_key(tmp_path / "key.json", PASSPHRASE).address == key.address
    (tmp_path / "key.json").write_text(json.dumps({**content, "address": other.address.hex()}))
    with pytest.raises(UserError, match=f"names the address 0x{other.address.hex()}, but its key is that of"):
        load_key(tmp_path / "key.json", PASSPHRASE)
    del content["address"]
    (tmp_path / "key.json").write_text(json.dumps(content))
    assert load_key(tmp_path / "key.json", PASSPHRASE).address == key.address, "other wallets leave it out"


def test_a_dev_chain_says_that_its_port_is_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "contracts.devchain", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == 2
    assert f"127.0.0.1:{port} can't be listened on" in ended.stderr
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_anvil_it_is_said_how_to_get_it(user: User) -> None:
    user.environment = {"LILYPAD_ANVIL": str(user.here / "nowhere")}
    ended = user.lilypad("run", "cowsay:v0.1", "hello", "--chain", "anvil")
    assert ended.code == 9
    assert "anvil was not found" in ended.complaint
    assert "npm install --prefix FOLDER @foundry-rs/anvil" in ended.err
    assert "--chain py-evm" in ended.err


def test_a_module_that_ends_with_another_exit_code_than_0_fails_its_check(user: User) -> None:
    module = write_module(user.here / "seven", program("seven"))
    ended = user.lilypad("modules", "check", module, "--times", "2")
    assert ended.code == 5
    assert "it fails: the module ended with exit code 7" in ended.err


def test_a_peer_that_is_connected_both_ways_is_listed_once() -> None:
    one, two = (Peer(str(key.peer_id), key.address) for key in (new_key(), new_key()))
    lines = (Line(one, True, "", "10.0.0.9"), Line(one, False, "10.0.0.1", ""), Line(two, True, "10.0.0.2", ""))
    first, second = one_each(lines)
    assert (first["peer"], first["direction"], first["through"], first["ip"]) == (one.id, "both", "direct", "10.0.0.1")
    assert (second["peer"], second["direction"]) == (two.id, "in")


def test_a_node_elsewhere_that_is_no_url_is_said_to_be_none(user: User) -> None:
    for odd in ("http://[", "http://127.0.0.1:port", "nowhere"):
        user.environment = {"LILYPAD_NODE": odd}
        ended = user.inside("jobs", "ls")
        assert ended.code in (2, 9)
        assert odd in ended.complaint
