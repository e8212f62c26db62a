"""Runs one program inside the worker: from a request to files in the outbox and a verdict on how it ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import wasmtime

from modules.wasm.inside.descriptors import Descriptors, Stream
from modules.wasm.inside.engine import Engine, NotRunnable
from modules.wasm.inside.guest import OutOfFuel
from modules.wasm.inside.run_state import Exited, RandomStream, RunState, TimeIsUp
from modules.wasm.inside.settings import TABLE_ELEMENTS
from modules.wasm.inside.tree import InputFile, Quota, TooMuch, Tree
from modules.wasm.inside.verdict import Request, Verdict

PROGRAM_NAME: Final = "program"
"""argv[0]. It is the same for all, since its length costs fuel."""
PAGE: Final = 65536


def run(engine: Engine, request: Request, inbox: Path, outbox: Path) -> Verdict:
    """Run ``inbox/program`` on ``inbox/files``; leave ``stdout``, ``stderr`` and ``outputs`` in ``outbox``."""
    try:
        module = engine.compile((inbox / "program").read_bytes())
    except NotRunnable as error:
        return Verdict("could_not_start", str(error), 0, 0, 0.0)
    store = wasmtime.Store(engine.engine)
    store.set_fuel(request.fuel)
    store.set_epoch_deadline(1)
    store.set_limits(
        memory_size=request.memory_bytes, table_elements=TABLE_ELEMENTS, instances=1, tables=16, memories=1
    )
    blobs = outbox / "blobs"
    blobs.mkdir()
    quota = Quota(request.disk_bytes, request.files)
    streams = [
        Stream(os.open(outbox / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), request.stream_bytes, quota)
        for name in ("stdout", "stderr")
    ]
    try:
        tree = Tree(inbox / "files", blobs, quota)
        stdin = tree.find(tree.inputs, request.stdin) if request.stdin is not None else None
        assert stdin is None or isinstance(stdin, InputFile)
        descriptors = Descriptors(tree, stdin, *streams)
        args = [each.encode() for each in (PROGRAM_NAME, *request.args)]
        state = RunState(args, RandomStream(request.seed), tree, descriptors)
        verdict = _watch(engine, module, store, state, request)
        descriptors.close_all()
        outputs = outbox / "outputs"
        outputs.mkdir()
        tree.lay_out(outputs)
    finally:
        for stream in streams:
            os.close(stream.host)
    return verdict


def _watch(
    engine: Engine, module: wasmtime.Module, store: wasmtime.Store, state: RunState, request: Request
) -> Verdict:
    """Execute under the clock and judge what came of it."""

    def stop() -> None:
        state.time_is_up = True
        engine.engine.increment_epoch()

    started = time.perf_counter()
    reason, detail, exit_code = "", "", 0
    try:
        with engine.watchdog.watching(request.seconds, stop):
            engine.instantiate(module, store, state)(store)
    except Exited as left:
        exit_code = left.code
    except TooMuch as error:
        reason, detail = "output_too_large", str(error)
    except OutOfFuel:
        reason, detail = "out_of_fuel", "it burnt all its fuel in host calls"
    except TimeIsUp:
        reason, detail = "out_of_time", f"it ran for more than {request.seconds:g} s"
    except wasmtime.Trap as trap:
        reason, detail = _judge(trap, request)
    except wasmtime.WasmtimeError as error:
        reason, detail = _judge_start(error)
    finally:
        milliseconds = (time.perf_counter() - started) * 1000
        engine.forget_run()
    burnt = request.fuel if reason == "out_of_fuel" else request.fuel - store.get_fuel()
    return Verdict(reason, detail, exit_code, burnt, milliseconds)


def _judge(trap: wasmtime.Trap, request: Request) -> tuple[str, str]:
    code = trap.trap_code
    if code is wasmtime.TrapCode.OUT_OF_FUEL:
        return "out_of_fuel", f"it burnt all of its {request.fuel} fuel"
    if code is wasmtime.TrapCode.INTERRUPT:
        return "out_of_time", f"it ran for more than {request.seconds:g} s"
    name = code.name.lower().replace("_", " ") if code is not None else "no code"
    return "trapped", f"the program trapped: {name} (its memory may grow to {request.memory_bytes // 2**20} MiB)"


def _judge_start(error: wasmtime.WasmtimeError) -> tuple[str, str]:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else "no reason given"
    # The binding tells limits from other failures by the words only.
    if "memory" in text and "limit" in text:
        return "out_of_memory", f"the program's memory does not fit: {text[:200]}"
    return "could_not_start", text[:200]
