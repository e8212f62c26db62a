"""What a job creator's side of a deal can be, and what each stage asks of the world when it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from agents.dispute import Dispute
from agents.effects import Compare, Effect, Execute, Fetch, Save, Send, Share, Tell, Transact, Unwatch, WakeAt
from agents.events import Timer
from agents.machine import Step
from agents.reports import Noted
from protocol.deal import Deal, Result
from protocol.identity import Address
from protocol.job import Job, Run
from protocol.judging import subject
from protocol.messages import (
    Asking,
    Locked,
    Paid,
    Received,
    Recheck,
    sealed,
)
from protocol.prices import owed
from protocol.terms import Terms
from protocol.types import UNSIGNED, Amount, CidText, Count, Hash, Large, Moment, Party, Signature, Small, TalkId, Text
from protocol.vault_calls import Absent, Accuse, Contest, Open, Payment, Settle, Transfer

LOCK_MARGIN = 5.0
"""Seconds after ``start_by`` at which the vault is looked at again: a lock in time may only now become visible."""
NUDGE = 5.0
"""Seconds of silence after which the other side is asked where things stand; doubles up to `NUDGE_MOST`."""
LAST_CALL = 40
"""Seconds before the end of the time to answer a claim, for the answer to be mined, and again if the newest blocks are
replaced; a third of that time where it is long, since chains with long windows are slow, and half where it is short.
"""
CHECK_SLACK = 30
"""Seconds a mediator gets on top of the job's own time limit."""


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
    shown: Run | None = None
    """What the user is told of it, where the result itself says otherwise than what was signed beside it."""

    @property
    def seen(self) -> Run:
        """The run as the user is told of it."""
        return self.run if self.shown is None else self.shown


@dataclass(frozen=True, slots=True)
class Invoice:
    """What the provider asks for, where the price is not by the job."""

    used: Large
    """In parts of the price's unit."""
    amount: Amount
    signature: Signature


@dataclass(frozen=True, slots=True)
class Fetching:
    """The result is named; its blocks are on their way."""

    delivery: Delivery
    started: bytes


@dataclass(frozen=True, slots=True)
class Checking:
    """The result is here; a mediator, or this machine, runs the job again."""

    delivery: Delivery
    asked: tuple[Party, ...]
    """Mediators asked so far, the last one being awaited."""
    by_us: bool = False
    """It runs here."""
    own: Run | None = None
    """What the re-run gave, where its bytes differ and it is compared with a tolerance."""
    gateway: int = 0
    """Where the mediator serves it."""
    here: bool = False
    """What the mediator's own run gave has been fetched, to be compared."""
    ours: bool = False
    """This machine has had its turn."""
    ran: tuple[Party, ...] = ()
    """Mediators that have run it; each is paid, whatever it got."""
    agree: Count = 0
    """How many of those runs agree with the delivery."""
    against: tuple[CidText, ...] = ()
    """What the runs gave that don't."""
    why: Text = ""
    """What the last of those differs in."""
    started: bytes = b""
    """The provider's signature that it held every input, if it ever came."""

    @property
    def turn(self) -> str:
        """Whose run is awaited: the phase of its timer."""
        return "check:us" if self.by_us else f"check:{len(self.asked)}"


@dataclass(frozen=True, slots=True)
class Paying:
    """Voucher sent, settlement asked for."""

    delivery: Delivery
    verdict: Text
    checkers: tuple[Party, ...]
    counted: Large
    """What was used by our own count, in parts of the price's unit; seconds can't be counted here, so 0."""
    cut: Amount = 0
    """What the provider bears of a mediator's check: it comes off its bill."""


@dataclass(frozen=True, slots=True)
class Claiming:
    """Nothing usable came: absence is claimed."""

    reason: Text
    started: bytes
    """The provider's signature that it held every input, if it ever came."""


@dataclass(frozen=True, slots=True)
class Refusing:
    """A re-run gave something else: the result is accused."""

    delivery: Delivery
    checkers: tuple[Party, ...]
    reason: Text
    own: CidText = ""
    """What the re-run gave."""


@dataclass(frozen=True, slots=True)
class Contesting:
    """The provider claims a delivery that never came or is wrong: denied before the vault."""

    reason: Text
    delivery: Delivery | None = None
    """What it had said, if anything."""
    wrong: bool = False
    """A re-run gave something else."""
    own: CidText = ""
    """What it gave."""


