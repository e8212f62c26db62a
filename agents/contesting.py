"""A purchase before the jury: opened by an accusation or a denied delivery, ended by a ruling."""

from __future__ import annotations

from dataclasses import replace

from agents import dispute as disputes
from agents import ending
from agents.dispute import Dispute
from agents.effects import Effect, Save, Tell
from agents.events import Event
from agents.machine import Step
from agents.purchase_stages import (
    Awaiting,
    Claiming,
    Collecting,
    Contesting,
    Delivery,
    Fetching,
    Over,
    Purchase,
    Refusing,
    enter,
    key,
)
from agents.reports import DisputeOpened, Ruled
from protocol.deal import Ruling
from protocol.job import Run
from protocol.vault_state import DealState, Flag, Outcome

RULINGS = {
    Outcome.RIGHT: "a jury ruled the result right",
    Outcome.WRONG: "a jury ruled the result wrong",
    Outcome.NOT_FETCHABLE: "a jury ruled that no result can be had",
    Outcome.SPLIT: "the jury stayed silent: half the pay each",
}


def begin(it: Purchase, now: float, standing: DealState, sealed_cid: bytes) -> Step[Purchase]:
    """The vault has opened the case, or shows how it stands."""
    opened: tuple[Effect, ...] = ()
    if it.dispute is None:
        if Flag.CONTESTED in standing.flags:
            it = _denied_in_our_name(it)
        match it.stage:
            case Refusing(delivery, reason=reason, own=own):
                contested, disagrees = False, True
            case Contesting(reason, delivery, disagrees, own):
                contested = True
            case _:  # somebody else opened it in our name, and we know better
                return Step(it, (ending.end_at(standing.deadline + 1, it.id, standing.deadline),))
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
            expected=own,
            contested=contested,
        )
        it = replace(it, dispute=dispute)
    assert it.dispute is not None
    after, effects = disputes.saw(it.dispute, now, standing, sealed_cid)
    it = replace(it, dispute=after)
    return Step(it, (Save(key(it.id), it), *opened, *effects))


def _denied_in_our_name(it: Purchase) -> Purchase:
    """Take over what a watchtower began while this node slept: whoever denies a delivery must also see it judged."""
    reason = "our watchtower denied a delivery that never came"
    match it.stage:
        case Awaiting() | Claiming():
            return replace(it, stage=Contesting(reason))
        case Fetching(delivery):
            return replace(it, stage=Contesting(reason, delivery))
        case _:
            return it


def step(it: Purchase, now: float, event: Event) -> Step[Purchase]:
    """Let the dispute hear what is meant for it."""
    if it.dispute is None:
        return Step(it)
    after, effects = disputes.step(it.dispute, now, event)
    if after is it.dispute:
        return Step(it, effects)
    it = replace(it, dispute=after)
    return Step(it, (Save(key(it.id), it), *effects))


def closed(it: Purchase, now: float, outcome: Outcome) -> Step[Purchase]:
    """The vault has closed the deal as the jury ruled."""
    assert it.dispute is not None
    reason = RULINGS.get(outcome) or "both agreed to end the deal"
    told = Tell(it.wanted, Ruled(it.dispute.round, int(outcome), final=True))
    if outcome is Outcome.RIGHT and isinstance(it.stage, Contesting) and not it.stage.wrong and it.dispute.claimed:
        exits = [w.exit_code for w in it.dispute.witnesses if w.cid == it.dispute.claimed]
        run = Run(it.dispute.claimed, exits[0] if exits else 0, 0, "", "")
        if it.stage.delivery is not None:
            run = it.stage.delivery.run
        return collect(it, now, run, 0, reason, told)
    return enter(it, Over(reason, int(outcome), delivery=_delivery(it)), now, told)


def _delivery(it: Purchase) -> Delivery | None:
    return it.stage.delivery if isinstance(it.stage, Refusing | Contesting) else None


def collect(it: Purchase, now: float, run: Run, tried: int, reason: str, *told: Effect) -> Step[Purchase]:
    """Get the result from the next juror that serves it."""
    assert it.dispute is not None
    if tried >= len(it.dispute.sources()):
        return enter(it, Over(f"{reason}, but nobody serves it", int(Ruling.RIGHT)), now, *told)
    return enter(it, Collecting(run, tried, reason), now, *told)
