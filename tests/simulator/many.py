"""Thousands of seeds, on every core: ``python -m tests.simulator.many COUNT [FIRST]``; ends with 1 if a rule broke."""

from __future__ import annotations

import sys
from collections import Counter
from multiprocessing import Pool

from simulator.run import Violation, run


def one(seed: int) -> tuple[str, int, int, Counter[str]]:
    """What broke under a seed (empty: nothing), its events, deals and notable moments."""
    try:
        report = run(seed, restless=seed % 10 == 0)
    except Violation as violation:
        return str(violation), 0, 0, Counter()
    return "", report.events, report.deals, report.sometimes


def main() -> int:
    """Run them all and tell."""
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    broken, events, deals, sometimes = 0, 0, 0, Counter[str]()
    with Pool() as pool:
        for problem, seen, made, moments in pool.imap_unordered(one, range(first, first + count), chunksize=10):
            if problem:
                broken += 1
                print(problem, flush=True)
            events += seen
            deals += made
            sometimes += moments
    print(f"{count} seeds from {first}: {broken} broke a rule; {events:,} events, {deals:,} deals")
    print(", ".join(f"{what} {times:,}" for what, times in sometimes.most_common()))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
