"""The engine of one worker: compiles programs, keeps the last few, and connects them to our host calls."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

import wasmtime

from modules.wasm.inside import host_files, host_paths, host_process
from modules.wasm.inside.guest import Guest
from modules.wasm.inside.host_table import HostCall
from modules.wasm.inside.run_state import RunState, TimeIsUp
from modules.wasm.inside.settings import ENGINE
from modules.wasm.inside.wasi_types import Errno, WasiError
from modules.wasm.inside.watchdog import Watchdog

WASI: Final = "wasi_snapshot_preview1"
KEPT_PROGRAMS: Final = 16
KEPT_BYTES: Final = 64 * 1024 * 1024
_MASKS: Final = {"i": 0xFFFFFFFF, "I": 0xFFFFFFFFFFFFFFFF}


class NotRunnable(Exception):
    """The program can't be started here; the text says why, and what would help."""


class Engine:
    """One engine, one linker, and the programs compiled lately.

    Compiled code lives in this process's memory only: a file of it would be native code that somebody could swap.
    """

    def __init__(self) -> None:
        config = wasmtime.Config()
        for name, value in ENGINE.items():
            setattr(config, name, value)
        # One job at a time is compiled; threads of the compiler would only outlive limits on this process.
        config.parallel_compilation = False
        self.engine = wasmtime.Engine(config)
        self.watchdog = Watchdog()
        self._programs: OrderedDict[bytes, tuple[wasmtime.Module, int]] = OrderedDict()
        self._types: dict[str, wasmtime.FuncType] = {}
        self._linker = wasmtime.Linker(self.engine)
        self._run: RunState | None = None
        self._store: wasmtime.Store | None = None
        for table in (host_process.HOST, host_files.HOST, host_paths.HOST):
            for name, call in table.calls.items():
                self._define(name, call)

    def compile(self, program: bytes) -> wasmtime.Module:
        """Compile, or find what was compiled before. Raises `NotRunnable`."""
        # The hash is taken here and not believed from outside, since it decides which code runs.
        key = hashlib.sha256(program).digest()
        if key in self._programs:
            self._programs.move_to_end(key)
            return self._programs[key][0]
        if not program.startswith(b"\0asm"):
            # Without this the engine would also take the text format.
            raise NotRunnable("the program is not WebAssembly; compile it for WASI preview 1 (wasm32-wasi)")
        try:
            module = wasmtime.Module(self.engine, program)
        except wasmtime.WasmtimeError as error:
            raise NotRunnable(f"the program can't be compiled: {_last_line(error)}") from None
        self._check(module)
        self._programs[key] = (module, len(program))
        while len(self._programs) > KEPT_PROGRAMS or sum(size for _, size in self._programs.values()) > KEPT_BYTES:
            self._programs.popitem(last=False)
        return module

    def instantiate(self, module: wasmtime.Module, store: wasmtime.Store, run: RunState) -> wasmtime.Func:
        """Connect the program to ``run`` and return its ``_start``."""
        self._run, self._store = run, store
        start = self._linker.instantiate(store, module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)  # `_check` saw to it
        return start

    def forget_run(self) -> None:
        self._run = self._store = None

    def _check(self, module: wasmtime.Module) -> None:
        for wanted in module.imports:
            signature = self._types.get(wanted.name or "") if wanted.module == WASI else None
            name = f"{wanted.module}.{wanted.name}"
            if signature is None:
                raise NotRunnable(f"the program imports {name}, which is not offered; only WASI preview 1 is")
            if not isinstance(wanted.type, wasmtime.FuncType) or not _same(wanted.type, signature):
                raise NotRunnable(f"the program imports {name} with a signature that is not WASI preview 1")
        kinds = {export.name: export.type for export in module.exports}
        start = kinds.get("_start")
        if not isinstance(start, wasmtime.FuncType) or start.params or start.results:
            raise NotRunnable("the program has no _start; build it as a WASI command, not as a library")

    def _define(self, name: str, call: HostCall) -> None:
        value_types = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}
        results = [wasmtime.ValType.i32()] if call.returns else []
        self._types[name] = wasmtime.FuncType([value_types[kind]() for kind in call.parameters], results)
        masks = [_MASKS[kind] for kind in call.parameters]

        def answer(caller: wasmtime.Caller, *arguments: int) -> int:
            run, store = self._run, self._store
            assert run is not None  # a program runs only between instantiate and forget_run
            assert store is not None
            if run.time_is_up:
                raise TimeIsUp
            guest = Guest(store, caller)
            guest.pay_call()
            try:
                # The engine hands integers over as signed ones.
                call.answer(run, guest, *(value & mask for value, mask in zip(arguments, masks, strict=True)))
            except WasiError as error:
                return error.errno
            return Errno.SUCCESS

        self._linker.define_func(WASI, name, self._types[name], answer, access_caller=True)


def _same(one: wasmtime.FuncType, other: wasmtime.FuncType) -> bool:
    return [str(each) for each in one.params] == [str(each) for each in other.params] and [
        str(each) for each in one.results
    ] == [str(each) for each in other.results]


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()[:200] if str(error).strip() else "no reason given"
