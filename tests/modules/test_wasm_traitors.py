"""A worker that a program has taken over: it may lie, fill, hang or plant links, and the node believes none of it.

Each worker here is a real process behind the real walls; only the program text that it runs is a traitor's.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.executor import Failed, Task
from modules.wasm.pool import open_pool

GREET = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from modules.wasm.inside import frames
inbox, outbox, said = sys.argv[2], sys.argv[3], sys.stdout.buffer
def say(message):
    said.write(frames.encode(message)); said.flush()
def done(**changes):
    say({"type": "done", "reason": "", "detail": "", "exit_code": 0, "fuel": 1, "milliseconds": 1.0} | changes)
say({"type": "ready"})
sys.stdin.buffer.read(frames.body_size(sys.stdin.buffer.read(4)))
"""


async def treason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: Task, deed: str) -> Failed:
    monkeypatch.setattr("modules.wasm.sandbox._START", GREET + deed)
    async with open_pool(1, scratch=tmp_path / "scratch") as pool:
        outcome = await pool.run(task)
        assert isinstance(outcome, Failed), outcome
        assert pool.statistics().replaced == 1
    assert sorted(entry.name for entry in task.output.iterdir()) == ["exit_code", "outputs", "stderr", "stdout"]
    assert list((tmp_path / "scratch").iterdir()) == []
    return outcome


@pytest.mark.parametrize(
    ("deed", "word"),
    [
        ("sys.exit('caught')", "caught"),
        ("os.kill(os.getpid(), 9)", "said nothing"),
        ("said.write(b'\\xff' * 100); said.flush(); time.sleep(60)", "4294967295 bytes"),
        ("said.write(b'\\0\\0\\0\\1\\xc1'); said.flush(); time.sleep(60)", "it sent"),
        ("say({'type': 'ready'}); time.sleep(60)", "can't be true"),
        ("done(fuel=2**63); time.sleep(60)", "can't be true"),
        ("done(fuel=-1); time.sleep(60)", "can't be true"),
        ("done(milliseconds=float('nan')); time.sleep(60)", "can't be true"),
        ("done(reason='tired'); time.sleep(60)", "can't be true"),
        ("done(exit_code='0'); time.sleep(60)", "can't be true"),
    ],
)
async def test_a_worker_that_lies_is_dismissed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cowsay: Callable[[str], Task], deed: str, word: str
) -> None:
    outcome = await treason(tmp_path, monkeypatch, cowsay("hello"), deed)
    assert outcome.reason == "executor_died"
    assert word in outcome.detail


@pytest.mark.parametrize(
    "deed",
    [
        "os.mkdir(outbox + '/outputs'); os.symlink('/etc/passwd', outbox + '/outputs/link'); done()",
        "os.mkdir(outbox + '/outputs'); os.mkfifo(outbox + '/outputs/pipe'); done()",
        "os.mkdir(outbox + '/outputs'); [open(f'{outbox}/outputs/{n}', 'w') for n in range(20)]; "
        "[os.mkdir(f'{outbox}/outputs/d{n}') for n in range(11_000)]; done()",
        "open(outbox + '/stdout', 'w').truncate(1 << 30); done()",
        "os.makedirs(outbox + '/outputs/' + 'd/' * 100); done()",
        "os.mkdir(outbox + '/outputs'); open(os.fsencode(outbox) + b'/outputs/\\xff', 'w'); done()",
    ],
)
async def test_a_worker_that_plants_what_no_program_can_is_dismissed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cowsay: Callable[[str], Task], deed: str
) -> None:
    task = cowsay("hello")
    outcome = await treason(tmp_path, monkeypatch, task, deed + "; time.sleep(60)")
    assert outcome.reason == "executor_died"
    assert list((task.output / "outputs").iterdir()) == []


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
async def test_a_worker_that_was_taken_over_changes_no_input_and_calls_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cowsay: Callable[[str], Task]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        deed = f"""
import socket
tries = [
    lambda: open(inbox + "/program", "r+b"),
    lambda: os.unlink(inbox + "/program"),
    lambda: open("/code/modules/__init__.py", "a"),
    lambda: open("/usr/evil", "w"),
    lambda: os.listdir({str(tmp_path)!r}),
    lambda: open("/etc/passwd"),
    lambda: socket.create_connection(("127.0.0.1", {server.getsockname()[1]}), timeout=1),
    lambda: os.kill({os.getpid()}, 0),
    lambda: os.setuid(0),
]
worked = []
for number, attempt in enumerate(tries):
    try:
        attempt()
        worked.append(number)
    except OSError:
        pass
sys.exit(f"what worked: {{worked}}")
"""
        outcome = await treason(tmp_path, monkeypatch, cowsay("hello"), deed)
    assert "what worked: []" in outcome.detail


async def test_streams_that_are_links_are_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cowsay: Callable[[str], Task]
) -> None:
    monkeypatch.setattr(
        "modules.wasm.sandbox._START",
        GREET + "os.symlink('/etc/passwd', outbox + '/stdout'); os.symlink('/etc', outbox + '/outputs'); done()",
    )
    task = cowsay("hello")
    async with open_pool(1, scratch=tmp_path / "scratch") as pool:
        await pool.run(task)
    assert (task.output / "stdout").read_bytes() == b""
    assert list((task.output / "outputs").iterdir()) == []


async def test_a_worker_that_fills_the_disk_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cowsay: Callable[[str], Task]
) -> None:
    deed = """
for number in range(1000):
    with open(f"{outbox}/{number}", "wb") as file:
        file.write(bytes(1 << 20))
    time.sleep(0.005)
time.sleep(60)
"""
    outcome = await treason(tmp_path, monkeypatch, cowsay("hello"), deed)
    assert outcome.reason == "output_too_large"


async def test_a_worker_that_never_answers_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_task: Callable[..., Task]
) -> None:
    monkeypatch.setattr("modules.wasm.pool.COMPILE_SECONDS", 0.3)
    program = tmp_path / "program"
    program.touch()
    outcome = await treason(tmp_path, monkeypatch, make_task(program, seconds=0.2), "time.sleep(60)")
    assert outcome.reason == "out_of_time"
