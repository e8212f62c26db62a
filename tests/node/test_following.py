"""What follows something: `offers watch`, `jobs logs`, and events as lines of JSON; and copies of key and folder."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.helpers.network import Network
from tests.helpers.processes import User, finish, wait_until


def test_a_run_streams_its_events_and_ends_with_its_document(network: Network) -> None:
    ended = network.run("cowsay:v0.1", "in lines", "--json-lines")
    assert ended.code == 0, ended.err
    lines = [json.loads(line) for line in ended.out.splitlines()]
    names = [line["event"] for line in lines]
    assert names[-1] == "document"
    assert names.index("agreed") < names.index("locked") < names.index("arrived") < names.index("ended")
    document = lines[-1]["document"]
    assert document["outcome"] == "DONE"
    assert "in lines" in document["result"]["stdout"]
    assert ended.err == ""

    client = network.nodes["client"]
    told = client.lilypad("jobs", "logs", document["job"])
    assert told.out.split()[2] == "tendering"
    assert "ended" in told.out
    followed = client.lilypad("jobs", "logs", "-f", document["job"], "--json-lines")
    assert [json.loads(line)["event"] for line in followed.out.splitlines()] == names[:-1]
    assert client.lilypad("jobs", "logs", "00").code == 2
    assert client.lilypad("jobs", "logs", "-f", "00").code == 2


def test_offers_are_watched_as_they_come(network: Network) -> None:
    client = network.nodes["client"]
    watching = client.start("offers", "watch", "--json-lines")
    assert watching.stdout is not None
    offered = set()
    while len(offered) < 3:  # the test's own time limit ends it otherwise
        event = json.loads(watching.stdout.readline())
        if event["event"] == "offered":
            offered.add((event["offer"]["kind"], event["offer"]["peer"]))
    assert len({peer for _, peer in offered}) == 3
    watching.send_signal(signal.SIGTERM)
    assert finish(watching).code == 130


def test_a_running_nodes_folder_is_backed_up_and_comes_back_elsewhere(network: Network, tmp_path: Path) -> None:
    client, file = network.nodes["client"], tmp_path / "copy.tar"
    done = network.run("cowsay:v0.1", "keep me", "--json").document
    made = client.lilypad("node", "backup", file)
    assert made.code == 0, made.err
    assert file.stat().st_mode & 0o777 == 0o600
    assert client.lilypad("node", "backup", file).code == 2

    elsewhere = User(tmp_path / "elsewhere", client.environment)
    (elsewhere.here / "lilypad.toml").write_text((client.here / "lilypad.toml").read_text())
    back = elsewhere.lilypad("node", "restore", file)
    assert back.code == 0, back.err
    assert elsewhere.lilypad("node", "restore", file).code == 2  # never over a folder that is in use
    assert elsewhere.lilypad("wallet", "show", "--json").document["address"] == client.api("/api/v1/status")["address"]
    client.end()  # two nodes with one key never run at the same time
    node = elsewhere.start("node", "start", "--role", "client", "--json")
    try:
        wait_until(lambda: (elsewhere.home / "node.json").exists(), 30, "the restored node does not start")
        got = elsewhere.lilypad("jobs", "get", done["job"], "--json", "-o", tmp_path / "again")
        assert got.code == 0, got.err
        assert got.document["result"]["cid"] == done["result"]["cid"]
    finally:
        node.send_signal(signal.SIGTERM)
        finish(node)
        client.begin("--role", "client")


def test_a_file_that_is_no_backup_is_refused(user: User) -> None:
    (user.here / "junk").write_bytes(b"junk" * 500)
    ended = user.lilypad("node", "restore", "junk")
    assert ended.code == 2
    assert "can't be restored" in ended.complaint
    assert not (user.home / "key.json").exists()


def test_a_backup_that_was_cut_off_leaves_nothing_and_a_whole_one_has_everything(user: User) -> None:
    assert user.lilypad("wallet", "new").code == 0
    for place in ("blocks/ab/one", "private/cd/two", "results/job/stdout", "metrics-token"):
        (user.home / place).parent.mkdir(parents=True, exist_ok=True)
        (user.home / place).write_bytes(os.urandom(100_000))
    (user.home / "blocks" / "partial").mkdir(exist_ok=True)
    (user.home / "blocks" / "partial" / "torn").write_text("half")
    assert user.lilypad("node", "backup", "whole").code == 0
    whole = (user.here / "whole").read_bytes()
    (user.here / "cut").write_bytes(whole[: len(whole) * 2 // 3])
    other = User(user.folder / "other", user.environment)
    cut = other.lilypad("node", "restore", user.here / "cut")
    assert cut.code == 2
    assert "can't be restored" in cut.complaint
    assert [path.name for path in other.home.iterdir() if path.name != "lock"] == []
    back = other.lilypad("node", "restore", user.here / "whole")
    assert back.code == 0, back.err
    for place in ("blocks/ab/one", "private/cd/two", "results/job/stdout", "metrics-token", "key.json"):
        assert (other.home / place).read_bytes() == (user.home / place).read_bytes()
    assert not (other.home / "blocks" / "partial").exists()
