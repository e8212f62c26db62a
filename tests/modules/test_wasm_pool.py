"""The pool outlives its workers: killed, cancelled or hostile, they are replaced, and nothing of them stays behind."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modules.executor import Failed, Finished, Task
from modules.wasm.pool import WasmPool, open_pool
from modules.wasm.worker_process import WorkerDied
from protocol.errors import Misuse
from protocol.isolation import Isolation

Assemble = Callable[[str], Path]
MakeTask = Callable[..., Task]
ENDLESS = '(module (memory (export "memory") 1) (func (export "_start") (loop $l (br $l))))'


def processes_below(scratch: Path) -> list[int]:
    """Processes whose command line names this scratch folder: the workers, or the walls around them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(scratch) in line:
                found.append(int(entry.name))
    return found


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted({pid, *(each for child in children for each in family(int(child)))})


def alive(pids: list[int]) -> list[int]:
    def is_alive(pid: int) -> bool:
        try:
            return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False

    return [pid for pid in pids if is_alive(pid)]


async def wait_until(happened: Callable[[], bool], seconds: float = 20) -> None:
    """Look again and again: what the kernel or a background task does has no event to wait for."""
    with trio.fail_after(seconds):
        while not happened():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def wait_for_idle(pool: WasmPool, count: int = 1) -> None:
    await wait_until(lambda: pool.statistics().idle >= count)


async def test_leaving_the_pool_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    async with open_pool(2, scratch=scratch) as pool:
        await wait_for_idle(pool, 2)
        pids = [each for pid in processes_below(scratch) for each in family(pid)]
        assert len(alive(pids)) >= 2
    await wait_until(lambda: not alive(pids), seconds=2)
    assert list(scratch.iterdir()) == []


async def test_a_cancelled_run_leaves_no_process_and_no_folder(
    tmp_path: Path, pool: WasmPool, assemble: Assemble, make_task: MakeTask, cowsay: Callable[[str], Task]
) -> None:
    task = make_task(assemble(ENDLESS), fuel=2**60, seconds=60)
    pids = [each for pid in processes_below(tmp_path / "scratch") for each in family(pid)]
    assert alive(pids)
    with trio.move_on_after(0.5) as scope:
        await pool.run(task)
    assert scope.cancelled_caught
    await wait_until(lambda: not alive(pids), seconds=2)
    assert not task.output.exists()
    await wait_for_idle(pool)
    assert len(list((tmp_path / "scratch").glob("*/worker-*"))) == 1
    assert isinstance(await pool.run(cowsay("still here")), Finished)


async def test_a_worker_killed_in_the_middle_is_a_failure_and_the_pool_recovers(
    tmp_path: Path, pool: WasmPool, assemble: Assemble, make_task: MakeTask, cowsay: Callable[[str], Task]
) -> None:
    task = make_task(assemble(ENDLESS), fuel=2**60, seconds=60)
    outcomes = []

    async def run() -> None:
        outcomes.append(await pool.run(task))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(0.3)
        victim = family(processes_below(tmp_path / "scratch")[0])[-1]
        os.kill(victim, signal.SIGKILL)
    assert isinstance(outcomes[0], Failed)
    assert outcomes[0].reason == "executor_died"
    assert not outcomes[0].repeats
    assert (task.output / "exit_code").read_text() == "139\n"
    assert isinstance(await pool.run(cowsay("again")), Finished)
    assert pool.statistics().replaced == 1


async def test_two_workers_run_two_tasks_at_once_and_a_third_waits(
    tmp_path: Path, assemble: Assemble, make_task: MakeTask
) -> None:
    async with open_pool(2, scratch=tmp_path / "scratch") as pool:
        program = assemble(ENDLESS)
        tasks = [make_task(program, fuel=2**60, seconds=0.4) for _ in range(3)]
        await wait_for_idle(pool, 2)
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(pool.run, task)
        assert 0.75 < trio.current_time() - started < 10
        assert all((task.output / "exit_code").read_text() == "124\n" for task in tasks)


