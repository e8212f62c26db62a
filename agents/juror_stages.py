"""What a juror's side of a dispute can be, and what each stage asks of the world when it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, assert_never

from agents.effects import CastOwn, Compare, Effect, Execute, Fetch, Forget, Save, Send, Unwatch, WakeAt
from agents.events import Timer
from agents.machine import Step
from protocol.deal import Deal, Vote
from protocol.identity import Address
from protocol.job import Job, most_content
from protocol.judging import committed, subject
from protocol.messages import Committed, Judged, Message, Promised, Revealed
from protocol.terms import MOST_MEDIATORS
from protocol.types import UNSIGNED, CidText, Count, Hash, Limit, Moment, Party, Small

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
    """Seated; module and inputs are on their way."""

    missing: tuple[CidText, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """The job runs here; for the second time if `Case.own` has the first one's result."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Promised, and our commitment is out; the others' and the opened seal are awaited."""


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
LAST_AT = 0.1
"""…when a juror that came late decides by what it has."""


def key(deal: bytes) -> str:
    """Where a case is saved."""
    return f"case:{deal.hex()}"


def enter(case: Case, stage: Stage, *effects: Effect) -> Step[Case]:
    """Begin a stage: saved before any effect of it leaves the node."""
    case = replace(case, stage=stage)
    if isinstance(stage, Over):
        return Step(case, (Forget(key(case.id)), Unwatch(case.deal)))
    return Step(case, (Save(key(case.id), case), *effects, *act(case)))


def act(case: Case) -> tuple[Effect, ...]:
    """What the stage asks of the world when it begins, and once more after a restart."""
    parties = (case.deal.jc, case.deal.rp)
    match case.stage:
        case Preparing(missing):
            return tuple(fetch(case, cid, case.parties) for cid in missing)
        case Running():
            return (Execute(case.about, case.job),)
        case Holding():
            # not before: whoever wrote the job could have made it one that fails here, and silence would cost the stake
            promised = tuple(Send(who, Promised(case.id, case.round, UNSIGNED)) for who in parties)
            told = tuple(Send(who, _committed(case)) for who in (*others(case), *parties))
            return (*promised, *told, *(Send(who, revealed(case)) for who in parties if case.revealed))
        case Collecting():
            return (fetch(case, case.claimed, case.sources),)
        case Comparing(theirs):
            return (Compare(case.about, case.job, case.own, theirs),)
        case Voted() as voted:
            judged = Judged(case.id, case.round, voted.ruling, voted.grounds, UNSIGNED)
            # at once where it comes later than that
            return (*(Send(who, judged) for who in parties), WakeAt(case.left(CAST_AT), case.timer("cast")))
        case Summoned() | Agreeing() | Over():
            return ()
        case _:
            assert_never(case.stage)


def said(case: Case) -> list[Message]:
    """All that a party may have missed."""
    words: list[Message] = []
    if case.own:
        words += [Promised(case.id, case.round, UNSIGNED), _committed(case)]
    if case.revealed:
        words.append(revealed(case))
    if isinstance(case.stage, Voted):
        words.append(Judged(case.id, case.round, case.stage.ruling, case.stage.grounds, UNSIGNED))
    return words


def _committed(case: Case) -> Committed:
    return Committed(case.id, case.round, committed(case.own, case.salt, case.me))


def revealed(case: Case) -> Revealed:
    """Our own run, opened."""
    return Revealed(case.id, case.round, case.own, case.salt, case.exit_code, gateway=0)


def others(case: Case) -> tuple[Address, ...]:
    """The other jurors who are still to vote."""
    return tuple(who for seat, who in enumerate(case.mediators) if case.sitting >> seat & 1 and who != case.me)


def fetch(case: Case, cid: str, places: tuple[Place, ...]) -> Effect:
    """Get these blocks from the next of those who say that they serve them."""
    place = places[case.tries % len(places)]  # in turn: one of them may serve nothing
    return Fetch(case.about, cid, place.who, place.gateway, most_content(case.job))


def cast(case: Case, voted: Voted) -> Effect:
    """Hand our vote in ourselves."""
    vote = Vote(case.id, case.round, voted.ruling, voted.grounds)
    about = subject(case.id, "vote", case.round)
    return CastOwn(about, case.deal, b"".join(case.mediators), case.seat, vote)


def timers(case: Case) -> tuple[Effect, ...]:
    """The moments of the time to judge at which something is due, whatever has come."""
    shares = {"open": OPEN_AT, "decide": DECIDE_AT, "late": CAST_AT, "last": LAST_AT}
    return tuple(WakeAt(case.left(share), case.timer(phase)) for phase, share in shares.items())
