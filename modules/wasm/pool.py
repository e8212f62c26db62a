"""The WASM executor: a few warm workers, each of which runs one task at a time and is replaced when it fails."""

from __future__ import annotations

import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import trio

from modules import folders
from modules.collecting import TooManyNames, collect, start_over, sweep
from modules.errors import InputError
from modules.executor import BY_CHANCE, MIB, Failed, Finished, Limits, Outcome, Reason, Task
from modules.folders import FolderFault
from modules.module import Module
from modules.scratch import scratch_folder
from modules.wasm.inside.verdict import Request, Verdict
from modules.wasm.prepare import prepare
from modules.wasm.profile import profile
from modules.wasm.sandbox import Sandbox, find_bubblewrap
from modules.wasm.worker_process import WORKER_REASONS, WorkerDied, WorkerProcess, start_worker
from protocol.errors import Misuse
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

COMPILE_SECONDS: Final = 120.0
"""What compiling and laying out files may take on top of the run itself."""
ENGINE_BYTES: Final = 1024 * MIB
"""Memory that a worker may use beside the program's own: the interpreter, the compiler, compiled code."""
RUNS_PER_WORKER: Final = 1000
_WATCH_SECONDS: Final = 0.5
_START_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the pool is doing now."""

    size: int
    workers: int
    """Processes alive."""
    idle: int
    replaced: int
    """Workers that were killed or died since the pool was opened."""


class WasmPool:
    """An `modules.executor.Executor`; `open_pool` makes it."""

    name: Final = "wasm"

    def __init__(self, sandbox: Sandbox, size: int, parent: Path, nursery: trio.Nursery) -> None:
        self._sandbox = sandbox
        self._size = size
        self._parent = parent
        self._nursery = nursery
        self._workers: set[WorkerProcess] = set()
        # A slot is a warm worker, or None where one must be started first.
        self._return_slot, self._slots = trio.open_memory_channel[WorkerProcess | None](size)
        self._replaced = 0
        self._closed = False
        self._profile = profile()

    @property
    def isolation(self) -> Isolation:
        return self._sandbox.isolation

    @property
    def profile(self) -> str:
        return self._profile

    def statistics(self) -> Statistics:
        idle = self._slots.statistics().current_buffer_used
        return Statistics(self._size, len(self._workers), idle, self._replaced)

    async def prepare(self, module: Module) -> str:
        """Nothing is to be done: a program comes with its module, and workers keep what they compiled."""
        return "its program is there"

    async def run(self, task: Task) -> Outcome:
        """Run ``task``; see `modules.executor.Executor.run`. Waits for a free worker first."""
        if task.output.exists():
            raise Misuse(f"the result directory of job {task.job} exists already")
        if (refusal := self._refusal(task.limits)) is not None:
            return await self._fail(task, "could_not_start", refusal)
        try:
            slot = await self._slots.receive()
        except trio.ClosedResourceError:
            raise Misuse("the pool is closed") from None
        try:
            if slot is not None and not slot.alive:  # it died while it had nothing to do: no program's fault
                await self._end(slot)
                slot = None
            worker = slot if slot is not None else await self._start()
        except BaseException as error:
            if not self._closed:
                self._return_slot.send_nowait(None)
            if isinstance(error, WorkerDied):
                return await self._fail(task, "executor_died", f"no worker can be started: {error}")
            raise
        keep = False
        try:
            outcome, keep = await self._run_on(worker, task)
        except BaseException:
            shutil.rmtree(task.output, ignore_errors=True)
            raise
        finally:
            if keep and worker.runs < RUNS_PER_WORKER and not self._closed:
                # Whoever asked need not wait for the tidying up.
                self._nursery.start_soon(self._tidy, worker)
            else:
                await self._end(worker)
                if not self._closed:
                    self._nursery.start_soon(self._refill)
        return outcome

    async def _tidy(self, worker: WorkerProcess) -> None:
        """Empty a worker's folders and give it back."""
        try:
            await trio.to_thread.run_sync(_sweep_all, worker.scratch.inbox, worker.scratch.outbox)
        except OSError as error:
            log.warning("a WASM worker's folder can't be emptied: %s", error)
            await self._end(worker)
            await self._refill()
        else:
            if not self._closed:  # else whoever closes removes it
                self._return_slot.send_nowait(worker)

    async def _run_on(self, worker: WorkerProcess, task: Task) -> tuple[Outcome, bool]:
        """Run on this worker; also say whether it may be kept."""
        scratch = worker.scratch
        link = self._sandbox.bubblewrap is not None
        try:
            request = await trio.to_thread.run_sync(lambda: prepare(task, scratch.inbox, link=link))
        except (InputError, FolderFault) as error:
            await trio.to_thread.run_sync(sweep, scratch.inbox)
            return await self._fail(task, "bad_inputs", str(error)), True
        except OSError as error:
            return await self._fail(task, "executor_died", f"the worker's folder can't be filled: {error}"), False
        if task.begun is not None:
            task.begun()
        verdict, alive = await self._ask(worker, request, task.limits)
        if not alive:
            # Nothing may write in the outbox any more while it is read.
            await worker.stop()
        exit_code = _exit_code(verdict)
        try:
            size = await trio.to_thread.run_sync(collect, scratch.outbox, task.output, exit_code, task.limits)
        except TooManyNames as fault:  # within the limits that a worker holds a program to, so it is none of its fault
            if verdict.reason not in BY_CHANCE:
                verdict = replace(verdict, reason="output_too_large", detail=f"/outputs {fault}")
            size = await trio.to_thread.run_sync(start_over, task.output, _exit_code(verdict))
            return self._outcome(verdict, size), alive
        except (FolderFault, OSError) as error:
            await worker.stop()
            shutil.rmtree(task.output, ignore_errors=True)
            return await self._fail(task, "executor_died", f"the result can't be taken over: {error}"), False
        return self._outcome(verdict, size), alive

    async def _ask(self, worker: WorkerProcess, request: Request, limits: Limits) -> tuple[Verdict, bool]:
        """The worker's verdict, or ours about the worker; and whether it is still of use."""
        too_large = False
        with trio.move_on_after(COMPILE_SECONDS + limits.seconds) as overdue:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    nonlocal too_large
                    await self._watch_size(worker, limits)
                    too_large = True
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                try:
                    return await worker.ask(request), True
                except WorkerDied as error:
                    return Verdict("executor_died", f"the worker died: {error}", 0, 0, 0.0), False
                finally:
                    nursery.cancel_scope.cancel()
        if too_large:
            return Verdict("output_too_large", "it fills its folder", 0, 0, 0.0), False
        assert overdue.cancelled_caught
        return Verdict("out_of_time", "it could not be stopped in time", 0, 0, limits.seconds * 1000), False

    async def _watch_size(self, worker: WorkerProcess, limits: Limits) -> None:
        """Return when the outbox holds more than a worker in its right mind lets a program write."""
        most = 2 * (limits.disk_bytes + MIB)
        while True:
            await trio.sleep(_WATCH_SECONDS)
            if await trio.to_thread.run_sync(folders.blocks, worker.scratch.outbox, 2 * limits.files + 16) > most:
                return

    def _refusal(self, limits: Limits) -> str | None:
        memory = self._sandbox.data_bytes - ENGINE_BYTES
        if limits.memory_bytes > memory:
            return f"it wants {limits.memory_bytes // MIB} MiB of memory, and workers here have {memory // MIB}"
        disk = self._sandbox.file_bytes
        if limits.disk_bytes > disk:
            return f"it wants {limits.disk_bytes // MIB} MiB of disk, and workers here have {disk // MIB}"
        return None

    def _outcome(self, verdict: Verdict, size: int) -> Outcome:
        if not verdict.reason:
            return Finished(verdict.exit_code, verdict.fuel, self._profile, verdict.milliseconds, size)
        reason = _reason(verdict)
        return Failed(reason, verdict.detail, verdict.fuel, self._profile, verdict.milliseconds, size)

    async def _fail(self, task: Task, reason: Reason, detail: str) -> Failed:
        """Leave an empty but complete result."""
        failed = Failed(reason, detail, 0, self._profile, 0.0, 0)
        await trio.to_thread.run_sync(start_over, task.output, failed.exit_code)
        return failed

    async def _start(self) -> WorkerProcess:
        worker = await start_worker(self._sandbox, self._parent)
        self._workers.add(worker)
        return worker

    async def _end(self, worker: WorkerProcess) -> None:
        self._workers.discard(worker)
        self._replaced += 1
        await worker.remove()

    async def _refill(self) -> None:
        """Give an empty slot a new worker; after a few failures leave it empty, and the next run will say why."""
        for attempt in range(_START_ATTEMPTS):
            try:
                self._return_slot.send_nowait(await self._start())
            except WorkerDied as error:
                log.warning("a WASM worker could not be started: %s", error)
                await trio.sleep(0.1 * 2**attempt)
            else:
                return
        self._return_slot.send_nowait(None)

    async def _close(self) -> None:
        self._closed = True
        self._slots.close()
        for worker in list(self._workers):
            await worker.remove()
        self._workers.clear()


