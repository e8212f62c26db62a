"""A provider's side of one deal, from its own signature to the money.

::

    BOUND ──in the vault──► PREPARING ──module and inputs here──► WORKING ──run over──► WAITING ──closed──► OVER
      │ never locked            │ not to be had in time          │ not on this machine    │  (repeats itself until the
      └────────► OVER        GIVEN UP ◄──────────────────────────────┘                    │   receipt; then waits for
                                                                                          └─  pay, voucher in hand)
    A claim of absence is answered with what proves the opposite: a voucher, a receipt, or "no inputs" before WORKING.
    Without pay, the voucher is redeemed, or the delivery claimed, while the vault still hears it.
    Accused, or contested, while WAITING: `agents.dispute` goes before the jury.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, assert_never

from agents import dispute as disputes
from agents import ending
from agents.dispute import Dispute
from agents.effects import Effect, Execute, Fetch, Save, Send, Transact, Unwatch, WakeAt, Watch
from agents.events import (
    ChainSaw,
    Event,
    Fetched,
    Got,
    Launched,
    NotFetched,
    NotRan,
    Ran,
    Refused,
    Timer,
    Unreached,
    Woke,
)
from agents.machine import Step
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.job import Job, Run
from protocol.judging import CUT_OFF, subject
from protocol.messages import (
    Abandoned,
    Asking,
    Begun,
    Billed,
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
from protocol.prices import owed, used
from protocol.terms import MOST_MEDIATORS, Terms
from protocol.types import UNSIGNED, Amount, CidText, Count, Hash, Limit, Moment, Party, Text
from protocol.vault_calls import Deliver, Finalize, Free, NoInputs, Redeem, Transfer, VaultCall
from protocol.vault_state import DealState, State

RESEND = 3.0
"""Seconds between two copies of a delivery nobody has acknowledged; doubles up to `RESEND_MOST`."""
RESEND_MOST = 60.0
REFETCH = 2.0
"""Seconds after a failed fetch of inputs."""
RERUN = 2.0
"""Seconds after a run that the machine's own fault has ended, before the next."""
MOST_TRIES = 4
"""Runs that the machine's own faults may end; what such a run left is nobody's result, and is never signed."""
LOCK_MARGIN = 5.0
"""Seconds after ``start_by`` at which the vault is looked at again: a lock in time may only now become visible."""
AGAIN = 4.0
"""Seconds after which a call that the vault refused is asked again: its clock may be behind."""
HOPELESS = frozenset({"no such claim", "not open", "paid", "too late", "no receipt", "it had started"})
"""Refusals that no waiting mends; what has happened instead shows in the vault."""
MOST_ASKED = 3
"""Mediators that are asked whether a job could have been done in its time."""
ENOUGH = 2
"""Those that must say so, where there are as many, for one alone may be in league with the buyer. They are asked
at once, for there is little time."""
ASKED_SLACK = 10.0
"""Seconds a mediator gets on top of the job's own time limit, before another is asked."""
COURTESY = 20.0
"""Seconds that a buyer who has just sent its receipt gets to pay by itself, late as it is."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Signed by both; not yet seen in the vault."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """Locked; module and inputs are on their way."""

    missing: tuple[CidText, ...]


@dataclass(frozen=True, slots=True)
class Working:
    """Everything is here, the run goes on."""

    tries: Count = 0
    """Runs that this machine's own faults have ended."""
    begun: bool = False
    """Its program runs, so *started* is signed: not before, or a job that starts nowhere would cost the stake."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Delivered; the receipt and the pay are due."""

    run: Run
    receipt: bytes
    """The job creator's signature of its receipt; empty until it comes."""
    voucher: bytes
    """Its signature of the voucher; empty until it comes."""
    granted: Amount
    """What the voucher grants."""
    collect_at: Moment
    """When to turn to the vault for the pay."""
    paid: bool = False
    """The pay is here; only the stakes are still locked."""
    checked: bool = False
    """A mediator of the pool says that it ran the job again for the buyer."""
    asked: Annotated[tuple[Party, ...], Limit(MOST_ASKED)] = ()
    """Mediators that we have asked to run it since our run was cut off by time, the latest last."""
    quicker: Annotated[tuple[Party, ...], Limit(MOST_ASKED)] = ()
    """Those of them whose run was not."""


