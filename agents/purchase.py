"""A job creator's side of one deal, from both signatures to the money.

::

    LOCKING ──in the vault──► AWAITING ──signed result──► FETCHING ──verified──► CHECKING ──same──► PAYING
       │ refused, too late     │   ▲  nothing in time        │ not to be had      │  │               │ closed
       └──► OVER               │   │  or given up            │                    │  │ differs       └──► OVER
                               ├───┼──────► CLAIMING ◄───────┘                    │  └──► REFUSING
                               │   └───────────┘ │ closed             no check due, or     │ closed
                               │     delivery    └──► OVER            nobody to check:     ├──► OVER
                               ▼     claimed                          PAYING               │
                          CONTESTING ◄─────────────────────────────────────────────────────┘
                               │ closed               a delivery was claimed, and the time to answer runs out
                               ├──► OVER
                               └──ruled right, and not here──► COLLECTING ──fetched from a juror, or not──► OVER

A delivery that the provider claims on chain must be answered in time, or the stake is lost too. Until that moment the
result is awaited, fetched and checked as usual; then it is paid for if it is here, and contested if not, or if wrong.
REFUSING accuses before the vault. From then on `agents.dispute` goes before the jury, in either stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from agents import dispute as disputes
from agents.dispute import Dispute
from agents.effects import Effect, Fetch, Save, Send, Tell, Transact, Unwatch, WakeAt, Watch
from agents.events import OWN_FUNDS, ChainSaw, Event, Fetched, Got, NotFetched, Refused, Timer, Unreached, Woke
from agents.machine import Step
from agents.reports import Arrived, Checked, DisputeOpened, Held, InVault, Noted, Ruled, Running, Verdict
from protocol.deal import Deal, Result, Ruling
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
    Testimony,
    sealed,
)
from protocol.terms import Terms
from protocol.types import UNSIGNED, Count, Hash, Moment, Party, Signature, Small, TalkId, Text
from protocol.vault_calls import Absent, Accuse, Contest, Finalize, Free, Open, Payment, Settle, Transfer, VaultCall
from protocol.vault_state import DealState, Outcome, State

LOCK_MARGIN = 5.0
"""Seconds after ``start_by`` at which the vault is looked at again: a lock in time may only now become visible."""
AGAIN = 4.0
"""Seconds after which a call that the vault refused is asked again: its clock may be behind."""
LAST_CALL = 25
"""Seconds before the end of the time to answer a claim, for the answer to be mined; less where that time is short."""
HOPELESS = frozenset({"no such claim", "not open", "paid", "too late", "not new", "no receipt", "it had started"})
"""Refusals that no waiting mends; what has happened instead shows in the vault."""
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
    """A mediator got something else: the result is accused."""

    delivery: Delivery
    checkers: tuple[Party, ...]
    reason: Text


@dataclass(frozen=True, slots=True)
class Contesting:
    """The provider claims a delivery that never came or is wrong: denied before the vault."""

    reason: Text
    delivery: Delivery | None = None
    """What it had said, if anything."""
    wrong: bool = False
    """A mediator got something else."""


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
    """Whether the result will be run again; drawn when it was bought, and told to nobody."""
    stage: Stage
    answer_by: Moment = 0
    """Until when a delivery that the provider claimed on chain must be answered; 0 without a claim."""
    table: Hash = bytes(32)
    """Digest of the move that named the terms, which shows jurors what was sold."""
    dispute: Dispute | None = None
    """What goes on before the jury, once there is one."""

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
    # whatever happens, what is still locked goes home in the end
    release = WakeAt(purchase.deal.claim_until + 1, Timer(purchase.id, "release"))
    last_call = (_last_call(purchase),) if purchase.answer_by else ()
    saved = Save(key(purchase.id), purchase)
    court = disputes.begin(purchase.dispute, now) if purchase.dispute is not None else ()
    return Step(purchase, (saved, Watch(purchase.deal), release, *last_call, *_act(purchase, now), *court))


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
            if now <= it.overdue_at:
                return (WakeAt(it.overdue_at + 1, Timer(it.id, "claim")),)
            return (Transact(it.id, Absent(it.deal, started or None)),)
        case Contesting():
            return (Transact(it.id, Contest(it.deal, _named_jury(it))),)
        case Refusing(delivery):
            result = Result(it.id, sealed(delivery.run.cid, delivery.salt), delivery.run.exit_code, delivery.run.units)
            return (Transact(it.id, Accuse(it.deal, result, delivery.signature, _named_jury(it))),)
        case Collecting(run, tried):
            sources = it.dispute.sources() if it.dispute is not None else ()
            return tuple(Fetch(it.id, run.cid, who, port) for who, port in sources[tried : tried + 1])
        case Over():
            return ()
        case _:
            assert_never(it.stage)


def step(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    """What this deal does about an event; events of a passed stage change nothing."""
    match event:
        case _ if isinstance(it.stage, Over):
            return Step(it)
        case ChainSaw(standing=DealState(state=State.JURY | State.RULED) as standing, sealed=sealed_cid):
            return _before_the_jury(it, now, standing, sealed_cid)
        case ChainSaw(standing=standing, at=at):
            return _saw(it, now, standing, at)
        case Got(message=message) if isinstance(message, Testimony):
            return _dispute(it, now, event)
        case Woke(Timer(phase=phase)) if phase.startswith("dispute:"):
            return _dispute(it, now, event)
        case Refused(about=about) if len(about) > len(it.id):
            return _dispute(it, now, event)
        case Refused(call=call, reason=reason):
            return _refused(it, now, call, reason)
        case Woke(Timer(phase="release")) if not isinstance(it.stage, Locking):
            return Step(it, (Transact(it.id, Free(it.deal)),))
        case Woke(Timer(phase="finalize")) if it.dispute is None:
            return Step(it, (Transact(it.id, Finalize(it.deal, b"".join(it.terms.mediators))),))
        case Woke(Timer(phase="last call")) if it.answer_by:
            return _answer(it, now)
        case _:
            return _go_on(it, now, event)


def _saw(it: Purchase, now: float, standing: DealState, at: int) -> Step[Purchase]:
    match it.stage, standing:
        case Collecting(), _:
            return Step(it)
        case ((Refusing() | Contesting()), DealState(state=State.CLOSED, outcome=outcome)) if it.dispute is not None:
            return _closed(it, now, outcome)
        case _, DealState(state=State.CLOSED) | DealState(state=State.OPEN, paid=True):
            return _enter(it, Over(_ending(it)), now)
        case Locking(), DealState(state=State.NONE):
            # only a block after `start_by` proves that it never will; a world that names none is asked when it is late
            never = at > it.deal.start_by or (not at and now > it.deal.start_by + LOCK_MARGIN)
            return _enter(it, Over("the deal did not reach the vault in time"), now) if never else Step(it)
        case Locking(), DealState(state=State.OPEN):
            return _enter(it, Awaiting(), now, Tell(it.wanted, InVault(it.deal)))
        case Locking(), DealState(state=State.DELIVERED):  # all of it happened while this node was down
            return _saw(_enter(it, Awaiting(), now).state, now, standing, at)
        case ((Paying() | Contesting()), DealState(state=State.DELIVERED, deadline=deadline)):
            return Step(it, (WakeAt(deadline + 2 * LAST_CALL, Timer(it.id, "finalize")),))
        case Refusing(delivery, _, reason), DealState(state=State.DELIVERED):
            return _enter(it, Contesting(reason, delivery, wrong=True), now)
        case stage, DealState(state=State.DELIVERED, deadline=deadline):
            it = replace(it, answer_by=deadline)
            if isinstance(stage, Claiming):  # there is a result after all, so it is worth having
                it = replace(it, stage=Awaiting(stage.started))
            ask = () if isinstance(stage, Checking) else (Send(it.provider, Asking(it.id)), _nudge(it, now, 0))
            return Step(it, (Save(key(it.id), it), *ask, _last_call(it)))
        case _, DealState(state=State.ABSENT, deadline=deadline):
            return Step(it, (WakeAt(deadline + 1, Timer(it.id, "finalize")),))
        case _:
            return Step(it)


def _refused(it: Purchase, now: float, call: VaultCall, reason: str) -> Step[Purchase]:
    match it.stage, call:
        case Locking(), Open() if reason == OWN_FUNDS:
            return _enter(it, Over(OWN_FUNDS), now)
        case Locking(), Open() if reason != "not new":
            return _enter(it, Over(f"the vault refused the deal: {reason}"[:200]), now)
        case _, _ if reason in HOPELESS:
            return Step(it)
        case Claiming(), Absent():
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "claim")),))
        case (Refusing(), Accuse()) | (Contesting(), Contest()):
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "accuse")),))
        case ((Paying() | Contesting()), Settle()):
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "settle")),))
        case _, Finalize():
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "finalize")),))
        case _, Free():
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "release")),))
        case _:
            return Step(it)


def _answer(it: Purchase, now: float) -> Step[Purchase]:
    match it.stage:
        case Checking(delivery):
            return _pay(it, delivery, now, Verdict.UNCHECKED, (), "the provider's claim left no time for a check")
        case Fetching(delivery):
            return _enter(it, Contesting("the provider named a result that could not be fetched", delivery), now)
        case Awaiting() | Claiming():
            return _enter(it, Contesting("the provider claimed a delivery that never came"), now)
        case _:
            return Step(it)


def _go_on(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    match it.stage, event:
        case Locking(), Woke(Timer(phase="locking")):
            return Step(it, (Watch(it.deal), WakeAt(now + LOCK_MARGIN, Timer(it.id, "locking"))))
        case Awaiting(started=b""), Got(message=Begun(signature=signature)):
            it = replace(it, stage=Awaiting(signature))
            return Step(it, (Save(key(it.id), it), Tell(it.wanted, Running(it.deal))))
        case (Awaiting() | Fetching()) as stage, Got(message=Delivered() as message):
            return _delivered(it, stage, now, message)
        case Awaiting(started), Got(message=Abandoned(reason=reason)):
            return _enter(it, Claiming(f"the provider gave up: {reason}"[:200], started), now)
        case Awaiting(), Woke(Timer(phase=phase)) if phase.startswith("nudge:"):
            pause = min(NUDGE_MOST, max(NUDGE, 2 * float(phase.removeprefix("nudge:"))))
            return Step(it, (Send(it.provider, Asking(it.id)), _nudge(it, now, pause)))
        case ((Awaiting(started=started) | Fetching(started=started)), Woke(Timer(phase="overdue"))) if (
            not it.answer_by
        ):
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
        case ((Paying() | Contesting()), Woke(Timer(phase="settle"))):
            return Step(it, (Transact(it.id, _settlement(it.deal)),))
        case Claiming(), Woke(Timer(phase="claim")):
            return Step(it, _act(it, now))
        case ((Refusing() | Contesting()), Woke(Timer(phase="accuse"))) if it.dispute is None:
            return Step(it, _act(it, now))
        case Collecting(run, _, reason), Fetched(cid=cid) if cid == run.cid:
            return _enter(it, Over(reason, int(Outcome.RIGHT)), now, Tell(it.wanted, Held(run)))
        case Collecting(run, tried, reason), NotFetched(cid=cid) if cid == run.cid:
            return _collect(it, now, run, tried + 1, reason)
        case _:
            return Step(it)


# --- before the jury -------------------------------------------------------------------------------------------------

RULINGS = {
    Outcome.RIGHT: "a jury ruled the result right",
    Outcome.WRONG: "a jury ruled the result wrong",
    Outcome.NOT_FETCHABLE: "a jury ruled that no result can be had",
    Outcome.SPLIT: "the jury stayed silent: half the pay each",
}


def _before_the_jury(it: Purchase, now: float, standing: DealState, sealed_cid: bytes) -> Step[Purchase]:
    opened: tuple[Effect, ...] = ()
    if it.dispute is None:
        match it.stage:
            case Refusing(delivery, reason=reason):
                contested, disagrees = False, True
            case Contesting(reason, delivery, disagrees):
                contested = True
            case _:  # somebody else opened it in our name
                return Step(it, (WakeAt(standing.deadline + 1, Timer(it.id, "finalize")),))
        run = delivery.run if delivery is not None else None
        opened = (Tell(it.wanted, DisputeOpened(it.deal, contested, reason, run)),)
        dispute = Dispute(
            id=it.id,
            wanted=it.wanted,
            deal=it.deal,
            table=it.table,
            job=it.job,
            mediators=it.terms.mediators,
            for_provider=False,
            disagrees=disagrees,
            cid=run.cid if run is not None else "",
            salt=delivery.salt if delivery is not None else b"",
        )
        it = replace(it, dispute=dispute)
    assert it.dispute is not None
    after, effects = disputes.saw(it.dispute, now, standing, sealed_cid)
    it = replace(it, dispute=after)
    return Step(it, (Save(key(it.id), it), *opened, *effects))


def _dispute(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    if it.dispute is None:
        return Step(it)
    after, effects = disputes.step(it.dispute, now, event)
    if after is it.dispute:
        return Step(it, effects)
    it = replace(it, dispute=after)
    return Step(it, (Save(key(it.id), it), *effects))


def _closed(it: Purchase, now: float, outcome: Outcome) -> Step[Purchase]:
    assert it.dispute is not None
    reason = RULINGS.get(outcome) or "both agreed to end the deal"
    told = Tell(it.wanted, Ruled(it.dispute.round, int(outcome), final=True))
    if outcome is Outcome.RIGHT and isinstance(it.stage, Contesting) and not it.stage.wrong and it.dispute.claimed:
        exits = [w.exit_code for w in it.dispute.witnesses if w.cid == it.dispute.claimed]
        run = Run(it.dispute.claimed, exits[0] if exits else 0, 0, "", "")
        if it.stage.delivery is not None:
            run = it.stage.delivery.run
        return _collect(it, now, run, 0, reason, told)
    return _enter(it, Over(reason, int(outcome)), now, told)


def _collect(it: Purchase, now: float, run: Run, tried: int, reason: str, *told: Effect) -> Step[Purchase]:
    assert it.dispute is not None
    if tried >= len(it.dispute.sources()):
        return _enter(it, Over(f"{reason}, but nobody serves it", int(Ruling.RIGHT)), now, *told)
    return _enter(it, Collecting(run, tried, reason), now, *told)


def _named_jury(it: Purchase) -> bytes:
    """The pool where the jury is all of it, which then needs no draw; else nothing."""
    return b"".join(it.terms.mediators) if len(it.terms.mediators) == it.deal.jurors else b""


def _ending(it: Purchase) -> str:
    match it.stage:
        case Paying():
            return "paid"
        case Claiming(reason=reason) | Refusing(reason=reason) | Contesting(reason=reason) | Collecting(reason=reason):
            return reason
        case _:
            return "closed by the other side"


def _delivered(it: Purchase, stage: Awaiting | Fetching, now: float, message: Delivered) -> Step[Purchase]:
    run = Run(message.cid, message.exit_code, message.units, message.profile, message.failure[:200])
    delivery = Delivery(run, message.salt, message.signature, message.gateway)
    if isinstance(stage, Fetching):
        if stage.delivery.run.cid != run.cid or stage.delivery.gateway == delivery.gateway:
            return Step(it)  # the first signed result stands, a provider has one try; and it is being fetched
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
    if it.answer_by:  # the claim is on chain already, so it is denied, and no accusation would be taken
        return _enter(it, Contesting(reason[:200], stage.delivery, wrong=True), now, told)
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


def _last_call(it: Purchase) -> Effect:
    return WakeAt(it.answer_by - min(LAST_CALL, it.deal.answer // 2), Timer(it.id, "last call"))


def _nudge(it: Purchase, now: float, pause: float) -> Effect:
    # before the run can be over there is nothing to ask for, unless the provider says that it is
    run = 0 if it.answer_by else it.job.resources.timeout
    return WakeAt(now + run + (min(pause, NUDGE) if it.answer_by else pause), Timer(it.id, f"nudge:{pause}"))


def _enter(it: Purchase, stage: Stage, now: float, *effects: Effect) -> Step[Purchase]:
    it = replace(it, stage=stage)
    saved = Save(key(it.id), it)
    if isinstance(stage, Over):
        return Step(it, (saved, Unwatch(it.deal), *effects))
    return Step(it, (saved, *effects, *_act(it, now)))
