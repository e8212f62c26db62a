"""A provider's side of one deal, from its own signature to the money.

::

    BOUND ──in the vault──► PREPARING ──module and inputs here──► WORKING ──run over──► DELIVERED ──closed──► OVER
      │ never locked            │ (fetches again on failure)                              │  (repeats itself until the
      └────────────► OVER ◄─────┴── closed ───────────────────────────────────────────────┘   receipt; then waits for
                                                                                              pay, voucher in hand)
    A claim of absence is answered with what proves the opposite: a voucher, a receipt, or "no inputs" before WORKING.
    Without pay, the voucher is redeemed, or the delivery claimed, while the vault still hears it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from agents.effects import Effect, Execute, Fetch, Save, Send, Transact, Unwatch, WakeAt, Watch
from agents.events import ChainSaw, Event, Fetched, Got, NotFetched, Ran, Timer, Woke
from agents.machine import Step
from protocol.deal import Deal, DealId
from protocol.identity import Address
from protocol.job import Job, Run
from protocol.messages import Abandoned, Asking, Begun, Delivered, Locked, Paid, Received, sealed
from protocol.types import UNSIGNED, Amount, CidText, Hash, Moment
from protocol.vault_calls import Deliver, Finalize, Free, NoInputs, Redeem, VaultCall
from protocol.vault_state import DealState, State

RESEND = 3.0
"""Seconds between two copies of a delivery nobody has acknowledged; doubles up to `RESEND_MOST`."""
RESEND_MOST = 60.0
REFETCH = 2.0
"""Seconds after a failed fetch of inputs."""
LOCK_MARGIN = 5.0
"""Seconds after ``start_by`` in which a lock may still become visible."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Signed by both; not yet seen in the vault."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """Locked; module and inputs are on their way."""

    missing: tuple[CidText, ...]


