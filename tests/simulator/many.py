"""Thousands of seeds, on every core; ends with 1 if a rule broke.

``python -m tests.simulator.many COUNT [FIRST]``: this many markets with their faults.
``python -m tests.simulator.many --disputes COUNT [FIRST]``: worlds of disputes until there were this many.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")  # hashing is most of such a run, and this one costs a tenth

from simulator import court
from simulator.run import Report, Violation, run

AT_ONCE = 4


def one(seed: int) -> Report | str:
    """A market's run, or what broke."""
    try:
        return run(seed, restless=seed % 10 == 0)
    except Violation as violation:
        return str(violation)


def trial(seed: int) -> Report | str:
    """The run of a world of disputes, or what broke; one in eight has fewer jobs and encodes every message."""
    try:
        return court.run(seed, busy=seed % 8 != 0)
    except Violation as violation:
        return str(violation)
    except Exception as error:  # an agent that fails is found by its seed too, and doesn't end the other worlds
        return f"seed {seed}: {type(error).__name__}: {error}"


def main() -> int:
    """Run them all and tell."""
    parser = argparse.ArgumentParser(description="Thousands of seeds, on every core; ends with 1 if a rule broke.")
    parser.add_argument("--disputes", action="store_true", help="worlds of disputes, until there were COUNT disputes")
    parser.add_argument("count", type=int, metavar="COUNT", help="markets")
    parser.add_argument("first", type=int, nargs="?", default=1_000_000, metavar="FIRST", help="seed")
    wish = parser.parse_args()
    disputes, count, first = wish.disputes, wish.count, wish.first
    seeds = range(first, first + count) if not disputes else iter(range(first, first + count * 10))
    began, reports, broken, judged = time.monotonic(), 0, 0, 0
    deals = events = cheated = 0
    sometimes: Counter[str] = Counter()
    with Pool() as pool:
        for found in pool.imap_unordered(trial if disputes else one, seeds, chunksize=AT_ONCE):
            reports += 1
            if isinstance(found, str):
                broken += 1
                print(found, flush=True)
                continue
            events, deals, judged = events + found.events, deals + found.deals, judged + found.disputes
            cheated += found.cheated
            sometimes += found.sometimes
            if disputes and reports % 40 == 0:
                print(f"… {judged:,} disputes after {time.monotonic() - began:,.0f} s", flush=True)
            if disputes and judged >= count:
                pool.terminate()
                break
    took = time.monotonic() - began
    print(
        f"{reports} worlds from seed {first}, {took:,.0f} s: {broken} broke a rule; {events:,} events, {deals:,} deals"
    )
    print(f"{judged:,} disputes; {cheated:,} lies ruled right, each by k or more dishonest jurors or an absent accuser")
    print(", ".join(f"{what} {times:,}" for what, times in sometimes.most_common()))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
