"""Which branches of the vault's bytecode its tests take: ``python -m tests.contracts.cover_vault [--recorded FOLDER]``.

The recorded calls of all story tests and of some fuzzed worlds (see `mutate_vault`) are made again under a revm that
tells every step. Every conditional jump must have gone both ways. Not counted are the compiler's own guards (overflow,
bounds, the shape of call data), which end in a revert without a reason; the vault's own refusals all give one. Exit
code 1 below 100 %.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from pyrevm import EVM, CfgEnv, Env

from contracts.artifact import vault_artifact
from contracts.build import SETTINGS, SOURCE
from protocol.identity import show
from tests.contracts import recording
from tests.contracts.bytecode import CHAIN, Bytecode
from tests.contracts.mutate_vault import record

_PC = re.compile(rb'"pc":(\d+)')
_JUMPI = b'"op":87,'
_JUMPDEST, _PUSH0, _PUSH1, _PUSH32, _REVERT, _DUP1 = 0x5B, 0x5F, 0x60, 0x7F, 0xFD, 0x80
WORLDS = 12
"""Fuzzed worlds that are traced after the stories."""


def replay(folder: Path) -> None:
    """Make the calls again; revm prints every step."""
    worlds = recording.read(folder / "fuzzed")[:WORLDS]
    for story in [*recording.read(folder / "told"), *worlds]:
        evm = EVM(env=Env(cfg=CfgEnv(chain_id=CHAIN)), tracing=True)
        for who, coins in story.coins.items():
            evm.set_balance(show(who), coins)
        vault = Bytecode(story.maker, vault_artifact().bytecode + story.arguments, evm=evm, block=story.born)
        print("BORN", flush=True)
        for step in story.steps:
            vault.set_block(step.block, step.now)
            vault.send(step.by, step.payload, step.value)
        sys.stdout.flush()


def taken(folder: Path) -> dict[int, set[int]]:
    """Where each conditional jump went, by its place in the code."""
    ways: dict[int, set[int]] = defaultdict(set)
    command = [sys.executable, "-m", "tests.contracts.cover_vault", "--replay", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        before: int | None = None
        for line in process.stdout:
            if before is not None:
                found = _PC.search(line)
                if found:
                    ways[before].add(int(found[1]))
                before = None
            if _JUMPI in line and (found := _PC.search(line)):
                before = int(found[1])
    if process.returncode:
        raise RuntimeError("the calls could not be made again")
    return ways


def instructions(code: bytes) -> dict[int, tuple[int, int]]:
    """Operation and argument by place."""
    found, at = {}, 0
    while at < len(code):
        size = max(0, code[at] - _PUSH0) if code[at] <= _PUSH32 else 0
        found[at] = code[at], int.from_bytes(code[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return found


def is_guard(code: bytes, at: int) -> bool:
    """Whether a place leads to a revert without a reason at once."""
    while code[at] == _JUMPDEST:
        at += 1
    return code[at : at + 3] in (bytes([_PUSH0, _DUP1, _REVERT]), bytes([_PUSH0, _PUSH0, _REVERT]))


def conditional_jumps(code: bytes) -> dict[int, tuple[int, int]]:
    """Both ways of each conditional jump that is the source's own, by its place."""
    known = instructions(code)
    jumps = {}
    last: tuple[int, int] | None = None
    for at, (operation, argument) in known.items():
        if operation == 0x57 and last is not None and _PUSH1 <= last[0] <= _PUSH32:
            ways = at + 1, last[1]
            if not any(is_guard(code, way) for way in ways):
                jumps[at] = ways
        last = operation, argument
    return jumps


def source_lines() -> dict[int, int]:
    """The line of the source by place in the code, where the compiler tells."""
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    settings = Settings(
        optimize=OptimizationLevel.from_string(SETTINGS["optimize"]), evm_version=SETTINGS["evm_version"]
    )
    told: dict[str, Any] = compile_code(SOURCE.read_text(), output_formats=["source_map_runtime"], settings=settings)
    places = told["source_map_runtime"]["pc_pos_map"]
    return {at: position[0] for at, position in places.items() if position}


def main() -> int:
    """Print what was not taken, and the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--recorded", type=Path, help="a folder to keep the recorded calls in")
    wanted = parser.parse_args()
    if wanted.replay:
        replay(wanted.replay)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = wanted.recorded or Path(name)
        record(folder, 30)
        ways = taken(folder)
    code = vault_artifact().runtime
    jumps = conditional_jumps(code)
    lines, text = source_lines(), SOURCE.read_text().split("\n")
    missing = [(at, way) for at, both in jumps.items() for way in both if way not in ways.get(at, set())]
    for at, way in missing:
        line = lines.get(at)
        place = f"line {line}: {text[line - 1].strip()}" if line else "of the compiler"
        print(f"never {'fell through' if way == at + 1 else 'jumped'} at {at}, {place}")
    total = 2 * len(jumps)
    print(f"{total - len(missing)} of {total} branches taken ({1 - len(missing) / total:.1%})")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