@dataclass(frozen=True, slots=True)
class GivenUp:
    """The run could not begin in time; nothing was started, so no stake is lost."""

    reason: Text


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of this deal is left to do."""

    how: Text


Stage = Bound | Preparing | Working | Waiting | GivenUp | Over


@dataclass(frozen=True, slots=True)
class Sale:
    """One deal of a provider."""

    id: Hash
    deal: Deal
    job: Job
    gateway: int
    """The buyer's HTTP port."""
    salt: Hash
    """Seals the result's CID."""
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    """The pool that would judge a dispute."""
    stage: Stage
    unit: Text = "job"
    """What it is priced by."""
    rate: Amount = 0
    """The price of one unit."""
    table: Hash = bytes(32)
    """Digest of the move that named the terms, which shows jurors what was sold."""
    dispute: Dispute | None = None
    """What goes on before the jury, once there is one."""
    check_cut: Amount = 0
    """What a mediator's re-run takes off the bill."""
    check_fee: Amount = 0
    """What a mediator is paid for one by whoever has asked for it."""

    @property
    def buyer(self) -> Address:
        return self.deal.jc

    def due(self, run: Run) -> int:
        """What is asked for a run: base units."""
        whole = owed(self.unit, self.rate, self.deal.pay, used(self.unit, run))
        checked = isinstance(self.stage, Waiting) and self.stage.checked
        return max(0, whole - self.check_cut) if checked else whole

    @property
    def busy(self) -> bool:
        """Whether it takes up capacity."""
        return isinstance(self.stage, Bound | Preparing | Working)


def key(deal: bytes) -> str:
    """Where a sale is saved."""
    return f"sale:{deal.hex()}"


def begin(sale: Sale, now: float) -> Step[Sale]:
    """The first effects of a sale; also what puts one back on its feet after a restart."""
    # whatever happens, what is still locked goes home in the end
    release = WakeAt(sale.deal.claim_until + 1, Timer(sale.id, "release"))
    court = disputes.begin(sale.dispute, now) if sale.dispute is not None else ()
    return Step(sale, (Save(key(sale.id), sale), Watch(sale.deal), release, *_act(sale, now), *court))


def _act(sale: Sale, now: float) -> tuple[Effect, ...]:
    match sale.stage:
        case Bound():
            return (WakeAt(sale.deal.start_by + LOCK_MARGIN, Timer(sale.id, "bound")),)
        case Preparing(missing):
            return tuple(_fetch(sale, cid) for cid in missing)
        case Working(begun=begun):
            return (*((_begun(sale),) if begun else ()), Execute(sale.id, sale.job))
        case Waiting() as stage:
            return (
                *_deliver(sale, stage),
                *_remind(sale, now, RESEND),
                WakeAt(stage.collect_at, Timer(sale.id, "collect")),
                *_ask(sale, stage, now, stage.asked),
            )
        case GivenUp(reason):
            return (Send(sale.buyer, Abandoned(sale.id, reason)),)
        case Over():
            return ()
        case _:
            assert_never(sale.stage)


