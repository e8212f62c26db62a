"""One seed, one run: a market, its faults, its rules, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from random import Random

from agents.request import Request
from protocol.identity import Address
from protocol.vault_state import State
from simulator import faults
from simulator.invariants import Broken, Oracle
from simulator.population import FUNDS, RULES, Size, draw_peers, draw_request, vary
from simulator.world import START, Observer, World

BUSY = 240.0
"""Seconds in which jobs arrive and things go wrong."""
PATIENCE = 2400.0
"""Seconds after which everything must be over."""
WIND_DOWN = 60.0
"""Seconds for what is on its way, and for a seller to see that a deal which it has signed is never locked."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one run was like."""

    seed: int
    digest: str
    """Over every event; empty unless the run was traced."""
    events: int
    messages: int
    deals: int
    closed: int
    virtual: float
    """Seconds that passed in the world."""
    seconds: float
    """Seconds that passed on this machine's processor."""
    sometimes: Counter[str]
    disputes: int
    """That a jury has ended, or its silence."""
    cheated: int
    """Lies that were ruled right."""


class Violation(AssertionError):
    """A seed under which a rule does not hold; its one line says how to see it again."""

    def __init__(self, seed: int, at: float, what: str, flag: str = "") -> None:
        replay = f"python -m simulator.replay --seed {seed}{flag}"
        super().__init__(f"seed {seed}, {at - START:.3f} s: {what} [{replay}]")
        self.seed = seed
        self.what = what


def draw_size(rng: Random) -> Size:
    """A small market; small ones go wrong in more ways a second than large ones."""
    providers = rng.randint(1, 6)
    return Size(
        buyers=rng.randint(1, 4),
        providers=providers,
        mediators=rng.choice((0, 1, 3)),
        jobs=rng.randint(1, 9),
        dishonest=rng.choice((0, 0, 1, providers // 2)),
    )


def build(
    seed: int, *, restless: bool = False, traced: bool = False, observers: tuple[Observer, ...] = ()
) -> tuple[World, Oracle]:
    """The world of a seed, before anything happens."""
    rng = Random(seed)
    size = draw_size(rng)
    peers = draw_peers(rng, size)
    plan = faults.draw(rng, [peer.address for peer in peers], START, BUSY, restless=restless)
    requests: dict[Address, list[Request]] = {}
    asked = []
    rush = rng.uniform(0.5, 0.7 * BUSY) if rng.random() < 0.4 else None  # everybody wants something at once
    for _ in range(size.jobs):
        peer = peers[rng.randrange(size.buyers)]
        moment = START + (rng.uniform(0.5, 0.8 * BUSY) if rush is None else rush + rng.uniform(0, 10))
        request = vary(rng, draw_request(rng, moment))
        requests.setdefault(peer.address, []).append(request)
        asked.append((moment, peer, request))
    oracle = Oracle(requests)
    world = World(seed, RULES, peers, plan, traced=traced, observers=(oracle, *observers))
    for peer in peers:
        world.ledger.deposit(peer.address, FUNDS)
    for moment, peer, request in asked:
        world.request(moment, peer, request)
    return world, oracle


def run(seed: int, *, restless: bool = False, traced: bool = False, observers: tuple[Observer, ...] = ()) -> Report:
    """Run a seed to its end; raises `Violation` at the first rule that does not hold."""
    world, oracle = build(seed, restless=restless, traced=traced, observers=observers)
    return finish(seed, world, oracle, " --restless" if restless else "")


def finish(seed: int, world: World, oracle: Oracle, flag: str) -> Report:
    """Let a built world happen to its end; ``flag`` is what else a replay needs to be told."""
    started = time.process_time()
    try:
        world.run(START + BUSY)
        world.run(START + PATIENCE, lambda: oracle.finished(world))
        world.run(world.now + WIND_DOWN)
        oracle.conclude(world)
    except Broken as broken:
        raise Violation(seed, world.now, str(broken), flag) from broken
    deals = world.ledger.vault.deals.values()
    return Report(
        seed,
        world.digest,
        world.events,
        world.messages,
        len(deals),
        sum(state.state is State.CLOSED for state in deals),
        world.now - START,
        time.process_time() - started,
        oracle.sometimes,
        oracle.disputes,
        oracle.cheated,
    )
