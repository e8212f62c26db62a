"""Containers that mean harm fail with their reason; the node stays up, nothing leaks, nothing of the host is read."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from modules.docker.executor import DockerExecutor
from modules.executor import Failed, Finished, Limits, Outcome, Task
from modules.inputs import bind, write
from modules.module import load

MakeScript = Callable[..., Task]
HOSTILE = Path(__file__).parent / "hostile"


async def run(containers: DockerExecutor, task: Task) -> Outcome:
    """Run it; whatever happens, in good time and with a complete result of plain files."""
    with trio.fail_after(60):
        outcome = await containers.run(task)
    assert sorted(each.name for each in task.output.iterdir()) == ["exit_code", "outputs", "stderr", "stdout"]
    for path in task.output.rglob("*"):
        assert not path.is_symlink()
        assert path.is_file() or path.is_dir()
    assert (task.output / "exit_code").read_text() == f"{outcome.exit_code}\n"
    total = sum(path.stat().st_size for path in task.output.rglob("*") if path.is_file())
    assert total == outcome.bytes_out <= task.limits.disk_bytes + 2 * task.limits.stream_bytes
    return outcome


async def fails(containers: DockerExecutor, task: Task, reason: str) -> Failed:
    outcome = await run(containers, task)
    assert isinstance(outcome, Failed), outcome
    assert outcome.reason == reason, outcome
    return outcome


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("lilypad-docker-*/docker-*"))


def running(mark: str) -> list[Path]:
    """Processes of this machine, those in containers included, that have the mark among their arguments."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended while we looked
            if mark.encode() in place.read_bytes():
                found.append(place)
    return found


async def test_a_fork_bomb_goes_off_in_its_box(containers: DockerExecutor, script: MakeScript) -> None:
    mark = secrets.token_hex(16)
    task = script(HOSTILE / "fork_bomb.py", mark, seconds=3.0, memory_bytes=1 << 30)
    await fails(containers, task, "out_of_time")
    assert running(mark) == []


async def test_a_memory_eater_is_killed_and_what_it_said_is_kept(
    containers: DockerExecutor, script: MakeScript
) -> None:
    task = script(HOSTILE / "memory_eater.py")
    await fails(containers, task, "out_of_memory")
    assert (task.output / "stdout").read_text() == "before\n"


@pytest.mark.parametrize("name", ["disk_filler", "many_files", "deep_folders", "sparse_files"])
async def test_who_fills_the_disk_is_stopped(
    containers: DockerExecutor, script: MakeScript, tmp_path: Path, name: str
) -> None:
    task = script(HOSTILE / f"{name}.py")
    await fails(containers, task, "output_too_large")
    assert list((task.output / "outputs").iterdir()) == []
    assert left_over(tmp_path) == []


async def test_a_file_larger_than_all_may_be_can_not_be_made(containers: DockerExecutor, script: MakeScript) -> None:
    task = script(HOSTILE / "large_file.py")
    outcome = await run(containers, task)
    assert isinstance(outcome, Finished)
    assert outcome.exit_code == 1
    assert "File too large" in (task.output / "stderr").read_text()


async def test_an_endless_log_is_cut(containers: DockerExecutor, script: MakeScript) -> None:
    task = script(HOSTILE / "endless_log.py")
    await fails(containers, task, "output_too_large")
    assert (task.output / "stdout").stat().st_size == task.limits.stream_bytes


async def test_there_is_nobody_to_call(containers: DockerExecutor, script: MakeScript) -> None:
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, lambda stream: pytest.fail("somebody called"), 0)
        port = listeners[0].socket.getsockname()[1]
        task = script(HOSTILE / "network_caller.py", str(port))
        outcome = await run(containers, task)
        nursery.cancel_scope.cancel()
    assert isinstance(outcome, Finished)
    said = (task.output / "stdout").read_text()
    assert said.startswith("interfaces ['lo']\n")
    assert "REACHED" not in said
    assert said.count("no ") == 5


@pytest.mark.parametrize("kind", ["file", "folder", "outputs", "pipe", "socket", "name"])
async def test_what_is_no_plain_file_is_not_taken(containers: DockerExecutor, script: MakeScript, kind: str) -> None:
    task = script(HOSTILE / "links.py", kind)
    await fails(containers, task, "bad_output")
    assert list((task.output / "outputs").iterdir()) == []


async def test_who_seeks_privileges_finds_none(containers: DockerExecutor, script: MakeScript) -> None:
    task = script(HOSTILE / "privilege_seeker.py")
    outcome = await run(containers, task)
    assert isinstance(outcome, Finished)
    assert (task.output / "stdout").read_text() == "tried 20\n", (task.output / "stderr").read_text()


async def test_an_archive_is_a_file_and_stays_one(containers: DockerExecutor, script: MakeScript) -> None:
    task = script(HOSTILE / "zip_bomb.py")
    outcome = await run(containers, task)
    assert isinstance(outcome, Finished)
    assert [path.name for path in (task.output / "outputs").iterdir()] == ["bomb.zip"]
    assert outcome.bytes_out < 1 << 20


async def test_a_process_that_stays_behind_is_ended_with_its_program(
    containers: DockerExecutor, script: MakeScript
) -> None:
    task = script(HOSTILE / "lingerer.py")
    with trio.fail_after(15):
        assert isinstance(await run(containers, task), Finished)
    assert (task.output / "stdout").read_text() == "gone\n"


async def test_an_image_can_not_ask_for_root_volumes_or_healthchecks(
    containers: DockerExecutor, tmp_path: Path
) -> None:
    module = load(HOSTILE / "image")
    write(bind(module.manifest), tmp_path / "inputs")
    limits = Limits.of(module.manifest.resources)
    before = {volume["Name"] for volume in containers.engine.api.volumes()["Volumes"] or ()}
    task = Task("job", module, tmp_path / "inputs", tmp_path / "result", limits, b"")
    assert isinstance(await run(containers, task), Finished)
    said = (task.output / "stdout").read_text()
    assert "user 65534 65534\n" in said or f"user {os.getuid()} {os.getuid()}\n" in said
    assert "volume 15 MiB No space left on device" in said or "volume 16 MiB No space left on device" in said
    assert "healthcheck False" in said
    assert {volume["Name"] for volume in containers.engine.api.volumes()["Volumes"] or ()} == before
