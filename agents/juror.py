"""One juror's side of one dispute: it runs the job itself, says so under a seal, and only then compares and votes.

::

    SUMMONED ──seated, by the chain──► PREPARING ──inputs here──► RUNNING ──► HOLDING ──seal opened──► same: VOTED
       │ not a juror of it                 │                         ▲          │  │                  differs: run again
       └──► OVER                           │                         └──────────┼──┘ (repeats?)              │
                                           └──────── time is up ──► VOTED ◄─────┴──────── COLLECTING ◄───────┘
                                                                      │ heard by the vault, or too late
                                                                      └──► OVER

    with a tolerance: HOLDING ──► COLLECTING ──► COMPARING ──agree──► VOTED
                                                     │ differ
                                                     └──► RUNNING ──repeats──► AGREEING ──told what is expected──► VOTED

What a vote says: *right* if the own run gave the claimed CID, or agrees with it as the module's manifest compares, if
the module does not repeat even here, or if nobody supplies the inputs (the burden is on the accuser); *wrong* if it
gave another and the claimed result can be had; *not fetchable* if it can't, or if nobody opens the seal of a delivery
that was claimed on chain. An accuser can always open it, since the signed result came to it opened; if it doesn't, or
where bytes alone prove nothing does not serve the result either, the accusation fails. A juror that could not compare
says so in its vote's grounds: what it is shown is in the parties' hands, so no stake is lost over such a ruling.

A provider whose run was cut off by time says so by its result's CID, which is then `CUT_OFF`. Such a result is never
wrong, or a slow machine would cost the collateral of liars: an accusation of it fails. Who claims it as a delivery on
chain is paid where the juror's own run was cut off too, and delivered nothing where it was not.

The chain alone says who sits on what. A summons only tells where to look, so it may come from anybody, at any time.
"""

from __future__ import annotations

from dataclasses import replace

from agents.effects import Save, Send, WakeAt, Watch
from agents.events import (
    ChainSaw,
    Compared,
    Event,
    Fetched,
    Got,
    NotCompared,
    NotFetched,
    NotRan,
    Ran,
    Refused,
    Timer,
    Woke,
)
from agents.juror_stages import (
    DECIDE_AT,
    OPEN_AT,
    OUT_OF_TIME,
    Agreeing,
    Case,
    Collecting,
    Comparing,
    Holding,
    Over,
    Place,
    Preparing,
    Running,
    Summoned,
    Voted,
    act,
    cast,
    enter,
    fetch,
    key,
    others,
    revealed,
    said,
    timers,
)
from agents.machine import Step
from protocol.deal import Ruling
from protocol.identity import Address
from protocol.job import Run
from protocol.judging import CUT_OFF, UNSHOWN, grounds, is_tolerant
from protocol.messages import Committed, Exhibit, Expected, Summons, sealed
from protocol.vault_state import DealState, Flag, State

REFETCH = 2.0
"""Seconds after a fetch that failed."""
AGAIN = 4.0
"""Seconds after which a vote that the vault refused is handed in again."""
ANSWER_EVERY = 1.0
"""Seconds between two answers to the summons of one party: a summons is cheap, four signatures are not."""
RERUN = 3.0
"""Seconds after a run that this machine's own fault has ended."""


def opened(me: Address, sender: Address, summons: Summons, name: bytes, salt: bytes, now: float) -> Step[Case]:
    """A case at its beginning: nothing is promised before the chain says that we sit."""
    until = now + 2 * summons.deal.judge
    case = Case(name, me, summons.deal, summons.job, summons.mediators, salt, Summoned())
    case = replace(case, parties=(Place(sender, summons.gateway),))
    return Step(case, (Watch(case.deal), WakeAt(until, case.timer("unseated"))))


def begin(case: Case, now: float) -> Step[Case]:
    """Put a saved case back on its feet after a restart."""
    return Step(case, (Watch(case.deal), *timers(case), *act(case)))