def step(sale: Sale, now: float, event: Event) -> Step[Sale]:
    """What this deal does about an event; events of a passed stage change nothing."""
    match event:
        case _ if isinstance(sale.stage, Over):
            return Step(sale)
        case ChainSaw(standing=DealState(state=State.JURY | State.RULED) as standing, sealed=sealed_cid) if isinstance(
            sale.stage, Waiting
        ):
            return _before_the_jury(sale, sale.stage, now, standing, sealed_cid)
        case Got(message=message) if isinstance(message, Testimony):
            return _dispute(sale, now, event)
        case Woke(Timer(phase=phase)) if phase.startswith("dispute:"):
            return _dispute(sale, now, event)
        case Refused(about=about) if len(about) > len(sale.id) and sale.dispute is not None:
            return _dispute(sale, now, event)
        case ChainSaw(standing=standing, at=at):
            return _saw(sale, now, standing, at)
        case Refused(about, call, reason):
            return _refused(sale, now, about, call, reason)
        case Woke(Timer(phase="release")) if not isinstance(sale.stage, Bound):
            return Step(sale, (Transact(sale.id, Free(sale.deal)),))
        case Woke(Timer(phase=phase)) if phase.startswith(ending.PHASE) and sale.dispute is None:
            return Step(sale, (ending.end(sale.id, sale.deal, b"".join(sale.mediators), phase),))
        case _:
            return _go_on(sale, now, event)


def _saw(sale: Sale, now: float, standing: DealState, at: int) -> Step[Sale]:
    match sale.stage, standing:
        case _, DealState(state=State.CLOSED):
            return _enter(sale, Over("closed"), now)
        case Bound(), DealState(state=State.NONE):
            # only a block after `start_by` proves that it never will
            never = at > sale.deal.start_by
            return _enter(sale, Over("the job creator never locked it"), now) if never else Step(sale)
        case Preparing() | Working() | Waiting() | GivenUp(), DealState(state=State.NONE):
            # a reorganisation took it back; the job creator's call goes out again, but may come too late now
            if at > sale.deal.start_by:
                return _enter(sale, Over("a reorganisation took the deal back"), now)
            return Step(sale, (WakeAt(max(now, sale.deal.start_by) + LOCK_MARGIN, Timer(sale.id, "taken back")),))
        case Bound(), DealState(state=State.OPEN, paid=False):
            return _enter(sale, Preparing((sale.job.module_cid, sale.job.inputs_cid)), now)
        case ((Bound() | Preparing() | Working(begun=False) | GivenUp()), DealState(state=State.ABSENT)):
            answer = Transact(sale.id, NoInputs(sale.deal))
            return _enter(sale, GivenUp("absence was claimed before the run could begin"), now, answer)
        case Waiting() as stage, DealState(state=State.ABSENT, deadline=deadline):
            late = ending.end_at(deadline + COURTESY, sale.id, deadline)
            if _has_failed(sale, stage):
                return Step(sale, (late,))
            return Step(sale, (Transact(sale.id, proof_of_delivery(sale, stage)), *_deliver(sale, stage), late))
        case Waiting(), DealState(state=State.DELIVERED, deadline=deadline):
            # nobody is obliged to end a claim for us: when the time to contest is over we do it
            return Step(sale, (ending.end_at(deadline + 1, sale.id, deadline),))
        case Waiting() as stage, DealState(state=State.OPEN, paid=True):
            return _keep(sale, replace(stage, paid=True))
        case _, DealState(state=State.ABSENT | State.JURY | State.RULED, deadline=deadline):
            return Step(sale, (ending.end_at(deadline + COURTESY, sale.id, deadline),))
        case _:
            return Step(sale)


def _refused(sale: Sale, now: float, about: bytes, call: VaultCall, reason: str) -> Step[Sale]:
    match sale.stage, call:
        case _, _ if reason in HOPELESS:
            return Step(sale)
        case Waiting(), Redeem() | Deliver():
            return Step(sale, (WakeAt(now + AGAIN, Timer(sale.id, "collect")),))
        case _, Finalize():
            return Step(sale, (ending.end_again(now + AGAIN, sale.id, about),))
        case _, Free():
            return Step(sale, (WakeAt(now + AGAIN, Timer(sale.id, "release")),))
        case _:
            return Step(sale)


