"""What a dispute costs: time, messages and calls before a named jury, a drawn one and an appeal; and how often it errs.

``python benchmarks/mediation.py [--disputes N]``. Time is that of a simulated world without faults (blocks of 2 s, two
confirmations, runs of 5 to 90 % of a job's limit of 10 s), not of this machine. Gas comes from the contract's own table
(`tests/contracts/gas_snapshot.json`), which its test renews. The second table sets the share of lies that juries rule
right beside the binomial (for a pool of finite size: hypergeometric) formula, for colluding shares of .1 to .5; there
the job creator names the whole pool each time. The last column is without that: it leaves out whom its disputes have
taught it to doubt (`agents/trust.py`), so of its first lies as many are ruled right, and of all fewer.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path
from random import Random
from statistics import median

os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")  # hashing is most of such a run

from agents.effects import Effect, Send
from agents.events import Event
from agents.reports import DisputeOpened, Report, Ruled
from agents.request import CheckBy
from agents.shop import Sheet, Shop
from protocol.messages import MediationMessage, Recheck, Rechecked
from protocol.rules import Rules
from protocol.vault_state import Outcome
from simulator.court import MACHINE
from simulator.faults import Plan
from simulator.invariants import Oracle
from simulator.ledger import Block
from simulator.population import APPEALING, FUNDS, RULES, address, buyer, draw_request, mediator, provider
from simulator.world import START, Peer, World

GAS = Path(__file__).parents[1] / "tests" / "contracts" / "gas_snapshot.json"
POOL = 21
TIMEOUT = 10


@dataclass(slots=True)
class Clerk:
    """Notes what one dispute took."""

    began: float = 0.0
    ended: float = 0.0
    messages: int = 0
    calls: tuple[str, ...] = ()
    outcome: Outcome = Outcome.NONE
    contested: bool = False

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, MediationMessage):
                self.messages += not isinstance(effect.message, Recheck | Rechecked)

    def mined(self, world: World, block: Block) -> None:
        names = [type(transaction.call).__name__ for transaction in block.taken]
        self.calls += tuple(n for n in names if n in ("Accuse", "Draw", "CastVotes", "Appeal", "Finalize"))
        if "Accuse" in names:
            self.began = world.now

    def dropped(self, world: World, blocks: list[Block]) -> None:
        pass

    def restored(self, world: World, peer: Peer) -> None:
        pass

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        match report:
            case DisputeOpened(contested=contested):
                self.contested = contested
            case Ruled(ruling=ruling, final=True):
                self.ended, self.outcome = world.now, Outcome(ruling)
            case _:
                pass


def dispute(seed: int, mediators: int, rules: Rules, colluders: frozenset[int]) -> Clerk:
    """One lie, checked, accused and judged."""
    friends = frozenset((address("cheat"),))
    shop = Shop(MACHINE, ("wasm",), ("sandboxed_wasm",), (Sheet("*", 100, 100),))
    peers = [buyer("buyer", 1, rules=rules), provider("cheat", 1, shop, kind="liar", rules=rules)]
    for i in range(mediators):
        kind = "colluder" if i in colluders else "honest"
        peers.append(mediator(f"juror {i}", i, kind=kind, friends=friends, rules=rules))
    clerk, oracle = Clerk(), Oracle({})
    world = World(seed, rules, peers, Plan(), wire=False, observers=(oracle, clerk))
    for peer in peers:
        world.ledger.deposit(peer.address, FUNDS)
    request = replace(draw_request(Random(seed), START + 5, check_ppm=1_000_000), check_by=CheckBy.SELF)
    job = replace(request.job, resources=replace(request.job.resources, timeout=TIMEOUT))
    request = replace(request, job=job, most_pay=1000, at_market=False, deadline=int(START) + 40)
    oracle.requests[peers[0].address] = [request]
    world.request(START + 5, peers[0], request)
    world.run(START + 1500, lambda: oracle.finished(world))
    world.run(world.now + 10)
    return clerk


JOBS = 40
"""Disputes of one world."""


@dataclass(slots=True)
class Tally:
    """Counts how disputes over lies end."""

    right: int = 0
    judged: int = 0

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        if isinstance(report, Ruled) and report.final:
            self.judged += 1
            self.right += Outcome(report.ruling) is Outcome.RIGHT

    def handled(self, *_: object) -> None: ...
    def mined(self, *_: object) -> None: ...
    def dropped(self, *_: object) -> None: ...
    def restored(self, *_: object) -> None: ...


def lies(seed: int, colluders: int, named: bool) -> Tally:
    """Many lies of one provider, each accused before a jury drawn from a pool with this many of its friends."""
    rng = Random(f"lies {seed} {colluders}")
    bad = frozenset(rng.sample(range(POOL), colluders))
    friends = frozenset((address("cheat"),))
    shop = Shop(MACHINE, ("wasm",), ("sandboxed_wasm",), (Sheet("*", 100, 100),))
    peers = [buyer("buyer", 1, "fixed"), provider("cheat", 1, shop, "fixed", kind="liar")]
    kinds = ["colluder" if i in bad else "honest" for i in range(POOL)]
    peers += [mediator(f"juror {i}", i, kind=kind, friends=friends) for i, kind in enumerate(kinds)]
    tally, oracle = Tally(), Oracle({})
    world = World(seed, RULES, peers, Plan(), wire=False, observers=(oracle, tally))
    for peer in peers:
        world.ledger.deposit(peer.address, 100 * FUNDS)
    oracle.requests[peers[0].address] = []
    everybody = tuple(sorted(address(f"juror {i}") for i in range(POOL)))
    for number in range(JOBS):
        moment = START + 25 + 12.0 * number  # few at a time: nobody is too busy to judge
        request = replace(draw_request(rng, moment, check_ppm=1_000_000), check_by=CheckBy.SELF, most_pay=1000)
        job = replace(request.job, resources=replace(request.job.resources, timeout=TIMEOUT))
        request = replace(request, job=job, at_market=False, deadline=int(moment) + 60)
        request = replace(request, mediators=everybody if named else ())
        oracle.requests[peers[0].address].append(request)
        world.request(moment, peers[0], request)
    world.run(START + 3000, lambda: oracle.finished(world))
    return tally


def count_lies(colluders: int, disputes: int, named: bool) -> tuple[int, int]:
    """How many of at least this many lies were ruled right, and how many were judged; the pool ``named`` or learnt."""
    right = judged = 0
    with Pool() as pool:
        for tally in pool.starmap(
            lies, [(seed, colluders, named) for seed in range(-(-disputes // JOBS))], chunksize=1
        ):
            right, judged = right + tally.right, judged + tally.judged
    return right, judged


def wrong_share(pool: int, colluders: int, jurors: int, quorum: int) -> float:
    """The chance that a jury drawn without replacement has a quorum of colluders."""
    ways = (
        math.comb(colluders, i) * math.comb(pool - colluders, jurors - i)
        for i in range(quorum, min(jurors, colluders) + 1)
    )
    return sum(ways) / math.comb(pool, jurors)


def costs() -> Iterator[tuple[str, float, float, str]]:
    """A row a kind of jury: median seconds, median messages, and the calls of a typical one."""
    everybody: frozenset[int] = frozenset()
    kinds = (
        ("named 2 of 3", 3, RULES, everybody),
        ("drawn 2 of 3 from 21", POOL, RULES, everybody),
        ("drawn, appeal window", POOL, APPEALING, everybody),
        ("drawn, appealed", POOL, APPEALING, frozenset(range(9))),
    )
    for title, pool, rules, colluders in kinds:
        found = [dispute(seed, pool, rules, colluders) for seed in range(24)]
        found = [clerk for clerk in found if clerk.began and clerk.ended]
        if colluders:
            found = [clerk for clerk in found if "Appeal" in clerk.calls]
        else:
            found = [clerk for clerk in found if "Appeal" not in clerk.calls] or found
        seconds = median(clerk.ended - clerk.began for clerk in found)
        calls = sorted(found, key=lambda clerk: len(clerk.calls))[len(found) // 2].calls
        yield title, seconds, median(clerk.messages for clerk in found), " ".join(calls)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disputes", type=int, default=1000, help="for each colluding share")
    options = parser.parse_args()
    print(f"{'jury':24} {'seconds':>8} {'messages':>9}  calls")
    for title, seconds, messages, calls in costs():
        print(f"{title:24} {seconds:8.1f} {messages:9.0f}  {calls}")
    print("\ngas, from the contract's own table")
    for title, gas in json.loads(GAS.read_text()).items():
        if any(word in title for word in ("dispute", "jury", "accus", "appeal")):
            print(f"{title:60} {gas:>9}")
    head = f"{'colluders of 21':16} {'disputes':>9} {'ruled right':>12} {'measured':>9} {'formula':>8} {'s.e.':>6}"
    print(f"\n{head} {'doubting':>9}")
    for share in (0.1, 0.2, 0.3, 0.4, 0.5):
        colluders = round(share * POOL)
        expected = wrong_share(POOL, colluders, RULES.jurors, RULES.quorum)
        right, judged = count_lies(colluders, options.disputes, named=True)
        fewer, heard = count_lies(colluders, options.disputes, named=False)
        error = math.sqrt(expected * (1 - expected) / max(1, judged))
        measured = right / max(1, judged)
        row = f"{colluders:16} {judged:9} {right:12} {measured:9.3f} {expected:8.3f} {error:6.3f}"
        print(f"{row} {fewer / max(1, heard):9.3f}", flush=True)


if __name__ == "__main__":
    main()