def step(case: Case, now: float, event: Event) -> Step[Case]:
    """What this juror does about an event; events of a passed stage change nothing."""
    match case.stage, event:
        case Over(), _:
            return Step(case)
        case _, ChainSaw(standing=standing, sealed=sealed_cid):
            return _saw(case, now, standing, sealed_cid)
        case Summoned(), Woke(Timer(phase="unseated")):
            return enter(case, Over("the chain never seated us"))
        case _, Got(sender, Summons(gateway=gateway)) if sender in (case.deal.jc, case.deal.rp):
            return _summoned_again(case, now, Place(sender, gateway))
        case Summoned(), _:
            return Step(case)
        case _, Got(sender, Committed(round=round_)) if sender in case.mediators and round_ == case.round:
            return _go_on(replace(case, committed=case.committed | 1 << case.mediators.index(sender)), now)
        case _, Got(sender, Exhibit() as exhibit) if sender in (case.deal.jc, case.deal.rp):
            return _shown(case, now, sender, exhibit)
        case Preparing(missing), Fetched(cid=cid) if cid in missing:
            left = tuple(other for other in missing if other != cid)
            if not left:
                return enter(case, Running())
            case = replace(case, stage=Preparing(left))
            return Step(case, (Save(key(case.id), case),))
        case Preparing(missing), NotFetched(cid=cid) if cid in missing:
            return Step(replace(case, tries=case.tries + 1), (WakeAt(now + REFETCH, case.timer(f"fetch:{cid}")),))
        case Preparing(missing), Woke(Timer(phase=phase)) if phase.removeprefix("fetch:") in missing:
            return Step(case, (fetch(case, phase.removeprefix("fetch:"), case.parties),))
        case _, Got(sender, Expected(round=round_, cid=cid)) if sender == case.deal.jc and round_ == case.round:
            case = replace(case, expected=case.expected or cid)
            return _wrong(case) if isinstance(case.stage, Agreeing) else Step(case, (Save(key(case.id), case),))
        case Running(), Ran(run=run):
            return _ran(case, now, run)
        case Running(), NotRan():
            return Step(case, (WakeAt(now + RERUN, case.timer("rerun")),))
        case Running(), Woke(Timer(phase="rerun")):
            return Step(case, act(case))
        case Collecting(), Fetched(cid=cid) if cid == case.claimed:
            return enter(case, Comparing(cid)) if is_tolerant(case.job) else _wrong(case)
        case Comparing(theirs), Compared(theirs=cid, same=same) if cid == theirs:
            return _compared(case, theirs, same)
        case Comparing(theirs), NotCompared(theirs=cid) if cid == theirs:
            return _without_proof(case)  # a fault of this machine's, of which no accusation may come
        case Collecting(), NotFetched(cid=cid) if cid == case.claimed:
            return Step(replace(case, tries=case.tries + 1), (WakeAt(now + REFETCH, case.timer("collect")),))
        case Collecting(), Woke(Timer(phase="collect")):
            return Step(case, (fetch(case, case.claimed, case.sources),))
        case Voted() as voted, Woke(Timer(phase="cast")) if now < case.deadline:
            return Step(case, (cast(case, voted),))
        case Voted(), Refused(reason=reason) if reason not in ("too late", "not due", "not their turn"):
            return Step(case, (WakeAt(now + AGAIN, case.timer("cast")),))
        case _, Woke(Timer(phase="open" | "decide")):
            return _go_on(case, now)
        case _, Woke(Timer(phase="late" | "last")) if not isinstance(case.stage, Voted):
            return _without_proof(case)
        case _:
            return Step(case)


# --- what the chain says ---------------------------------------------------------------------------------------------


def _saw(case: Case, now: float, standing: DealState, sealed_cid: bytes) -> Step[Case]:
    if isinstance(case.stage, Summoned):
        if standing.state is State.CLOSED:
            return enter(case, Over("closed"))
        if standing.state is not State.JURY or Flag.DRAWN not in standing.flags or not sealed_cid:
            return Step(case)
        if not standing.sitting >> case.seat & 1 or standing.voted >> case.seat & 1:
            return Step(case)  # may be seated in a later round, until we give up waiting
        if now > standing.deadline - OPEN_AT * case.deal.judge:
            return Step(case)  # too late for a run of our own, and a vote without one would be a guess
        case = _heard_of(case, standing, sealed_cid)
        return enter(case, Preparing((case.job.module_cid, case.job.inputs_cid)), *timers(case))
    turn = int(Flag.APPEALED in standing.flags)
    ours = standing.state is State.JURY and turn == case.round and standing.sitting >> case.seat & 1
    if not ours or standing.voted >> case.seat & 1:
        return enter(case, Over("the chain has our vote" if ours else "it was decided without us"))
    if standing.deadline != case.deadline:  # others were replaced, or a reorganisation moved the draw
        case = _heard_of(case, standing, sealed_cid)
        again = act(case) if isinstance(case.stage, Voted) else ()
        return Step(case, (Save(key(case.id), case), *timers(case), *again))
    return Step(case)


def _heard_of(case: Case, standing: DealState, sealed_cid: bytes) -> Case:
    return replace(
        case,
        round=int(Flag.APPEALED in standing.flags),
        sitting=standing.sitting & ~standing.voted,
        deadline=standing.deadline,
        contested=Flag.CONTESTED in standing.flags,
        sealed=sealed_cid,
    )


# --- what the parties say --------------------------------------------------------------------------------------------


