"""Runs a module several times and says whether it repeats itself, and if not, where its results part."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from content.adding import add_path
from content.blocks import MemoryBlocks
from modules.compare import Different, Result, Same
from modules.compare_apart import compare_apart
from modules.executor import Executor, Failed, Limits, Outcome, Task
from modules.inputs import BoundInputs, write
from modules.module import Module

PAUSE: Final = 1.1
"""Seconds between two runs: a module that looks at a clock should not get away with it."""
MAX_SHOWN: Final = 200
"""Characters of a differing line."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One run."""

    outcome: Outcome
    cid: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Verdict:
    """What several runs of one job have in common."""

    runs: tuple[Seen, ...]
    same_cid: bool
    same_fuel: bool
    agrees: bool
    """Whether the module's own way of comparing takes all results for the same."""
    differences: tuple[str, ...]
    """Lines for people: where two results part, and how."""

    @property
    def failed(self) -> str:
        """Why the first run that failed did, as a job would; empty where none failed."""
        return next((why for why in map(_failure, self.runs) if why), "")


def _failure(run: Seen) -> str:
    match run.outcome:
        case Failed() as failure:
            return f"{failure.reason}: {failure.detail}"
        case finished if finished.exit_code:
            return f"the module ended with exit code {finished.exit_code}"
        case _:
            return ""


async def check(executor: Executor, module: Module, bound: BoundInputs, place: Path, times: int) -> Verdict:
    """Run ``module`` ``times`` times on the same inputs with the same seed; results are left in ``place``."""
    write(bound, place / "inputs")
    limits = Limits.of(module.manifest.resources)
    await executor.prepare(module)
    runs: list[Seen] = []
    for number in range(times):
        if number:
            await trio.sleep(PAUSE)
        output = place / f"run-{number + 1}"
        outcome = await executor.run(Task(f"check-{number + 1}", module, place / "inputs", output, limits, b"check"))
        cid = await trio.to_thread.run_sync(lambda folder=output: add_path(folder, MemoryBlocks()))
        runs.append(Seen(outcome, str(cid), output))
    return await _judge(module, tuple(runs))


async def _judge(module: Module, runs: tuple[Seen, ...]) -> Verdict:
    first = runs[0]
    found: list[str] = []
    agrees = True
    for other in runs[1:]:
        if other.cid == first.cid:
            continue
        results = Result(first.cid, first.folder), Result(other.cid, other.folder)
        verdict = await compare_apart(module.manifest.verification, *results)
        agrees = agrees and isinstance(verdict, Same)
        exact = compare_bytes(first, other)
        found += [line for line in exact if line not in found]
    return Verdict(
        runs=runs,
        same_cid=len({run.cid for run in runs}) == 1,
        same_fuel=len({run.outcome.fuel for run in runs}) == 1,
        agrees=agrees,
        differences=tuple(found),
    )


def compare_bytes(one: Seen, other: Seen) -> list[str]:
    """Where two results differ, with the first line that does in files of text."""
    from modules.compare import exact

    verdict = exact(Result(one.cid, one.folder), Result(other.cid, other.folder))
    if not isinstance(verdict, Different):
        return []
    return [f"{path}{_how(one.folder / path, other.folder / path)}" for path in verdict.paths]


def _how(one: Path, other: Path) -> str:
    if not one.is_file() or not other.is_file():
        return ": is not in both"
    try:
        texts = one.read_text(), other.read_text()
    except UnicodeDecodeError:
        return f": {one.stat().st_size} and {other.stat().st_size} bytes, no text"
    lines = itertools.zip_longest(*(text.splitlines() for text in texts))
    for number, (left, right) in enumerate(lines, 1):
        if left != right:
            return f", line {number}: {_shown(left)} | {_shown(right)}"
    return ": other ends of lines"


def _shown(line: str | None) -> str:
    return "(none)" if line is None else repr(line[:MAX_SHOWN])
