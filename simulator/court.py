"""Worlds made for disputes: liars, false accusers and defaulters before juries of every kind; one seed, one run."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from agents.request import CheckBy, Request
from agents.shop import Sheet, Shop
from agents.strategies.built_in import DEFAULT
from protocol.identity import Address
from protocol.job import Capacity
from simulator import faults
from simulator.faults import Plan
from simulator.invariants import Oracle
from simulator.population import APPEALING, FUNDS, RULES, address, buyer, draw_request, mediator, provider
from simulator.run import BUSY, Report, finish
from simulator.world import START, Observer, World

POOLS = (1, 3, 3, 4, 7, 11, 21)
BUYERS = ("honest", "honest", "honest", "honest", "accuser", "defaulter", "withholder", "turncoat")
PROVIDERS = ("honest", "honest", "liar", "liar", "phantom", "hoarder", "vanisher", "accomplice")
JURORS = ("copier", "guesser", "sleeper", "colluder", "framer", "agreer")
OWN_JUDGES = 0.3
"""The share of liars, and of accusers' jobs, that want to be judged by those in league with them alone."""
TOLERANT = 0.3
"""The share of jobs whose results differ in their bytes each time."""
ALWAYS = 1_000_000
"""Checks of every result, in millionths."""
MACHINE = Capacity(64_000, 65_536, 65_536, 3600)


CALM = Plan(healed=START)
BUSY_COURT = (60, 120)
"""Jobs of a world that is there for its many disputes."""


def build(
    seed: int, *, busy: bool = False, traced: bool = False, observers: tuple[Observer, ...] = ()
) -> tuple[World, Oracle]:
    """A small market in which most deals end before a jury; half of the worlds have faults on top.

    A ``busy`` one has many more jobs for the same few peers, and does without the encoding of every message.
    """
    rng = Random(f"court {seed}")
    rules = rng.choice((RULES, APPEALING))
    kinds = [rng.choice(PROVIDERS) for _ in range(rng.randint(1, 3))]
    friends = frozenset(address(f"provider {i}") for i, kind in enumerate(kinds) if kind in ("liar", "phantom"))
    bad = rng.choice((0.0, 0.0, 0.2, 0.5, 1.0))
    haggling = "fixed" if busy else DEFAULT  # prices are not what these worlds are about
    peers = [buyer(f"buyer {i}", i, haggling, kind=rng.choice(BUYERS), rules=rules) for i in range(rng.randint(1, 3))]
    buyers = len(peers)
    jurors = [rng.choice(JURORS) if rng.random() < bad else "honest" for _ in range(rng.choice(POOLS))]
    own = {
        kind: tuple(sorted(address(f"mediator {i}") for i, each in enumerate(jurors) if each == kind))
        for kind in ("colluder", "framer")
    }
    for i, kind in enumerate(kinds):
        floor = rng.randint(50, 400)
        wanted = own["colluder"] if kind == "liar" and rng.random() < OWN_JUDGES else ()
        shop = Shop(MACHINE, ("wasm",), ("sandboxed_wasm",), (Sheet("*", floor, floor),), wanted)
        peers.append(provider(f"provider {i}", i, shop, haggling, kind=kind, rules=rules))
    for i, kind in enumerate(jurors):
        peers.append(mediator(f"mediator {i}", i, kind=kind, friends=friends, rules=rules))
    plan = CALM if rng.random() < 0.5 else faults.draw(rng, [peer.address for peer in peers], START, BUSY)
    requests: dict[Address, list[Request]] = {}
    oracle = Oracle(requests)
    world = World(seed, rules, peers, plan, wire=not busy, traced=traced, observers=(oracle, *observers))
    for peer in peers:
        world.ledger.deposit(peer.address, FUNDS)
    for _ in range(rng.randint(*(BUSY_COURT if busy else (2, 8)))):
        peer, moment = peers[rng.randrange(buyers)], START + rng.uniform(5, 0.6 * BUSY)
        request = draw_request(rng, moment, check_ppm=ALWAYS)
        near = replace(request.job, compare="numeric") if rng.random() < TOLERANT else request.job
        named = own["framer"] if peer.kind == "accuser" and rng.random() < OWN_JUDGES else ()
        request = replace(request, job=near, check_by=rng.choice(tuple(CheckBy)), mediators=named)
        requests.setdefault(peer.address, []).append(request)
        world.request(moment, peer, request)
    return world, oracle


def run(seed: int, *, busy: bool = False, traced: bool = False, observers: tuple[Observer, ...] = ()) -> Report:
    """Run a seed to its end; raises `Violation` at the first rule that does not hold."""
    world, oracle = build(seed, busy=busy, traced=traced, observers=observers)
    return finish(seed, world, oracle, " --busy-court" if busy else " --court")
