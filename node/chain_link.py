"""A node's line to the chain: carries calls to the vault, watches deals, and keeps the clock.

The chain's state is the truth and is polled; there are no filters and no logs. A call of ours that lands, or a hint
from a peer, only makes the next look come at once.

What is told of a deal depends on what it means. A claim is told as soon as anybody's newest block has it: answering
early harms nobody. That a deal is locked, paid or over releases work or lets evidence be forgotten, so it is told only
when it lies as deep as the chain's profile wants for the sum, and a quorum of the endpoints says so.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from agents.events import OWN_COINS, OWN_FUNDS, ChainSaw, Event, Refused, Solvency, Stakes
from contracts.batching import Policy
from contracts.client import Head, Intent, Snapshot
from contracts.connection import Connection
from contracts.errors import ChainError, NoCoins, NotSent, Reverted
from contracts.journal import Receipt
from contracts.watch import Notice, Side, Watch, WindowMissed, WindowPasses
from node.clock import Clock
from node.settling import Settling
from node.supervision import Tasks
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.vault_calls import Open, Payment, Settle, VaultCall
from protocol.vault_state import DealState, State

log = logging.getLogger("lilypad.chain")

RETRY = 1.0
"""Seconds before a call is tried again that no endpoint would take."""
RETRY_COINS = 10.0
"""Seconds before a call is tried again whose gas could not be paid."""
MOST_TRIES = 5
"""How often a call is made again that was mined as refused although it looked good: each try costs gas."""

LAGGING = frozenset({"no such claim", "not open"})
"""Refusals that an endpoint which lacks the newest block gives too."""
LOOKS = 2
"""How often such a refusal is not believed, a block's time apart."""

OLD = 15.0
"""Seconds beyond two blocks' time from which on a newest block behind our clock says that one of the two is wrong."""

NOT_ENOUGH = "not enough free"
"""What the vault says of either side of an `Open`."""
CLAIMS = frozenset({State.ABSENT, State.DELIVERED, State.JURY, State.RULED})