def _go_on(sale: Sale, now: float, event: Event) -> Step[Sale]:
    match sale.stage, event:
        case Bound(), Woke(Timer(phase="bound")):
            return Step(sale, (Watch(sale.deal), WakeAt(now + LOCK_MARGIN, Timer(sale.id, "bound"))))
        case _, Woke(Timer(phase="taken back")):
            return Step(sale, (Watch(sale.deal),))
        case Bound(), Got(message=Locked()):
            return Step(sale, (Watch(sale.deal),))  # the chain's word counts, this only says when to look
        case Preparing(missing), Fetched(cid=cid) if cid in missing:
            left = tuple(other for other in missing if other != cid)
            if left:
                return _keep(sale, Preparing(left))
            if now + sale.job.resources.timeout > sale.deal.deliver_by:
                return _enter(sale, GivenUp("the inputs came too late for the run"), now)
            return _enter(sale, Working(), now)
        case Preparing(missing), NotFetched(cid=cid, reason=reason) if cid in missing:
            if now + REFETCH + sale.job.resources.timeout > sale.deal.deliver_by:
                return _enter(sale, GivenUp(f"the inputs could not be fetched: {reason}"[:200]), now)
            return Step(sale, (WakeAt(now + REFETCH, Timer(sale.id, f"fetch:{cid}")),))
        case Preparing(missing), Woke(Timer(phase=phase)) if phase.removeprefix("fetch:") in missing:
            return Step(sale, (_fetch(sale, phase.removeprefix("fetch:")),))
        case Working(tries, begun=False), Launched():
            return _keep(sale, Working(tries, begun=True), _begun(sale))
        case Working(tries, begun), NotRan(reason=reason):
            if tries + 1 >= MOST_TRIES or now + RERUN + sale.job.resources.timeout > sale.deal.deliver_by:
                return _enter(sale, GivenUp(f"this machine could not run it: {reason}"[:200]), now)
            return _keep(sale, Working(tries + 1, begun), WakeAt(now + RERUN, Timer(sale.id, f"run:{tries + 1}")))
        case Working(tries), Woke(Timer(phase=phase)) if phase == f"run:{tries}":
            return Step(sale, (Execute(sale.id, sale.job),))
        case Working(begun=begun), Ran(run=run):
            # who was cut off waits a little for a mediator's word: what others can do in time is better not claimed
            late = sale.deal.grace // 2 if run.cid == CUT_OFF else 0
            unsaid = () if begun else (_begun(sale),)
            waiting = Waiting(run, b"", b"", 0, sale.deal.deliver_by + late)
            return _enter(sale, _asking(sale, waiting, ENOUGH), now, *unsaid)
        case Working(begun=True), Got(message=Asking()):
            return Step(sale, (_begun(sale),))
        case GivenUp(), Got(message=Asking()):
            return Step(sale, _act(sale, now))
        case Waiting() as stage, _:
            return _wait(sale, stage, now, event)
        case _:
            return Step(sale)


def _wait(sale: Sale, stage: Waiting, now: float, event: Event) -> Step[Sale]:
    match event:
        case Got(message=Received(sealed=which, signature=signature)) if which == sealed(stage.run.cid, sale.salt):
            return _keep(sale, replace(stage, receipt=signature), *_late_proof(sale, stage, now))
        case Got(message=Paid(amount=amount, signature=signature)) if stage.granted < amount <= sale.deal.pay:
            kept = replace(stage, voucher=signature, granted=amount)
            return _keep(sale, kept, *_late_proof(sale, stage, now))
        case Got(message=Asking()):
            return Step(sale, _deliver(sale, stage))
        case Got(sender, Rechecked() as word) if sender in sale.mediators:
            return _heard(sale, stage, sender, word)
        case Got(sender, CannotRecheck()) | Unreached(sender, Recheck()) if sender in stage.asked:
            return _ask_another(sale, stage, now)
        case Woke(Timer(phase=phase)) if phase == f"asked:{len(stage.asked)}":
            return _ask_another(sale, stage, now)
        case Woke(Timer(phase=phase)) if phase.startswith("resend:") and not stage.receipt and not stage.voucher:
            pause = min(RESEND_MOST, 2 * float(phase.removeprefix("resend:")))
            return Step(sale, (*_deliver(sale, stage), *_remind(sale, now, pause)))
        case Woke(Timer(phase="collect")) if not stage.paid and not _has_failed(sale, stage):
            return Step(sale, (Transact(sale.id, _demand(sale, stage)),))
        case _:
            return Step(sale)


