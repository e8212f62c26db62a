"""Breaks the vault on purpose, one small change at a time, and counts which changes the tests see.

``python -m tests.contracts.mutate_vault COUNT SEED [SECONDS]``: a mutant is killed when a story test fails or
the fuzzer finds a disagreement with the model; those that live are printed, to be killed by a better test or explained
as equivalent.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from contracts.build import SOURCE, build
from tests.contracts import fuzz_vault
from tests.contracts.twin import Twin

_SWAPS = (
    (r" <= ", " < "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r" & ", " | "),
    (r" \| ", " & "),
    (r" // 2\b", ""),
    (r"\bdeal\.jc\b", "deal.rp"),
    (r"\bdeal\.rp\b", "deal.jc"),
    (r"\bdeal\.pay\b", "deal.fee"),
    (r"\bdeal\.jc_stake\b", "deal.rp_stake"),
    (r"\bdeal\.rp_stake\b", "deal.jc_stake"),
    (r"\bdeal\.cheat\b", "deal.pay"),
    (r"\bdeal\.jurors\b", "deal.quorum"),
    (r"\bdeal\.answer\b", "deal.judge"),
    (r"\bdeal\.judge\b", "deal.answer"),
    (r"\b1\b", "2"),
    (r"\b0\b", "1"),
    (r"\bnot \b", ""),
    (r"\bPAID\b", "CONTESTED"),
    (r"~silent\b", "silent"),
)
_STORIES = [
    str(Path(__file__).with_name(f"test_{name}.py"))
    for name in ("vault_rows", "jury_rows", "batch_rows", "known_defects")
]
_WHOLE = re.compile(r"^\s+(assert|self\._(said|signed|in_time|known|speaks_for|lock|move|slash|take)\()")


def mutants(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers and whole mutated sources."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("# Signatures"))
    end = next(i for i, line in enumerate(lines) if line.startswith("# Views"))
    quoted = False
    for number in range(start, end):
        line = lines[number]
        if line.strip().startswith('"""'):
            quoted = line.count('"""') == 1 and not quoted
            continue
        if quoted or line.strip().startswith("#") or line.startswith(("def ", "@")):
            continue
        for old, new in _SWAPS:
            for match in re.finditer(old, line.split("  # ")[0]):
                yield (
                    number + 1,
                    "\n".join(
                        [*lines[:number], line[: match.start()] + new + line[match.end() :], *lines[number + 1 :]]
                    ),
                )
        if _WHOLE.match(line):
            blank = " " * (len(line) - len(line.lstrip())) + "pass"
            yield number + 1, "\n".join([*lines[:number], blank, *lines[number + 1 :]])


def compiled(text: str, folder: Path) -> bytes | None:
    """Creation code of a source; None where it does not compile."""
    path = folder / "mutant.vy"
    path.write_text(text)
    try:
        return bytes.fromhex(build(path)["bytecode"][2:])
    except Exception:  # the compiler's own, of many kinds
        return None


def survives(code: bytes, folder: Path, seconds: float, seed: int) -> bool:
    """Whether neither the stories nor the fuzzer see a difference."""
    mutant = folder / "mutant.bin"
    mutant.write_bytes(code)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *_STORIES]
    environment = {**os.environ, "LILYPAD_VAULT_MUTANT": str(mutant)}
    if subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0:
        return False
    plain = fuzz_vault.Twin
    fuzz_vault.Twin = lambda people: Twin(people, creation=code)  # type: ignore[assignment, misc]
    try:
        fuzz_vault.fuzz(seconds, seed)
    except (AssertionError, RuntimeError, ValueError):
        return False
    finally:
        fuzz_vault.Twin = plain  # type: ignore[misc]
    return True


def main(count: int, seed: int, seconds: float) -> None:
    """Try a random sample and print who lives."""
    text = SOURCE.read_text()
    everyone = list(mutants(text))
    sample = random.Random(seed).sample(everyone, min(count, len(everyone)))
    killed = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, mutant in sample:
            code = compiled(mutant, Path(folder))
            if code is None:
                continue
            tried += 1
            if survives(code, Path(folder), seconds, seed):
                print(f"alive {number}: {mutant.split(chr(10))[number - 1].strip()}", flush=True)
            else:
                killed += 1
    print(f"{killed} of {tried} killed, {len(everyone)} mutants in all")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 8.0)