@dataclass(frozen=True, slots=True)
class Collecting:
    """A jury ruled that the result is right, and jurors serve what the provider did not."""

    run: Run
    tried: Count
    reason: Text


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of this deal is left to do."""

    how: Text
    ruling: Small = 0
    """The vault's `Outcome`, where a jury was asked."""
    paid: Amount = 0
    """What went to the provider, where no jury said how much."""
    delivery: Delivery | None = None
    """What the provider had signed, where a jury was asked."""


Stage = Locking | Awaiting | Fetching | Checking | Paying | Claiming | Refusing | Contesting | Collecting | Over


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
    """Whether the result will be run again: drawn when it has arrived, and told to nobody."""
    stage: Stage
    answer_by: Moment = 0
    """Until when a delivery that the provider claimed on chain must be answered; 0 without a claim."""
    invoice: Invoice | None = None
    """The least that the provider has asked for; None where it asked for nothing less than the pay."""
    table: Hash = bytes(32)
    """Digest of the move that named the terms, which shows jurors what was sold."""
    dispute: Dispute | None = None
    """What goes on before the jury, once there is one."""
    check_by: Small = 0
    """A `CheckBy`."""

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


def enter(it: Purchase, stage: Stage, now: float, *effects: Effect) -> Step[Purchase]:
    """Begin a stage: saved before any effect of it leaves the node."""
    it = replace(it, stage=stage)
    saved = Save(key(it.id), it)
    if isinstance(stage, Over):
        return Step(it, (saved, Unwatch(it.deal), *effects))
    return Step(it, (saved, *effects, *act(it, now)))


def _inputs(it: Purchase) -> Effect:
    return Share(it.provider, it.id, it.job.inputs_cid)


def check_fees(it: Purchase, checkers: tuple[Address, ...]) -> tuple[Effect, ...]:
    """What who ran it again is paid, whatever came of it."""
    if not it.terms.check_fee:
        return ()
    # the first under the deal's own name, as ever: a node that was updated meanwhile doesn't pay it twice
    names = [it.id, *(subject(it.id, "fee", number) for number in range(1, len(checkers)))]
    return tuple(Transact(name, Transfer(who, it.terms.check_fee)) for name, who in zip(names, checkers, strict=False))


def rerun(deal: bytes) -> bytes:
    """What the check of a result is about."""
    return subject(deal, "check")


def _patience(it: Purchase, now: float, stage: Checking) -> Effect:
    return WakeAt(now + it.job.resources.timeout + CHECK_SLACK, Timer(it.id, stage.turn))


def act(it: Purchase, now: float) -> tuple[Effect, ...]:
    """What the stage asks of the world when it begins, and once more after a restart."""
    match it.stage:
        case Locking():
            late = WakeAt(it.deal.start_by + LOCK_MARGIN, Timer(it.id, "locking"))
            return (Transact(it.id, Open(it.deal, it.bond)), late)
        case Awaiting():
            overdue = WakeAt(it.overdue_at + 1, Timer(it.id, "overdue"))
            return (_inputs(it), Send(it.provider, Locked(it.deal, UNSIGNED)), overdue, nudge(it, now, NUDGE))
        case Fetching(delivery):
            overdue = WakeAt(it.overdue_at + 1, Timer(it.id, "overdue"))
            return (Fetch(it.id, delivery.run.cid, it.provider, delivery.gateway), overdue)
        case Checking(own=Run(cid), asked=asked, gateway=gateway) as stage:
            if stage.by_us or stage.here:
                return (Compare(rerun(it.id), it.job, cid, stage.delivery.run.cid),)
            return (Fetch(rerun(it.id), cid, asked[-1], gateway),)
        case Checking(by_us=True) as stage:
            return (Execute(rerun(it.id), it.job), _patience(it, now, stage))
        case Checking(asked=asked) as stage:
            request = Recheck(it.deal, it.table, it.job, it.terms.mediators, gateway=0, fee=it.terms.check_fee)
            return (Send(asked[-1], request), _patience(it, now, stage))
        case Paying(delivery, _, checkers) as stage:
            return (receipt(it, delivery), *settling(it, stage, now), *check_fees(it, checkers))
        case Claiming(started=started):
            if now <= it.overdue_at:
                return (WakeAt(it.overdue_at + 1, Timer(it.id, "claim")),)
            return (Transact(it.id, Absent(it.deal, started or None)),)
        case Contesting():
            return (Transact(it.id, Contest(it.deal, named_jury(it))),)
        case Refusing(delivery, checkers):
            result = Result(it.id, sealed(delivery.run.cid, delivery.salt), delivery.run.exit_code, delivery.run.units)
            accused = Transact(it.id, Accuse(it.deal, result, delivery.signature, named_jury(it)))
            return (accused, *check_fees(it, checkers))
        case Collecting(run, tried):
            sources = it.dispute.sources() if it.dispute is not None else ()
            return tuple(Fetch(it.id, run.cid, who, port) for who, port in sources[tried : tried + 1])
        case Over():
            return ()
        case _:
            assert_never(it.stage)


