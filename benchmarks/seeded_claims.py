"""How many seeded false claims it takes until a juror that always agrees is caught, and how many honest ones are.

A job creator buys from a provider of its own that lies, has every result run again by its own machine and accuses; each
ruling teaches it which of the jurors knew nothing of a run (`agents/trust.py`), and whom it doubts it leaves out of the
next pool. The real agents play it in the simulated world, message by message. Beside the claims that were needed stands
what the rule gives: a juror is caught at its third such vote, and sits on each jury with the chance of the draw.

    python benchmarks/seeded_claims.py [--worlds 40] [--courts 200] [--first 1]

The second table counts honest jurors that were doubted in worlds of disputes with faults, crashes, liars, colluders,
copiers and guessers, by all their honest job creators together.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")

from agents.effects import Effect
from agents.events import Event
from agents.job_creator import JobCreator
from agents.reports import Report, Ruled
from agents.request import CheckBy
from agents.shop import Sheet, Shop
from agents.trust import Trust
from protocol.identity import Address
from protocol.job import Capacity
from simulator import court
from simulator.ledger import Block
from simulator.population import FUNDS, RULES, buyer, draw_request, mediator, provider
from simulator.run import Violation, finish
from simulator.world import START, Peer, World

POOL, JURY, CAUGHT_AT = 9, RULES.jurors, 3
MOST_CLAIMS = 80
EVERY = 120
"""Seconds between two claims."""


class Watcher:
    """Counts the claims that were ruled on until every juror that always agrees was caught."""

    def __init__(self, owner: Address, agreers: frozenset[Address], honest: frozenset[Address]) -> None:
        self.owner, self.agreers, self.honest = owner, agreers, honest
        self.claims = 0
        self.caught: dict[Address, tuple[int, int]] = {}
        """After how many claims, and how many votes of its own."""
        self.wronged: set[Address] = set()

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        if peer.address == self.owner and isinstance(report, Ruled) and report.final:
            self.claims += 1

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        if peer.address != self.owner or not isinstance(peer.agent, JobCreator):
            return
        for votes in peer.agent.trust.known():
            if votes.peer in self.caught or not peer.agent.trust.is_doubted(world.now, votes.peer):
                continue
            self.caught[votes.peer] = self.claims, votes.votes
            if votes.peer in self.honest:
                self.wronged.add(votes.peer)

    @property
    def is_done(self) -> bool:
        """Whether all of them are known."""
        return self.agreers <= self.caught.keys() or self.claims >= MOST_CLAIMS

    def mined(self, world: World, block: Block) -> None: ...
    def dropped(self, world: World, blocks: list[Block]) -> None: ...
    def restored(self, world: World, peer: Peer) -> None: ...


def seed_claims(seed: int, agreers: int) -> Watcher:
    """One world: claims one after another until the jurors that always agree are known."""
    rng = Random(f"seeded {seed}")
    capacity = Capacity(64_000, 65_536, 65_536, 3600)
    owner = buyer("owner", 1, "fixed")
    seeded = provider("seeded", 2, Shop(capacity, ("wasm",), ("sandboxed_wasm",), (Sheet("*", 100, 100),)), kind="liar")
    kinds = ["agreer"] * agreers + ["honest"] * (POOL - agreers)
    jurors = [mediator(f"mediator {i}", i, kind=kind) for i, kind in enumerate(kinds)]
    watcher = Watcher(
        owner.address,
        frozenset(it.address for it in jurors[:agreers]),
        frozenset(it.address for it in jurors[agreers:]),
    )
    world = World(seed, RULES, [owner, seeded, *jurors], court.CALM, wire=False, observers=(watcher,))
    for peer in world.peers.values():
        world.ledger.deposit(peer.address, FUNDS)
    for number in range(MOST_CLAIMS):
        moment = START + 30 + number * EVERY
        request = draw_request(rng, moment, check_ppm=court.ALWAYS)
        job = replace(request.job, resources=replace(request.job.resources, cpu_millis=1000, gpus=0, timeout=10))
        world.request(moment, owner, replace(request, job=job, at_market=False, most_pay=1000, check_by=CheckBy.SELF))
    world.run(START + 30 + MOST_CLAIMS * EVERY + 600, lambda: watcher.is_done)
    return watcher


def expected_claims(agreers: int) -> float:
    """Claims until the last of them has sat three times, by the draw alone: simulated, since the pool shrinks."""
    rng, runs = Random(1), []
    for _ in range(4000):
        pool, sat, claims = list(range(POOL)), [0] * POOL, 0
        while any(juror < agreers for juror in pool):
            claims += 1
            for juror in rng.sample(pool, min(JURY, len(pool))):
                sat[juror] += 1
            pool = [juror for juror in pool if juror >= agreers or sat[juror] < CAUGHT_AT]
        runs.append(claims)
    return fmean(runs)


def honest_jurors(first: int, courts: int) -> tuple[int, int, int, int]:
    """Votes of honest mediators that an honest job creator judged, those against it, the pairs, and pairs in doubt."""
    votes = against = pairs = doubted = 0
    for seed in range(first, first + courts):
        world, oracle = court.build(seed, busy=True)
        try:
            finish(seed, world, oracle, " --busy-court")
        except Violation as broken:  # for `tests.simulator.many` to judge; what was seen until then still counts
            print(f"a rule broke: {broken}")
        for peer in world.peers.values():
            trust: Trust | None = getattr(peer.agent, "trust", None)
            if not peer.honest or trust is None:
                continue
            for it in trust.known():
                if world.peers[it.peer].honest:
                    pairs += 1
                    votes, against = votes + it.votes, against + it.against
                    doubted += trust.is_doubted(world.now, it.peer)
    return votes, against, pairs, doubted


def main() -> int:
    """Print both tables; 1 if one was never caught, or an honest one was where nothing goes wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--courts", type=int, default=200)
    parser.add_argument("--first", type=int, default=1)
    wish = parser.parse_args()
    missed = 0
    print(
        f"{'always agree':>14}{'claims mean':>13}{'p95':>6}{'by the draw':>13}{'votes each':>12}{'honest caught':>15}"
    )
    for agreers in (1, 3, 5):
        played = [seed_claims(seed, agreers) for seed in range(wish.first, wish.first + wish.worlds)]
        last = [
            max((claims for who, (claims, _) in it.caught.items() if who in it.agreers), default=0) for it in played
        ]
        each = [votes for it in played for who, (_, votes) in it.caught.items() if who in it.agreers]
        wronged = sum(len(it.wronged) for it in played)
        found = len(each) == agreers * len(played)
        missed += not found or wronged > 0
        p95 = quantiles(last, n=20, method="inclusive")[-1] if len(last) > 1 else last[0]
        print(
            f"{f'{agreers} of {POOL}':>14}{fmean(last):13.1f}{p95:6.1f}{expected_claims(agreers):13.1f}"
            f"{fmean(each) if each else 0:12.2f}{wronged:9} of {(POOL - agreers) * len(played)}"
            f"  {'ok' if found and not wronged else 'MISSED'}",
            flush=True,
        )
    votes, against, pairs, doubted = honest_jurors(wish.first, wish.courts)
    print(
        f"honest jurors in {wish.courts} courts with faults and cheats: {votes:,} votes, {against} of them against what"
    )
    print(f"the job creator knew; {doubted} of {pairs:,} pairs of job creator and honest juror ended in doubt")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
