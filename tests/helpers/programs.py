"""Small WebAssembly programs with one habit each, written in the text format so that no compiler is needed."""

from __future__ import annotations

from pathlib import Path

_WASI = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (data (i32.const 64) "done\\n")
  (func (export "_start") (local $n i64)
    {body}))
"""
_SAY_DONE = """
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 5))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
"""
_HABITS = {
    "say": _SAY_DONE,
    "trap": "unreachable",
    "spin": "(loop $again (br $again))",
    "eat": "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
    "flood": """
    (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 65536))
    (loop $again (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 65540))) (br $again))""",
    "seven": "(call $exit (i32.const 7))",
}
_BUSY = """
    (loop $again
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $n) (i64.const {turns}))))
"""


def program(habit: str) -> bytes:
    """A program that says ``done``, traps, spins for ever, eats memory, floods its output, or exits with 7."""
    return _assembled(_HABITS[habit])


def busy(turns: int) -> bytes:
    """A program that turns a loop this often, then says ``done``; 10^9 turns take about a second and 7 x 10^9 fuel."""
    return _assembled(_BUSY.format(turns=turns) + _SAY_DONE)


def write_module(folder: Path, wasm: bytes, resources: str = "timeout_s = 20", name: str = "habit") -> Path:
    """A module folder around a program."""
    folder.mkdir(parents=True)
    (folder / "program.wasm").write_bytes(wasm)
    (folder / "module.toml").write_text(
        f'name = "{name}"\nversion = "v1"\nsummary = "a test"\nexecutor = "wasm"\n'
        f'[wasm]\nprogram = "program.wasm"\n[resources]\n{resources}\n'
    )
    return folder


def _assembled(body: str) -> bytes:
    import wasmtime

    return bytes(wasmtime.wat2wasm(_WASI.format(body=body)))
