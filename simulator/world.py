"""The world of a simulation: a heap of events in virtual time, and the carrying out of what agents want done.

::

    heap ──(moment, peer, event)──► agent.handle(its clock, event) ──effects──► journal, then network, ledger, heap

Everything that is random comes from one seed, so the same seed gives the same run, event by event. Nothing here reads a
clock of the machine or iterates over a set.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any, Protocol, assert_never

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
from agents.events import (
    Began,
    ChainSaw,
    Compared,
    Decided,
    Event,
    Fetched,
    Got,
    Heard,
    Launched,
    NotFetched,
    Ran,
    Refused,
    Requested,
    Solvency,
    Stakes,
    Unreached,
    Woke,
)
from agents.reports import Report
from agents.request import Request
from agents.strategy import Strategy, learn
from protocol.deal import Deal, DealId
from protocol.eip712 import digest
from protocol.identity import Address
from protocol.judging import own_vote
from protocol.messages import Delivered, Gossip, Message, Serving, Statement, protocol_of
from protocol.rules import Rules
from protocol.signing import seal, unseal
from protocol.vault_book import Windows
from protocol.vault_state import Account, DealState
from simulator.faults import EXACT, LONGEST_TAIL, Clock, Links, Plan
from simulator.journal import Journal
from simulator.ledger import Block, Ledger
from simulator.pretend import noisy_run, same, size_of
from simulator.signatures import recover, sign

START = 1_700_000_000.0
"""When every simulated world begins, Unix time."""
PERFECT = Links()
MOMENTS = 64
"""At how many moments one announcement arrives: a crowd shares them, or a market of thousands would be all heap."""


class Agent(Protocol):
    """What the world needs of an agent."""

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the agent do."""
        ...


@dataclass(slots=True)
class Running:
    """One run on a peer's machine."""

    what: Execute
    left: float
    """Seconds that it would still take by itself."""
    since: float
    """When that was so."""
    load: float = 0.0
    """How many times longer everything takes since then: 1 on a machine that sold no more than it has."""
    turn: int = 0
    """How often its end was foreseen; an earlier one is void."""


@dataclass(slots=True)
class Peer:
    """One agent and its machine."""

    address: Address
    name: str
    make: Callable[[Random], Agent]
    """A new agent with an empty memory."""
    strategy: Strategy
    port: int
    clock: Clock = EXACT
    honest: bool = True
    kind: str = "honest"
    """What it is up to, as `simulator.population` names it."""
    agent: Agent | None = None
    """None while it is down."""
    life: int = 0
    """How often it has begun; what an earlier life waited for is lost."""
    doomed: bool = False
    """The next batch of effects will be its last."""
    journal: Journal = field(default_factory=Journal)
    holds: set[str] = field(default_factory=set)
    """CIDs that its gateway serves."""
    running: dict[bytes, Running] = field(default_factory=dict)
    watched: dict[DealId, tuple[Deal, DealState | None]] = field(default_factory=dict)
    waiting: list[Event] = field(default_factory=list)
    """What its user asked for while it was down."""


class Observer(Protocol):
    """Sees everything; an oracle, a counter or a story teller."""

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None: ...
    def mined(self, world: World, block: Block) -> None: ...
    def dropped(self, world: World, blocks: list[Block]) -> None: ...
    def restored(self, world: World, peer: Peer) -> None: ...
    def told(self, world: World, peer: Peer, job: bytes, report: Report) -> None: ...


