"""Breaks the vault on purpose, one small change at a time, and counts which changes the tests see.

``python -m tests.contracts.mutate_vault [--sample N] [--processes N]``: the calls of all story tests and of some fuzzed
worlds are recorded once and made again to each mutant. What answers and remembers the same lives; the story tests
themselves have the last word. ``equivalent_mutants.toml`` lists those that can't be told apart, with the reason. Exit
code 1 where another one lives.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from contracts.build import SETTINGS, SOURCE, compiled
from tests.contracts import recording
from tests.contracts.recording import Story
from tests.contracts.schemata import Mutant, alone, fits, mutants, schema

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
_TOGETHER = 60
"""Mutants in one compilation."""
_TESTS = [
    str(Path(__file__).with_name(f"test_{name}.py"))
    for name in ("vault_rows", "jury_rows", "batch_rows", "vacate_rows", "known_defects")
]
_stories: list[Story] = []


def record(folder: Path, seconds: float) -> list[Story]:
    """The calls of every story test, and of ``seconds`` of fuzzing; the shortest first."""
    told, fuzzed = folder / "told", folder / "fuzzed"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_TESTS]
    subprocess.run(pytest, env=recording.environment(told), check=True, capture_output=True)
    code = f"from tests.contracts.fuzz_vault import fuzz; fuzz({seconds}, 'mutants')"
    subprocess.run([sys.executable, "-c", code], env=recording.environment(fuzzed), check=True, capture_output=True)
    worlds = recording.read(fuzzed)
    return [*worlds[:2], *recording.read(told), *worlds[2:]]


def code_of(text: str) -> bytes | None:
    """Creation code of a source; None where it does not compile."""
    try:
        return bytes.fromhex(compiled(text, SETTINGS)["bytecode"][2:])
    except Exception:  # the compiler's own, of many kinds
        return None


def survivors(chosen: Sequence[Mutant]) -> tuple[int, list[Mutant]]:
    """How many could be tried, and which of them no recorded call tells from the vault."""
    text = SOURCE.read_text()
    named = list(enumerate(chosen, 1))
    code = code_of(schema(text, named))
    if code is None and len(chosen) > 1:
        # one that does not compile: it is found by halves
        half = len(chosen) // 2
        (tried, alive), (more, others) = survivors(chosen[:half]), survivors(chosen[half:])
        return tried + more, alive + others
    if code is None:
        return 0, []
    assert recording.survives(code, [_born_with(story, 0) for story in _stories[:3]]), (
        "none of them: it must be the vault"
    )
    alive = [m for name, m in named if recording.survives(code, _Lazily(_stories, name))]
    return len(chosen), alive


class _Lazily(Sequence[Story]):
    """The stories for one mutant."""

    def __init__(self, stories: list[Story], name: int) -> None:
        self._stories = stories
        self._name = name

    def __len__(self) -> int:
        return len(self._stories)

    def __getitem__(self, at: int) -> Story:  # type: ignore[override]
        return _born_with(self._stories[at], self._name)


def _born_with(story: Story, name: int) -> Story:
    return Story(story.maker, story.arguments + name.to_bytes(32, "big"), story.coins, story.born, story.steps)


def alone_survives(mutant: Mutant) -> bool | None:
    """The same for one that stands in no schema; None where it does not compile."""
    code = code_of(alone(SOURCE.read_text(), mutant))
    return None if code is None else recording.survives(code, _stories)


def stories_see(mutant: Mutant, folder: Path) -> bool:
    """Whether a story test fails with the mutant in the vault's place."""
    code = code_of(alone(SOURCE.read_text(), mutant))
    assert code is not None
    place = folder / f"{mutant.number}.{abs(hash(mutant))}.bin"
    place.write_bytes(code)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *_TESTS]
    environment = {**os.environ, "LILYPAD_VAULT_MUTANT": str(place)}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode != 0


def excused() -> set[tuple[str, str, str]]:
    """Function, line and changed line of the mutants that are known to be the same contract."""
    listed = tomllib.loads(EQUIVALENT.read_text())["mutant"]
    return {(one["function"], one["line"], one["changed"]) for one in listed}


def _begin(stories: list[Story]) -> None:
    _stories.extend(stories)


def main() -> int:
    """Try them and print who lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="so many at random; all by default")
    parser.add_argument("--seconds", type=float, default=30, help="of fuzzing to record")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    began = time.monotonic()
    everyone = list(mutants(SOURCE.read_text()))
    chosen = everyone
    if wanted.sample:
        chosen = sorted(random.Random(wanted.seed).sample(everyone, wanted.sample), key=lambda one: one.number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stories = record(folder, wanted.seconds)
        print(f"{sum(len(story.steps) for story in stories):,} calls to make again", flush=True)
        tried, alive = _try_all(chosen, stories, wanted.processes)
        known = excused()
        alive = [mutant for mutant in alive if _key(mutant) not in known and not stories_see(mutant, folder)]
    equivalent = sum(_key(mutant) in known for mutant in chosen)
    for mutant in alive:
        print(f"alive {mutant.number}: {mutant}")
    killed = tried - len(alive) - equivalent
    share = killed / (tried - equivalent)
    print(
        f"{killed} of {tried - equivalent} killed ({share:.1%}), {equivalent} more are equivalent, "
        f"{len(everyone)} in all, {len(chosen) - tried} don't compile, {time.monotonic() - began:,.0f} s"
    )
    return 1 if alive else 0


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.function, mutant.line.strip(), mutant.changed.strip()


def _try_all(chosen: Sequence[Mutant], stories: list[Story], processes: int) -> tuple[int, list[Mutant]]:
    together = [mutant for mutant in chosen if fits(mutant)]
    single = [mutant for mutant in chosen if not fits(mutant)]
    tried, alive = 0, []
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(stories,)) as pool:
        groups = [together[at : at + _TOGETHER] for at in range(0, len(together), _TOGETHER)]
        for count, living in pool.map(survivors, groups):
            tried += count
            alive += living
            print(f"{tried} tried, {len(alive)} not told apart by recorded calls", flush=True)
        for mutant, lives in zip(single, pool.map(alone_survives, single), strict=True):
            tried += lives is not None
            alive += [mutant] if lives else []
    return tried, alive


if __name__ == "__main__":
    raise SystemExit(main())
