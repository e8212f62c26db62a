"""Having a delivered result run again, by mediators one after another or on this machine, and what follows from it.

Whether it is checked is drawn only when it is here, and nobody is told. A result that looks wrong is always checked.
"""

from __future__ import annotations

from dataclasses import replace

from agents.effects import Effect, Tell
from agents.events import Compared, Event, Fetched, Got, NotFetched, NotRan, Ran, Timer, Unreached, Woke
from agents.juror_stages import OUT_OF_TIME
from agents.machine import Step
from agents.purchase_stages import (
    Checking,
    Contesting,
    Delivery,
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
from protocol.judging import is_tolerant
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


def arrived(it: Purchase, now: float, delivery: Delivery, doubt: str) -> Step[Purchase]:
    """The result is here: check it where a check is due, or where it looks wrong; else pay."""
    held = Tell(it.wanted, Held(delivery.run))
    odd = doubt or _looks_wrong(delivery.run)
    if not it.check and not odd:
        return pay(it, delivery, now, Verdict.UNCHECKED, (), "no check was due", held)
    noted = (Tell(it.wanted, Noted(f"the result looks wrong, so it is checked: {odd}"[:300])),) if odd else ()
    if it.check_by == CheckBy.MEDIATORS and not it.terms.mediators:
        return pay(it, delivery, now, Verdict.UNCHECKED, (), "nobody could check it", held)
    by_us = it.check_by == CheckBy.SELF or not it.terms.mediators
    stage = Checking(delivery, () if by_us else (_next_checker(it, ()),), by_us)
    return enter(it, stage, now, held, *noted, receipt(it, delivery))


def _looks_wrong(run: Run) -> str:
    if run.failure:
        return f"the run was ended: {run.failure}"
    return f"it ended with exit code {run.exit_code}" if run.exit_code else ""


def step(it: Purchase, stage: Checking, now: float, event: Event) -> Step[Purchase]:
    """What goes on while it is run again."""
    match event:
        case Got(sender, Rechecked() as own) if stage.asked and sender == stage.asked[-1] and not stage.by_us:
            run = Run(own.cid, own.exit_code, own.units, own.profile, own.failure)
            return _weigh(it, replace(stage, gateway=own.gateway), now, run)
        case Got(sender, CannotRecheck(reason=reason)) if stage.asked and sender == stage.asked[-1]:
            return _next(it, stage, now, reason)
        case Unreached(peer=peer, message=Recheck()) if stage.asked and peer == stage.asked[-1]:
            return _next(it, stage, now, "not reachable")
        case Ran(about, run) if about == rerun(it.id) and run.failure.startswith(OUT_OF_TIME):
            return _next(it, stage, now, "it took longer here than its module may")
        case Ran(about, run) if about == rerun(it.id) and stage.own is None:
            return _weigh(it, stage, now, run)
        case NotRan(about, reason) if about == rerun(it.id):
            return _next(it, stage, now, reason)
        case Fetched(about, cid) if about == rerun(it.id) and stage.own is not None and cid == stage.own.cid:
            return enter(it, replace(stage, by_us=True), now)
        case NotFetched(about, reason=reason) if about == rerun(it.id):
            return _next(it, stage, now, f"its own result can't be had: {reason}")
        case Compared(about, same=same, how=how) if about == rerun(it.id) and stage.own is not None:
            own_run = stage.own
            return _agrees(it, stage, now, own_run) if same else _differs(it, stage, now, own_run, how)
        case Woke(Timer(phase=phase)) if phase == f"check:{len(stage.asked)}":
            return _next(it, stage, now, "no answer in time")
        case Got(sender, Delivered() | Asking()) if sender == it.provider:
            return Step(it, (receipt(it, stage.delivery),))
        case _:
            return Step(it)


def _weigh(it: Purchase, stage: Checking, now: float, own: Run) -> Step[Purchase]:
    run = stage.delivery.run
    if own.cid == run.cid and own.exit_code == run.exit_code:
        return _agrees(it, stage, now, own)
    if is_tolerant(it.job):
        return enter(it, replace(stage, own=own), now)
    how = f"exit {own.exit_code}; the provider's gave {run.cid}, exit {run.exit_code}"
    return _differs(it, stage, now, own, how)


def _agrees(it: Purchase, stage: Checking, now: float, own: Run) -> Step[Purchase]:
    # fuel repeats with the bytes, so where they differ the provider's count is as good as ours
    fuel = own.units if own.profile == stage.delivery.run.profile and stage.own is None else None
    who = "a mediator's" if stage.asked else "our"
    how = "gave the same result" if stage.own is None else "agrees with it, as the module compares"
    why = f"{who} own run {how}"
    return pay(it, stage.delivery, now, Verdict.ACCEPTED, stage.asked[-1:], why, fuel=fuel)


def _differs(it: Purchase, stage: Checking, now: float, own: Run, how: str) -> Step[Purchase]:
    who = "a mediator's" if stage.asked else "our"
    reason = f"{who} own run gave {own.cid}, {how}"
    told = Tell(it.wanted, Checked(Verdict.REJECTED, stage.asked[-1:], reason))
    if it.answer_by:  # the claim is on chain already, so it is denied, and no accusation would be taken
        denied = Contesting(reason[:200], stage.delivery, wrong=True, own=own.cid)
        return enter(it, denied, now, told, *check_fees(it, stage.asked[-1:]))
    return enter(it, Refusing(stage.delivery, stage.asked[-1:], reason[:200], own.cid), now, told)


def _next(it: Purchase, stage: Checking, now: float, reason: str) -> Step[Purchase]:
    """This one did not check it: the next mediator, then this machine, else nobody."""
    who = f"mediator 0x{stage.asked[-1].hex()}" if stage.asked and not _runs_here(stage) else "this machine"
    noted = Tell(it.wanted, Noted(f"{who} did not check: {reason}"[:300]))
    if _runs_here(stage):  # the last who could
        return pay(it, stage.delivery, now, Verdict.UNCHECKED, (), "nobody could check it", noted)
    if len(stage.asked) < min(MOST_CHECKERS, len(it.terms.mediators)):
        asked = (*stage.asked, _next_checker(it, stage.asked))
        return enter(it, Checking(stage.delivery, asked), now, noted)
    if it.check_by == CheckBy.ANYBODY and stage.asked:
        return enter(it, Checking(stage.delivery, (), by_us=True), now, noted)
    return pay(it, stage.delivery, now, Verdict.UNCHECKED, (), "nobody could check it", noted)


def _runs_here(stage: Checking) -> bool:
    return stage.by_us and stage.own is None


def _next_checker(it: Purchase, asked: tuple[Address, ...]) -> Address:
    # any order that the provider can't foresee would do; the deal's id is fixed only when the talk is over
    rest = [mediator for mediator in it.terms.mediators if mediator not in asked]
    return rest[int.from_bytes(it.id[:8], "big") % len(rest)]


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
