"""A party's side of one dispute, the same for both: it summons the jury, opens the seal, hands in votes, and ends it.

::

    JURY, to draw ──Draw──► JURY ──votes for us: CastVotes──► RULED ──against us, and we know better──► Appeal ──► JURY
                                │ time is up: Finalize             │ against us, and we don't: Finalize at once
                                ▼                                  ▼ for us: Finalize when the window is over
                        JURY, refilled, or CLOSED                CLOSED

Where it stands the chain says; what is kept here is what jurors signed and may have to be shown to the vault. Both
parties do all of this, so either may be away. Each hands in only the votes that favour it; a juror whose vote nobody
hands in does that itself. One that signs two different votes for the same party is shown to the vault, at its stake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from agents.effects import Compare, Effect, Fetch, Send, Tell, Transact, WakeAt
from agents.events import Compared, Event, Fetched, Got, NotCompared, NotFetched, Refused, Timer, Woke
from agents.juror_stages import OPEN_AT
from agents.machine import Step
from agents.reports import JuryDrawn, Ruled, Voted
from protocol.deal import Deal, Ruling
from protocol.identity import Address
from protocol.job import Job
from protocol.judging import UNSHOWN, ballot, committed, grounds, is_tolerant, needed, subject
from protocol.messages import Committed, Exhibit, Expected, Judged, Promised, Revealed, Summons, Testimony
from protocol.terms import MOST_MEDIATORS
from protocol.types import Count, Hash, Large, Limit, Moment, Party, Small
from protocol.vault_calls import Appeal, CastVotes, Draw, Expose, Finalize
from protocol.vault_disputes import Ballot
from protocol.vault_state import DealState, Flag, State

SUMMON_EVERY = 5.0
"""Seconds after which a juror that has not voted yet is summoned again; doubles up to `SUMMON_MOST`."""
SUMMON_MOST = 20.0
AGAIN = 4.0
"""Seconds after which a call that the vault refused is asked again."""
COMPARE_AGAIN = 60.0
"""Seconds after which a comparison is tried again that this machine could not make: it is work, and may never go."""
STRAGGLERS = 3.0
"""Seconds that a quorum waits for the other jurors' votes: those who worked are paid only if they are in the call."""
PROMISES_AT = 0.15
"""The share of the time to judge that is left when jurors' promises are shown to the vault, so that silence costs."""
LATER = 0.25
"""The share of the time to judge after which the provider draws a jury that the job creator has not drawn."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What one juror has said, its signatures among it."""

    seat: Small
    promise: bytes = b""
    commitment: bytes = b""
    late: bool = False
    """Its commitment came after we had opened the seal."""
    cid: str = ""
    salt: bytes = b""
    exit_code: Small = 0
    gateway: int = 0
    ruling: Small = 0
    grounds: bytes = b""
    vote: bytes = b""
    agrees: bool = False
    """Its own run agrees with the job creator's, as the module's manifest compares."""

    def is_sound(self, sealed_cid: bytes, juror: Address, expected: str) -> bool:
        """Whether its vote rests on a run of its own: a copier's commitment doesn't open to what it voted on."""
        if not self.vote:
            return False
        if self.ruling != Ruling.WRONG and self.grounds == UNSHOWN:  # it says itself that it rests on nothing
            return True
        opens = committed(self.cid, self.salt, juror) == self.commitment and not self.late
        named = (self.cid, expected) if self.agrees else (self.cid,)
        return opens and self.grounds in [grounds(Ruling(self.ruling), sealed_cid, own) for own in named]


@dataclass(frozen=True, slots=True)
class Past:
    """A jury whose time is over, for the record."""

    round: Small
    block: Large
    sitting: Count
    ruling: Small
    witnesses: Annotated[tuple[Witness, ...], Limit(24)]


