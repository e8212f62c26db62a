"""Having a delivered result run again by a mediator, one after another until one answers, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

from agents.effects import Effect, Tell
from agents.events import Event, Got, Timer, Unreached, Woke
from agents.machine import Step
from agents.purchase_stages import (
    Checking,
    Contesting,
    Delivery,
    Paying,
    Purchase,
    Refusing,
    enter,
    receipt,
)
from agents.reports import Checked, Held, Noted, Verdict
from protocol.identity import Address
from protocol.messages import (
    Asking,
    CannotRecheck,
    Delivered,
    Recheck,
    Rechecked,
)
from protocol.prices import used

MOST_CHECKERS = 3
"""How many mediators are asked, one after another, before a check is given up."""


def arrived(it: Purchase, now: float, delivery: Delivery) -> Step[Purchase]:
    """The result is here: check it where a check is due, else pay."""
    held = Tell(it.wanted, Held(delivery.run))
    if it.check and it.terms.mediators:
        return enter(it, Checking(delivery, (_next_checker(it, ()),)), now, held, receipt(it, delivery))
    return pay(it, delivery, now, Verdict.UNCHECKED, (), "no check was due", held)


def step(it: Purchase, stage: Checking, now: float, event: Event) -> Step[Purchase]:
    """What goes on while a mediator runs it again."""
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
            return Step(it, (receipt(it, stage.delivery),))
        case _:
            return Step(it)


def _compare(it: Purchase, stage: Checking, now: float, own: Rechecked) -> Step[Purchase]:
    run = stage.delivery.run
    checker = (stage.asked[-1],)
    if own.cid == run.cid and own.exit_code == run.exit_code:
        fuel = own.units if own.profile == run.profile else run.units
        why = "a mediator's own run gave the same result"
        return pay(it, stage.delivery, now, Verdict.ACCEPTED, checker, why, fuel=fuel)
    reason = (
        f"a mediator's own run gave {own.cid} (exit {own.exit_code}), the provider's {run.cid} (exit {run.exit_code})"
    )
    told = Tell(it.wanted, Checked(Verdict.REJECTED, checker, reason))
    if it.answer_by:  # the claim is on chain already, so it is denied, and no accusation would be taken
        return enter(it, Contesting(reason[:200], stage.delivery, wrong=True), now, told)
    return enter(it, Refusing(stage.delivery, checker, reason[:200]), now, told)


def _ask_another(it: Purchase, stage: Checking, now: float, reason: str) -> Step[Purchase]:
    noted = Tell(it.wanted, Noted(f"mediator 0x{stage.asked[-1].hex()} did not check: {reason}"[:300]))
    if len(stage.asked) >= min(MOST_CHECKERS, len(it.terms.mediators)):
        return pay(it, stage.delivery, now, Verdict.UNCHECKED, (), "no mediator could check it", noted)
    return enter(it, Checking(stage.delivery, (*stage.asked, _next_checker(it, stage.asked))), now, noted)


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
    told = Tell(it.wanted, Checked(verdict, who, why))
    run = delivery.run if fuel is None else replace(delivery.run, units=min(fuel, delivery.run.units))
    return enter(it, Paying(delivery, verdict.value, who, used(it.terms.unit, run)), now, *first, told)