def _heard(sale: Sale, stage: Waiting, sender: Address, word: Rechecked) -> Step[Sale]:
    """A mediator's word on its own run; it says which of the two sides asked for it, and pays."""
    effects: tuple[Effect, ...] = ()
    if sender in stage.asked and word.asker == sale.deal.rp and sale.check_fee:
        fee = Transfer(sender, sale.check_fee)
        effects = (Transact(subject(sale.id, "own fee", stage.asked.index(sender)), fee),)
    if word.asker == sale.buyer and not stage.checked:
        stage = replace(stage, checked=True)
        effects = (*effects, *(_billed(replace(sale, stage=stage), stage.run) if sale.check_cut else ()))
    if sender in stage.asked and sender not in stage.quicker and word.cid != CUT_OFF:
        stage = replace(stage, quicker=(*stage.quicker, sender))
    return Step(sale, effects) if stage is sale.stage else _keep(sale, stage, *effects)


def _is_outrun(sale: Sale, stage: Waiting) -> bool:
    """Whether our run was cut off, and those of others would not have been."""
    return len(stage.quicker) >= min(ENOUGH, len(sale.mediators)) > 0


def _asking(sale: Sale, stage: Waiting, more: int) -> Waiting:
    """Where the run was cut off: so many more mediators to tell whether it could be done, be the buyer silent."""
    if stage.run.cid != CUT_OFF or _is_outrun(sale, stage):
        return stage
    for _ in range(min(more, MOST_ASKED - len(stage.asked), len(sale.mediators) - len(stage.asked))):
        rest = [mediator for mediator in sale.mediators if mediator not in stage.asked]
        # in the order in which the buyer asks, so that one run serves both
        stage = replace(stage, asked=(*stage.asked, rest[int.from_bytes(sale.id[:8], "big") % len(rest)]))
    return stage


def _ask_another(sale: Sale, stage: Waiting, now: float) -> Step[Sale]:
    after = _asking(sale, stage, 1)
    return Step(sale) if after is stage else _keep(sale, after, *_ask(sale, after, now, after.asked[-1:]))


def _ask(sale: Sale, stage: Waiting, now: float, whom: tuple[Address, ...]) -> tuple[Effect, ...]:
    whom = tuple(mediator for mediator in whom if mediator not in stage.quicker)
    if not whom or stage.paid or _is_outrun(sale, stage):
        return ()
    request = Recheck(sale.deal, sale.table, sale.job, sale.mediators, gateway=0, fee=sale.check_fee)
    late = WakeAt(now + sale.job.resources.timeout + ASKED_SLACK, Timer(sale.id, f"asked:{len(stage.asked)}"))
    return (*(Send(mediator, request) for mediator in whom), late)


def _has_failed(sale: Sale, stage: Waiting) -> bool:
    """Whether nothing is left to claim: it costs the timeout stake, and a claim would cost the collateral too."""
    return _is_outrun(sale, stage) and not stage.voucher


