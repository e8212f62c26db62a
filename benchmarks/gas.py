"""What a deal costs on chain, beside what it cost in the markets before this one.

``python benchmarks/gas.py [--json]`` mines every path through the vault on anvil (where it is found; else on py-evm,
whose gas is the same) and prints gas by deal: both sides and the payment counted, first-time costs beside steady ones.
In a batch the payer's side is counted; what a provider pays for its own commit stands below it, to be shared by as many
deals as it serves at a time.

The figures beside it: MODiCuM-Online's are published (Eisele et al.); Lilypad v2's were measured on anvil with its
contracts at their last release, four transactions for a happy deal, compiled as deployed (optimizer off) and with the
optimizer on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from contracts.anvil import find_anvil
from tests.contracts.chains import LedgerChain, on_anvil
from tests.contracts.gas_paths import Cost, measure

OTHERS = (
    ("MODiCuM-Online, published", 793_525, 887_386),
    ("Lilypad v2, as deployed", 1_769_400, 2_013_819),
    ("Lilypad v2, optimized", 1_650_755, 1_869_296),
)
"""A happy deal, and one with mediation."""
HAPPY = ("lone deal, final payment", "one of a line of 100 jobs", "one of 100 partners in a batch")
DISPUTED = ("dispute, named 2 of 3", "dispute, drawn 3 of 5 from 21, appeal window")


def _show(costs: list[Cost], where: str) -> None:
    print(f"Gas of one deal, on {where}\n")
    for cost in costs:
        bound = "" if cost.bound is None else f"<= {cost.bound:,}"
        verdict = "" if cost.bound is None else "  yes" if cost.gas <= cost.bound else "  NO"
        parts = " + ".join(f"{name} {gas // cost.shared_by:,}" for name, gas in cost.parts.items())
        print(f"{cost.title:48}{cost.gas:>9,}  {bound:>11}{verdict:5}  {parts}")
    by_title = {cost.title: cost.gas for cost in costs}
    print(f"\n{'times cheaper than':48}" + "".join(f"{name:>28}" for name, _, _ in OTHERS))
    for title in HAPPY:
        print(f"{title:48}" + "".join(f"{happy / by_title[title]:>28.1f}" for _, happy, _ in OTHERS))
    opened = next(cost.parts["open"] for cost in costs if cost.title == HAPPY[0])
    for title in DISPUTED:
        whole = by_title[title] + opened
        print(f"{'open, ' + title:48.48}" + "".join(f"{other / whole:>28.1f}" for _, _, other in OTHERS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    wanted = parser.parse_args()
    found = find_anvil() is not None
    costs = on_anvil(lambda chain: list(measure(chain))) if found else list(measure(LedgerChain()))
    where = "anvil" if found else "py-evm (anvil was not found)"
    if wanted.json:
        print(json.dumps({"chain": where, "gas": {cost.title: cost.gas for cost in costs}}))
    else:
        _show(costs, where)


if __name__ == "__main__":
    main()