@dataclass(frozen=True, slots=True)
class Dispute:
    """One dispute as a party to it sees it."""

    id: Hash
    wanted: bytes
    """The job that it is about, where a user follows its story; empty for a provider."""
    deal: Deal
    table: Hash
    job: Job
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    for_provider: bool
    disagrees: bool
    """Whether a ruling against us would be against what we know, and so worth an appeal."""
    cid: str
    """What is under the seal; empty where we were never told."""
    salt: bytes
    sealed: bytes = b""
    state: Small = 0
    """A `State` of the deal; 0 before the chain was seen."""
    round: Small = 0
    drawn: bool = False
    sitting: Count = 0
    voted: Count = 0
    block: Large = 0
    deadline: Moment = 0
    shown: bool = False
    """Whether the seal has been opened to this jury."""
    ruling: Small = 0
    witnesses: Annotated[tuple[Witness, ...], Limit(24)] = ()
    expected: str = ""
    """What the job creator's own re-run gave, or its mediator's; empty for a provider."""
    past: Annotated[tuple[Past, ...], Limit(8)] = ()
    contested: bool = False
    """It is about a delivery that the provider had claimed on chain."""

    @property
    def hearings(self) -> tuple[Past, ...]:
        """Every jury so far, the present one last."""
        return (*self.past, Past(self.round, self.block, self.sitting, self.ruling, self.witnesses))

    @property
    def pool(self) -> bytes:
        """As the vault takes it."""
        return b"".join(self.mediators)

    def left(self, share: float) -> float:
        """The moment when this share of the time to judge is left."""
        return self.deadline - share * self.deal.judge

    def witness(self, seat: int) -> Witness:
        """What this juror has said so far."""
        return next((witness for witness in self.witnesses if witness.seat == seat), Witness(seat))

    def favours(self, ruling: int) -> bool:
        """Whether it is the one we want."""
        return (ruling == Ruling.RIGHT) == self.for_provider

    def sources(self) -> tuple[tuple[Address, int], ...]:
        """Jurors whose own run gave what is under the seal, and the ports where they serve it."""
        # where a tolerance counts, who voted "right" has the claimed result beside its own
        near = is_tolerant(self.job) and bool(self.cid)
        found = [w for w in self.witnesses if w.cid and (w.cid == self.claimed or (near and w.ruling == Ruling.RIGHT))]
        return tuple((self.mediators[witness.seat], witness.gateway) for witness in found)

    @property
    def claimed(self) -> str:
        """What is under the seal, where we know it; else what most jurors that voted "right" got."""
        if self.cid:
            return self.cid
        runs = [w.cid for w in self.witnesses if w.cid and w.ruling == Ruling.RIGHT]
        return max(sorted(set(runs)), key=runs.count, default="")


# --- events ----------------------------------------------------------------------------------------------------------


def begin(it: Dispute, now: float) -> tuple[Effect, ...]:
    """What puts a dispute back on its feet after a restart: the chain is watched anyway, the timers are set again."""
    return () if not it.state else _timers(it, now)


def saw(it: Dispute, now: float, standing: DealState, sealed_cid: bytes) -> Step[Dispute]:
    """The chain says where the dispute stands: JURY or RULED."""
    turn = int(Flag.APPEALED in standing.flags)
    before = it
    it = replace(
        it,
        sealed=sealed_cid or it.sealed,
        state=int(standing.state),
        round=turn,
        drawn=Flag.DRAWN in standing.flags,
        sitting=standing.sitting,
        voted=standing.voted,
        block=standing.block,
        deadline=standing.deadline,
        ruling=int(standing.outcome) if standing.state is State.RULED else 0,
    )
    if it.round != before.round or it.deadline != before.deadline:
        # another jury, or new members of it: what the others said stays, they are not asked again
        kept = tuple(w for w in it.witnesses if it.sitting >> w.seat & 1) if it.round == before.round else ()
        another = before.sitting and (it.round != before.round or before.sitting & ~it.sitting)
        past = before.hearings if another else before.past
        it = replace(it, shown=False, witnesses=kept, past=past)
    told = _news(before, it)
    if standing.state is State.RULED:
        return Step(it, (*told, *_ruled(it, standing)))
    if (it.state, it.deadline, it.block, it.drawn) == (before.state, before.deadline, before.block, before.drawn):
        return Step(it, (*told, *_relay(it)) if it.voted != before.voted else told)  # votes have arrived, no more
    if not it.drawn:
        wait = LATER * it.deal.judge if it.for_provider else 0.0
        return Step(it, (*told, WakeAt(now + wait, _timer(it, f"draw:{it.block}")), *_deadline(it)))
    return Step(it, (*told, *_timers(it, now)))


