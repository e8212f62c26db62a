"""The mediator: announces what it can re-run, runs it again when asked, and says what it got.

It is not told the provider's result, so it can't copy it. A check that is lost in a crash is asked of somebody else, so
nothing of it has to survive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from agents.effects import Effect, Execute, Fetch, Publish, Send, WakeAt
from agents.events import Began, Event, Fetched, Got, Heard, NotFetched, Ran, Timer, Woke
from protocol.identity import Address
from protocol.job import Capacity, Job
from protocol.messages import CannotRecheck, Recheck, Rechecked
from protocol.offers import JobOffer, MediatorOffer
from protocol.rules import Rules

ANNOUNCE = 20.0
"""Seconds between two announcements of the same offer."""
OFFER_LIFE = 75.0
"""Seconds until an offer expires by itself."""
MOST_CHECKS = 16
"""Checks taken on at once; they run as capacity allows."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a mediator can re-run, and for how much."""

    capacity: Capacity
    executors: tuple[str, ...]
    fee: int
    """Base units for one re-run."""
    addresses: tuple[str, ...] = ()
    """Multiaddrs where it can be dialled."""


@dataclass(frozen=True, slots=True)
class Check:
    """One re-run that somebody asked for."""

    asker: Address
    request: Recheck
    missing: tuple[str, ...]


class Mediator:
    """The agent of one mediator."""

    def __init__(self, me: Address, rules: Rules, bench: Bench, rng: Random) -> None:
        self.me = me
        self.rules = rules
        self.bench = bench
        self.rng = rng
        self.checks: dict[bytes, Check] = {}
        """By deal."""
        self.announced = float("-inf")

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the mediator do."""
        match event:
            case Began() | Woke(Timer(phase="announce")):
                self.announced = now
                again = ANNOUNCE * (0.8 + 0.4 * self.rng.random())
                return [Publish(self.offer(now)), WakeAt(now + again, Timer(self.me, "announce"))]
            case Heard(JobOffer(job=job)):
                return self._show_up(now, job)
            case Got(sender, Recheck() as request):
                return self._asked(now, sender, request)
            case Fetched(about, cid) if about in self.checks:
                return self._fetched(about, cid)
            case NotFetched(about, reason=reason) if about in self.checks:
                return self._refuse(self.checks.pop(about), f"the inputs could not be fetched: {reason}")
            case Ran(about, run) if about in self.checks:
                check = self.checks.pop(about)
                report = Rechecked(about, run.cid, run.exit_code, run.units, run.profile, run.failure, gateway=0)
                return [Send(check.asker, report)]
            case Woke(Timer(about, "given up")):
                self.checks.pop(about, None)
                return []
            case _:
                return []

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

    def _asked(self, now: float, asker: Address, request: Recheck) -> list[Effect]:
        about = request.deal.id(self.rules.domain)
        if about in self.checks:
            return []
        check = Check(asker, request, (request.job.module_cid, request.job.inputs_cid))
        reason = self._objection(asker, request)
        if reason is not None:
            return self._refuse(check, reason)
        self.checks[about] = check
        fetches = [Fetch(about, cid, asker, request.gateway) for cid in check.missing]
        return [*fetches, WakeAt(now + 2 * request.job.resources.timeout + 120, Timer(about, "given up"))]

    def _objection(self, asker: Address, request: Recheck) -> str | None:
        if asker != request.deal.jc or self.me in (request.deal.jc, request.deal.rp):
            return "only a deal's job creator may ask, and no party may check itself"
        if request.job.executor not in self.bench.executors:
            return f"no {request.job.executor} executor here"
        if request.fee < self.bench.fee:
            return f"the fee is {self.bench.fee}"
        if len(self.checks) >= MOST_CHECKS:
            return "busy"
        return self.bench.capacity.lacks(request.job.resources)

    def _fetched(self, about: bytes, cid: str) -> list[Effect]:
        check = self.checks[about]
        left = tuple(other for other in check.missing if other != cid)
        self.checks[about] = replace(check, missing=left)
        if left or not check.missing:
            return []
        return [Execute(about, check.request.job)]

    def _refuse(self, check: Check, reason: str) -> list[Effect]:
        about = check.request.deal.id(self.rules.domain)
        return [Send(check.asker, CannotRecheck(about, reason[:300]))]
