"""A job creator's side of one deal, from both signatures to the money.

::

    LOCKING ──in the vault──► AWAITING ──signed result──► FETCHING ──verified──► CHECKING ──same──► PAYING
       │ refused, too late       │ nothing in time           │ not to be had       │  │              │ closed
       └───────► OVER            └────────► CLAIMING ◄───────┘                     │  │ differs      └──► OVER
                                               │ closed         no check due, or   │  └──► REFUSING
                                               └──► OVER        nobody to check:   └──► PAYING │ closed
                                                                                               └──► OVER
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from agents.effects import Effect, Fetch, Save, Send, Tell, Transact, Unwatch, WakeAt, Watch
from agents.events import ChainSaw, Event, Fetched, Got, NotFetched, Refused, Timer, Unreached, Woke
from agents.machine import Step
from agents.reports import Arrived, Checked, Held, InVault, Noted, Running, Verdict
from protocol.deal import Deal
from protocol.identity import Address
from protocol.job import Job, Run
from protocol.messages import (
    Abandoned,
    Asking,
    Begun,
    CannotRecheck,
    Delivered,
    Locked,
    Paid,
    Received,
    Recheck,
    Rechecked,
    sealed,
)
from protocol.terms import Terms
from protocol.types import UNSIGNED, Count, Hash, Party, Signature, TalkId, Text
from protocol.vault_calls import Absent, Finalize, Free, Open, Payment, Settle, Transfer
from protocol.vault_state import DealState, State

LOCK_MARGIN = 5.0
"""Seconds after ``start_by`` in which a lock may still become visible."""
NUDGE = 5.0
"""Seconds of silence after which the other side is asked where things stand; doubles up to `NUDGE_MOST`."""
NUDGE_MOST = 60.0
REFETCH = 2.0
"""Seconds after a failed fetch of the result."""
CHECK_SLACK = 30
"""Seconds a mediator gets on top of the job's own time limit."""
MOST_CHECKERS = 3
"""How many mediators are asked, one after another, before a check is given up."""


@dataclass(frozen=True, slots=True)
class Locking:
    """Signed by both; the vault has been asked to lock it."""


@dataclass(frozen=True, slots=True)
class Awaiting:
    """Locked; the result is due."""

    started: bytes = b""
    """The provider's signature that it holds every input; empty until it comes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The provider's signed word on its run: the evidence of an accusation."""

    run: Run
    salt: Hash
    signature: Signature
    gateway: int


@dataclass(frozen=True, slots=True)
class Fetching:
    """The result is named; its blocks are on their way."""

    delivery: Delivery
    started: bytes


@dataclass(frozen=True, slots=True)
class Checking:
    """The result is here; a mediator runs the job again."""

    delivery: Delivery
    asked: tuple[Party, ...]
    """Mediators asked so far, the last one being awaited."""


@dataclass(frozen=True, slots=True)
class Paying:
    """Voucher sent, settlement asked for."""

    delivery: Delivery
    verdict: Text
    checkers: tuple[Party, ...]


@dataclass(frozen=True, slots=True)
class Claiming:
    """Nothing usable came: absence is claimed."""

    reason: Text
    started: bytes
    """The provider's signature that it held every input, if it ever came."""


@dataclass(frozen=True, slots=True)
class Refusing:
    """A mediator got something else: no pay."""

    delivery: Delivery
    checkers: tuple[Party, ...]
    reason: Text


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of this deal is left to do."""

    how: Text


Stage = Locking | Awaiting | Fetching | Checking | Paying | Claiming | Refusing | Over


@dataclass(frozen=True, slots=True)
class Purchase:
    """One deal of a job creator."""

    id: Hash
    wanted: TalkId
    """The job that it serves."""
    deal: Deal
    job: Job
    terms: Terms
    bond: Signature
    """The provider's signature of the deal."""
    rounds: Count
    check: bool
    """Whether the result will be run again; drawn at delivery time, and told to nobody."""
    stage: Stage

    @property
    def provider(self) -> Address:
        return self.deal.rp

    @property
    def overdue_at(self) -> int:
        """When nothing that comes counts any more."""
        return self.deal.deliver_by + self.deal.grace


def key(deal: bytes) -> str:
    """Where a purchase is saved."""
    return f"purchase:{deal.hex()}"


def begin(purchase: Purchase, now: float) -> Step[Purchase]:
    """The first effects of a purchase; also what puts one back on its feet after a restart."""
    return Step(purchase, (Save(key(purchase.id), purchase), Watch(purchase.deal), *_act(purchase, now)))


