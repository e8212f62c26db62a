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
where bytes alone prove nothing does not serve the result either, the accusation fails.

The chain alone says who sits on what. A summons only tells where to look, so it may come from anybody, at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, assert_never

from agents.effects import CastOwn, Compare, Effect, Execute, Fetch, Forget, Save, Send, Unwatch, WakeAt, Watch
from agents.events import ChainSaw, Compared, Event, Fetched, Got, NotFetched, NotRan, Ran, Refused, Timer, Woke
from agents.machine import Step
from protocol.deal import Deal, Ruling, Vote
from protocol.identity import Address
from protocol.job import Job, Run
from protocol.judging import committed, grounds, is_tolerant, subject
from protocol.messages import Committed, Exhibit, Expected, Judged, Message, Promised, Revealed, Summons, sealed
from protocol.terms import MOST_MEDIATORS
from protocol.types import UNSIGNED, CidText, Count, Hash, Limit, Moment, Party, Small
from protocol.vault_state import DealState, Flag, State

REFETCH = 2.0
"""Seconds after a fetch that failed."""
AGAIN = 4.0
"""Seconds after which a vote that the vault refused is handed in again."""
ANSWER_EVERY = 1.0
"""Seconds between two answers to the summons of one party: a summons is cheap, four signatures are not."""
RERUN = 3.0
"""Seconds after a run that this machine's own fault has ended."""
OUT_OF_TIME = "out_of_time"
"""A failure that comes at another point on every machine: such a run proves nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Somebody who serves blocks, and on which port."""

    who: Party
    gateway: int
    answered: float = 0.0
    """When its summons was last answered."""


@dataclass(frozen=True, slots=True)
class Summoned:
    """A party says that we sit; the chain has not said so yet."""


