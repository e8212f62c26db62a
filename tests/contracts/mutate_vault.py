"""Breaks the vault on purpose, one small change at a time, and counts which changes the tests see.

``python -m tests.contracts.mutate_vault [--sample N] [--functions show,resume] [--part 3/18] [--processes N]``: the
calls of all story tests and of some fuzzed worlds are recorded once and made again to each mutant. What answers and
remembers the same lives; the story tests themselves have the last word. ``equivalent_mutants.toml`` lists those that
can't be told apart, with the reason. Exit code 1 where another one lives.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from contracts.build import SETTINGS, SOURCE, compiled
from tests.contracts import recording
from tests.contracts.recording import Story
from tests.contracts.schemata import Mutant, alone, fits, mutants, named_at, schema

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
_TOGETHER = 60
"""Mutants in one compilation."""
_ROWS = ("vault_rows", "jury_rows", "appeal_rows", "batch_rows", "vacate_rows", "line_rows")
_TESTS = [str(Path(__file__).with_name(f"test_{name}.py")) for name in (*_ROWS, "known_defects", "attacks")]
_UNRECORDED = _TESTS[-2:]
"""Those that do more than call one vault: forks of the chain, coins forced in, contracts that call back."""
_stories: list[Story] = []


def record(folder: Path, seconds: float) -> list[Story]:
    """The calls of every story test, and of ``seconds`` of fuzzing; the shortest first."""
    told, fuzzed = folder / "told", folder / "fuzzed"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_TESTS]
    code = f"from tests.contracts.fuzz_vault import fuzz; fuzz({seconds}, 'mutants')"
    for place, command in ((told, pytest), (fuzzed, [sys.executable, "-c", code])):
        if not place.exists():
            subprocess.run(command, env=recording.environment(place), check=True, capture_output=True)
    worlds = recording.read(fuzzed)
    return [*worlds[:2], *recording.read(told), *worlds[2:]]


def code_of(text: str) -> bytes | int:
    """Creation code of a source; the line of the fault where it does not compile, 0 where that isn't told."""
    try:
        return bytes.fromhex(compiled(text, SETTINGS)["bytecode"][2:])
    except Exception as fault:  # the compiler's own, of many kinds
        told = re.search(r"line (\d+):\d+", str(fault))
        return int(told[1]) if told else 0


def survivors(chosen: Sequence[Mutant]) -> tuple[int, list[Mutant]]:
    """How many could be tried, and which of them no recorded call tells from the vault."""
    named = dict(enumerate(chosen, 1))
    source = schema(SOURCE.read_text(), list(named.items()))
    code = code_of(source)
    apart: list[Mutant] = []
    while isinstance(code, int):
        faulty = named_at(source, code) if code else []
        if not faulty:
            raise ValueError(f"the schema does not compile, in line {code}")
        gone = [named.pop(name) for name in faulty]
        apart += gone if len(gone) > 1 else []
        source = schema(SOURCE.read_text(), list(named.items()))
        code = code_of(source)
    assert recording.survives(code, _born_with(_stories[:3], 0)), "none of them: it must be the vault"
    alive = [mutant for name, mutant in named.items() if recording.survives(code, _born_with(_stories, name))]
    singly = [(mutant, alone_survives(mutant)) for mutant in apart]
    tried = len(named) + sum(lives is not None for _, lives in singly)
    return tried, alive + [mutant for mutant, lives in singly if lives]


def _born_with(stories: Sequence[Story], name: int) -> Iterator[Story]:
    for story in stories:
        yield Story(story.maker, story.arguments + name.to_bytes(32, "big"), story.coins, story.born, story.steps)


def alone_survives(mutant: Mutant) -> bool | None:
    """The same for one that stands in no schema; None where it does not compile."""
    code = code_of(alone(SOURCE.read_text(), mutant))
    return None if isinstance(code, int) else recording.survives(code, _stories)


def stories_see(mutant: Mutant, folder: Path) -> bool:
    """Whether a story test fails with the mutant in the vault's place."""
    code = code_of(alone(SOURCE.read_text(), mutant))
    assert not isinstance(code, int)
    place = folder / f"{mutant.number}.{abs(hash(mutant))}.bin"
    place.write_bytes(code)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *_UNRECORDED]
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
    parser.add_argument("--functions", help="only of these, as show,resume")
    parser.add_argument("--part", default="1/1", help="which of how many equal parts, as 3/18")
    parser.add_argument("--recorded", type=Path, help="a folder to keep the recorded calls in, for the next part")
    wanted = parser.parse_args()
    began = time.monotonic()
    everyone = list(mutants(SOURCE.read_text()))
    named = set((wanted.functions or "").split(","))
    chosen = [mutant for mutant in everyone if not wanted.functions or mutant.function in named]
    if wanted.sample:
        chosen = sorted(random.Random(wanted.seed).sample(chosen, wanted.sample), key=lambda one: one.number)
    part, parts = map(int, wanted.part.split("/"))
    chosen = chosen[len(chosen) * (part - 1) // parts : len(chosen) * part // parts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stories = record(wanted.recorded or folder, wanted.seconds)
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
            for mutant in living:
                print(f"  {mutant.number}: {mutant}", flush=True)
        for mutant, lives in zip(single, pool.map(alone_survives, single), strict=True):
            tried += lives is not None
            alive += [mutant] if lives else []
    return tried, alive


if __name__ == "__main__":
    raise SystemExit(main())