def _act(it: Purchase, now: float) -> tuple[Effect, ...]:
    match it.stage:
        case Locking():
            late = WakeAt(it.deal.start_by + LOCK_MARGIN, Timer(it.id, "locking"))
            return (Transact(it.id, Open(it.deal, it.bond)), late)
        case Awaiting():
            overdue = WakeAt(it.overdue_at + 1, Timer(it.id, "overdue"))
            return (Send(it.provider, Locked(it.deal, UNSIGNED)), overdue, _nudge(it, now, NUDGE))
        case Fetching(delivery):
            overdue = WakeAt(it.overdue_at + 1, Timer(it.id, "overdue"))
            return (Fetch(it.id, delivery.run.cid, it.provider, delivery.gateway), overdue)
        case Checking(asked=asked):
            patience = WakeAt(now + it.job.resources.timeout + CHECK_SLACK, Timer(it.id, f"check:{len(asked)}"))
            return (Send(asked[-1], Recheck(it.deal, it.job, 0, it.terms.check_fee)), patience)
        case Paying(delivery, _, checkers):
            fee = it.terms.check_fee
            fees = tuple(Transact(it.id, Transfer(who, fee)) for who in checkers if fee)
            voucher = Send(it.provider, Paid(it.id, it.deal.pay, UNSIGNED))
            return (_receipt(it, delivery), voucher, Transact(it.id, _settlement(it.deal)), *fees)
        case Claiming(started=started):
            return (Transact(it.id, Absent(it.deal, started or None)),)
        case Refusing():
            return (WakeAt(it.deal.claim_until + 1, Timer(it.id, "release")),)
        case Over():
            return ()
        case _:
            assert_never(it.stage)