@dataclass(frozen=True, slots=True)
class Working:
    """Everything is here, *started* is signed, the run goes on."""


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


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of this deal is left to do."""

    how: str


Stage = Bound | Preparing | Working | Waiting | Over


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
    stage: Stage

    @property
    def buyer(self) -> Address:
        return self.deal.jc

    @property
    def busy(self) -> bool:
        """Whether it takes up capacity."""
        return isinstance(self.stage, Bound | Preparing | Working)


def key(deal: bytes) -> str:
    """Where a sale is saved."""
    return f"sale:{deal.hex()}"


def begin(sale: Sale, now: float) -> Step[Sale]:
    """The first effects of a sale; also what puts one back on its feet after a restart."""
    return Step(sale, (Save(key(sale.id), sale), *_resume(sale, now)))


def _resume(sale: Sale, now: float) -> tuple[Effect, ...]:
    watch = Watch(sale.deal)
    match sale.stage:
        case Bound():
            return (watch, WakeAt(sale.deal.start_by + LOCK_MARGIN, Timer(sale.id, "bound")))
        case Preparing(missing):
            return (watch, *(_fetch(sale, cid) for cid in missing))
        case Working():
            return (watch, Send(sale.buyer, Begun(sale.id, UNSIGNED)), Execute(sale.id, sale.job))
        case Waiting():
            return (watch, *_deliver(sale), *_remind(sale, now, RESEND), _collect_timer(sale))
        case Over():
            return ()
        case _:
            assert_never(sale.stage)


def step(sale: Sale, now: float, event: Event) -> Step[Sale]:
    """What this deal does about an event; events of a passed stage change nothing."""
    match sale.stage, event:
        case Over(), _:
            return Step(sale)
        case _, ChainSaw(standing=DealState(state=State.CLOSED)):
            return _enter(sale, Over("closed"), now)
        case Bound(), ChainSaw(standing=DealState(state=State.OPEN)):
            return _enter(sale, Preparing((sale.job.module_cid, sale.job.inputs_cid)), now)
        case Bound(), Woke(Timer(phase="bound")):
            return _enter(sale, Over("the job creator never locked it"), now)
        case Bound(), Got(message=Locked()):
            return Step(sale, (Watch(sale.deal),))  # the chain's word counts, this only says when to look
        case Preparing(missing), Fetched(cid=cid) if cid in missing:
            left = tuple(other for other in missing if other != cid)
            return _enter(sale, Preparing(left), now, fetch=False) if left else _enter(sale, Working(), now)
        case Preparing(missing), NotFetched(cid=cid, reason=reason) if cid in missing:
            return _fetch_again(sale, now, reason)
        case Preparing(missing), Woke(Timer(phase="preparing")):
            return Step(sale, tuple(_fetch(sale, cid) for cid in missing))
        case Preparing(), ChainSaw(standing=DealState(state=State.ABSENT)):
            return Step(sale, (Transact(sale.id, NoInputs(sale.deal)),))
        case Working(), Ran(run=run):
            collect_at = min(sale.deal.deliver_by, sale.deal.claim_until)
            return _enter(sale, Waiting(run, b"", b"", 0, collect_at), now)
        case Waiting() as stage, _:
            return _wait(sale, stage, now, event)
        case _:
            return Step(sale)


def _wait(sale: Sale, stage: Waiting, now: float, event: Event) -> Step[Sale]:
    match event:
        case Got(message=Received(sealed=which, signature=signature)) if which == sealed(stage.run.cid, sale.salt):
            return _keep(sale, replace(stage, receipt=signature))
        case Got(message=Paid(amount=amount, signature=signature)) if amount > stage.granted:
            return _keep(sale, replace(stage, voucher=signature, granted=amount))
        case Got(message=Asking()):
            return Step(sale, _deliver(sale))
        case Woke(Timer(phase=phase)) if phase.startswith("resend") and not stage.receipt and not stage.voucher:
            pause = min(RESEND_MOST, 2 * float(phase.removeprefix("resend:")))
            return Step(sale, (*_deliver(sale), *_remind(sale, now, pause)))
        case Woke(Timer(phase="collect")):
            return Step(sale, _collect(sale, stage, now))
        case ChainSaw(standing=DealState(state=State.ABSENT)):
            return Step(sale, (Transact(sale.id, _proof_of_delivery(sale, stage)),))
        case ChainSaw(standing=DealState(state=State.DELIVERED, deadline=deadline)):
            # nobody is obliged to end a claim for us: when the time to contest is over we do it
            return Step(sale, (WakeAt(deadline + 1, Timer(sale.id, "finalize")),))
        case ChainSaw(standing=DealState(state=State.OPEN, paid=True)):
            return Step(sale, (WakeAt(sale.deal.claim_until + 1, Timer(sale.id, "collect")),))
        case Woke(Timer(phase="finalize")):
            return Step(sale, (Transact(sale.id, Finalize(sale.deal)),))
        case _:
            return Step(sale)


def _keep(sale: Sale, stage: Waiting) -> Step[Sale]:
    sale = replace(sale, stage=stage)
    return Step(sale, (Save(key(sale.id), sale),))


def _enter(sale: Sale, stage: Stage, now: float, *, fetch: bool = True) -> Step[Sale]:
    sale = replace(sale, stage=stage)
    saved = Save(key(sale.id), sale)
    if isinstance(stage, Over):
        return Step(sale, (saved, Unwatch(sale.deal)))
    if isinstance(stage, Preparing) and not fetch:
        return Step(sale, (saved,))
    return Step(sale, (saved, *_resume(sale, now)[1:]))  # it is being watched already


def _fetch(sale: Sale, cid: str) -> Fetch:
    return Fetch(sale.id, cid, sale.buyer, sale.gateway)


def _fetch_again(sale: Sale, now: float, reason: str) -> Step[Sale]:
    if now + REFETCH + sale.job.resources.timeout > sale.deal.deliver_by:
        return Step(sale, (Send(sale.buyer, Abandoned(sale.id, f"the inputs could not be fetched: {reason}"[:300])),))
    return Step(sale, (WakeAt(now + REFETCH, Timer(sale.id, "preparing")),))


def _deliver(sale: Sale) -> tuple[Effect, ...]:
    assert isinstance(sale.stage, Waiting)
    run = sale.stage.run
    return (
        Send(
            sale.buyer,
            Delivered(
                sale.id,
                run.cid,
                sale.salt,
                run.exit_code,
                run.units,
                run.profile,
                run.failure,
                gateway=0,
                signature=UNSIGNED,
            ),
        ),
    )


def _remind(sale: Sale, now: float, pause: float) -> tuple[Effect, ...]:
    if now + pause > sale.deal.claim_until:
        return ()
    return (WakeAt(now + pause, Timer(sale.id, f"resend:{pause}")),)


def _collect_timer(sale: Sale) -> Effect:
    assert isinstance(sale.stage, Waiting)
    return WakeAt(sale.stage.collect_at, Timer(sale.id, "collect"))


def _collect(sale: Sale, stage: Waiting, now: float) -> tuple[Effect, ...]:
    deal = sale.deal
    if now > deal.claim_until:
        return (Transact(sale.id, Free(deal)),)
    again = WakeAt(deal.claim_until + 1, Timer(sale.id, "collect"))
    return (Transact(sale.id, _demand(sale, stage)), again)


def _demand(sale: Sale, stage: Waiting) -> VaultCall:
    if stage.voucher and stage.granted == sale.deal.pay:
        return Redeem(sale.deal, stage.granted, stage.voucher)
    return _claim_delivery(sale, stage)


def _proof_of_delivery(sale: Sale, stage: Waiting) -> VaultCall:
    if stage.voucher:
        return Redeem(sale.deal, stage.granted, stage.voucher)
    return _claim_delivery(sale, stage)


def _claim_delivery(sale: Sale, stage: Waiting) -> Deliver:
    return Deliver(sale.deal, sealed(stage.run.cid, sale.salt), stage.receipt or None)


def opened(deal: Deal, deal_id: DealId, job: Job, gateway: int, salt: bytes) -> Sale:
    """A sale at its beginning."""
    return Sale(deal_id, deal, job, gateway, salt, Bound())
