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
A run that says itself that it was cut off by time goes from CHECKING to CLAIMING where a check ended in time.
REFUSING accuses before the vault. From then on `agents.dispute` goes before the jury, in either stage.
"""

from __future__ import annotations

from dataclasses import replace

from agents import checking, contesting, ending
from agents import dispute as disputes
from agents.effects import Fetch, Save, Send, Share, Tell, Transact, WakeAt, Watch
from agents.events import (
    OWN_FUNDS,
    ChainSaw,
    Compared,
    Event,
    Fetched,
    Got,
    NotCompared,
    NotFetched,
    Refused,
    Timer,
    Woke,
)
from agents.machine import Step
from agents.purchase_stages import (
    LOCK_MARGIN,
    NUDGE,
    Awaiting,
    Checking,
    Claiming,
    Collecting,
    Contesting,
    Delivery,
    Fetching,
    Invoice,
    Locking,
    Over,
    Paying,
    Purchase,
    Refusing,
    act,
    amount,
    enter,
    in_full,
    key,
    last_call,
    nudge,
    owing,
    receipt,
    settling,
)
from agents.reports import Arrived, Held, InVault, Noted, Running
from protocol.job import Run
from protocol.messages import (
    Abandoned,
    Asking,
    Begun,
    Billed,
    Delivered,
    Paid,
    Testimony,
)
from protocol.types import UNSIGNED
from protocol.vault_calls import Absent, Accuse, Contest, Finalize, Free, Open, Settle, VaultCall
from protocol.vault_state import DealState, Outcome, State

AGAIN = 4.0
"""Seconds after which a call that the vault refused is asked again: its clock may be behind."""
FINALIZE_AFTER = 50
"""Seconds after the end of the time to answer at which a claim is ended that its maker left standing."""
HOPELESS = frozenset({"no such claim", "not open", "paid", "too late", "not new", "no receipt", "it had started"})
"""Refusals that no waiting mends; what has happened instead shows in the vault."""
TAKEN_BACK = "a reorganisation of the chain took the deal back, and it came too late to be locked again"
NUDGE_MOST = 60.0
REFETCH = 2.0
"""Seconds after a failed fetch of the result."""
CUT_MARGIN = 15.0
"""Seconds before the delivery's deadline, when a provider without its pay turns to the vault, at which its share of a
check is no longer waited for."""


def begin(purchase: Purchase, now: float) -> Step[Purchase]:
    """The first effects of a purchase; also what puts one back on its feet after a restart."""
    # whatever happens, what is still locked goes home in the end
    release = WakeAt(purchase.deal.claim_until + 1, Timer(purchase.id, "release"))
    answer = (last_call(purchase),) if purchase.answer_by else ()
    saved = Save(key(purchase.id), purchase)
    court = disputes.begin(purchase.dispute, now) if purchase.dispute is not None else ()
    return Step(purchase, (saved, Watch(purchase.deal), release, *answer, *act(purchase, now), *court))


def step(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    """What this deal does about an event; events of a passed stage change nothing."""
    match event:
        case _ if isinstance(it.stage, Over):
            return Step(it)
        case ChainSaw(standing=DealState(state=State.JURY | State.RULED) as standing, sealed=sealed_cid):
            return contesting.begin(it, now, standing, sealed_cid)
        case ChainSaw(standing=standing, at=at):
            return _saw(it, now, standing, at)
        case Got(message=Billed() as bill):
            return _billed(it, now, bill)
        case Got(message=message) if isinstance(message, Testimony):
            return contesting.step(it, now, event)
        case Woke(Timer(phase=phase)) if phase.startswith("dispute:"):
            return contesting.step(it, now, event)
        case Refused(about=about) if len(about) > len(it.id) and it.dispute is not None:
            return contesting.step(it, now, event)
        case Fetched(about) | NotFetched(about) | Compared(about) | NotCompared(about) if about == disputes.weighing(
            it.id
        ):
            return contesting.step(it, now, event)
        case Refused(about, call, reason):
            return _refused(it, now, about, call, reason)
        case Woke(Timer(phase="release")) if not isinstance(it.stage, Locking):
            return Step(it, (Transact(it.id, Free(it.deal)),))
        case Woke(Timer(phase=phase)) if phase.startswith(ending.PHASE) and it.dispute is None:
            return Step(it, (ending.end(it.id, it.deal, b"".join(it.terms.mediators), phase),))
        case Woke(Timer(phase="last call")) if it.answer_by:
            return _answer(it, now)
        case _:
            return _go_on(it, now, event)


def _saw(it: Purchase, now: float, standing: DealState, at: int) -> Step[Purchase]:
    match it.stage, standing:
        case Collecting(), _:
            return Step(it)
        case ((Refusing() | Contesting()), DealState(state=State.CLOSED, outcome=outcome)) if it.dispute is not None:
            return contesting.closed(it, now, outcome)
        case _, DealState(state=State.CLOSED) | DealState(state=State.OPEN, paid=True):
            return enter(it, Over(_ending(it), paid=_paid(it, standing)), now)
        case Locking(), DealState(state=State.NONE):
            # only a block after `start_by` proves that it never will
            never = at > it.deal.start_by
            return enter(it, Over("the deal did not reach the vault in time"), now) if never else Step(it)
        case _, DealState(state=State.NONE):
            # a reorganisation took it back; the same call goes out again, but may come too late now
            if at > it.deal.start_by:
                return enter(it, Over(TAKEN_BACK), now)
            return Step(it, (WakeAt(max(now, it.deal.start_by) + LOCK_MARGIN, Timer(it.id, "taken back")),))
        case Locking(), DealState(state=State.OPEN):
            return enter(it, Awaiting(), now, Tell(it.wanted, InVault(it.deal)))
        case Locking(), DealState(state=State.DELIVERED):  # all of it happened while this node was down
            return _saw(enter(it, Awaiting(), now).state, now, standing, at)
        case Paying() as stage, DealState(state=State.DELIVERED, deadline=deadline) if amount(it, stage) is None:
            # a claim that nobody answers costs the stake too, and a jury judges results, not bills
            return Step(it, (in_full(it), ending.end_at(deadline + FINALIZE_AFTER, it.id, deadline)))
        case ((Paying() | Contesting()), DealState(state=State.DELIVERED, deadline=deadline)):
            return Step(it, (ending.end_at(deadline + FINALIZE_AFTER, it.id, deadline),))
        case Refusing(delivery, _, reason, own), DealState(state=State.DELIVERED):
            return enter(it, Contesting(reason, delivery, wrong=True, own=own), now)
        case stage, DealState(state=State.DELIVERED, deadline=deadline):
            it = replace(it, answer_by=deadline)
            if isinstance(stage, Claiming):  # there is a result after all, so it is worth having
                it = replace(it, stage=Awaiting(stage.started))
            ask = () if isinstance(stage, Checking) else (Send(it.provider, Asking(it.id)), nudge(it, now, 0))
            return Step(it, (Save(key(it.id), it), *ask, last_call(it)))
        case _, DealState(state=State.ABSENT, deadline=deadline):
            return Step(it, (ending.end_at(deadline + 1, it.id, deadline),))
        case _:
            return Step(it)


def _refused(it: Purchase, now: float, about: bytes, call: VaultCall, reason: str) -> Step[Purchase]:
    match it.stage, call:
        case Locking(), Open() if reason == OWN_FUNDS:
            return enter(it, Over(OWN_FUNDS), now)
        case Locking(), Open() if reason != "not new":
            return enter(it, Over(f"the vault refused the deal: {reason}"[:200]), now)
        case _, _ if reason in HOPELESS:
            return Step(it)
        case Claiming(), Absent():
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "claim")),))
        case (Refusing(), Accuse()) | (Contesting(), Contest()):
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "accuse")),))
        case ((Paying() | Contesting()), Settle()):
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "settle")),))
        case _, Finalize():
            return Step(it, (ending.end_again(now + AGAIN, it.id, about),))
        case _, Free():
            return Step(it, (WakeAt(now + AGAIN, Timer(it.id, "release")),))
        case _:
            return Step(it)


def _answer(it: Purchase, now: float) -> Step[Purchase]:
    match it.stage:
        case Checking() as stage:
            return checking.out_of_time(it, stage, now)
        case Fetching(delivery):
            return enter(it, Contesting("the provider named a result that could not be fetched", delivery), now)
        case Awaiting() | Claiming():
            return enter(it, Contesting("the provider claimed a delivery that never came"), now)
        case _:
            return Step(it)


def _go_on(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    match it.stage, event:
        case Locking(), Woke(Timer(phase="locking")):
            return Step(it, (Watch(it.deal), WakeAt(now + LOCK_MARGIN, Timer(it.id, "locking"))))
        case _, Woke(Timer(phase="taken back")):
            return Step(it, (Watch(it.deal),))
        case Awaiting(started=b""), Got(message=Begun(signature=signature)):
            it = replace(it, stage=Awaiting(signature))
            return Step(it, (Save(key(it.id), it), Tell(it.wanted, Running(it.deal))))
        case (Awaiting() | Fetching()) as stage, Got(message=Delivered() as message):
            return _delivered(it, stage, now, message)
        case Awaiting(started), Got(message=Abandoned(reason=reason)):
            return enter(it, Claiming(f"the provider gave up: {reason}"[:200], started), now)
        case Awaiting(), Woke(Timer(phase=phase)) if phase.startswith("nudge:"):
            pause = min(NUDGE_MOST, max(NUDGE, 2 * float(phase.removeprefix("nudge:"))))
            inputs = Share(it.provider, it.id, it.job.inputs_cid)
            return Step(it, (inputs, Send(it.provider, Asking(it.id)), nudge(it, now, pause)))
        case ((Awaiting(started=started) | Fetching(started=started)), Woke(Timer(phase="overdue"))) if (
            not it.answer_by
        ):
            return enter(it, Claiming("nothing usable was delivered in time", started), now)
        case Fetching(delivery) as stage, Fetched(cid=cid, size=size) if cid == delivery.run.cid:
            delivery = replace(delivery, run=replace(delivery.run, size=size))
            return checking.arrived(it, now, stage, _looked_at(delivery, event.exit_code), event.doubt)
        case Fetching(delivery), NotFetched(cid=cid, reason=reason) if cid == delivery.run.cid:
            again = WakeAt(now + REFETCH, Timer(it.id, "refetch"))
            return Step(it, (again, Tell(it.wanted, Noted(f"the result could not be fetched yet: {reason}"[:300]))))
        case Fetching(delivery), Woke(Timer(phase="refetch")):
            return Step(it, (Fetch(it.id, delivery.run.cid, it.provider, delivery.gateway),))
        case Checking() as stage, _:
            return checking.step(it, stage, now, event)
        case Paying(delivery) as stage, Got(sender=sender, message=Delivered() | Asking()) if sender == it.provider:
            due = owing(it, stage) if (money := amount(it, stage)) is None else money
            return Step(it, (receipt(it, delivery), Send(it.provider, Paid(it.id, due, UNSIGNED))))
        case Paying() as stage, Woke(Timer(phase="settle")) if _waited_for_the_cut(it, stage, now):
            return _uncut(it, stage, now)
        case Paying() as stage, Woke(Timer(phase="settle")):
            return Step(it, settling(it, stage, now))
        case Contesting(), Woke(Timer(phase="settle")):
            return Step(it, (in_full(it),))
        case Claiming(), Woke(Timer(phase="claim")):
            return Step(it, act(it, now))
        case ((Refusing() | Contesting()), Woke(Timer(phase="accuse"))) if it.dispute is None:
            return Step(it, act(it, now))
        case Collecting(run, _, reason), Fetched(cid=cid) if cid == run.cid:
            return enter(it, Over(reason, int(Outcome.RIGHT)), now, Tell(it.wanted, Held(run)))
        case Collecting(run, tried, reason), NotFetched(cid=cid) if cid == run.cid:
            return contesting.collect(it, now, run, tried + 1, reason)
        case _:
            return Step(it)


def _billed(it: Purchase, now: float, bill: Billed) -> Step[Purchase]:
    """Keep the lowest bill; the vault wants it where less than the whole pay is settled."""
    if bill.amount >= (it.deal.pay if it.invoice is None else it.invoice.amount):
        return Step(it)
    it = replace(it, invoice=Invoice(bill.used, bill.amount, bill.signature))
    settle = settling(it, it.stage, now) if isinstance(it.stage, Paying) else ()
    return Step(it, (Save(key(it.id), it), *settle))


def _waited_for_the_cut(it: Purchase, stage: Paying, now: float) -> bool:
    """Whether no lower bill has come, and the provider will soon claim its delivery, which costs both more."""
    return stage.cut > 0 and amount(it, stage) is None and now > it.deal.deliver_by - CUT_MARGIN


def _uncut(it: Purchase, stage: Paying, now: float) -> Step[Purchase]:
    """Bear the whole check after all."""
    whole = replace(stage, cut=0)
    it = replace(it, stage=whole)
    text = f"the provider never took its {stage.cut} for the check off its bill, so we bear them"
    return Step(it, (Save(key(it.id), it), Tell(it.wanted, Noted(text)), *settling(it, whole, now)))


def _paid(it: Purchase, standing: DealState) -> int:
    match it.stage:
        case Paying() as stage:
            money = amount(it, stage)
            if money is None and it.answer_by:
                return it.deal.pay
            return (owing(it, stage) if standing.paid else 0) if money is None else money
        case Checking():  # it claimed its delivery, and nobody contested
            return it.deal.pay
        case _:
            return 0


def _ending(it: Purchase) -> str:
    match it.stage:
        case Paying():
            return "paid"
        case Claiming(reason=reason) | Refusing(reason=reason) | Contesting(reason=reason) | Collecting(reason=reason):
            return reason
        case _:
            return "closed by the other side"


def _looked_at(delivery: Delivery, exit_code: int | None) -> Delivery:
    """With the exit code that the result itself has: what is signed beside its CID may be anything."""
    run = delivery.run
    if exit_code is None or (exit_code == run.exit_code and (exit_code or not run.failure)):
        return delivery
    return replace(delivery, shown=replace(run, exit_code=exit_code, failure=run.failure if exit_code else ""))


def _delivered(it: Purchase, stage: Awaiting | Fetching, now: float, message: Delivered) -> Step[Purchase]:
    run = Run(message.cid, message.exit_code, message.units, message.profile, message.failure[:200])
    delivery = Delivery(run, message.salt, message.signature, message.gateway)
    if isinstance(stage, Fetching):
        if stage.delivery.run.cid != run.cid or stage.delivery.gateway == delivery.gateway:
            return Step(it)  # the first signed result stands, a provider has one try; and it is being fetched
        return enter(it, Fetching(delivery, stage.started), now)
    return enter(it, Fetching(delivery, stage.started), now, Tell(it.wanted, Arrived(run)))
