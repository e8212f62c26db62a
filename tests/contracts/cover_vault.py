"""Which branches of the vault's bytecode its tests take: ``python -m tests.contracts.cover_vault [--recorded FOLDER]``.

Each way of each conditional jump is barred in turn, by an instruction that fails or a target that is none, and the
recorded calls of all story tests and of some fuzzed worlds (see `mutate_vault`) are made again: where nothing changes,
no test goes that way. Not counted are the compiler's own guards (overflow, bounds, the shape of call data), which end
in a revert without a reason; the vault's own refusals all give one. Exit code 1 below 100 %.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

from contracts.artifact import vault_artifact
from contracts.build import SETTINGS, SOURCE
from tests.contracts import recording
from tests.contracts.mutate_vault import record

_JUMPI, _JUMPDEST, _PUSH0, _PUSH1, _PUSH32, _DUP1, _REVERT, _INVALID = 0x57, 0x5B, 0x5F, 0x60, 0x7F, 0x80, 0xFD, 0xFE
_XOR = 0x18
_ELSEWHERE = ("if chain.id == BORN_ON:",)
"""Lines whose other way `test_attacks.py` takes on a fork of the chain, which is not recorded."""


def instructions(code: bytes) -> list[tuple[int, int, int]]:
    """Place, operation and argument of each."""
    found, at = [], 0
    while at < len(code):
        size = code[at] - _PUSH0 if _PUSH1 <= code[at] <= _PUSH32 else 0
        found.append((at, code[at], int.from_bytes(code[at + 1 : at + 1 + size], "big")))
        at += 1 + size
    return found


def is_guard(code: bytes, at: int) -> bool:
    """Whether a place leads to a revert without a reason at once."""
    while code[at] == _JUMPDEST:
        at += 1
    return code[at : at + 3] in (bytes([_PUSH0, _DUP1, _REVERT]), bytes([_PUSH0, _PUSH0, _REVERT]))


def is_dispatch(code: bytes, at: int) -> bool:
    """Whether the jump whose target is pushed here asks for a function's name: what matches none fails either way."""
    return code[at - 2 : at] == bytes([_DUP1 + 1, _XOR]) and code[at - 7] == _PUSH1 + 3


def barred(code: bytes) -> list[tuple[int, str, bytes]]:
    """Every way of every jump that is the source's own: its place, which way, and the code that can't go it."""
    ways = []
    known = instructions(code)
    for (before, push, target), (at, operation, _) in itertools.pairwise(known):
        if operation != _JUMPI or not _PUSH1 <= push <= _PUSH32:
            continue
        if is_guard(code, target) or is_guard(code, at + 1) or is_dispatch(code, before):
            continue
        nowhere = bytes(push - _PUSH0)
        ways.append((at, "jumped", code[: before + 1] + nowhere + code[before + 1 + len(nowhere) :]))
        ways.append((at, "fell through", code[: at + 1] + bytes([_INVALID]) + code[at + 2 :]))
    return ways


def source_lines() -> dict[int, int]:
    """The line of the source by place in the code, where the compiler tells."""
    from vyper.compiler import compile_code
    from vyper.compiler.settings import OptimizationLevel, Settings

    optimize = OptimizationLevel.from_string(SETTINGS["optimize"])
    settings = Settings(optimize=optimize, evm_version=SETTINGS["evm_version"])
    told: dict[str, Any] = compile_code(SOURCE.read_text(), output_formats=["source_map_runtime"], settings=settings)
    return {at: place[0] for at, place in told["source_map_runtime"]["pc_pos_map"].items() if place}


def main() -> int:
    """Print what was not taken, and the share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recorded", type=Path, help="a folder to keep the recorded calls in")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        stories = record(wanted.recorded or Path(name), 30)
    creation, runtime = vault_artifact().bytecode, vault_artifact().runtime
    assert creation.count(runtime) == 1
    assert recording.survives(creation, stories)
    ways = barred(runtime)
    missing = [(at, way) for at, way, code in ways if recording.survives(creation.replace(runtime, code), stories)]
    text, lines = SOURCE.read_text().split("\n"), source_lines() if missing else {}
    missing = [one for one in missing if text[lines.get(one[0], 1) - 1].strip() not in _ELSEWHERE]
    for at, way in missing:
        line = lines.get(at)
        print(f"never {way} at {at}, " + (f"line {line}: {text[line - 1].strip()}" if line else "of the compiler"))
    print(f"{len(ways) - len(missing)} of {len(ways)} branches taken ({1 - len(missing) / len(ways):.1%})")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