def step(it: Dispute, now: float, event: Event) -> Step[Dispute]:
    """Everything else that concerns a dispute."""
    match event:
        case Got(sender, message) if isinstance(message, Testimony):
            return _heard(it, now, sender, message)
        case Fetched(cid=cid) if any(w.cid == cid for w in it.witnesses):
            return Step(it, (Compare(weighing(it.id), it.job, it.expected, cid),))
        case NotFetched(cid=cid) if any(w.cid == cid for w in it.witnesses):
            return Step(it, (WakeAt(now + AGAIN, _timer(it, f"weigh:{cid}")),))
        case NotCompared(theirs=cid) if any(w.cid == cid for w in it.witnesses):
            return Step(it, (WakeAt(now + COMPARE_AGAIN, _timer(it, f"weigh:{cid}")),))
        case Compared(theirs=cid, same=True):
            return _agreed(it, [w.seat for w in it.witnesses if w.cid == cid])
        case Woke(Timer(phase=phase)) if it.state == State.JURY:
            return _woke(it, now, phase.removeprefix("dispute:"))
        case Woke(Timer(phase=phase)) if phase == f"dispute:finalize:{it.deadline}":
            return Step(it, (_finalize(it),))
        case Refused(call=Draw(), reason="too early"):
            return Step(it, (WakeAt(now + AGAIN, _timer(it, f"draw:{it.block}")),))
        case Refused(call=Finalize(), reason="too early"):
            return Step(it, (WakeAt(now + AGAIN, _timer(it, f"finalize:{it.deadline}")),))
        case Refused(call=Appeal()):
            return Step(it, _deadline(it))
        case _:
            return Step(it)


def _woke(it: Dispute, now: float, phase: str) -> Step[Dispute]:
    match phase.split(":"):
        case ["draw", block] if int(block) == it.block and not it.drawn:
            return Step(it, (Transact(subject(it.id, "draw", it.block), Draw(it.deal, it.pool)),))
        case ["summon", deadline, pause] if int(deadline) == it.deadline and now < it.deadline:
            return Step(it, _summon(it, now, float(pause)))
        case ["weigh", cid]:
            found = [w for w in it.witnesses if w.cid == cid and not w.agrees]
            if not found:
                return Step(it)
            # one at a time: each that fails asks again, so asking all of them would double what is asked every time
            witness = found[int(now / AGAIN) % len(found)]
            return Step(it, (_fetch_run(it, it.mediators[witness.seat], witness),))
        case ["open", deadline] if int(deadline) == it.deadline:
            return _open(it)
        case ["relay", deadline] if int(deadline) == it.deadline:
            return Step(it, _relay(it))
        case ["promises", deadline] if int(deadline) == it.deadline:
            return Step(it, _show_promises(it))
        case ["finalize", deadline] if int(deadline) == it.deadline:
            return Step(it, (_finalize(it),))
        case _:
            return Step(it)


# --- jurors ----------------------------------------------------------------------------------------------------------


def _summon(it: Dispute, now: float, pause: float) -> tuple[Effect, ...]:
    due = [seat for seat in range(len(it.mediators)) if it.sitting >> seat & 1 and not it.voted >> seat & 1]
    due = [seat for seat in due if not it.witness(seat).vote]
    if not due:
        return ()
    summons = Summons(it.deal, it.table, it.job, it.mediators, gateway=0)
    shown = [_exhibit(it)] if it.shown and it.cid else []
    said: list[Effect] = [Send(it.mediators[seat], summons) for seat in due]
    agreeing = [seat for seat in due if it.witness(seat).agrees]
    said += [Send(it.mediators[seat], Expected(it.id, it.round, it.expected)) for seat in agreeing]
    said += [Send(it.mediators[seat], message) for seat in due for message in shown]
    later = min(SUMMON_MOST, 2 * pause)
    return (*said, WakeAt(now + pause, _timer(it, f"summon:{it.deadline}:{later}")))


