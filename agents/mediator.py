"""The mediator: announces what it can re-run, checks for whoever asks, and sits on juries with a stake.

Either party may ask for a check. In it the mediator is not told the provider's result, so it can't copy it. One that is
lost in a crash is asked of somebody else, so nothing of it has to survive; a dispute it has promised to judge survives
(`agents.juror`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from agents import juror
from agents.effects import Effect, Execute, Fetch, Publish, Send, Transact, Unwatch, WakeAt, Watch
from agents.events import (
    Began,
    ChainSaw,
    Compared,
    Event,
    Fetched,
    Got,
    Heard,
    NotCompared,
    NotFetched,
    NotRan,
    Ran,
    Refused,
    Timer,
    Woke,
)
from agents.juror_stages import OUT_OF_TIME, Case, Over, Summoned
from protocol.identity import Address
from protocol.job import Capacity, Job, most_content
from protocol.judging import subject
from protocol.messages import CannotRecheck, Committed, Exhibit, Expected, Recheck, Rechecked, Summons
from protocol.offers import JobOffer, MediatorOffer, ResourceOffer, Withdrawal
from protocol.rules import Rules
from protocol.terms import pool_hash
from protocol.vault_calls import Join
from protocol.vault_state import DealState, State
from protocol.wire import agreement

ANNOUNCE = 20.0
"""Seconds between two announcements of the same offer."""
OFFER_LIFE = 75.0
"""Seconds until an offer expires by itself."""
MOST_CHECKS = 16
"""Checks taken on at once; they run as capacity allows."""
MOST_CHECKS_FOR_ONE = 4
"""Of those, for one job creator."""
MOST_ASKED = 64
"""Checks of deals that the chain has not shown us yet: anybody can make those up."""
FETCHED_WITHIN = 300.0
"""Seconds for module and inputs to come: a party that never serves them must not keep a place for longer."""
SEEN_WITHIN = 20.0
"""Seconds after which such a check is dropped: its job has been run, so its deal has long been in the vault."""
MOST_CASES = 16
"""Disputes judged at once; nothing is promised in others."""
MOST_SUMMONED = 64
"""Disputes in which the chain has not seated us yet: anybody can make those up, so some give way to new ones, and
first those of which the chain knows nothing."""
MOST_SUMMONED_BY_ONE = 4
"""Of those, by one party."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a mediator can re-run, and for how much."""

    capacity: Capacity
    executors: tuple[str, ...]
    fee: int
    """Base units for one re-run."""
    addresses: tuple[str, ...] = ()
    """Multiaddrs where it can be dialled."""
    juror_fee: int = 0
    """Base units: the least for which it sits on a jury."""
    stake: int = 0
    """Base units to join the vault with now; 0: nothing."""
    staked: int = 0
    """What it had joined with before, which tells one wish to join from the next."""


@dataclass(frozen=True, slots=True)
class Check:
    """One re-run that somebody asked for."""

    number: int
    """One check of a deal is told from the next by it: timers and fetches of an earlier one do nothing."""
    askers: Mapping[Address, int]
    """One party of the deal, or both, in the order in which they asked; and the ports of their gateways."""
    request: Recheck
    missing: tuple[str, ...]
    seen: bool = False
    """The chain has its deal; nothing is fetched before."""
    failed: tuple[str, ...] = ()
    """What could not be had from an asker, once for each."""

    @property
    def payer(self) -> Address:
        """Who pays: the job creator, if it has asked too."""
        return self.request.deal.jc if self.request.deal.jc in self.askers else self.request.deal.rp

    def timer(self, about: bytes, phase: str) -> Timer:
        """One of this check alone."""
        return Timer(about, f"{phase}:{self.number}")