def _summoned_again(case: Case, now: float, place: Place) -> Step[Case]:
    last = max((other.answered for other in case.parties if other.who == place.who), default=0.0)
    is_due = now >= last + ANSWER_EVERY
    others = tuple(other for other in case.parties if other.who != place.who)
    case = replace(case, parties=(*others, replace(place, answered=now if is_due else last)))
    # whoever asks may have missed what we said
    return Step(case, tuple(Send(place.who, message) for message in said(case) if is_due))


def _shown(case: Case, now: float, sender: Address, exhibit: Exhibit) -> Step[Case]:
    if exhibit.round != case.round or sealed(exhibit.cid, exhibit.salt) != case.sealed:
        return Step(case)  # not what the chain says that this is about
    place = Place(sender, exhibit.gateway)
    if place in case.sources:
        return Step(case)
    others = tuple(other for other in case.sources if other.who != sender)
    case = replace(case, claimed=exhibit.cid, sources=(*others, place))
    if isinstance(case.stage, Collecting):
        return Step(case, (Save(key(case.id), case),))
    return _go_on(case, now)


# --- our own run, and what follows -----------------------------------------------------------------------------------


def _ran(case: Case, now: float, run: Run) -> Step[Case]:
    if run.failure.startswith(OUT_OF_TIME):
        return _vote_unshown(case, Ruling.RIGHT)
    if not case.own:
        ours = case.committed | 1 << case.seat
        case = replace(case, own=run.cid, exit_code=run.exit_code, committed=ours)
        case, effects = enter(case, Holding())
        more = _go_on(case, now)
        return Step(more.state, (*effects, *more.effects))
    if run.cid == case.own:
        return _wrong(case) if case.differs else enter(case, Collecting())
    if is_tolerant(case.job):
        return enter(case, Comparing(run.cid))
    return _vote_unshown(case, Ruling.RIGHT)  # the module does not even repeat here, so no run proves anything


def _compared(case: Case, theirs: str, same: bool) -> Step[Case]:
    if theirs == case.claimed:
        return _vote(case, Ruling.RIGHT) if same else enter(replace(case, differs=True), Running())
    return _wrong(case) if same else _vote_unshown(case, Ruling.RIGHT)  # it is our own second run


def _wrong(case: Case) -> Step[Case]:
    if is_tolerant(case.job) and not case.expected:
        return enter(case, Agreeing())
    return _vote(case, Ruling.WRONG)


def _go_on(case: Case, now: float) -> Step[Case]:
    """Whatever is due now."""
    saved = Save(key(case.id), case)
    match case.stage:
        case Holding() if not case.revealed and (
            case.committed & case.sitting == case.sitting or now >= case.left(OPEN_AT)
        ):
            case = replace(case, revealed=True)
            told = tuple(Send(who, revealed(case)) for who in (*others(case), case.deal.jc, case.deal.rp))
            more = _go_on(case, now)
            return Step(more.state, (Save(key(case.id), case), *told, *more.effects))
        case Holding() if case.revealed and case.own and case.claimed == case.own:
            return _vote(case, Ruling.RIGHT)
        case Holding() if case.revealed and case.claimed == CUT_OFF:
            # it owns to having no result: that is no lie, but on chain it was claimed as a delivery
            return _vote_unshown(case, Ruling.NOT_FETCHABLE if case.contested else Ruling.RIGHT)
        case Holding() if case.revealed and case.claimed:
            return enter(case, Collecting() if is_tolerant(case.job) else Running())
        case Holding() | Preparing() | Collecting() | Agreeing() if now >= case.left(DECIDE_AT):
            return _without_proof(case)
        case _:
            return Step(case, (saved,))


def _without_proof(case: Case) -> Step[Case]:
    """Time is up: what is missing counts against whoever had to bring it."""
    match case.stage:
        case Running() if not case.own:
            return Step(case)  # the fault is this machine's, and says nothing of the result
        case Agreeing():
            return _vote(case, Ruling.WRONG)
        case Collecting() if case.contested or not is_tolerant(case.job):
            return _vote_unshown(case, Ruling.NOT_FETCHABLE)
        case Preparing() | Holding() | Running() | Collecting() | Comparing():
            unopened = case.contested and not case.claimed
            return _vote_unshown(case, Ruling.NOT_FETCHABLE if unopened else Ruling.RIGHT)
        case _:
            return Step(case)


def _vote(case: Case, ruling: Ruling) -> Step[Case]:
    return enter(case, Voted(int(ruling), grounds(ruling, case.sealed, case.expected or case.own)))


def _vote_unshown(case: Case, ruling: Ruling) -> Step[Case]:
    return enter(case, Voted(int(ruling), UNSHOWN))
