"""A small world to tell stories in: no faults but those a story asks for, and every rule watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from agents.effects import Effect, Send
from agents.events import Event, Launched, NotRan, Ran, Timer, Woke
from agents.reports import Ended, Report
from agents.request import Request
from agents.shop import Sheet, Shop
from protocol.job import Capacity
from protocol.judging import CUT_OFF
from protocol.rules import Rules
from simulator.faults import Plan
from simulator.invariants import Oracle
from simulator.ledger import Block
from simulator.population import FUNDS, RULES, buyer, draw_request, mediator, provider
from simulator.world import START, Peer, World

BIG = Capacity(64_000, 65_536, 65_536, 3600)
ONE = Capacity(1000, 4096, 4096, 3600)
"""Room for one run at a time."""


class Market:
    """Peers, their world, and what was said in it."""

    def __init__(self, *peers: Peer, plan: Plan | None = None, rules: Rules = RULES, seed: int = 5) -> None:
        self.oracle = Oracle({})
        self.world = World(1, rules, peers, plan or Plan(), observers=(self.oracle, self))
        self.sent: list[tuple[str, Any]] = []
        self.told_to: dict[bytes, list[Report]] = {}
        self._rng = Random(seed)
        for peer in peers:
            self.world.ledger.deposit(peer.address, FUNDS)

    def want(self, peer: Peer, at: float = 30.0, **changes: Any) -> Request:
        """A job of this buyer's, one core for at most ten seconds unless changed, at this second of the story."""
        request = draw_request(self._rng, START + at)
        job = replace(request.job, resources=replace(request.job.resources, cpu_millis=1000, memory_mib=64, timeout=10))
        plain = {"job": job, "most_pay": 1000, "at_market": False, "check_ppm": 0, "deadline": int(START + at) + 60}
        request = replace(request, **{**plain, **changes})
        self.oracle.requests.setdefault(peer.address, []).append(request)
        self.world.request(START + at, peer, request)
        return request

    def run(self, seconds: float = 600.0) -> None:
        """Let it happen, to the end."""
        self.world.run(START + seconds, lambda: self.oracle.finished(self.world))
        self.world.run(self.world.now + 20.0)
        self.oracle.conclude(self.world)

    def end(self, request: Request) -> Ended:
        """How a job ended."""
        return self.oracle.ended[request.id]

    def heard(self, request: Request, kind: type) -> list[Any]:
        """What its user was told of this kind."""
        return [report for report in self.told_to.get(request.id, []) if isinstance(report, kind)]

    def said(self, kind: type, by: str | None = None) -> list[Any]:
        """All messages of a kind, in order."""
        return [message for name, message in self.sent if isinstance(message, kind) and by in (None, name)]

    # what a world wants of an observer

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        self.sent += [(peer.name, effect.message) for effect in effects if isinstance(effect, Send)]

    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None:
        self.told_to.setdefault(job, []).append(report)

    def mined(self, world: World, block: Block) -> None:
        pass

    def dropped(self, world: World, blocks: list[Block]) -> None:
        pass

    def restored(self, world: World, peer: Peer) -> None:
        pass


def seller(name: str, floor: int, ask: int | None = None, capacity: Capacity = BIG, **changes: Any) -> Peer:
    """A provider with this floor for every job."""
    shop = Shop(capacity, ("wasm",), ("sandboxed_wasm",), (Sheet("*", floor, ask or floor),))
    return provider(name, len(name) + floor, shop, **changes)


class Machine:
    """An agent on a machine that answers it otherwise than others do, or that says something else than it wants."""

    def __init__(self, agent: Any, hears: Callable[[Event], Event], says: Callable[[Effect], Effect]) -> None:
        self.__dict__.update(agent=agent, hears=hears, says=says)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["agent"], name)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What the agent makes of what it hears."""
        return [self.says(effect) for effect in self.agent.handle(now, self.hears(event))]


def same(thing: Any) -> Any:
    """As it is."""
    return thing


def on(peer: Peer, hears: Callable[[Event], Event] = same, says: Callable[[Effect], Effect] = same) -> Peer:
    """The same peer on another machine."""
    make = peer.make
    peer.make = lambda rng: Machine(make(rng), hears, says)
    return peer


def sick(event: Event) -> Event:
    """No run ever begins here."""
    if isinstance(event, Launched):
        return Woke(Timer(event.about, "nothing has happened"))
    return NotRan(event.about, "could_not_start") if isinstance(event, Ran) else event


def slow(event: Event) -> Event:
    """Every run is cut off by its limit of time."""
    if not isinstance(event, Ran):
        return event
    return replace(event, run=replace(event.run, cid=CUT_OFF, exit_code=124, failure="out_of_time: it ran for 10 s"))


def judge(name: str = "mediator") -> Peer:
    """A mediator."""
    return mediator(name, 1)


def customer(name: str = "buyer", **changes: Any) -> Peer:
    """A buyer."""
    return buyer(name, len(name), **changes)