class Mediator:
    """The agent of one mediator."""

    deaf_to = (ResourceOffer, MediatorOffer, Withdrawal)
    """Gossip that changes nothing here; a world need not bring it."""

    def __init__(self, me: Address, rules: Rules, bench: Bench, rng: Random) -> None:
        self.me = me
        self.rules = rules
        self.bench = bench
        self.rng = rng
        self.checks: dict[bytes, Check] = {}
        """By deal."""
        self.cases: dict[bytes, Case] = {}
        """Disputes, by deal."""
        self.seats: dict[bytes, ChainSaw] = {}
        """What the chain said of disputes that we were too busy to take, by deal."""
        self.known: dict[bytes, bool] = {}
        """Whether the chain knows the deal of a dispute that we were summoned to, by deal."""
        self.asked = 0
        """Checks so far in this life."""
        self.announced = float("-inf")

    def restore(self, records: Iterable[Case]) -> None:
        """Take back what was saved, before `Began`."""
        self.cases = {case.id: case for case in records}

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the mediator do."""
        match event:
            case Began():
                resumed = [effect for case in self.cases.values() for effect in juror.begin(case, now).effects]
                return [*self._join(), *resumed, *self._announce(now)]
            case Woke(Timer(phase="announce")):
                return self._announce(now)
            case Heard(JobOffer(job=job)):
                return self._show_up(now, job)
            case Got(sender, Recheck() as request):
                return self._asked(now, sender, request)
            case Got(sender, Summons() as summons):
                return self._summoned(now, sender, summons)
            case Got(message=Committed(deal=deal) | Exhibit(deal=deal) | Expected(deal=deal)):
                return self._judge(now, deal, event)
            case ChainSaw(deal=deal):
                self.seats.pop(deal, None)
                return [*self._saw(now, deal, event.standing), *self._seated(now, deal, event)]
            case Fetched(about, cid) if self._is_current(about):
                return self._fetched(about[:32], cid)
            case NotFetched(about, cid, reason) if self._is_current(about):
                return self._not_fetched(about[:32], cid, reason)
            case NotRan(about, reason) if about in self.checks:
                return self._refuse(self.checks.pop(about), f"it can't be run here: {reason}")
            case Ran(about, run) if about in self.checks and run.failure.startswith(OUT_OF_TIME):
                return self._refuse(self.checks.pop(about), "it took longer here than its module may")
            case Ran(about, run) if about in self.checks:
                check = self.checks.pop(about)
                said = run.cid, run.exit_code, run.units, run.profile, run.failure
                report = Rechecked(about, check.payer, *said, gateway=0)
                # the provider may have agreed to bear a part of it, and takes nobody else's word that there was a check
                return [Send(to, report) for to in dict.fromkeys((*check.askers, check.request.deal.rp))]
            case Woke(Timer(about) as timer) if about in self.checks:
                return self._too_late(about, timer)
            case (
                Woke(Timer(about))
                | Fetched(about)
                | NotFetched(about)
                | Ran(about)
                | NotRan(about)
                | Compared(about)
                | NotCompared(about)
                | Refused(about)
            ):
                return self._judge(now, about[:32], event) if len(about) > 32 else []
            case _:
                return []

    # --- announcing --------------------------------------------------------------------------------------------------

    def _join(self) -> list[Effect]:
        if not self.bench.stake:
            return []
        return [Transact(subject(self.me, "join", self.bench.staked), Join(self.bench.stake))]

    def _announce(self, now: float) -> list[Effect]:
        self.announced = now
        again = ANNOUNCE * (0.8 + 0.4 * self.rng.random())
        return [Publish(self.offer(now)), WakeAt(now + again, Timer(self.me, "announce"))]

    def _show_up(self, now: float, job: Job) -> list[Effect]:
        # somebody who asks now may have joined after the last announcement
        able = job.executor in self.bench.executors and self.bench.capacity.holds(job.resources)
        if now - self.announced < 1.0 or not able:
            return []
        self.announced = now
        return [Publish(self.offer(now))]

    def offer(self, now: float) -> MediatorOffer:
        """What this mediator has on offer at this moment."""
        return MediatorOffer(
            mediator=self.me,
            serial=int(now * 1000),
            expires=int(now + OFFER_LIFE),
            addresses=self.bench.addresses,
            capacity=self.bench.capacity,
            executors=self.bench.executors,
            fee=self.bench.fee,
            vaults=(self.rules.vault,),
        )

    # --- disputes ----------------------------------------------------------------------------------------------------

    def _summoned(self, now: float, sender: Address, summons: Summons) -> list[Effect]:
        deal = summons.deal
        name = deal.id(self.rules.domain)
        if name in self.cases:
            return self._judge(now, name, Got(sender, summons))
        if self._is_no_case(sender, summons):
            return []
        waiting = [case for case in self.cases.values() if isinstance(case.stage, Summoned)]
        senders = [case for case in waiting if any(place.who == sender for place in case.parties)]
        dropped: list[Effect] = []
        if len(senders) >= MOST_SUMMONED_BY_ONE or len(waiting) >= MOST_SUMMONED:
            rivals = senders if len(senders) >= MOST_SUMMONED_BY_ONE else waiting
            least = min(rivals, key=lambda case: self.known.get(case.id, 0.5))  # the oldest of those alike
            self._forget(least.id)
            dropped = [Unwatch(least.deal)]
        self.cases[name], effects = juror.opened(self.me, sender, summons, name, self.rng.randbytes(32), now)
        return [*dropped, *effects]

    def _is_no_case(self, sender: Address, summons: Summons) -> bool:
        deal, job = summons.deal, summons.job
        return (
            sender not in (deal.jc, deal.rp)
            or self.me in (deal.jc, deal.rp)
            or self.me not in summons.mediators
            or deal.pool != pool_hash(summons.mediators)
            or deal.terms != agreement(summons.table, job)  # or a party could have us judge another job than was sold
            or job.executor not in self.bench.executors
            or self.bench.capacity.lacks(job.resources) is not None
            or deal.fee < self.bench.juror_fee
        )

    def _seated(self, now: float, name: bytes, event: ChainSaw) -> list[Effect]:
        case = self.cases.get(name)
        if case is not None and isinstance(case.stage, Summoned):
            self.known[name] = event.standing.state is not State.NONE
            sitting = sum(not isinstance(other.stage, Summoned) for other in self.cases.values())
            if sitting >= MOST_CASES:
                self.seats[name] = event
                return []
        return self._judge(now, name, event)

    def _judge(self, now: float, name: bytes, event: Event) -> list[Effect]:
        case = self.cases.get(name)
        if case is None:
            return []
        after, effects = juror.step(case, now, event)
        if not isinstance(after.stage, Over):
            self.cases[name] = after
            return list(effects)
        self._forget(name)
        if not self.seats:
            return list(effects)
        oldest = next(iter(self.seats))
        return [*effects, *self._seated(now, oldest, self.seats.pop(oldest))]

    def _forget(self, name: bytes) -> None:
        del self.cases[name]
        self.seats.pop(name, None)
        self.known.pop(name, None)

    # --- checks ------------------------------------------------------------------------------------------------------

    def _asked(self, now: float, asker: Address, request: Recheck) -> list[Effect]:
        about = request.deal.id(self.rules.domain)
        known = self.checks.get(about)
        if (reason := self._objection(asker, request, known)) is not None:
            return [Send(asker, CannotRecheck(about, reason[:300]))]
        if known is not None:
            # one of the two may be here only to keep the other's check from being done, and serve nothing
            self.checks[about] = joined = replace(known, askers={**known.askers, asker: request.gateway})
            return self._fetch(about, joined, asker) if known.seen and asker not in known.askers else []
        unseen = [name for name, other in self.checks.items() if not other.seen]
        of_asker = [name for name in unseen if asker in self.checks[name].askers]
        dropped: list[Effect] = []
        if len(of_asker) >= MOST_CHECKS_FOR_ONE or len(unseen) >= MOST_ASKED:
            dropped = self._drop((of_asker if len(of_asker) >= MOST_CHECKS_FOR_ONE else unseen)[0], "busy")
        self.asked += 1
        missing = request.job.module_cid, request.job.inputs_cid
        check = self.checks[about] = Check(self.asked, {asker: request.gateway}, request, missing)
        return [*dropped, Watch(request.deal), WakeAt(now + SEEN_WITHIN, check.timer(about, "unseen"))]

    def _objection(self, asker: Address, request: Recheck, known: Check | None) -> str | None:
        deal, job = request.deal, request.job
        if asker not in (deal.jc, deal.rp) or self.me in (deal.jc, deal.rp):
            return "only a deal's parties may ask, and no party may check itself"
        if self.me not in request.mediators or deal.pool != pool_hash(request.mediators):
            return "this mediator is not in the deal's pool"
        if deal.terms != agreement(request.table, job):
            return "it is not the job that was sold"
        if job.executor not in self.bench.executors:
            return f"no {job.executor} executor here"
        if request.fee < self.bench.fee:
            return f"the fee is {self.bench.fee}"
        return self.bench.capacity.lacks(job.resources) or (self._busy(asker) if known is None else None)

    def _busy(self, asker: Address) -> str | None:
        taken = [check.askers for check in self.checks.values() if check.seen]
        theirs = sum(asker in askers for askers in taken)
        return "busy" if len(taken) >= MOST_CHECKS or theirs >= MOST_CHECKS_FOR_ONE else None

    def _saw(self, now: float, about: bytes, standing: DealState) -> list[Effect]:
        """Begin a check whose deal is in the vault: only who has locked money for it is worth the work."""
        check = self.checks.get(about)
        if check is None or check.seen or standing.state is State.NONE:  # our endpoint may be a little behind
            return []
        if standing.state not in (State.OPEN, State.DELIVERED):
            return self._drop(about, "the deal is not open")
        if reason := self._busy(check.payer):
            return self._drop(about, reason)
        self.checks[about] = check = replace(check, seen=True)
        fetches = [effect for asker in check.askers for effect in self._fetch(about, check, asker)]
        until = now + FETCHED_WITHIN + 2 * check.request.job.resources.timeout
        return [
            *self._look_away(about, check),
            *fetches,
            WakeAt(now + FETCHED_WITHIN, check.timer(about, "unfetched")),
            WakeAt(until, check.timer(about, "given up")),
        ]

    @staticmethod
    def _fetch(about: bytes, check: Check, asker: Address) -> list[Effect]:
        most = most_content(check.request.job)
        name = subject(about, "check", check.number)
        return [Fetch(name, cid, asker, check.askers[asker], most) for cid in check.missing]

    def _is_current(self, about: bytes) -> bool:
        check = self.checks.get(about[:32])
        return check is not None and about == subject(about[:32], "check", check.number)

    def _not_fetched(self, about: bytes, cid: str, reason: str) -> list[Effect]:
        check = self.checks[about]
        if cid not in check.missing:
            return []
        self.checks[about] = check = replace(check, failed=(*check.failed, cid))
        if check.failed.count(cid) < len(check.askers):
            return []  # the other party may serve it
        return self._refuse(self.checks.pop(about), f"the inputs could not be fetched: {reason}")

    def _too_late(self, about: bytes, timer: Timer) -> list[Effect]:
        check = self.checks[about]
        if timer == check.timer(about, "unseen") and not check.seen:
            return self._drop(about, "the vault has no such deal")
        if timer == check.timer(about, "unfetched") and check.missing:
            return self._refuse(self.checks.pop(about), "the inputs did not come")
        if timer == check.timer(about, "given up"):
            return self._refuse(self.checks.pop(about), "the run does not end")
        return []

    def _drop(self, about: bytes, reason: str) -> list[Effect]:
        check = self.checks.pop(about)
        return [*self._look_away(about, check), *self._refuse(check, reason)]

    def _look_away(self, about: bytes, check: Check) -> list[Effect]:
        return [] if about in self.cases else [Unwatch(check.request.deal)]

    def _fetched(self, about: bytes, cid: str) -> list[Effect]:
        check = self.checks[about]
        left = tuple(other for other in check.missing if other != cid)
        self.checks[about] = replace(check, missing=left)
        if left or not check.missing:
            return []
        return [Execute(about, check.request.job)]

    def _refuse(self, check: Check, reason: str) -> list[Effect]:
        about = check.request.deal.id(self.rules.domain)
        return [Send(asker, CannotRecheck(about, reason[:300])) for asker in check.askers]