def named_jury(it: Purchase) -> bytes:
    """The pool where the jury is all of it, which then needs no draw; else nothing."""
    return b"".join(it.terms.mediators) if len(it.terms.mediators) == it.deal.jurors else b""


def owing(it: Purchase, stage: Paying) -> int:
    """What the run comes to: base units.

    Bytes are counted here, fuel by the provider and by a mediator where one ran it too, seconds by the provider alone;
    the agreed pay bounds them all. What the provider bears of a check comes off.
    """
    parts = stage.counted
    if it.terms.unit == "second":
        parts = it.terms.most if it.invoice is None else it.invoice.used
    return max(0, owed(it.terms.unit, it.terms.rate, it.deal.pay, parts) - stage.cut)


def amount(it: Purchase, stage: Paying) -> int | None:
    """What can be settled: the bill if it is not above what is due, the whole pay if that is due; else nothing yet."""
    due = owing(it, stage)
    if it.invoice is not None and it.invoice.amount <= due:
        return it.invoice.amount
    return it.deal.pay if due == it.deal.pay and it.terms.unit != "second" else None


def settling(it: Purchase, stage: Paying, now: float) -> tuple[Effect, ...]:
    """Pay, and grant a voucher in case that call never lands; less than the pay needs the provider's bill."""
    money = amount(it, stage)
    asking = (Send(it.provider, Asking(it.id)), WakeAt(now + NUDGE, Timer(it.id, "settle")))
    if money is None and it.invoice is None and not stage.cut:
        return asking
    due = owing(it, stage) if money is None else money
    voucher = Send(it.provider, Paid(it.id, due, UNSIGNED))
    if money is None and stage.cut:
        return (voucher, *asking)  # its bill comes down once the mediator's word has reached it
    if money is None:
        asked = it.invoice.amount if it.invoice is not None else 0
        text = f"the provider asks for {asked}, where {due} are due by our count: it gets a voucher for that"
        return (voucher, Tell(it.wanted, Noted(text)))
    bill = it.invoice.signature if it.invoice is not None and money < it.deal.pay else None
    # whoever pays has checked what it wanted to check, so the provider's stakes may go home at once
    return (voucher, Transact(it.id, Settle((Payment(it.deal, money, bill, final=True),))))


def in_full(it: Purchase) -> Effect:
    """Pay all of it."""
    return Transact(it.id, Settle((Payment(it.deal, it.deal.pay, final=True),)))


def receipt(it: Purchase, delivery: Delivery) -> Effect:
    """Say that every block is here."""
    return Send(it.provider, Received(it.id, sealed(delivery.run.cid, delivery.salt), UNSIGNED))


def last_call(it: Purchase) -> Effect:
    """Wake in time to answer the provider's claim."""
    answer = it.deal.answer
    return WakeAt(it.answer_by - min(max(LAST_CALL, answer // 3), answer // 2), Timer(it.id, "last call"))


def nudge(it: Purchase, now: float, pause: float) -> Effect:
    """Wake to ask how things stand."""
    # before the run can be over there is nothing to ask for, unless the provider says that it is
    run = 0 if it.answer_by else it.job.resources.timeout
    return WakeAt(now + run + (min(pause, NUDGE) if it.answer_by else pause), Timer(it.id, f"nudge:{pause}"))