def _heard(it: Dispute, now: float, sender: Address, message: Testimony) -> Step[Dispute]:
    if sender not in it.mediators or message.round != it.round or it.state != State.JURY:
        return Step(it)
    seat = it.mediators.index(sender)
    if not it.sitting >> seat & 1:
        return Step(it)
    known = it.witness(seat)
    match message:
        case Promised(signature=signature):
            new = replace(known, promise=signature)
        case Committed(commitment=commitment) if not known.commitment:  # the first one binds
            new = replace(known, commitment=commitment, late=it.shown)
        case Revealed(cid=cid, salt=salt, exit_code=code, gateway=gateway):
            new = replace(known, cid=cid, salt=salt, exit_code=code, gateway=gateway)
        case Judged(ruling=ruling, grounds=why, signature=signature) if 1 <= ruling <= 3:
            new = replace(known, ruling=ruling, grounds=why, vote=signature)
        case _:
            new = known
    if new == known:
        return Step(it)
    it = replace(it, witnesses=(*(w for w in it.witnesses if w.seat != seat), new))
    told = _told(it, Voted(sender, it.round, new.ruling, new.cid)) if new.vote != known.vote else ()
    told = (*told, *_expose(it, known, new))
    opened, effects = _open(it) if _all_committed(it) else Step(it)
    if isinstance(message, Revealed) and it.expected and is_tolerant(it.job):
        agreed, more = _weigh(opened, sender, new)
        return Step(agreed, (*told, *effects, *more))
    return Step(opened, (*told, *effects, *_relay_soon(opened, now)))


def _expose(it: Dispute, known: Witness, new: Witness) -> tuple[Effect, ...]:
    """Show the vault two votes of one juror, where one of them is against us."""
    ballots = [ballot(w.ruling, w.grounds) for w in (known, new) if w.vote]
    if len(set(ballots)) < 2 or (it.favours(known.ruling) and it.favours(new.ruling)):
        return ()
    first, second = (Ballot(w.ruling, w.grounds, w.vote) for w in (known, new))
    about = subject(it.id, f"exposed {new.seat}", it.round)
    return (Transact(about, Expose(it.deal, it.pool, new.seat, first, second)),)


def _weigh(it: Dispute, juror: Address, witness: Witness) -> Step[Dispute]:
    """Find out whether a juror's own run agrees with ours, within the module's tolerance."""
    if committed(witness.cid, witness.salt, juror) != witness.commitment or witness.late:
        return Step(it)
    if witness.cid == it.expected:
        return _agreed(it, [witness.seat])
    return Step(it, (_fetch_run(it, juror, witness),))


def _fetch_run(it: Dispute, juror: Address, witness: Witness) -> Effect:
    return Fetch(weighing(it.id), witness.cid, juror, witness.gateway)


def weighing(deal: bytes) -> bytes:
    """What the comparing of jurors' own runs is about."""
    return subject(deal, "juror")


def _agreed(it: Dispute, seats: list[int]) -> Step[Dispute]:
    changed = tuple(replace(w, agrees=True) if w.seat in seats else w for w in it.witnesses)
    message = Expected(it.id, it.round, it.expected)
    return Step(replace(it, witnesses=changed), tuple(Send(it.mediators[seat], message) for seat in seats))


def _all_committed(it: Dispute) -> bool:
    due = it.sitting & ~it.voted
    return all(it.witness(seat).commitment for seat in range(len(it.mediators)) if due >> seat & 1)


def _open(it: Dispute) -> Step[Dispute]:
    if it.shown or not it.drawn:
        return Step(it)
    it = replace(it, shown=True)
    if not it.cid:
        return Step(it)
    jurors = [who for seat, who in enumerate(it.mediators) if it.sitting >> seat & 1]
    return Step(it, tuple(Send(who, _exhibit(it)) for who in jurors))


def _exhibit(it: Dispute) -> Exhibit:
    return Exhibit(it.id, it.round, it.cid, it.salt, gateway=0)


# --- votes -----------------------------------------------------------------------------------------------------------


def _quorum(it: Dispute) -> list[Witness]:
    """Sound votes for a ruling that favours us, if they are enough, by seat."""
    sound = [
        w for w in it.witnesses if w.is_sound(it.sealed, it.mediators[w.seat], it.expected) and it.favours(w.ruling)
    ]
    for cast in sorted({ballot(w.ruling, w.grounds) for w in sound}):
        equal = sorted((w for w in sound if ballot(w.ruling, w.grounds) == cast), key=lambda w: w.seat)
        if len(equal) >= needed(it.deal, it.round):
            return equal
    return []