def step(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    """What this deal does about an event; events of a passed stage change nothing."""
    match it.stage, event:
        case Over(), _:
            return Step(it)
        case _, ChainSaw(standing=DealState(state=State.CLOSED)):
            return _enter(it, Over(_ending(it)), now)
        case Locking(), ChainSaw(standing=DealState(state=State.OPEN)):
            return _enter(it, Awaiting(), now, Tell(it.wanted, InVault(it.deal)))
        case Locking(), Refused(call=Open(), reason=reason):
            return _enter(it, Over(f"the vault refused the deal: {reason}"[:200]), now)
        case Locking(), Woke(Timer(phase="locking")):
            return _enter(it, Over("the deal did not reach the vault in time"), now)
        case Awaiting(started=b""), Got(message=Begun(signature=signature)):
            it = replace(it, stage=Awaiting(signature))
            return Step(it, (Save(key(it.id), it), Tell(it.wanted, Running(it.deal))))
        case (Awaiting() | Fetching()) as stage, Got(message=Delivered() as message):
            return _delivered(it, stage, now, message)
        case Awaiting(), Got(message=Abandoned(reason=reason)):
            return Step(it, (Tell(it.wanted, Noted(f"the provider gives up: {reason}")),))
        case Awaiting(), Woke(Timer(phase=phase)) if phase.startswith("nudge:"):
            pause = min(NUDGE_MOST, 2 * float(phase.removeprefix("nudge:")))
            return Step(it, (Send(it.provider, Asking(it.id)), _nudge(it, now, pause)))
        case Awaiting(started=started) | Fetching(started=started), Woke(Timer(phase="overdue")):
            return _enter(it, Claiming("nothing usable was delivered in time", started), now)
        case Fetching(delivery), Fetched(cid=cid) if cid == delivery.run.cid:
            return _arrived(it, now, delivery)
        case Fetching(delivery), NotFetched(cid=cid, reason=reason) if cid == delivery.run.cid:
            again = WakeAt(now + REFETCH, Timer(it.id, "refetch"))
            return Step(it, (again, Tell(it.wanted, Noted(f"the result could not be fetched yet: {reason}"[:300]))))
        case Fetching(delivery), Woke(Timer(phase="refetch")):
            return Step(it, (Fetch(it.id, delivery.run.cid, it.provider, delivery.gateway),))
        case Checking() as stage, _:
            return _check(it, stage, now, event)
        case Paying(delivery), Got(sender=sender, message=Delivered() | Asking()) if sender == it.provider:
            return Step(it, (_receipt(it, delivery), Send(it.provider, Paid(it.id, it.deal.pay, UNSIGNED))))
        case Claiming(), ChainSaw(standing=DealState(state=State.ABSENT, deadline=deadline)):
            return Step(it, (WakeAt(deadline + 1, Timer(it.id, "finalize")),))
        case Claiming(), Woke(Timer(phase="finalize")):
            return Step(it, (Transact(it.id, Finalize(it.deal)),))
        case Paying(), ChainSaw(standing=DealState(state=State.OPEN, paid=True)):  # the voucher was quicker
            return _enter(it, Over("paid"), now)
        case Claiming(), ChainSaw(standing=DealState(state=State.OPEN)):  # the provider answered with a proof
            return Step(it, (WakeAt(it.deal.claim_until + 1, Timer(it.id, "release")),))
        case Claiming() | Refusing(), Woke(Timer(phase="release")):
            return Step(it, (Transact(it.id, Free(it.deal)),))
        case _:
            return Step(it)


def _ending(it: Purchase) -> str:
    match it.stage:
        case Paying():
            return "paid"
        case Claiming(reason=reason) | Refusing(reason=reason):
            return reason
        case _:
            return "closed by the other side"


def _delivered(it: Purchase, stage: Awaiting | Fetching, now: float, message: Delivered) -> Step[Purchase]:
    run = Run(message.cid, message.exit_code, message.units, message.profile, message.failure[:200])
    delivery = Delivery(run, message.salt, message.signature, message.gateway)
    if isinstance(stage, Fetching):
        if stage.delivery.run.cid != run.cid:
            return Step(it)  # the first signed result stands: a provider has one try
        return _enter(it, Fetching(delivery, stage.started), now)
    return _enter(it, Fetching(delivery, stage.started), now, Tell(it.wanted, Arrived(run)))


def _arrived(it: Purchase, now: float, delivery: Delivery) -> Step[Purchase]:
    held = Tell(it.wanted, Held(delivery.run))
    if it.check and it.terms.mediators:
        return _enter(it, Checking(delivery, (_next_checker(it, ()),)), now, held, _receipt(it, delivery))
    return _pay(it, delivery, now, Verdict.UNCHECKED, (), "no check was due", held)


def _check(it: Purchase, stage: Checking, now: float, event: Event) -> Step[Purchase]:
    match event:
        case Got(sender, Rechecked() as own) if sender == stage.asked[-1]:
            return _compare(it, stage, now, own)
        case Got(sender, CannotRecheck(reason=reason)) if sender == stage.asked[-1]:
            return _ask_another(it, stage, now, reason)
        case Unreached(peer=peer, message=Recheck()) if peer == stage.asked[-1]:
            return _ask_another(it, stage, now, "not reachable")
        case Woke(Timer(phase=phase)) if phase == f"check:{len(stage.asked)}":
            return _ask_another(it, stage, now, "no answer in time")
        case Got(sender, Delivered() | Asking()) if sender == it.provider:
            return Step(it, (_receipt(it, stage.delivery),))
        case _:
            return Step(it)


def _compare(it: Purchase, stage: Checking, now: float, own: Rechecked) -> Step[Purchase]:
    run = stage.delivery.run
    checker = (stage.asked[-1],)
    if own.cid == run.cid and own.exit_code == run.exit_code:
        return _pay(it, stage.delivery, now, Verdict.ACCEPTED, checker, "a mediator's own run gave the same result")
    reason = (
        f"a mediator's own run gave {own.cid} (exit {own.exit_code}), the provider's {run.cid} (exit {run.exit_code})"
    )
    told = Tell(it.wanted, Checked(Verdict.REJECTED, checker, reason))
    return _enter(it, Refusing(stage.delivery, checker, reason[:200]), now, told)


def _ask_another(it: Purchase, stage: Checking, now: float, reason: str) -> Step[Purchase]:
    noted = Tell(it.wanted, Noted(f"mediator 0x{stage.asked[-1].hex()} did not check: {reason}"[:300]))
    if len(stage.asked) >= min(MOST_CHECKERS, len(it.terms.mediators)):
        return _pay(it, stage.delivery, now, Verdict.UNCHECKED, (), "no mediator could check it", noted)
    return _enter(it, Checking(stage.delivery, (*stage.asked, _next_checker(it, stage.asked))), now, noted)


def _next_checker(it: Purchase, asked: tuple[Address, ...]) -> Address:
    # any order that the provider can't foresee would do; the deal's id is fixed only when the talk is over
    rest = [mediator for mediator in it.terms.mediators if mediator not in asked]
    return rest[int.from_bytes(it.id[:8], "big") % len(rest)]


def _pay(
    it: Purchase, delivery: Delivery, now: float, verdict: Verdict, who: tuple[Address, ...], why: str, *first: Effect
) -> Step[Purchase]:
    told = Tell(it.wanted, Checked(verdict, who, why))
    return _enter(it, Paying(delivery, verdict.value, who), now, *first, told)


def _settlement(deal: Deal) -> Settle:
    # whoever pays has checked what it wanted to check, so the provider's stakes may go home at once
    return Settle((Payment(deal, deal.pay, final=True),))


def _receipt(it: Purchase, delivery: Delivery) -> Effect:
    return Send(it.provider, Received(it.id, sealed(delivery.run.cid, delivery.salt), UNSIGNED))


def _nudge(it: Purchase, now: float, pause: float) -> Effect:
    return WakeAt(now + it.job.resources.timeout + pause, Timer(it.id, f"nudge:{pause}"))


def _enter(it: Purchase, stage: Stage, now: float, *effects: Effect) -> Step[Purchase]:
    it = replace(it, stage=stage)
    saved = Save(key(it.id), it)
    if isinstance(stage, Over):
        return Step(it, (saved, Unwatch(it.deal), *effects))
    return Step(it, (saved, *effects, *_act(it, now)))