@dataclass(frozen=True, slots=True)
class Preparing:
    """Promised; module and inputs are on their way."""

    missing: tuple[CidText, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """The job runs here; for the second time if `Case.own` has the first one's result."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Our commitment is out; the others' and the opened seal are awaited."""


@dataclass(frozen=True, slots=True)
class Collecting:
    """Our own run gives something else, twice; is the claimed result to be had at all?"""


@dataclass(frozen=True, slots=True)
class Comparing:
    """Our own run gives other bytes than this one; do the two agree as the module's manifest compares?"""

    theirs: CidText


@dataclass(frozen=True, slots=True)
class Agreeing:
    """The claimed result is wrong, twice over; what did the job creator get, so that such votes add up?"""


@dataclass(frozen=True, slots=True)
class Voted:
    """Said to both parties; until the chain has it we may have to hand it in ourselves."""

    ruling: Small
    grounds: Hash


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing of this dispute is left to do."""

    how: str


Stage = Summoned | Preparing | Running | Holding | Collecting | Comparing | Agreeing | Voted | Over


@dataclass(frozen=True, slots=True)
class Case:
    """One dispute that this mediator is a juror of."""

    id: Hash
    me: Party
    deal: Deal
    job: Job
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    salt: Hash
    """Hides our own CID until it is revealed."""
    stage: Stage
    parties: tuple[Place, ...] = ()
    """Those who summoned us, and so serve the inputs."""
    round: Small = 0
    sitting: Count = 0
    """Seats whose commitments are due, as a bit set over the pool."""
    deadline: Moment = 0
    contested: bool = False
    sealed: bytes = b""
    own: str = ""
    """CID of our own run; empty before it is over, or where it proves nothing."""
    exit_code: Small = 0
    committed: Count = 0
    """Seats whose commitments have come, ours among them."""
    revealed: bool = False
    claimed: str = ""
    """The CID under the provider's seal; empty before it is opened."""
    sources: tuple[Place, ...] = ()
    """Those who say that they serve the claimed result."""
    tries: Count = 0
    """Fetches that failed."""
    differs: bool = False
    """The claimed result is here and does not agree with our own."""
    expected: str = ""
    """What the job creator's own run gave, where it has told us."""

    @property
    def seat(self) -> int:
        """Our position in the pool."""
        return self.mediators.index(self.me)

    @property
    def about(self) -> bytes:
        """What its fetches, runs and timers are about; the same mediator may have been asked for a check before."""
        return self.id + b"case"

    def timer(self, phase: str) -> Timer:
        """A timer of this case."""
        return Timer(self.about, phase)

    def left(self, share: float) -> float:
        """The moment when this share of the time to judge is left."""
        return self.deadline - share * self.deal.judge


OPEN_AT = 0.5
"""The share of the time to judge that is left when the seal is opened, whoever has committed."""
DECIDE_AT = 0.3
"""…when what is still missing counts as not to be had."""
CAST_AT = 0.2
"""…when a vote that nobody relayed is handed in by its juror."""


def key(deal: bytes) -> str:
    """Where a case is saved."""
    return f"case:{deal.hex()}"


def opened(me: Address, sender: Address, summons: Summons, name: bytes, salt: bytes, now: float) -> Step[Case]:
    """A case at its beginning: nothing is promised before the chain says that we sit."""
    until = now + 2 * summons.deal.judge
    case = Case(name, me, summons.deal, summons.job, summons.mediators, salt, Summoned())
    case = replace(case, parties=(Place(sender, summons.gateway),))
    return Step(case, (Watch(case.deal), WakeAt(until, case.timer("unseated"))))


def begin(case: Case, now: float) -> Step[Case]:
    """Put a saved case back on its feet after a restart."""
    return Step(case, (Watch(case.deal), *_timers(case), *_act(case)))


def step(case: Case, now: float, event: Event) -> Step[Case]:
    """What this juror does about an event; events of a passed stage change nothing."""
    match case.stage, event:
        case Over(), _:
            return Step(case)
        case _, ChainSaw(standing=standing, sealed=sealed_cid):
            return _saw(case, now, standing, sealed_cid)
        case Summoned(), Woke(Timer(phase="unseated")):
            return _enter(case, Over("the chain never seated us"))
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
                return _enter(case, Running())
            case = replace(case, stage=Preparing(left))
            return Step(case, (Save(key(case.id), case),))
        case Preparing(missing), NotFetched(cid=cid) if cid in missing:
            return Step(replace(case, tries=case.tries + 1), (WakeAt(now + REFETCH, case.timer(f"fetch:{cid}")),))
        case Preparing(missing), Woke(Timer(phase=phase)) if phase.removeprefix("fetch:") in missing:
            return Step(case, (_fetch(case, phase.removeprefix("fetch:"), case.parties),))
        case _, Got(sender, Expected(round=round_, cid=cid)) if sender == case.deal.jc and round_ == case.round:
            case = replace(case, expected=case.expected or cid)
            return _wrong(case) if isinstance(case.stage, Agreeing) else Step(case, (Save(key(case.id), case),))
        case Running(), Ran(run=run):
            return _ran(case, now, run)
        case Running(), NotRan():
            return Step(case, (WakeAt(now + RERUN, case.timer("rerun")),))
        case Running(), Woke(Timer(phase="rerun")):
            return Step(case, _act(case))
        case Collecting(), Fetched(cid=cid) if cid == case.claimed:
            return _enter(case, Comparing(cid)) if is_tolerant(case.job) else _wrong(case)
        case Comparing(theirs), Compared(theirs=cid, same=same) if cid == theirs:
            return _compared(case, theirs, same)
        case Collecting(), NotFetched(cid=cid) if cid == case.claimed:
            return Step(replace(case, tries=case.tries + 1), (WakeAt(now + REFETCH, case.timer("collect")),))
        case Collecting(), Woke(Timer(phase="collect")):
            return Step(case, (_fetch(case, case.claimed, case.sources),))
        case Voted() as voted, Woke(Timer(phase="cast")) if now < case.deadline:
            return Step(case, (_cast(case, voted),))
        case Voted(), Refused(reason=reason) if reason not in ("too late", "not due", "not their turn"):
            return Step(case, (WakeAt(now + AGAIN, case.timer("cast")),))
        case _, Woke(Timer(phase="open" | "decide")):
            return _go_on(case, now)
        case _, Woke(Timer(phase="cast")) if not isinstance(case.stage, Voted):
            return _without_proof(case)
        case _:
            return Step(case)


# --- what the chain says ---------------------------------------------------------------------------------------------


def _saw(case: Case, now: float, standing: DealState, sealed_cid: bytes) -> Step[Case]:
    if isinstance(case.stage, Summoned):
        if standing.state is State.CLOSED:
            return _enter(case, Over("closed"))
        if standing.state is not State.JURY or Flag.DRAWN not in standing.flags or not sealed_cid:
            return Step(case)
        if not standing.sitting >> case.seat & 1 or standing.voted >> case.seat & 1:
            return Step(case)  # may be seated in a later round, until we give up waiting
        if now > standing.deadline - OPEN_AT * case.deal.judge:
            return Step(case)  # too late for a run of our own, and a vote without one would be a guess
        case = _heard_of(case, standing, sealed_cid)
        return _enter(case, Preparing((case.job.module_cid, case.job.inputs_cid)), *_timers(case))
    turn = int(Flag.APPEALED in standing.flags)
    ours = standing.state is State.JURY and turn == case.round and standing.sitting >> case.seat & 1
    if not ours or standing.voted >> case.seat & 1:
        return _enter(case, Over("the chain has our vote" if ours else "it was decided without us"))
    if standing.deadline != case.deadline:  # others were replaced, or a reorganisation moved the draw
        case = _heard_of(case, standing, sealed_cid)
        return Step(case, (Save(key(case.id), case), *_timers(case)))
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


def _timers(case: Case) -> tuple[Effect, ...]:
    shares = {"open": OPEN_AT, "decide": DECIDE_AT, "cast": CAST_AT}
    return tuple(WakeAt(case.left(share), case.timer(phase)) for phase, share in shares.items())


# --- what the parties say --------------------------------------------------------------------------------------------


def _summoned_again(case: Case, now: float, place: Place) -> Step[Case]:
    last = max((other.answered for other in case.parties if other.who == place.who), default=0.0)
    is_due = now >= last + ANSWER_EVERY
    others = tuple(other for other in case.parties if other.who != place.who)
    case = replace(case, parties=(*others, replace(place, answered=now if is_due else last)))
    # whoever asks may have missed what we said
    return Step(case, tuple(Send(place.who, message) for message in _said(case) if is_due))


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
        return _vote(case, Ruling.RIGHT)
    if not case.own:
        ours = case.committed | 1 << case.seat
        case = replace(case, own=run.cid, exit_code=run.exit_code, committed=ours)
        case, effects = _enter(case, Holding())
        more = _go_on(case, now)
        return Step(more.state, (*effects, *more.effects))
    if run.cid == case.own:
        return _wrong(case) if case.differs else _enter(case, Collecting())
    if is_tolerant(case.job):
        return _enter(case, Comparing(run.cid))
    return _vote(case, Ruling.RIGHT)  # the module does not even repeat here, so nothing can be proven by running it


def _compared(case: Case, theirs: str, same: bool) -> Step[Case]:
    if theirs == case.claimed:
        return _vote(case, Ruling.RIGHT) if same else _enter(replace(case, differs=True), Running())
    return _wrong(case) if same else _vote(case, Ruling.RIGHT)  # it is our own second run


def _wrong(case: Case) -> Step[Case]:
    if is_tolerant(case.job) and not case.expected:
        return _enter(case, Agreeing())
    return _vote(case, Ruling.WRONG)


def _go_on(case: Case, now: float) -> Step[Case]:
    """Whatever is due now."""
    saved = Save(key(case.id), case)
    match case.stage:
        case Holding() if not case.revealed and (
            case.committed & case.sitting == case.sitting or now >= case.left(OPEN_AT)
        ):
            case = replace(case, revealed=True)
            told = tuple(Send(who, _revealed(case)) for who in (*_others(case), case.deal.jc, case.deal.rp))
            more = _go_on(case, now)
            return Step(more.state, (Save(key(case.id), case), *told, *more.effects))
        case Holding() if case.revealed and case.claimed == case.own:
            return _vote(case, Ruling.RIGHT)
        case Holding() if case.revealed and case.claimed:
            return _enter(case, Collecting() if is_tolerant(case.job) else Running())
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
            return _vote(case, Ruling.NOT_FETCHABLE)
        case Preparing() | Holding() | Running() | Collecting() | Comparing():
            unopened = case.contested and not case.claimed
            return _vote(case, Ruling.NOT_FETCHABLE if unopened else Ruling.RIGHT)
        case _:
            return Step(case)


def _vote(case: Case, ruling: Ruling) -> Step[Case]:
    return _enter(case, Voted(int(ruling), grounds(ruling, case.sealed, case.expected or case.own)))


# --- effects ---------------------------------------------------------------------------------------------------------


def _enter(case: Case, stage: Stage, *effects: Effect) -> Step[Case]:
    case = replace(case, stage=stage)
    if isinstance(stage, Over):
        return Step(case, (Forget(key(case.id)), Unwatch(case.deal)))
    return Step(case, (Save(key(case.id), case), *effects, *_act(case)))


def _act(case: Case) -> tuple[Effect, ...]:
    parties = (case.deal.jc, case.deal.rp)
    match case.stage:
        case Preparing(missing):
            promised = tuple(Send(who, Promised(case.id, case.round, UNSIGNED)) for who in parties)
            return (*promised, *(_fetch(case, cid, case.parties) for cid in missing))
        case Running():
            return (Execute(case.about, case.job),)
        case Holding():
            told = tuple(Send(who, _committed(case)) for who in (*_others(case), *parties))
            return (*told, *(Send(who, _revealed(case)) for who in parties if case.revealed))
        case Collecting():
            return (_fetch(case, case.claimed, case.sources),)
        case Comparing(theirs):
            return (Compare(case.about, case.job, case.own, theirs),)
        case Voted() as voted:
            judged = Judged(case.id, case.round, voted.ruling, voted.grounds, UNSIGNED)
            return tuple(Send(who, judged) for who in parties)
        case Summoned() | Agreeing() | Over():
            return ()
        case _:
            assert_never(case.stage)


def _said(case: Case) -> list[Message]:
    said: list[Message] = []
    if not isinstance(case.stage, Summoned | Over):
        said.append(Promised(case.id, case.round, UNSIGNED))
    if case.own:
        said.append(_committed(case))
    if case.revealed:
        said.append(_revealed(case))
    if isinstance(case.stage, Voted):
        said.append(Judged(case.id, case.round, case.stage.ruling, case.stage.grounds, UNSIGNED))
    return said


def _committed(case: Case) -> Committed:
    return Committed(case.id, case.round, committed(case.own, case.salt, case.me))


def _revealed(case: Case) -> Revealed:
    return Revealed(case.id, case.round, case.own, case.salt, case.exit_code, gateway=0)


def _others(case: Case) -> tuple[Address, ...]:
    return tuple(who for seat, who in enumerate(case.mediators) if case.sitting >> seat & 1 and who != case.me)


def _fetch(case: Case, cid: str, places: tuple[Place, ...]) -> Effect:
    place = places[case.tries % len(places)]  # in turn: one of them may serve nothing
    return Fetch(case.about, cid, place.who, place.gateway)


def _cast(case: Case, voted: Voted) -> Effect:
    vote = Vote(case.id, case.round, voted.ruling, voted.grounds)
    about = subject(case.id, "vote", case.round)
    return CastOwn(about, case.deal, b"".join(case.mediators), case.seat, vote)