def _relay_soon(it: Dispute, now: float) -> tuple[Effect, ...]:
    equal = _quorum(it)
    if not equal:
        return ()
    if len(equal) == (it.sitting & ~it.voted).bit_count():
        return _relay(it)
    # who has run it once may have to run it once more before it votes
    at_work = any(w.commitment and not w.vote for w in it.witnesses if (it.sitting & ~it.voted) >> w.seat & 1)
    wait = STRAGGLERS + (it.job.resources.timeout if at_work else 0)
    return (WakeAt(now + wait, _timer(it, f"relay:{it.deadline}")),)


def _relay(it: Dispute) -> tuple[Effect, ...]:
    """Hand in a quorum: first the votes that rest on something; the others when the chain has those and wants more."""
    due = [w for w in _quorum(it) if not it.voted >> w.seat & 1]
    equal = [w for w in due if w.grounds != UNSHOWN] or due
    if not equal:
        return ()
    votes = tuple((w.seat, w.vote) for w in equal)
    what = "unshown" if equal[0].grounds == UNSHOWN else "votes"
    call = CastVotes(it.deal, it.pool, equal[0].ruling, equal[0].grounds, votes)
    return (Transact(subject(it.id, what, it.deadline), call),)


def _show_promises(it: Dispute) -> tuple[Effect, ...]:
    broken = sorted((w for w in it.witnesses if w.promise and not it.voted >> w.seat & 1), key=lambda w: w.seat)
    if not broken or not it.deal.juror_stake:
        return ()
    promises = tuple((w.seat, w.promise) for w in broken)
    call = CastVotes(it.deal, it.pool, 0, bytes(32), promises)
    return (Transact(subject(it.id, "promises", it.deadline), call),)


# --- the end ---------------------------------------------------------------------------------------------------------


def _ruled(it: Dispute, standing: DealState) -> tuple[Effect, ...]:
    if it.favours(it.ruling):
        return _deadline(it)
    used = (standing.sitting | standing.out).bit_count()
    if not it.disagrees:
        return (_finalize(it),)  # nothing is gained by letting the other side wait
    if len(it.mediators) < used + 2 * it.deal.jurors + 1:
        return _deadline(it)
    return (Transact(subject(it.id, "appeal"), Appeal(it.deal, it.pool, it.for_provider)), *_deadline(it))


def _finalize(it: Dispute) -> Effect:
    return Transact(subject(it.id, "finalize", it.deadline), Finalize(it.deal, it.pool))


def _deadline(it: Dispute) -> tuple[Effect, ...]:
    # the job creator ends it, and the provider a little later where nobody did
    wait = 1 + (LATER * it.deal.judge if it.for_provider else 0)
    return (WakeAt(it.deadline + wait, _timer(it, f"finalize:{it.deadline}")),)


def _timers(it: Dispute, now: float) -> tuple[Effect, ...]:
    phases = {"open": it.left(OPEN_AT), "promises": it.left(PROMISES_AT), "relay": it.left(OPEN_AT / 2)}
    timers = tuple(WakeAt(moment, _timer(it, f"{phase}:{it.deadline}")) for phase, moment in phases.items())
    timers = (WakeAt(now, _timer(it, f"summon:{it.deadline}:{SUMMON_EVERY}")), *timers)
    if not it.drawn:
        timers = (WakeAt(now, _timer(it, f"draw:{it.block}")),)
    return (*timers, *_deadline(it))


def _timer(it: Dispute, phase: str) -> Timer:
    return Timer(it.id, f"dispute:{phase}")


def _news(before: Dispute, it: Dispute) -> tuple[Effect, ...]:
    told: tuple[Effect, ...] = ()
    if it.drawn and (not before.drawn or it.sitting != before.sitting):
        jurors = tuple(who for seat, who in enumerate(it.mediators) if it.sitting >> seat & 1)
        told = _told(it, JuryDrawn(it.round, jurors))
    if it.ruling and it.ruling != before.ruling:
        told = (*told, *_told(it, Ruled(it.round, it.ruling, final=False)))
    return told


def _told(it: Dispute, report: JuryDrawn | Voted | Ruled) -> tuple[Effect, ...]:
    return (Tell(it.wanted, report),) if it.wanted else ()
