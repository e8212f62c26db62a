"""When does cheating pay? A lying provider's profit beside an honest one's, and where the boundary lies.

``python benchmarks/equilibrium.py [--deals N]``. Real agents and the exact model of the vault, without faults: every
deal is haggled, locked, delivered, checked with chance p by the job creator's own re-run, judged and paid. What a
provider earns is what its account gained; a run costs an honest one pay / margin, a lie costs nothing.

Formula 1' of the research notes, in one line, for a check that always finds a lie: honesty pays from
p* = (1 - Cd/C) / (m (1 + mu)) on, with m the margin (pay / cost) and mu the collateral's multiple of the pay. A liar's
mean profit is a straight line in p, so the boundary is where the line through its measured points crosses the honest
provider's; both ends have their standard errors. Ends with 1 where a boundary lies more than three of them from p*.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from dataclasses import dataclass, replace
from multiprocessing import Pool
from random import Random
from statistics import fmean, stdev

os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")  # hashing is most of such a run

from agents.reports import Agreed, Report
from agents.request import CheckBy
from agents.shop import Sheet, Shop
from protocol.deal import DealId
from protocol.rules import PERCENT
from protocol.terms import MILLION
from simulator.court import MACHINE
from simulator.faults import Plan
from simulator.invariants import Oracle
from simulator.population import FUNDS, RULES, buyer, draw_request, mediator, provider
from simulator.world import START, Peer, World

MARGIN = 1.2
PAY = 1000
JOBS = 40
"""Deals of one world."""
CHANCES = (0.0, 0.05, 0.1, 0.2, 0.4)
MULTIPLES = (3, 10, 30)
DEFAULT_CHANCE, DEFAULT_MULTIPLE = 0.1, 10


@dataclass(slots=True)
class Deals:
    """Which deals were made."""

    made: set[DealId]

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        if isinstance(report, Agreed):
            self.made.add(report.deal.id(world.rules.domain))

    def handled(self, *_: object) -> None: ...
    def mined(self, *_: object) -> None: ...
    def dropped(self, *_: object) -> None: ...
    def restored(self, *_: object) -> None: ...


def profits(seed: int, kind: str, chance: float, multiple: int) -> list[float]:
    """What one provider earned, in units of the pay: the mean over the deals of each of several short worlds."""
    rules = replace(RULES, cheat_percent=multiple * PERCENT, check_fee=0)
    rng = Random(f"profits {seed} {kind} {chance} {multiple}")
    shop = Shop(MACHINE, ("wasm",), ("sandboxed_wasm",), (Sheet("*", PAY, PAY),))
    peers = [buyer("buyer", 1, "fixed", rules=rules), provider("seller", 1, shop, "fixed", kind=kind, rules=rules)]
    peers += [mediator(f"juror {i}", i, rules=rules) for i in range(3)]
    deals, oracle = Deals(set()), Oracle({})
    world = World(rng.getrandbits(32), rules, peers, Plan(), wire=False, observers=(oracle, deals))
    for peer in peers:
        world.ledger.deposit(peer.address, 1000 * FUNDS)
    wanted = oracle.requests[peers[0].address] = []
    for number in range(JOBS):
        moment = START + 25 + 12.0 * number
        asked = draw_request(rng, moment, check_ppm=round(chance * MILLION))
        job = replace(asked.job, resources=replace(asked.job.resources, timeout=10))
        asked = replace(asked, job=job, most_pay=PAY, at_market=False, deadline=int(moment) + 60)
        wanted.append(replace(asked, check_by=CheckBy.SELF))
        world.request(moment, peers[0], wanted[-1])
    world.run(START + 3000, lambda: oracle.finished(world))
    gained = world.ledger.vault.account(peers[1].address).balance - 1000 * FUNDS
    cost = len(deals.made) * PAY / MARGIN if kind == "honest" else 0.0
    return [(gained - cost) / (PAY * max(1, len(deals.made)))]


@dataclass(frozen=True, slots=True)
class Measured:
    """A mean and its standard error."""

    mean: float
    error: float


def measure(pool: object, kind: str, chance: float, multiple: int, deals: int) -> Measured:
    """The mean profit of a deal over enough worlds."""
    worlds = max(4, -(-deals // JOBS))
    found = pool.starmap(profits, [(seed, kind, chance, multiple) for seed in range(worlds)])  # type: ignore[attr-defined]
    each = [value for values in found for value in values]
    return Measured(fmean(each), stdev(each) / math.sqrt(len(each)))


def crossing(points: list[tuple[float, Measured]], level: float) -> Measured:
    """Where the line through these points (weighted least squares) falls to a level, with its standard error."""
    weights = [1 / max(point.error, 1e-3) ** 2 for _, point in points]
    total = sum(weights)
    x_mean = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    y_mean = sum(w * point.mean for w, (_, point) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - x_mean) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    slope = (
        sum(w * (x - x_mean) * (point.mean - y_mean) for w, (x, point) in zip(weights, points, strict=True)) / spread
    )
    at = x_mean + (level - y_mean) / slope
    error = math.sqrt(1 / total + (at - x_mean) ** 2 / spread) / abs(slope)
    return Measured(at, error)


def main() -> int:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--deals", type=int, default=400, help="for each point")
    options = parser.parse_args()
    ok = True
    with Pool() as pool:
        print(f"profit of a deal in units of the pay, margin {MARGIN}, {options.deals} deals a point")
        print(f"{'mu':>4} {'honest':>8} " + " ".join(f"{f'p = {chance:g}':>15}" for chance in CHANCES), flush=True)
        for multiple in MULTIPLES:
            honest = measure(pool, "honest", DEFAULT_CHANCE, multiple, options.deals)
            liar = [(chance, measure(pool, "liar", chance, multiple, options.deals)) for chance in CHANCES]
            cells = " ".join(f"{point.mean:8.3f} ± {point.error:.2f}" for _, point in liar)
            predicted = 1 / (MARGIN * (1 + multiple))
            found = crossing(liar, honest.mean)
            near = abs(found.mean - predicted) <= 3 * found.error
            print(f"{multiple:4} {honest.mean:8.3f} {cells}")
            print(f"     boundary measured {found.mean:.4f} ± {found.error:.4f}, formula {predicted:.4f}", flush=True)
            ok = ok and near
            if multiple == DEFAULT_MULTIPLE:
                at_default = dict(liar)[DEFAULT_CHANCE]
                loses = at_default.mean + 2 * at_default.error < honest.mean
                ok = ok and loses
                verdict = "less" if loses else "NOT LESS"
                print(f"     at the default p = {DEFAULT_CHANCE} a liar earns {at_default.mean:.3f}: {verdict}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