async def test_one_job_sees_nothing_of_the_job_before_it(
    tmp_path: Path, pool: WasmPool, compile_c: Callable[[str], Path], make_task: MakeTask
) -> None:
    program = compile_c(r"""
        #include <dirent.h>
        #include <stdio.h>
        static void list(const char *path) {
            struct dirent *entry;
            for (DIR *folder = opendir(path); (entry = readdir(folder));) printf("%s ", entry->d_name);
        }
        int main(void) { list("/inputs"); list("/outputs"); fclose(fopen("/outputs/left", "w")); }""")
    (tmp_path / "private").write_text("private")
    first = make_task(program, inputs={"private": tmp_path / "private"})
    second = make_task(program)
    for task in (first, second):
        assert isinstance(await pool.run(task), Finished)
    assert (first.output / "stdout").read_text() == ". .. private program . .. "
    assert (second.output / "stdout").read_text() == ". .. program . .. "


def list_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    child = f"""
import trio
from pathlib import Path
from modules.wasm.pool import open_pool
async def main():
    async with open_pool(1, scratch=Path({str(tmp_path)!r})):
        print("open", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""
    process = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)  # noqa: ASYNC220  (it only starts)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"open\n"
    (theirs,) = list_folder(tmp_path)
    (tmp_path / "lilypad-wasm-of-nobody").mkdir()
    async with open_pool(1, scratch=tmp_path):
        assert theirs.exists()
    process.kill()
    process.wait()
    assert theirs.exists()
    async with open_pool(1, scratch=tmp_path):
        assert not theirs.exists()
    assert [each.name for each in list_folder(tmp_path)] == ["lilypad-wasm-of-nobody"], "it may be about to be named"


async def test_without_bubblewrap_it_runs_all_the_same_warns_and_ranks_lower(
    tmp_path: Path, cowsay: Callable[[str], Task], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_pool(1, scratch=tmp_path / "scratch", bubblewrap=None) as pool:
            assert pool.isolation is Isolation.WASM
            plain = cowsay("same")
            plain_outcome = await pool.run(plain)
    assert "install the package bubblewrap" in caplog.text
    assert isinstance(plain_outcome, Finished)
    if shutil.which("bwrap") is not None:
        async with open_pool(1, scratch=tmp_path / "scratch") as pool:
            walled = cowsay("same")
            walled_outcome = await pool.run(walled)
        assert isinstance(walled_outcome, Finished)
        assert walled_outcome.fuel == plain_outcome.fuel
        assert (walled.output / "stdout").read_bytes() == (plain.output / "stdout").read_bytes()


async def test_a_bubblewrap_that_does_not_work_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        async with open_pool(1, scratch=tmp_path / "scratch", bubblewrap=shutil.which("false")) as pool:
            assert pool.isolation is Isolation.WASM
    assert "does not work here" in caplog.text


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
async def test_a_worker_sees_no_network_and_no_files_of_the_host(tmp_path: Path, pool: WasmPool) -> None:
    assert pool.isolation is Isolation.SANDBOXED_WASM
    check_walls(tmp_path)


def check_walls(tmp_path: Path) -> None:
    pid = family(processes_below(tmp_path / "scratch")[0])[-1]
    root = Path(f"/proc/{pid}/root")
    assert not (root / "etc" / "passwd").exists()
    assert not (root / "home").exists()
    assert not (root / "tmp").exists()
    interfaces = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert b"PATH" not in Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_task_beyond_what_workers_have_is_refused_with_a_reason(pool: WasmPool, cowsay: MakeTask) -> None:
    task = cowsay("big")
    big = replace(task, limits=replace(task.limits, memory_bytes=1 << 40))
    outcome = await pool.run(big)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "could_not_start"
    assert "workers here have 2048" in outcome.detail


async def test_a_result_directory_that_exists_is_our_own_mistake(pool: WasmPool, cowsay: MakeTask) -> None:
    task = cowsay("twice")
    await pool.run(task)
    with pytest.raises(Misuse):
        await pool.run(task)


async def test_no_worker_at_all_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.wasm.sandbox._START", "raise SystemExit('no engine here')")
    with pytest.raises(WorkerDied, match="no engine here"):
        async with open_pool(1, scratch=tmp_path / "scratch", bubblewrap=None):
            pass
    assert list((tmp_path / "scratch").iterdir()) == []
