"""The world that a node is to its agents: feeds them events and carries out what they want done.

::

    network, chain, workshop, timers, user ──event──► agent.handle(now, event) ──effects──► saved, then carried out

An agent's whole batch of `Save` and `Forget` is on disk before anything else of the batch happens. Events are taken
one at a time, in the order in which they came; what takes time runs in tasks of its own and comes back as an event.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol, assert_never

import trio

from agents.effects import (
    CastOwn,
    Compare,
    Consult,
    Effect,
    Execute,
    Fetch,
    Forget,
    Inform,
    LookUp,
    LookUpStakes,
    Publish,
    Save,
    Send,
    Share,
    Tell,
    Transact,
    Unwatch,
    WakeAt,
    Watch,
)
from agents.events import Began, Decided, Event, Jumped, Timer, Woke
from node import labour
from node.chain_link import ChainLink, Hear
from node.clock import Clock
from node.post import Post
from node.steps import Steps
from node.store import Store
from node.strategies.advisers import Advisers
from node.supervision import Tasks
from node.workshop import Workshop
from p2p.host import Host

log = logging.getLogger("lilypad.node")


class Agent(Protocol):
    """What the runtime needs of an agent."""

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the agent do."""
        ...


class Runtime:
    """The agents of one node, each under its role's name, and their world."""

    def __init__(
        self,
        agents: Mapping[str, Agent],
        *,
        clock: Clock,
        store: Store,
        post: Post,
        host: Host,
        chain: ChainLink,
        workshop: Workshop,
        advisers: Advisers,
        strategy_for: Callable[[str, bytes], str],
        tell: Callable[[Tell], None],
        tasks: Tasks,
    ) -> None:
        self.agents = dict(agents)
        self.clock = clock
        self._store = store
        self._post = post
        self._host = host
        self._chain = chain
        self._workshop = workshop
        self._advisers = advisers
        self._strategy_for = strategy_for
        self._tell = tell
        self._tasks = tasks
        self._queue: deque[tuple[str, Event]] = deque()
        self._draining = False
        self._steps = Steps(chain.client.domain)
        self._timers: list[tuple[float, int, str, Timer]] = []
        self._order = itertools.count()
        self._timers_changed = trio.Event()
        self._hears: dict[str, Hear] = {role: partial(self.feed, role) for role in agents}
        chain.jumped = self._jumped

    def begin(self) -> None:
        """Tell the agents, and go on for as long as the node lives."""
        self._tasks.keep("the line to the chain", self._chain.run)
        self._tasks.keep("the timers", self._fire_timers)
        self._tasks.keep("the network's events", self._take_events)
        for role in self.agents:
            self.feed(role, Began())

    def _jumped(self, seconds: float) -> None:
        self.feed_all(Jumped(seconds))  # before the timers that are due by it
        self._timers_changed.set()

    async def _take_events(self) -> None:
        async for event in self._host.events:
            opened = self._post.open(event)
            if opened is not None:
                self.feed_all(opened)

    def feed_all(self, event: Event) -> None:
        """Every agent hears this; those whom it does not concern ignore it."""
        self._queue.extend((role, event) for role in self.agents)
        self._drain()

    def feed(self, role: str, event: Event) -> None:
        """One agent hears this."""
        self._queue.append((role, event))
        self._drain()

    def _drain(self) -> None:
        if self._draining:  # an effect that answers at once: its event waits for its turn
            return
        self._draining = True
        try:
            while self._queue:
                role, event = self._queue.popleft()
                self._take(role, event)
        finally:
            self._draining = False

    def _take(self, role: str, event: Event) -> None:
        self._steps.heard(role, event)
        try:
            effects = self.agents[role].handle(self.clock.now(), event)
        except Exception:  # our own mistake, of one agent about one event; the others and the next go on
            self._tasks.failed(f"the {role}'s agent, at {type(event).__name__},")
            return
        self._steps.does(role, event, effects)
        self._carry_out(role, effects)

    def _carry_out(self, role: str, effects: Iterable[Effect]) -> None:
        effects = list(effects)
        durable = [effect for effect in effects if isinstance(effect, Save | Forget | Tell)]
        if durable:
            # what the user is told is written with the states it follows from: a crash between would lose a job's end
            with self._store.transaction():
                for change in durable:
                    self._write(role, change)
        for effect in effects:
            self._carry(role, effect)

    def _write(self, role: str, change: Save | Forget | Tell) -> None:
        if isinstance(change, Tell):
            self._tell(change)
        else:
            self._store.change(role, change)

    def _carry(self, role: str, effect: Effect) -> None:
        hear = self._hears[role]
        match effect:
            case Save() | Forget() | Tell():
                pass  # done first, all at once
            case Send(to, message):
                self._post.send(to, message, hear)
            case Publish(offer):
                self._post.publish(offer)
            case WakeAt(moment, timer):
                heapq.heappush(self._timers, (moment, next(self._order), role, timer))
                self._timers_changed.set()
            case Consult(talk, view):
                self._advisers.consult(self._strategy_for(role, talk), view, lambda answer: hear(Decided(talk, answer)))
            case Inform(strategy, lesson):
                self._advisers.inform(strategy or self._strategy_for(role, b""), lesson)
            case Transact(about, call):
                self._chain.transact(about, call, hear)
            case CastOwn() as effect:
                self._chain.transact(effect.about, self._post.own_vote(effect), hear)
            case Watch(deal):
                self._chain.watch(deal, hear)
            case Unwatch(deal):
                self._chain.unwatch(deal, hear)
            case LookUp(who):
                self._chain.look_up(who, hear)
            case LookUpStakes(who):
                self._chain.look_up_stakes(who, hear)
            case Fetch():
                self._tasks.start_soon(self._fetch, hear, effect)
            case Execute():
                self._tasks.start_soon(self._execute, hear, effect)
            case Share(to, deal, cid):
                self._post.share(to, deal, cid, hear)
            case Compare():
                self._tasks.start_soon(self._compare, hear, effect)
            case _:
                assert_never(effect)

    async def _fetch(self, hear: Hear, effect: Fetch) -> None:
        hear(await labour.fetch(self._workshop, effect))

    async def _execute(self, hear: Hear, effect: Execute) -> None:
        hear(await labour.execute(self._workshop, effect, hear))

    async def _compare(self, hear: Hear, effect: Compare) -> None:
        hear(await labour.compare(self._workshop, effect))

    async def _fire_timers(self) -> None:
        while True:
            self._timers_changed = trio.Event()
            now = self.clock.now()
            while self._timers and self._timers[0][0] <= now:
                _, _, role, timer = heapq.heappop(self._timers)
                self.feed(role, Woke(timer))
            pause = self._timers[0][0] - now if self._timers else 60.0
            with trio.move_on_after(min(60.0, max(0.0, pause))):
                await self._timers_changed.wait()
