"""Having a delivered result run again, by mediators one after another or on this machine, and what follows from it.

Whether it is checked is drawn only when it is here, and nobody is told. A result that looks wrong is always checked.
One mediator's word gets nobody accused: this machine's own run confirms it, or else another mediator's, or a third's.
"""

from __future__ import annotations

from dataclasses import replace

from agents.effects import Effect, Tell
from agents.events import Compared, Event, Fetched, Got, NotCompared, NotFetched, NotRan, Ran, Timer, Unreached, Woke
from agents.juror_stages import OUT_OF_TIME
from agents.machine import Step
from agents.purchase_stages import (
    Checking,
    Claiming,
    Contesting,
    Delivery,
    Fetching,
    Paying,
    Purchase,
    Refusing,
    check_fees,
    enter,
    receipt,
    rerun,
)
from agents.reports import Checked, Held, Noted, Verdict
from agents.request import CheckBy
from protocol.identity import Address
from protocol.job import Run
from protocol.judging import CUT_OFF, is_tolerant
from protocol.messages import (
    Asking,
    CannotRecheck,
    Delivered,
    Recheck,
    Rechecked,
)
from protocol.prices import used

MOST_CHECKERS = 3
"""How many mediators are asked, one after another, before this machine runs it, or the check is given up."""
ENOUGH = 2
"""Mediators of one mind that decide where another is of another: one alone may lie, to have somebody accused."""


def arrived(it: Purchase, now: float, stage: Fetching, delivery: Delivery, doubt: str) -> Step[Purchase]:
    """The result is here: check it where a check is due, or where it looks wrong; else pay."""
    held = Tell(it.wanted, Held(delivery.seen))
    odd = doubt or _looks_wrong(delivery)
    if not it.check and not odd:
        return pay(it, delivery, now, Verdict.UNCHECKED, (), "no check was due", held)
    noted = (Tell(it.wanted, Noted(f"the result looks wrong, so it is checked: {odd}"[:300])),) if odd else ()
    if it.check_by == CheckBy.MEDIATORS and not it.terms.mediators:
        return pay(it, delivery, now, Verdict.UNCHECKED, (), "nobody could check it", held)
    by_us = it.check_by == CheckBy.SELF or not it.terms.mediators
    checking = Checking(delivery, (), by_us, ours=by_us, started=stage.started)
    if not by_us:
        checking = _asking(it, checking)
    return enter(it, checking, now, held, *noted, *_received(it, delivery))


def _looks_wrong(delivery: Delivery) -> str:
    said, run = delivery.run, delivery.seen
    if said != run:
        told = f"{said.exit_code} ({said.failure})" if said.failure else f"{said.exit_code}"
        return f"it is said to have ended with exit code {told}, and the result itself says {run.exit_code}"
    if run.failure:
        return f"the run was ended: {run.failure}"
    return f"it ended with exit code {run.exit_code}" if run.exit_code else ""


def step(it: Purchase, stage: Checking, now: float, event: Event) -> Step[Purchase]:
    """What goes on while it is run again."""
    asked = None if stage.by_us or not stage.asked else stage.asked[-1]
    match event:
        case Got(sender, Rechecked() as own) if sender == asked and own.asker == it.deal.jc and stage.own is None:
            run = Run(own.cid, own.exit_code, own.units, own.profile, own.failure)
            return _weigh(it, replace(stage, gateway=own.gateway, ran=(*stage.ran, sender)), now, run)
        case Got(sender, CannotRecheck(reason=reason)) if sender == asked:
            return _did_not(it, stage, now, reason)
        case Unreached(peer=peer, message=Recheck()) if peer == asked:
            return _did_not(it, stage, now, "not reachable")
        case Ran(about, run) if about == rerun(it.id) and run.failure.startswith(OUT_OF_TIME):
            return _did_not(it, stage, now, "it took longer here than its module may")
        case Ran(about, run) if about == rerun(it.id) and stage.by_us and stage.own is None:
            return _weigh(it, stage, now, run)
        case NotRan(about, reason) if about == rerun(it.id):
            return _did_not(it, stage, now, reason)
        case Fetched(about, cid) if about == rerun(it.id) and stage.own is not None and cid == stage.own.cid:
            return enter(it, replace(stage, here=True), now)
        case NotFetched(about, reason=reason) if about == rerun(it.id):
            stage = replace(stage, ran=stage.ran[:-1])  # nobody is paid for a run that nobody sees
            return _did_not(it, stage, now, f"its own result can't be had: {reason}")
        case Compared(about, mine=mine, same=same, how=how) if about == rerun(it.id) and stage.own is not None:
            if mine != stage.own.cid:  # that of an earlier one
                return Step(it)
            return _agrees(it, stage, now, stage.own) if same else _differs(it, stage, now, stage.own, how)
        case NotCompared(about, reason=reason) if about == rerun(it.id) and stage.own is not None:
            return _next(it, stage, now, f"the results can't be compared here: {reason}")  # who ran it is paid
        case Woke(Timer(phase=phase)) if phase == stage.turn:
            return _did_not(it, stage, now, "no answer in time")
        case Got(sender, Delivered() | Asking()) if sender == it.provider:
            return Step(it, _received(it, stage.delivery))
        case _:
            return Step(it)


def _received(it: Purchase, delivery: Delivery) -> tuple[Effect, ...]:
    # who was cut off has delivered nothing, until a check says that it could not be done in that time
    return () if delivery.run.cid == CUT_OFF else (receipt(it, delivery),)


