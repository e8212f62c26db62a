"""One worker process as the pool sees it: started, asked, killed; whatever it answers is doubted."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

import trio

from modules.executor import Reason
from modules.wasm.child import Child
from modules.wasm.inside import frames
from modules.wasm.inside.verdict import Request, Verdict
from modules.wasm.sandbox import Sandbox, Scratch

START_SECONDS: Final = 30.0
_GONE_SECONDS: Final = 10.0
_LOG_BYTES: Final = 400

WORKER_REASONS: Final[Mapping[str, Reason]] = {
    "could_not_start": "could_not_start",
    "trapped": "trapped",
    "out_of_fuel": "out_of_fuel",
    "out_of_time": "out_of_time",
    "out_of_memory": "out_of_memory",
    "output_too_large": "output_too_large",
}
"""The reasons that a worker may give."""


class WorkerDied(Exception):
    """The worker went away, or says what no worker of ours says; either way it is of no more use."""


class WorkerProcess:
    """A process that runs one program after the other; after any error it must be killed."""

    def __init__(self, process: Child, scratch: Scratch) -> None:
        self._process = process
        self.scratch = scratch
        self.runs = 0

    @property
    def pid(self) -> int:
        """The process that we started: the worker itself, or the walls around it."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can still be asked, as far as one can see from outside."""
        return self._process.alive

    async def ask(self, request: Request) -> Verdict:
        """Run a program. Raises `WorkerDied`. A cancelled call leaves the worker running: kill it."""
        self.runs += 1
        try:
            await self._process.stdin.send_all(frames.encode(asdict(request)))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise WorkerDied(self._last_words()) from None
        return _verdict(await self._receive(), request)

    async def wait_ready(self) -> None:
        """Wait for the worker's first message. Raises `WorkerDied`."""
        with trio.move_on_after(START_SECONDS):
            if (await self._receive()).get("type") != "ready":
                raise WorkerDied("it greets in an unknown way")
            return
        raise WorkerDied(f"it did not start within {START_SECONDS:g} s")

    async def stop(self) -> None:
        """End the process and all it started. Can't be cancelled; does nothing the second time."""
        with trio.CancelScope(shield=True):
            self._process.kill()
            await self._process.wait()
            # a worker whose walls were killed before they stood hears of its end in no other way
            await self._process.stdin.aclose()
            with trio.move_on_after(_GONE_SECONDS):
                await self._drain()
            await self._process.stdout.aclose()

    async def remove(self) -> None:
        """Stop it and remove its scratch folder. Can't be cancelled."""
        with trio.CancelScope(shield=True):
            await self.stop()
            await trio.to_thread.run_sync(shutil.rmtree, self.scratch.folder, True)

    async def _drain(self) -> None:
        """Read until nobody holds the pipe's other end: only then is the last process behind the walls gone."""
        while True:
            try:
                if not await self._process.stdout.receive_some(65536):
                    return
            except trio.BusyResourceError:  # whoever asked the worker has not heard yet that it is over
                await trio.sleep(0.01)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _receive(self) -> dict[str, object]:
        try:
            size = frames.body_size(await self._receive_exactly(frames.HEADER_BYTES))
            return frames.decode(await self._receive_exactly(size))
        except frames.BadFrame as error:
            raise WorkerDied(f"it sent {error}") from None

    async def _receive_exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                chunk = await self._process.stdout.receive_some(size - len(data))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                chunk = b""
            if not chunk:
                raise WorkerDied(self._last_words())
            data += chunk
        return bytes(data)

    def _last_words(self) -> str:
        try:
            text = self.scratch.log.read_bytes()[-_LOG_BYTES:].decode(errors="replace").strip()
        except OSError:
            text = ""
        return text.splitlines()[-1] if text else "it said nothing"


async def start_worker(sandbox: Sandbox, parent: Path) -> WorkerProcess:
    """Start a worker with a scratch folder below ``parent``. Raises `WorkerDied`, and then leaves nothing."""
    scratch = Scratch(Path(tempfile.mkdtemp(prefix="worker-", dir=parent)))
    scratch.inbox.mkdir()
    scratch.outbox.mkdir()
    try:
        with scratch.log.open("wb") as log:
            process = Child(sandbox.command(scratch), log)
    except BaseException as error:
        shutil.rmtree(scratch.folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise WorkerDied(f"it can't be started: {error}") from None
        raise
    worker = WorkerProcess(process, scratch)
    try:
        await worker.wait_ready()
    except BaseException:
        await worker.remove()
        raise
    return worker


def _verdict(message: dict[str, object], request: Request) -> Verdict:
    """Believe a worker only what can be true."""
    match message:
        case {
            "type": "done",
            "reason": str() as reason,
            "detail": str() as detail,
            "exit_code": int() as exit_code,
            "fuel": int() as fuel,
            "milliseconds": float() as milliseconds,
        } if (
            (reason == "" or reason in WORKER_REASONS)
            and 0 <= exit_code < 2**32
            and 0 <= fuel <= request.fuel
            and math.isfinite(milliseconds)
            and milliseconds >= 0
        ):
            return Verdict(reason, " ".join(detail.split())[:400], exit_code, fuel, milliseconds)
        case _:
            raise WorkerDied("it answered what can't be true")