class World:
    """One run."""

    def __init__(
        self,
        seed: int,
        rules: Rules,
        peers: Iterable[Peer],
        plan: Plan,
        *,
        wire: bool = True,
        traced: bool = False,
        observers: Iterable[Observer] = (),
    ) -> None:
        self.seed = seed
        self.rules = rules
        self.plan = plan
        self.now = START
        self.peers = {peer.address: peer for peer in peers}
        self.ledger = Ledger(rules.domain, Windows(1, 7 * 86400), recover, plan.chain.confirmations, int(START))
        self.observers = list(observers)
        self.events = 0
        self.messages = 0
        self._rng = Random(f"world {seed}")
        self._wire = wire
        self._trace = blake2b(digest_size=16) if traced else None
        self._heap: list[tuple[float, int, Peer | None, int, Any]] = []
        self._order = 0
        self._codes: dict[str, int] = {}
        """The exit code in each result that a run gave, by CID."""
        self._lanes: dict[tuple[Address, Address, str], float] = {}
        for peer in self.peers.values():
            peer.journal.encodes = wire
        self._setup()

    @property
    def digest(self) -> str:
        """A hash over every event so far, for comparing runs."""
        return self._trace.hexdigest() if self._trace else ""

    def _setup(self) -> None:
        for peer in self.peers.values():
            self._call(START + self._rng.random(), partial(self._begin, peer))
        for crash in self.plan.crashes:
            peer = self.peers[crash.peer]
            self._call(crash.begin, partial(self._strike, peer, crash.mid_batch))
            self._call(crash.end, partial(self._come_back, peer))
        for moment, depth in self.plan.chain.reorgs:
            self._call(moment, partial(self._reorganise, depth))
        self._call(START + self.plan.chain.block_time, self._mine)

    def request(self, moment: float, peer: Peer, request: Request) -> None:
        """The peer's user will want a job done; its module and inputs are on the peer's disk."""
        peer.holds.update((request.job.module_cid, request.job.inputs_cid))
        self._call(moment, lambda: self._ask(peer, request))

    def happen(self, moment: float, peer: Peer, event: Event) -> None:
        """The peer will hear this, if it is up then: a user's word, or what a test makes up."""
        self._call(moment, partial(self._feed, peer, event))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until this moment, or until it is done (looked at after every block)."""
        heap = self._heap
        self._done = done
        self._stop = False
        while heap and heap[0][0] <= until and not self._stop:
            self.now, _, peer, life, thing = heapq.heappop(heap)
            if peer is None:
                thing()
            elif peer.life == life:  # what an agent itself waits for belongs to one of its lives
                self._feed(peer, thing)

    # --- the heap ----------------------------------------------------------------------------------------------------

    def _call(self, moment: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (moment, self._order, None, 0, what))

    def _post(self, moment: float, peer: Peer, event: Event) -> None:
        self._order += 1
        heapq.heappush(self._heap, (moment, self._order, peer, peer.life, event))

    def _feed(self, peer: Peer, event: Event) -> None:
        if peer.agent is None:
            return
        self.events += 1
        if self._trace:
            self._trace.update(f"{self.now!r} {peer.name} {event!r}\n".encode())
        effects = peer.agent.handle(peer.clock.read(self.now, START), event)
        for observer in self.observers:
            observer.handled(self, peer, event, effects)
        if effects:
            self._carry_out(peer, effects)

    # --- lives -------------------------------------------------------------------------------------------------------

    def _begin(self, peer: Peer) -> None:
        peer.life += 1
        peer.doomed = False
        peer.agent = peer.make(Random(f"{self.seed} {peer.name} {peer.life}"))
        restore = getattr(peer.agent, "restore", None)
        if restore is not None:
            restore(peer.journal.read())
        if peer.life > 1:
            for observer in self.observers:
                observer.restored(self, peer)
        self._feed(peer, Began())
        waiting, peer.waiting = peer.waiting, []
        for event in waiting:
            self._feed(peer, event)

    def _strike(self, peer: Peer, mid_batch: bool) -> None:
        if mid_batch:
            peer.doomed = True
        else:
            self._stop_peer(peer)

    def _stop_peer(self, peer: Peer) -> None:
        peer.agent = None
        peer.life += 1  # its timers, fetches and runs end with it
        peer.running.clear()
        peer.watched.clear()

    def _come_back(self, peer: Peer) -> None:
        if peer.doomed:
            self._stop_peer(peer)
        if peer.agent is None:
            self._begin(peer)

    def _ask(self, peer: Peer, request: Request) -> None:
        if peer.agent is None:
            peer.waiting.append(Requested(request))
        else:
            self._feed(peer, Requested(request))

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, peer: Peer, effects: list[Effect]) -> None:
        rest: list[Effect] = []
        for effect in effects:
            match effect:
                case Save() | Forget():
                    peer.journal.write(effect)
                case Tell(job, report):
                    for observer in self.observers:
                        observer.told(self, peer, job, report)
                case _:
                    rest.append(effect)
        if peer.doomed and effects:
            for effect in rest[: self._rng.randint(0, len(rest))]:
                self._carry(peer, effect)
            peer.doomed = False
            self._stop_peer(peer)
            return
        for effect in rest:
            self._carry(peer, effect)

    def _carry(self, peer: Peer, effect: Effect) -> None:
        match effect:
            case Send(to, message):
                self._send(peer, to, message)
            case Publish(offer):
                self._publish(peer, offer)
            case WakeAt(moment, timer):
                self._post(max(self.now, peer.clock.moment(moment, START)), peer, Woke(timer))
            case Consult(talk, view):
                self._post(self.now, peer, Decided(talk, peer.strategy.decide(view)))
            case Inform(lesson=lesson):
                learn(peer.strategy, lesson)
            case Transact():
                self._transact(peer, effect)
            case CastOwn(about, deal, pool, seat, vote):
                call = own_vote(deal, pool, seat, vote, self.rules.domain, lambda hash_: sign(peer.address, hash_))
                self._transact(peer, Transact(about, call))
            case Watch(deal):
                peer.watched[deal.id(self.rules.domain)] = deal, None
                self._call(self.now + 0.05, lambda: self._report_standings(peer))
            case LookUp(who):
                free = self.ledger.confirmed.accounts.get(who, Account()).free
                self._post(self._reaches_chain(peer) + 0.05, peer, Solvency(who, free))
            case LookUpStakes(who):
                seats = self.ledger.confirmed.mediators
                found = tuple((one, seats[one].pledged if one in seats else 0) for one in who)
                self._post(self._reaches_chain(peer) + 0.05, peer, Stakes(found))
            case Unwatch(deal):
                peer.watched.pop(deal.id(self.rules.domain), None)
            case Fetch():
                self._fetch(peer, effect)
            case Execute():
                self._execute(peer, effect)
            case Compare(about, job, mine, theirs):
                agree = same(job, mine, theirs)
                self._post(self.now + 0.1, peer, Compared(about, mine, theirs, agree, "" if agree else "other numbers"))
            case Share():
                pass  # nothing here is secret
            case Save() | Forget() | Tell():
                pass  # written before anything else of its batch
            case _:
                assert_never(effect)

    # --- network -----------------------------------------------------------------------------------------------------

    @property
    def _links(self) -> Links:
        return self.plan.links if self.now < self.plan.healed else PERFECT

    def _send(self, peer: Peer, to: Address, message: Message) -> None:
        self.messages += 1
        links, rng = self._links, self._rng
        target = self.peers.get(to)
        filled = self._fill(peer, message)
        if target is None or target.agent is None or self._cut(peer.address, to, gossip=False):
            self._post(self.now + rng.uniform(0.2, 3.0), peer, Unreached(to, message))
            return
        if links.loss and rng.random() < links.loss:
            if rng.random() < 0.5:  # a connection that breaks is noticed, a peer that dies while it reads is not
                self._post(self.now + rng.uniform(0.2, 3.0), peer, Unreached(to, message))
            return
        lane = (peer.address, to, protocol_of(message))
        arrival = max(self._latency(), self._lanes.get(lane, 0.0))
        if links.tail and rng.random() < links.tail:
            arrival = self.now + rng.uniform(0.5, LONGEST_TAIL)  # overtaken by what is sent later
        else:
            self._lanes[lane] = arrival
        event = self._delivered(peer.address, filled)
        self._call(arrival, lambda: self._feed(target, event))
        if links.duplicate and rng.random() < links.duplicate:
            self._call(arrival + rng.expovariate(1.0), lambda: self._feed(target, event))

    def _latency(self) -> float:
        return self.now + self._links.latency * (1 + 2 * self._rng.random())

    def _publish(self, peer: Peer, offer: Gossip) -> None:
        rng, cuts = self._rng, self.plan.cuts
        heard = Heard(self._gossiped(peer.address, offer))
        batches: list[list[Peer]] = []
        for other in self.peers.values():
            if other is peer or (cuts and self._cut(peer.address, other.address, gossip=True)):
                continue
            if type(offer) in getattr(other.agent, "deaf_to", ()):
                continue
            if rng.random() >= self._links.gossip_reach:
                continue
            if len(batches) == MOMENTS:
                batches[int(rng.random() * MOMENTS)].append(other)
                continue
            batches.append([other])
            self._call(self._latency() + rng.expovariate(5.0), partial(self._arrive, heard, batches[-1]))

    def _arrive(self, heard: Heard, hearers: list[Peer]) -> None:
        for peer in hearers:  # whoever lives now, whichever of its lives it is
            self._feed(peer, heard)

    def _cut(self, sender: Address, receiver: Address, *, gossip: bool) -> bool:
        return any(cut.blocks(self.now, sender, receiver, gossip) for cut in self.plan.cuts)

    def _fill(self, peer: Peer, message: Message) -> Message:
        if isinstance(message, Serving):
            message = replace(message, gateway=peer.port)
        if isinstance(message, Statement):
            signature = sign(peer.address, digest(self.rules.domain, message.statement()))
            message = replace(message, signature=signature)
        if isinstance(message, Delivered):
            peer.holds.add(message.cid)  # whatever it is, a liar serves it too
        return message

    def _delivered(self, sender: Address, message: Message) -> Got:
        if self._wire:
            data = seal(message, self.rules.domain, lambda digest32: sign(sender, digest32))
            unsealed = unseal(data, self.rules.domain, recover)
            assert unsealed.author in (None, sender)
            assert unsealed.message == message, "the wire changed a message"
            assert not isinstance(unsealed.message, Gossip)
            message = unsealed.message
        return Got(sender, message)

    def _gossiped(self, sender: Address, offer: Gossip) -> Gossip:
        if not self._wire:
            return offer
        data = seal(offer, self.rules.domain, lambda digest32: sign(sender, digest32))
        unsealed = unseal(data, self.rules.domain, recover)
        assert unsealed.author == sender == offer.author
        assert unsealed.message == offer, "the wire changed an offer"
        return offer

    # --- data and runs -----------------------------------------------------------------------------------------------

    def _fetch(self, peer: Peer, effect: Fetch) -> None:
        rng, source = self._rng, self.peers.get(effect.source)
        reason = ""
        if source is None or source.agent is None:
            reason = "no connection to that peer"
        elif self._cut(peer.address, effect.source, gossip=False) or self._cut(
            effect.source, peer.address, gossip=False
        ):
            reason = "timed out"
        elif effect.gateway != source.port:
            reason = "connection refused"
        elif effect.cid not in source.holds:
            reason = "not found"
        elif rng.random() < self._links.fetch_failure:
            reason = "connection lost"
        if reason:
            self._post(self.now + rng.uniform(0.1, 2.0), peer, NotFetched(effect.about, effect.cid, reason))
            return
        peer.holds.add(effect.cid)
        fetched = Fetched(effect.about, effect.cid, size_of(effect.cid), exit_code=self._codes.get(effect.cid))
        self._post(self.now + rng.uniform(0.02, 1.0), peer, fetched)

    def _execute(self, peer: Peer, effect: Execute) -> None:
        alone = effect.job.resources.timeout * self._rng.uniform(0.05, 0.9)
        peer.running[effect.about] = Running(effect, alone, self.now)
        self._post(self.now, peer, Launched(effect.about))
        self._share_out(peer)

    def _share_out(self, peer: Peer) -> None:
        """Foresee when the runs of this machine end: one that sold more than it has is slower for all of them."""
        shop = getattr(peer.agent, "shop", None)
        taken = sum(running.what.job.resources.cpu_millis for running in peer.running.values())
        load = 1.0 if shop is None else max(1.0, taken / shop.capacity.cpu_millis)
        for running in peer.running.values():
            if running.load != load:
                running.left -= (self.now - running.since) / running.load if running.turn else 0.0
                running.since, running.load, running.turn = self.now, load, running.turn + 1
                ended = partial(self._ran, peer, peer.life, running.turn, running.what)
                self._call(self.now + running.left * load, ended)

    def _ran(self, peer: Peer, life: int, turn: int, effect: Execute) -> None:
        running = peer.running.get(effect.about)
        if peer.life != life or running is None or running.turn != turn:
            return
        del peer.running[effect.about]
        self._share_out(peer)
        run = noisy_run(effect.job, self._rng)
        peer.holds.add(run.cid)
        self._codes[run.cid] = run.exit_code
        self._feed(peer, Ran(effect.about, run))

    # --- chain -------------------------------------------------------------------------------------------------------

    def _transact(self, peer: Peer, effect: Transact) -> None:
        moment = self._reaches_chain(peer) + self._rng.uniform(0.01, 0.1)
        wait = self._rng.uniform(0.0, self.plan.chain.slowest_pool)
        self._call(moment, lambda: self._submit(peer, effect, moment + wait))

    def _submit(self, peer: Peer, effect: Transact, ready: float) -> None:
        reason = self.ledger.submit(self.now, ready, peer.address, effect.about, effect.call)
        if reason is not None and peer.agent is not None:
            self._post(self.now + 0.05, peer, Refused(effect.about, effect.call, reason))

    def _mine(self) -> None:
        block, refusals = self.ledger.mine(self.now)
        for observer in self.observers:
            observer.mined(self, block)
        for transaction, reason in refusals:
            peer = self.peers[transaction.sender]
            self._post(self._reaches_chain(peer), peer, Refused(transaction.about, transaction.call, reason))
        for peer in self.peers.values():
            if peer.watched:
                self._report_standings(peer)
        if self._done():
            self._stop = True
        pace = self.plan.chain.block_time
        self._call(self.now + pace * self._rng.uniform(0.5, 1.5), self._mine)

    def _report_standings(self, peer: Peer) -> None:
        if self._reaches_chain(peer) > self.now:
            return
        for name, (deal, told) in peer.watched.items():
            state = self.ledger.standing(name)
            if state is not told and state != told:
                peer.watched[name] = deal, state
                saw = ChainSaw(name, state, self.ledger.confirmed_time, self.ledger.confirmed.sealed.get(name, b""))
                self._post(self.now + self._rng.uniform(0.0, 0.2), peer, saw)

    def _reorganise(self, depth: int) -> None:
        delays = [self._rng.uniform(0.0, 2 * self.plan.chain.block_time) for _ in range(8)]
        dropped = self.ledger.reorganise(depth, delays, self.now)
        for observer in self.observers:
            observer.dropped(self, dropped)

    def _reaches_chain(self, peer: Peer) -> float:
        ends = [gap.end for gap in self.plan.offline if gap.peer == peer.address and gap.begin <= self.now < gap.end]
        return max(ends, default=self.now)