@asynccontextmanager
async def open_pool(
    size: int = 2,
    *,
    scratch: Path | None = None,
    bubblewrap: str | Literal["find"] | None = "find",
    max_memory_mib: int = 2048,
    max_disk_mib: int = 4096,
) -> AsyncIterator[WasmPool]:
    """Open a pool of ``size`` warm workers; on leaving, no process and no folder of it is left.

    Its folders are below ``scratch``, else below the system's folder for temporary files, where what a killed process
    left is removed first. ``bubblewrap`` is the path of ``bwrap``, ``None`` to do without. Where there
    is none, or it does not work, a warning is logged and the isolation class is lower.
    Raises `WorkerDied` when no worker can be started at all.
    """
    if size < 1:
        raise Misuse("a pool needs at least one worker")
    found = find_bubblewrap() if bubblewrap == "find" else bubblewrap
    sandbox = Sandbox(found, max_memory_mib * MIB + ENGINE_BYTES, max_disk_mib * MIB)
    async with scratch_folder("wasm", scratch) as folder:
        sandbox, first = await _first_worker(sandbox, folder)
        async with trio.open_nursery() as nursery:
            pool = WasmPool(sandbox, size, folder, nursery)
            pool._workers.add(first)
            pool._return_slot.send_nowait(first)
            for _ in range(size - 1):
                nursery.start_soon(pool._refill)
            try:
                yield pool
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await pool._close()


async def _first_worker(sandbox: Sandbox, parent: Path) -> tuple[Sandbox, WorkerProcess]:
    """A worker behind the best walls that work here."""
    if sandbox.bubblewrap is not None:
        try:
            return sandbox, await start_worker(sandbox, parent)
        except WorkerDied as error:
            log.warning(
                "bubblewrap does not work here (%s): WASM programs run with limits but without a sandbox around the "
                "engine; allow unprivileged user namespaces to mend it",
                error,
            )
    else:
        log.warning(
            "bubblewrap is not there: WASM programs run with limits but without a sandbox around the engine; "
            "install the package bubblewrap to mend it"
        )
    plain = Sandbox(None, sandbox.data_bytes, sandbox.file_bytes)
    return plain, await start_worker(plain, parent)


def _reason(verdict: Verdict) -> Reason:
    return WORKER_REASONS.get(verdict.reason, "executor_died")


def _exit_code(verdict: Verdict) -> int:
    return Failed(_reason(verdict), "", 0, "", 0.0, 0).exit_code if verdict.reason else verdict.exit_code


def _sweep_all(*boxes: Path) -> None:
    for folder in boxes:
        sweep(folder)
