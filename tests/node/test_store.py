"""What a node must not forget: batches are whole, states come back as they were, stories keep their order."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agents.effects import Forget, Save
from agents.job_creator import Wanted
from agents.request import Request
from node import migrations
from node.errors import UserError
from node.migrations import SCHEMA_VERSION
from node.store import MOST_JOBS, MOST_PEERS, Store
from protocol.identity import Address
from protocol.job import Job, Resources

RESOURCES = Resources(cpu_millis=1, memory_mib=2, disk_mib=3, gpus=0, vram_mib=0, timeout=4)


def write(store: Store, agent: str, *changes: Save | Forget) -> None:
    """One batch."""
    with store.transaction():
        for change in changes:
            store.change(agent, change)


def wanted(number: int) -> Wanted:
    name = bytes([number]) * 16
    job = Job(
        module="sha256:" + "a" * 64,
        module_cid="bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        inputs_cid="bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
        executor="wasm",
        resources=RESOURCES,
        compare="exact",
        seed=bytes(32),
    )
    return Wanted(name, Request(name, job, 2**70, False, 100_000, (bytes(20),), 1_900_000_000, "fixed"))


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    write(store, "client", Save("a", wanted(1)), Save("b", wanted(2)))
    write(store, "client", Save("a", wanted(3)), Forget("b"))
    write(store, "provider", Save("a", wanted(4)))
    store.close()
    again = Store(tmp_path / "state.sqlite")
    assert again.records("client") == [wanted(3)]
    assert again.records("provider") == [wanted(4)]
    again.close()


def test_a_batch_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    write(store, "client", Save("a", wanted(1)))
    with pytest.raises(Exception, match=r"."):
        write(store, "client", Forget("a"), Save("b", object()))
    assert store.records("client") == [wanted(1)]
    write(store, "client", Save("b", wanted(2)))  # and the next one works
    assert len(store.records("client")) == 2
    store.close()


def test_what_was_committed_survives_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys; from node.store import Store; from pathlib import Path\n"
        "s = Store(Path(sys.argv[1]))\n"
        "s.begin_job(b'j' * 16, 1.5, {'module': 'm'})\n"
        "for n in range(1000):\n"
        "    s.add_event(b'j' * 16, float(n), {'event': 'noted', 'n': n}); print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "state.sqlite")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == 20:
            os.kill(process.pid, signal.SIGKILL)
            break
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    told = int(rest[-1]) if rest else 20
    store = Store(tmp_path / "state.sqlite")
    events = store.events((b"j" * 16).hex())
    assert len(events) >= told + 1
    assert [number for number, _, _ in events] == list(range(len(events)))
    assert store.job((b"j" * 16).hex()) == (1.5, {"module": "m"}, None, None)
    store.close()


def test_a_story_is_told_in_order_and_ends_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    first, second = b"1" * 16, b"2" * 16
    store.begin_job(first, 1.0, {"n": 1})
    store.begin_job(second, 2.0, {"n": 2})
    store.begin_job(first, 9.0, {"n": 9})  # the same name again is the same job
    for number in range(3):
        store.add_event(first, 10.0 + number, {"event": "noted", "n": number})
    store.end_job(first, "DONE", {"done": True})
    assert [job[0] for job in store.jobs()] == [second.hex(), first.hex()]
    assert store.job(first.hex()) == (1.0, {"n": 1}, {"done": True}, "DONE")
    assert [event["n"] for _, _, event in store.events(first.hex(), after=0)] == [1, 2]
    assert store.job("nonsense") is None
    store.close()


def test_a_file_of_a_later_version_is_not_touched(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    store.connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(UserError, match="schema 99"):
        Store(tmp_path / "state.sqlite")


def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "state.sqlite")
    old.executescript((Path(__file__).parent / "stores" / "version_1.sql").read_text())
    old.close()
    store = Store(tmp_path / "state.sqlite")
    assert store.connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert store.records("client") == [wanted(1)]
    assert [job for job, _, _, _ in store.jobs()] == ["01" * 16]
    assert [event["event"] for _, _, event in store.events("01" * 16)] == ["tendering"]
    assert store.peers() == []
    store.close()
    Store(tmp_path / "state.sqlite").close()  # a second time nothing is left to do


def test_a_step_that_fails_leaves_the_old_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: sqlite3.Connection) -> None:
        store.execute("CREATE TABLE half (done TEXT)")
        raise RuntimeError("no further")

    Store(tmp_path / "state.sqlite").close()
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, broken))
    monkeypatch.setattr(migrations, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(RuntimeError):
        Store(tmp_path / "state.sqlite")
    monkeypatch.undo()
    store = Store(tmp_path / "state.sqlite")
    assert store.connection.execute("SELECT name FROM sqlite_master WHERE name = 'half'").fetchall() == []
    store.close()


def test_peers_are_remembered_up_to_a_number(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite")
    for number in range(MOST_PEERS + 10):
        store.meet({Address(number.to_bytes(20, "big")): [f"/ip4/10.0.0.1/tcp/{number}"]}, float(number))
    met = store.peers()
    assert len(met) == MOST_PEERS
    assert met[0] == (Address((MOST_PEERS + 9).to_bytes(20, "big")), [f"/ip4/10.0.0.1/tcp/{MOST_PEERS + 9}"])
    store.close()


def test_stories_are_remembered_up_to_a_number_but_those_that_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.sqlite", durable=False)
    goes_on = bytes(16)
    with store.transaction():
        store.begin_job(goes_on, 0.0, {})
        for number in range(1, MOST_JOBS + 1):
            name = number.to_bytes(16, "big")
            store.begin_job(name, float(number), {})
            store.add_event(name, float(number), {"event": "ended"})
        store.connection.execute("UPDATE jobs SET ended = 'DONE' WHERE started > 0")
    late = (MOST_JOBS + 1).to_bytes(16, "big")
    store.begin_job(late, MOST_JOBS + 1.0, {})
    store.end_job(late, "FAILED", {})
    assert store.count_jobs() == {"DONE": MOST_JOBS - 1, "FAILED": 1, "RUNNING": 1}
    first, second = (number.to_bytes(16, "big").hex() for number in (1, 2))
    assert store.job(goes_on.hex())
    assert store.job(first) is None
    assert store.events(first) == []
    assert store.events(second)
    store.close()