def _weigh(it: Purchase, stage: Checking, now: float, own: Run) -> Step[Purchase]:
    run = stage.delivery.run
    if own.cid == run.cid:  # the exit code is in it
        return _agrees(it, stage, now, own)
    if is_tolerant(it.job) and run.cid != CUT_OFF:
        return enter(it, replace(stage, own=own), now)
    how = f"exit {own.exit_code}; the provider's gave {run.cid}, exit {run.exit_code}"
    return _differs(it, stage, now, own, how)


def _who(stage: Checking) -> str:
    return "our" if stage.by_us else "a mediator's"


def _agrees(it: Purchase, stage: Checking, now: float, own: Run) -> Step[Purchase]:
    delivery, agree = stage.delivery, stage.agree + (not stage.by_us)
    if stage.against and not stage.by_us and agree < ENOUGH:  # one mediator's word against another's
        return _next(it, replace(stage, agree=agree), now, "one mediator's own run gave the same, and one did not")
    # fuel repeats with the bytes, so where they differ the provider's count is as good as ours
    fuel = own.units if own.profile == delivery.run.profile and stage.own is None else None
    how = "gave the same result" if stage.own is None else "agrees with it, as the module compares"
    return pay(it, delivery, now, Verdict.ACCEPTED, stage.ran, f"{_who(stage)} own run {how}", fuel=fuel)


def _differs(it: Purchase, stage: Checking, now: float, own: Run, how: str) -> Step[Purchase]:
    """A run gave something else; a mediator's is confirmed by another before anybody is accused."""
    why = f"{_who(stage)} own run gave {own.cid}, {how}"[:200]
    stage = replace(stage, against=(*stage.against, own.cid), why=why)
    others = len(stage.against) if is_tolerant(it.job) else stage.against.count(own.cid)
    if stage.by_us or others >= ENOUGH:
        return _refuse(it, stage, now)
    return _next(it, stage, now, why)


def _refuse(it: Purchase, stage: Checking, now: float, *first: Effect) -> Step[Purchase]:
    own = stage.against[-1]
    told = Tell(it.wanted, Checked(Verdict.REJECTED, stage.ran, stage.why))
    if it.answer_by:  # the claim is on chain already, so it is denied, and no accusation would be taken
        denied = Contesting(stage.why, stage.delivery, wrong=True, own=own)
        return enter(it, denied, now, *first, told, *check_fees(it, stage.ran))
    if stage.delivery.run.cid == CUT_OFF:  # it says itself that there is no result: nothing to accuse, and to pay for
        late = Claiming(f"the provider was cut off by time; {stage.why}"[:200], stage.started)
        return enter(it, late, now, *first, told, *check_fees(it, stage.ran))
    return enter(it, Refusing(stage.delivery, stage.ran, stage.why, own), now, *first, told)


def _did_not(it: Purchase, stage: Checking, now: float, reason: str) -> Step[Purchase]:
    who = f"mediator 0x{stage.asked[-1].hex()}" if stage.asked and not stage.by_us else "this machine"
    return _next(it, stage, now, f"{who} did not check: {reason}")


def _next(it: Purchase, stage: Checking, now: float, reason: str) -> Step[Purchase]:
    """Whose turn it is: the next mediator's, this machine's where none did it or one speaks against it, or nobody's."""
    noted = Tell(it.wanted, Noted(reason[:300]))
    again = Tell(it.wanted, Noted("it is run once more before anybody is blamed"))
    noted_again = (noted, again) if stage.against else (noted,)
    stage = replace(stage, own=None, here=False, by_us=False)
    may_run = it.check_by != CheckBy.MEDIATORS and not stage.ours
    may_ask = it.check_by != CheckBy.SELF and len(stage.asked) < min(MOST_CHECKERS, len(it.terms.mediators))
    if may_run and (stage.against or not may_ask):
        return enter(it, replace(stage, by_us=True, ours=True), now, *noted_again)
    if may_ask:
        return enter(it, _asking(it, stage), now, *noted_again)
    alone = len(it.terms.mediators) == 1  # all that both sides wanted
    if stage.against and (alone or (len(stage.against) >= ENOUGH and not stage.agree)):
        return _refuse(it, stage, now, noted)
    why = "nobody could confirm that it is wrong" if stage.against else "nobody could check it"
    return pay(it, stage.delivery, now, Verdict.UNCHECKED, stage.ran, why, noted)


def out_of_time(it: Purchase, stage: Checking, now: float) -> Step[Purchase]:
    """The provider's claim must be answered now."""
    if stage.against:
        return _refuse(it, stage, now)
    why = "the provider's claim left no time for a check"
    return pay(it, stage.delivery, now, Verdict.UNCHECKED, stage.ran, why)


def _asking(it: Purchase, stage: Checking) -> Checking:
    # any order that the provider can't foresee would do; the deal's id is fixed only when the talk is over
    rest = [mediator for mediator in it.terms.mediators if mediator not in stage.asked]
    asked = rest[int.from_bytes(it.id[:8], "big") % len(rest)]
    return replace(stage, asked=(*stage.asked, asked))


def pay(
    it: Purchase,
    delivery: Delivery,
    now: float,
    verdict: Verdict,
    who: tuple[Address, ...],
    why: str,
    *first: Effect,
    fuel: int | None = None,
) -> Step[Purchase]:
    """Take the result, checked or not, and pay for it; ``fuel`` is what a mediator counted."""
    cut = it.terms.check_cut if who else 0
    shared = f"; the provider bears {cut} of the mediator's {it.terms.check_fee}" if cut else ""
    told = Tell(it.wanted, Checked(verdict, who, f"{why}{shared}"))
    run = delivery.run if fuel is None else replace(delivery.run, units=min(fuel, delivery.run.units))
    return enter(it, Paying(delivery, verdict.value, who, used(it.terms.unit, run), cut), now, *first, told)