Hear = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction of ours that the chain has taken."""

    about: bytes
    call: str
    hash: bytes
    gas: int


@dataclass(slots=True)
class _Watched:
    deal: Deal
    told: DealState | None
    """What the hearers know."""
    hearers: list[Hear]


class ChainLink:
    """One vault, as one node uses it."""

    def __init__(
        self,
        line: Connection,
        clock: Clock,
        poll: float,
        tasks: Tasks,
        *,
        me: Address | None = None,
        batching: Policy | None = None,
    ) -> None:
        """``me`` is warned of claims against it; with ``batching`` payments wait for company."""
        self.line = line
        self.client = line.client
        self.landed: Callable[[Landed], None] = lambda landed: None
        self.jumped: Callable[[float], None] = lambda seconds: None
        self.alarm = Watch()
        self.claims: dict[DealId, str] = {}
        """What runs against us, in words, by deal."""
        self._clock = clock
        self._poll = poll
        self._tasks = tasks
        self._me = me
        self._watched: dict[DealId, _Watched] = {}
        self._look = trio.Event()
        self._settling = None if batching is None else Settling(line, batching, clock.now)

    def transact(self, about: bytes, call: VaultCall, hear: Hear) -> None:
        """Ask the vault, once for this kind of call and subject, now and in every later life of the node."""
        self._tasks.start_soon(self._submit, about, call, hear)

    def watch(self, deal: Deal, hear: Hear) -> None:
        """Report the deal's standing at the next look, which is now, and whenever it changes."""
        name = deal.id(self.client.domain)
        watched = self._watched.setdefault(name, _Watched(deal, None, []))
        watched.told = None
        if hear not in watched.hearers:
            watched.hearers.append(hear)
        if self._me in (deal.jc, deal.rp):
            self.alarm.add(name, deal, Side.PAYER if self._me == deal.jc else Side.PROVIDER)
        self._look.set()

    def unwatch(self, deal: Deal, hear: Hear) -> None:
        """No longer tell this hearer."""
        name = deal.id(self.client.domain)
        watched = self._watched.get(name)
        if watched is None:
            return
        if hear in watched.hearers:
            watched.hearers.remove(hear)
        if not watched.hearers:
            del self._watched[name]
            self.alarm.drop(name)
            self.claims.pop(name, None)

    def look_up(self, who: Address, hear: Hear) -> None:
        """Tell how much free money an account has in the vault."""
        self._tasks.start_soon(self._look_up, who, hear)

    async def _look_up(self, who: Address, hear: Hear) -> None:
        try:
            free = (await self.line.witnesses.read((who,), (), 1)).accounts[0].free
        except ChainError as error:
            log.warning("an account could not be looked up: %s", error)
            free = 0
        hear(Solvency(who, free))

    def look_up_stakes(self, who: Sequence[Address], hear: Hear) -> None:
        """Tell with how much mediators have joined the vault."""
        self._tasks.start_soon(self._look_up_stakes, tuple(who), hear)

    async def _look_up_stakes(self, who: Sequence[Address], hear: Hear) -> None:
        try:
            found = await self.line.witnesses.mediators(who)
        except ChainError as error:
            log.warning("mediators' stakes could not be looked up: %s", error)
            hear(Stakes(()))
            return
        hear(Stakes(tuple((one, seat.pledged) for one, seat in zip(who, found, strict=True))))

    async def ask_the_time(self) -> None:
        """Set the clock before anybody lives by it, as the chain has it.

        A chain far behind may have stood still, or this machine's clock is fast: the next block tells. Where none comes
        the clock stays. Were a block old that came just now, for the endpoint catches up, later ones put it forward.
        """
        try:
            seen = await self._newest()
            self._clock.saw_block(seen.timestamp)
            usual = 2 * self.line.profile.block_time
            if self._clock.now() - seen.timestamp <= usual + OLD:
                return
            with trio.move_on_after(usual + self._poll):
                found = seen
                while found.number <= seen.number:
                    await trio.sleep(self._poll / 4)
                    found = await self._newest()
                off = self._clock.now() - found.timestamp
                if off > OLD:
                    log.warning("this machine's clock is %.0f s ahead of the chain, whose time is taken", off)
                    self._clock.put_back(found.timestamp)
        except ChainError as error:
            log.warning("the chain could not be asked for the time: %s", error)

    async def _newest(self) -> Head:
        return (await self.line.witnesses.read((), (), 1)).head

    async def run(self) -> None:
        """Look at the chain for as long as the node lives."""
        if self._settling is not None:
            self._tasks.start_soon(self._settling.run)
        while True:
            self._look = trio.Event()
            try:
                await self._look_once()
            except ChainError as error:
                log.warning("the chain could not be read: %s", error)
            with trio.move_on_after(self._poll):
                await self._look.wait()

    async def _look_once(self) -> None:
        names = list(self._watched)
        height = await self.line.witnesses.height()
        newest = await self.line.witnesses.read_at((), names, height)
        if jump := self._clock.saw_block(newest.head.timestamp):
            self.jumped(jump)
        now = dict(zip(names, newest.deals, strict=True))
        for notice in self.alarm.observe(newest.head.timestamp, now):
            self._warn(notice)
        for name in [name for name in self.claims if now.get(name, DealState()).state not in CLAIMS]:
            del self.claims[name]
        at_depth: defaultdict[int, list[DealId]] = defaultdict(list)
        for name in names:
            if name not in self._watched:
                continue
            if now[name].state in CLAIMS:
                await self._tell(name, now[name], newest)
            else:
                at_depth[self.line.profile.depth(self._watched[name].deal.jc_share)].append(name)
        for depth, group in at_depth.items():
            if height < depth - 1:
                continue  # a chain as young as that holds nothing for sure
            deep, standings = newest, now
            if depth > 1:
                deep = await self.line.witnesses.read_at((), group, height - depth + 1)
                standings = dict(zip(group, deep.deals, strict=True))
            for name in group:
                # a claim that is over at the head, but not yet down here, was told while it ran
                if name in self._watched and standings[name].state not in CLAIMS:
                    await self._tell(name, standings[name], deep)

    async def _tell(self, name: DealId, state: DealState, seen: Snapshot) -> None:
        watched = self._watched[name]
        if state == watched.told:
            return
        disputed = state.state in (State.JURY, State.RULED)
        sealed = await self.line.witnesses.sealed(name) if disputed else b""
        watched.told = state
        if state.state is State.DELIVERED and self._settling is not None:
            self._settling.hurry(name, state.deadline)
        for hear in list(watched.hearers):
            hear(ChainSaw(name, state, seen.head.timestamp, sealed))

    def _warn(self, notice: Notice) -> None:
        name = notice.deal.hex()[:16]
        state = notice.standing.state.name.lower()
        match notice:
            case WindowPasses(percent=percent, left=left):
                words = f"{percent} % of the time to answer ({state}) is over, {left} s are left"
                log.warning("deal %s: %s; keep this node and its chain reachable", name, words)
            case WindowMissed():
                words = f"the time to answer ({state}) is over"
                log.error("deal %s: %s", name, words)
            case _:
                words = f"a claim runs against it ({state})"
                log.warning("deal %s: %s", name, words)
        self.claims[notice.deal] = words

    async def _reason(self, call: VaultCall, reason: str) -> str:
        if not isinstance(call, Open) or reason != NOT_ENOUGH:
            return reason
        try:
            own = (await self.client.accounts((call.deal.jc,)))[0]
        except ChainError:
            return reason
        return OWN_FUNDS if own.free < call.deal.jc_share else "the provider has not enough free in the vault"

    async def _submit(self, about: bytes, call: VaultCall, hear: Hear) -> None:
        kind = type(call).__name__
        tries = looks = 0
        while True:
            try:
                receipt = await self._do(about, call)
                if receipt.status == 1:
                    break
                tries += 1
                await self.client.preview(call)  # says why, or that it would work now: then it is done again
                if tries >= MOST_TRIES:
                    hear(Refused(about, call, "it was mined as refused too often"))
                    return
            except Reverted as error:
                if error.reason in LAGGING and looks < LOOKS:
                    looks += 1  # the estimate may come from an endpoint that lacks the newest block
                    await trio.sleep(max(RETRY, self.line.profile.block_time))
                    continue
                hear(Refused(about, call, await self._reason(call, error.reason)))
                return
            except NoCoins as error:
                log.warning("%s can't be sent for want of coins: %s; send some to this node's address", kind, error)
                if isinstance(call, Open):  # nothing is at stake yet, and somebody waits
                    hear(Refused(about, call, OWN_COINS))
                    return
                await trio.sleep(RETRY_COINS)
            except NotSent as error:
                if isinstance(call, Open):
                    hear(Refused(about, call, str(error)))
                    return
                log.warning("%s is not taken: %s", kind, error)  # money may depend on it, and the reason may pass
                await trio.sleep(RETRY_COINS)
            except ChainError as error:
                log.warning("%s waits for the chain: %s", kind, error)
                await trio.sleep(RETRY)
        self._look.set()
        self.landed(Landed(about, kind.lower(), receipt.hash, receipt.gas_used))

    async def _do(self, about: bytes, call: VaultCall) -> Receipt:
        name = f"{type(call).__name__}:{about.hex()}"
        journal = self.line.journal
        alone = journal is not None and bool(journal.attempts(name))
        match call:
            case Settle(payments=(Payment() as payment,)) if self._settling is not None and not alone:
                deal = payment.deal.id(self.client.domain)
                watched = self._watched.get(deal)
                claimed = watched.told if watched is not None else None
                late = claimed.deadline if claimed is not None and claimed.state is State.DELIVERED else None
                together = await self._settling.settle(deal, payment, late)
                if together is not None:
                    return together
        return await self.client.wait(await self.client.submit(Intent(name, call)))