def _late_proof(sale: Sale, stage: Waiting, now: float) -> tuple[Effect, ...]:
    # a claim of absence may be running against us, or ours may have been refused for want of exactly this
    if stage.paid or stage.receipt or now < stage.collect_at:
        return ()
    return (WakeAt(now + min(COURTESY, sale.deal.answer // 4), Timer(sale.id, "collect")),)


def _before_the_jury(sale: Sale, stage: Waiting, now: float, standing: DealState, sealed_cid: bytes) -> Step[Sale]:
    dispute = sale.dispute or Dispute(
        id=sale.id,
        wanted=b"",
        deal=sale.deal,
        table=sale.table,
        job=sale.job,
        mediators=sale.mediators,
        for_provider=True,
        disagrees=True,  # our own run gave what we signed
        cid=stage.run.cid,
        salt=sale.salt,
    )
    after, effects = disputes.saw(dispute, now, standing, sealed_cid)
    sale = replace(sale, dispute=after)
    return Step(sale, (Save(key(sale.id), sale), *effects))


def _dispute(sale: Sale, now: float, event: Event) -> Step[Sale]:
    if sale.dispute is None:
        return Step(sale)
    after, effects = disputes.step(sale.dispute, now, event)
    if after is sale.dispute:
        return Step(sale, effects)
    sale = replace(sale, dispute=after)
    return Step(sale, (Save(key(sale.id), sale), *effects))


def _keep(sale: Sale, stage: Stage, *effects: Effect) -> Step[Sale]:
    sale = replace(sale, stage=stage)
    return Step(sale, (Save(key(sale.id), sale), *effects))


def _enter(sale: Sale, stage: Stage, now: float, *effects: Effect) -> Step[Sale]:
    sale = replace(sale, stage=stage)
    saved = Save(key(sale.id), sale)
    if isinstance(stage, Over):
        return Step(sale, (saved, Unwatch(sale.deal), *effects))
    return Step(sale, (saved, *effects, *_act(sale, now)))


def _fetch(sale: Sale, cid: str) -> Fetch:
    return Fetch(sale.id, cid, sale.buyer, sale.gateway)


def _begun(sale: Sale) -> Send:
    return Send(sale.buyer, Begun(sale.id, UNSIGNED))


def _deliver(sale: Sale, stage: Waiting) -> tuple[Effect, ...]:
    run = stage.run
    delivered = Delivered(
        sale.id,
        run.cid,
        sale.salt,
        run.exit_code,
        run.units,
        run.profile,
        run.failure,
        gateway=0,
        signature=UNSIGNED,
    )
    return (*_billed(sale, run), Send(sale.buyer, delivered))


def _billed(sale: Sale, run: Run) -> tuple[Effect, ...]:
    due = sale.due(run)
    # the whole pay needs no bill
    return () if due == sale.deal.pay else (Send(sale.buyer, Billed(sale.id, used(sale.unit, run), due, UNSIGNED)),)


def _remind(sale: Sale, now: float, pause: float) -> tuple[Effect, ...]:
    if now + pause > sale.deal.claim_until:
        return ()
    return (WakeAt(now + pause, Timer(sale.id, f"resend:{pause}")),)


def _demand(sale: Sale, stage: Waiting) -> VaultCall:
    if stage.voucher and (_is_outrun(sale, stage) or stage.granted >= sale.due(stage.run)):
        return Redeem(sale.deal, stage.granted, stage.voucher)
    return Deliver(sale.deal, sealed(stage.run.cid, sale.salt), stage.receipt or None)


def proof_of_delivery(sale: Sale, stage: Waiting) -> VaultCall:
    """The answer to a claim of absence after the delivery."""
    if stage.voucher and not stage.receipt:  # less than the pay is still better than the stake lost
        return Redeem(sale.deal, stage.granted, stage.voucher)
    return _demand(sale, stage)


def opened(deal: Deal, deal_id: DealId, job: Job, terms: Terms, gateway: int, salt: bytes, table: bytes) -> Sale:
    """A sale at its beginning."""
    return Sale(
        deal_id,
        deal,
        job,
        gateway,
        salt,
        terms.mediators,
        Bound(),
        unit=terms.unit,
        rate=terms.rate,
        table=table,
        check_cut=terms.check_cut,
        check_fee=terms.check_fee,
    )
