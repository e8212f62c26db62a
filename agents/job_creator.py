"""The job creator: finds each of its user's jobs a provider, buys, checks, pays, and starts over if one fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated

from agents import purchase as purchases
from agents.effects import Effect, Forget, Inform, Publish, Save, Tell
from agents.events import (
    OWN_COINS,
    OWN_FUNDS,
    Began,
    Cancelled,
    ChainSaw,
    Compared,
    Decided,
    Event,
    Fetched,
    Got,
    Heard,
    Jumped,
    NotCompared,
    NotFetched,
    NotRan,
    Ran,
    Refused,
    Requested,
    Stakes,
    Timer,
    Unreached,
    Woke,
)
from agents.order_book import OrderBook
from agents.purchase_stages import (
    Awaiting,
    Checking,
    Claiming,
    Collecting,
    Contesting,
    Delivery,
    Fetching,
    Locking,
    Over,
    Paying,
    Purchase,
    Refusing,
    amount,
)
from agents.reports import Agreed, Ended, Noted, Outcome
from agents.reputation import Reputation, Standing
from agents.reputation import key as standing_key
from agents.request import Request
from agents.roll import PHASE, Judged, Roll
from agents.shortlist import Appraise, Shortlist
from agents.strategy import Breached, Dealt, Settled
from agents.tender import Bought, Failure, Tender
from agents.trust import Trust, Votes, lessons
from agents.trust import key as votes_key
from protocol.deal import DealId
from protocol.identity import Address
from protocol.job import Run
from protocol.messages import CannotRecheck, DealMessage, Move, Recheck, Rechecked, Testimony, deal_named
from protocol.offers import JobOffer, MediatorOffer, ResourceOffer, Withdrawal
from protocol.rules import Rules
from protocol.types import Count, Limit, Party, TalkId
from protocol.vault_state import Outcome as Ruled

JOB_OFFER_LIFE = 30
MILLION = 1_000_000
MOST_BROKEN = 5
"""Words broken over one job, after which its deadline is no longer put off."""
MOST_BREAKERS = 64
"""Those remembered for one job; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that its user still waits for."""

    id: TalkId
    request: Request
    broken: Count = 0
    """How often a provider has broken its word so far."""
    breakers: Annotated[tuple[Party, ...], Limit(MOST_BREAKERS)] = ()
    """Those that did so once their money was locked, the latest last: none of them gets the job again."""


Memory = Wanted | Purchase | Standing | Votes | Judged
"""What a job creator saves."""


def most_pay(request: Request, _: ResourceOffer) -> int:
    """The plainest appraisal: the job is worth the same on every machine that fits."""
    return request.most_pay


def key(job: bytes) -> str:
    """Where a wanted job is saved."""
    return f"wanted:{job.hex()}"


class JobCreator:
    """The agent of one buyer."""

    def __init__(
        self, me: Address, rules: Rules, rng: Random, appraise: Appraise = most_pay, *, settles_later: bool = False
    ) -> None:
        """``settles_later``: payments wait for company, so a job ends with its voucher, not with its settlement."""
        self.me = me
        self.rules = rules
        self.rng = rng
        self.book = OrderBook()
        self.roll = Roll(me, rules, rng)
        self.began = float("inf")
        """Since when it listens."""
        self.appraise = appraise
        self.settles_later = settles_later
        self.reputation = Reputation()
        self.trust = Trust()
        self.tenders: dict[bytes, Tender] = {}
        self.purchases: dict[DealId, Purchase] = {}
        self.wanted: dict[bytes, Wanted] = {}

    def restore(self, records: Iterable[Memory]) -> None:
        """Take back what was saved, before `Began`."""
        for record in records:
            match record:
                case Wanted():
                    self.wanted[record.id] = record
                case Purchase() if not isinstance(record.stage, Over):
                    self.purchases[DealId(record.id)] = record
                case Standing():
                    self.reputation.restore(record)
                case Votes():
                    self.trust.restore(record)
                case Judged():
                    self.roll.restore(record)
                case Purchase():
                    pass

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the job creator do."""
        match event:
            case Began():
                self.began = now
                return self._resume(now)
            case Jumped(seconds):
                return self._jumped(now, seconds)
            case Heard(offer):
                return self._heard(now, event) if self.book.hear(now, offer) else []
            case Stakes(of):
                return [*self.roll.saw(now, of), *self._all_tenders(now, lambda tender: tender.looked(now))]
            case Woke(Timer(phase=phase)) if phase == PHASE:
                return self.roll.ask(now)
            case Requested(request):
                return self._want(now, request)
            case Cancelled(job):
                return self._cancel(job)
            case Woke(Timer(about, phase)) if phase.startswith("tender:"):
                tender = self.tenders.get(about)
                moves = tender.woke(now, phase.removeprefix("tender:")) if tender else []
                return [*self.roll.ask(now), *self._tendered(now, about, moves)]
            case Decided(about, answer):
                job, provider = about[:16], Address(about[16:])
                tender = self.tenders.get(job)
                return self._tendered(now, job, tender.decided(now, provider, answer) if tender else [])
            case Got(sender, message) if isinstance(message, Move):
                return self._talk(now, sender, message)
            case Unreached(peer, message) if isinstance(message, Move):
                return self._not_reached(now, peer, message.talk)
            case Got(sender, message) if isinstance(message, DealMessage):
                return self._deal_event(now, event, deal_named(message, self.rules.domain), sender)
            case Got(_, Rechecked() | CannotRecheck() as message):
                return self._deal_event(now, event, message.deal)
            case Got(_, message) if isinstance(message, Testimony):
                return self._deal_event(now, event, message.deal)
            case Unreached(message=Recheck(deal=deal)):
                return self._deal_event(now, event, deal.id(self.rules.domain))
            case ChainSaw(deal=deal):
                return self._deal_event(now, event, deal)
            case Woke(Timer(about=about)) | Refused(about=about) | Fetched(about=about) | NotFetched(about=about):
                return self._deal_event(now, event, about[:32])
            case Ran(about=about) | NotRan(about=about) | Compared(about=about) | NotCompared(about=about):
                return self._deal_event(now, event, about[:32])
            case _:
                return []

    # --- finding a provider ------------------------------------------------------------------------------------------

    def _resume(self, now: float) -> list[Effect]:
        effects = [effect for it in self.purchases.values() for effect in purchases.begin(it, now).effects]
        bought = {it.wanted for it in self.purchases.values() if _is_hope(it)}
        for job, wanted in self.wanted.items():
            if job not in bought:
                effects += self._tender(now, wanted.request)
        return effects

    def _jumped(self, now: float, seconds: float) -> list[Effect]:
        """A user's patience is no time of the chain's: every search goes on for as long as it would have."""
        self.book.jumped(now)
        effects: list[Effect] = []
        for job, wanted in list(self.wanted.items()):
            later = replace(wanted.request, deadline=wanted.request.deadline + int(seconds))
            self.wanted[job] = replace(wanted, request=later)
            effects.append(Save(key(job), self.wanted[job]))
            tender = self.tenders.get(job)
            if tender is not None:
                tender.put_off(later)
                effects.append(self._looks_for(now, later))  # what was on offer has expired
        return effects

    def _want(self, now: float, request: Request) -> list[Effect]:
        if request.id in self.wanted:
            return []
        wanted = self.wanted[request.id] = Wanted(request.id, request)
        return [Save(key(request.id), wanted), *self._tender(now, request)]

    def _tender(self, now: float, request: Request) -> list[Effect]:
        breakers = self.wanted[request.id].breakers
        listed = Shortlist(
            self.me, self.rules, request, self.book, self.roll, self.reputation, self.trust, self.appraise, breakers
        )
        tender = self.tenders[request.id] = Tender(listed, self.rng)
        begun = self._tendered(now, request.id, tender.begin(now, now - self.began))
        return [self._looks_for(now, request), *self.roll.ask(now), *begun]

    def _looks_for(self, now: float, request: Request) -> Publish:
        return Publish(JobOffer(self.me, int(now * 1000), int(now) + JOB_OFFER_LIFE, request.job, (self.rules.vault,)))

    def _heard(self, now: float, event: Heard) -> list[Effect]:
        offer = event.offer
        if isinstance(offer, JobOffer):
            return []
        looked = self.roll.heard(now, offer) if isinstance(offer, MediatorOffer | Withdrawal) else []
        return [*looked, *self._all_tenders(now, lambda tender: tender.heard(now, offer))]

    def _talk(self, now: float, sender: Address, move: Move) -> list[Effect]:
        for job, tender in list(self.tenders.items()):
            bid = tender.bids.get(sender)
            if bid is not None and bid.id == move.talk:
                return self._tendered(now, job, tender.got(now, sender, move))
        return []

    def _not_reached(self, now: float, peer: Address, talk: bytes) -> list[Effect]:
        return self._all_tenders(now, lambda tender: tender.unreached(now, peer, talk))

    def _all_tenders(self, now: float, act: Callable[[Tender], list[Effect]]) -> list[Effect]:
        effects: list[Effect] = []
        for job, tender in list(self.tenders.items()):
            effects += self._tendered(now, job, act(tender))
        return effects

    def _tendered(self, now: float, job: bytes, effects: list[Effect]) -> list[Effect]:
        tender = self.tenders.get(job)
        if tender is None or tender.end is None:
            return effects
        del self.tenders[job]
        match tender.end:
            case Failure(outcome, reason):
                wanted = self.wanted.get(job)
                if wanted is not None and wanted.broken and outcome is Outcome.NO_OFFER:
                    outcome, reason = Outcome.TIMED_OUT, f"a provider broke its word, and no other was found: {reason}"
                return [*effects, *self._end(job, Ended(outcome, reason, None, 0))]
            case Bought() as bought:
                return [*effects, *self._buy(now, tender.request, bought)]

    def _cancel(self, job: bytes) -> list[Effect]:
        tender = self.tenders.pop(job, None)
        if tender is None:  # a signed deal goes on: its money is in the vault
            return [Tell(job, Noted("the deal is signed and goes on; its result can be fetched later"))]
        return [*tender.cancel(), *self._end(job, Ended(Outcome.CANCELLED, "cancelled before any deal", None, 0))]

    # --- deals -------------------------------------------------------------------------------------------------------

    def _buy(self, now: float, request: Request, bought: Bought) -> list[Effect]:
        deal = bought.bind.deal
        purchase = Purchase(
            id=deal.id(self.rules.domain),
            wanted=request.id,
            deal=deal,
            job=request.job,
            terms=bought.terms,
            bond=bought.bind.signature,
            rounds=bought.rounds,
            check=False,
            stage=Locking(),
            table=bought.table,
            check_by=request.check_by,
        )
        self.purchases[DealId(purchase.id)] = purchase
        agreed = Tell(request.id, Agreed(deal, bought.terms, bought.provider, bought.rounds))
        dealt = Inform(request.strategy, Dealt(bought.terms, bought.mandate))
        return [agreed, *purchases.begin(purchase, now).effects, dealt]

    def _deal_event(self, now: float, event: Event, about: bytes, sender: Address | None = None) -> list[Effect]:
        before = self.purchases.get(DealId(about))
        if before is None or sender not in (None, before.provider):
            return []
        if isinstance(event, Fetched) and isinstance(before.stage, Fetching):
            # only now, so that nothing done before can have told anybody
            before = replace(before, check=self.rng.randrange(MILLION) < before.terms.check_ppm)
        after, effects = purchases.step(before, now, event)
        self.purchases[DealId(about)] = after
        if type(after.stage) is type(before.stage):
            return list(effects)
        return [*effects, *self._moved_on(now, before, after)]

    def _moved_on(self, now: float, before: Purchase, after: Purchase) -> list[Effect]:
        match after.stage:
            case Over(how, ruling, paid):
                del self.purchases[DealId(after.id)]
                return [*self._learnt(now, after), *self._closed(now, before, how, Ruled(ruling), paid)]
            case Paying(delivery) if self.settles_later and (owed := amount(after, after.stage)) is not None:
                return self._end(after.wanted, _accepted(delivery.seen, "paid by voucher", owed))
            case Claiming(reason):
                return [self._noted(now, after, kept=False), *self._another(now, after, reason)]
            case Refusing() | Contesting(wrong=True):  # the job ends with the ruling
                return [] if isinstance(before.stage, Refusing) else [self._noted(now, after, kept=False)]
            case Contesting(reason, wrong=False):
                return [self._noted(now, after, kept=False), *self._another(now, after, reason)]
            case _:
                return []

    def _closed(self, now: float, before: Purchase, how: str, ruling: Ruled, paid: int) -> list[Effect]:
        match before.stage:
            case Paying(delivery) | Checking(delivery):
                # a bill above what was counted, or none, is a broken word, whatever it came to in the end
                fair = not isinstance(before.stage, Paying) or amount(before, before.stage) is not None
                noted = self._noted(now, before, kept=fair)
                settled = Inform(self._strategy_of(before), Settled(paid))
                return [*self._end(before.wanted, _accepted(delivery.seen, how, paid)), noted, settled]
            case Refusing() | Contesting() | Collecting():
                return self._ruled(before, how, ruling)
            case Locking() if how in (OWN_FUNDS, OWN_COINS):  # nobody else could be paid either
                return self._end(before.wanted, Ended(Outcome.NO_FUNDS, how, None, 0))
            case Locking() | Awaiting() | Fetching():
                return [self._noted(now, before, kept=False), *self._another(now, before, how)]
            case _:
                return []

    def _ruled(self, before: Purchase, how: str, ruling: Ruled) -> list[Effect]:
        job, pay = before.wanted, before.deal.pay
        match before.stage:
            case Collecting(run) if ruling is Ruled.RIGHT and how == before.stage.reason:
                if self._is_bought(job, before.id):
                    return []
                tender = self.tenders.pop(job, None)  # another provider was sought meanwhile
                left = tender.cancel() if tender is not None else []
                return [*left, *self._end(job, _accepted(run, how, pay))]
            case Refusing(Delivery() as found) | Contesting(delivery=Delivery() as found, wrong=True) if (
                ruling is Ruled.RIGHT
            ):
                return self._end(job, _accepted(found.seen, how, pay))
            case Refusing(delivery) | Contesting(delivery=delivery, wrong=True):
                claimed = delivery.run if delivery is not None else None
                paid = pay // 2 if ruling is Ruled.SPLIT else 0
                return self._end(job, Ended(Outcome.DISPUTED, how, claimed, paid))
            case _:  # another provider has been sought since the delivery was denied
                return []

    def _noted(self, now: float, it: Purchase, *, kept: bool) -> Save:
        standing = self.reputation.note(now, it.provider, kept=kept)
        return Save(standing_key(it.provider), standing)

    def _learnt(self, now: float, it: Purchase) -> list[Effect]:
        """What its jurors' votes say of them."""
        effects: list[Effect] = []
        for juror, right in lessons(it.dispute) if it.dispute is not None else ():
            doubted = self.trust.is_doubted(now, juror)
            votes = self.trust.note(now, juror, right=right)
            effects.append(Save(votes_key(juror), votes))
            if self.trust.is_doubted(now, juror) and not doubted:
                text = f"{votes.against} of its {votes.votes} votes were against what we knew: our pools leave it out"
                effects.append(Tell(it.wanted, Noted(f"mediator 0x{juror.hex()}: {text}")))
        return effects

    def _strategy_of(self, it: Purchase) -> str:
        wanted = self.wanted.get(it.wanted)
        return "" if wanted is None else wanted.request.strategy

    def _another(self, now: float, failed: Purchase, reason: str) -> list[Effect]:
        wanted = self.wanted.get(failed.wanted)
        if wanted is None or failed.wanted in self.tenders or self._is_bought(failed.wanted, failed.id):
            return []
        request, broken = wanted.request, wanted.broken + 1
        if request.patience and broken < MOST_BROKEN:
            # the fallback comes at once, however long ago the search for the first one ended
            request = replace(request, deadline=max(request.deadline, int(now) + request.patience))
        if now < request.deadline:
            breakers = wanted.breakers
            if not isinstance(failed.stage, Locking):  # a lock that failed may have been our own chain's doing
                breakers = (*breakers, failed.provider)[-MOST_BREAKERS:]
            wanted = self.wanted[failed.wanted] = Wanted(wanted.id, request, broken, breakers)
            noted = Tell(failed.wanted, Noted(f"another provider is sought: {reason}"[:300]))
            breached = Inform(wanted.request.strategy, Breached(reason))
            return [Save(key(wanted.id), wanted), noted, breached, *self._tender(now, request)]
        outcome = Outcome.FAILED if isinstance(failed.stage, Locking) else Outcome.TIMED_OUT
        return self._end(failed.wanted, Ended(outcome, reason, None, 0))

    def _is_bought(self, job: bytes, besides: bytes) -> bool:
        return any(it.wanted == job and it.id != besides and _is_hope(it) for it in self.purchases.values())

    def _end(self, job: bytes, ended: Ended) -> list[Effect]:
        if self.wanted.pop(job, None) is None:
            return []
        return [Forget(key(job)), Tell(job, ended)]


def _is_hope(it: Purchase) -> bool:
    """Whether the job may still end with this deal, so that no other is sought."""
    match it.stage:
        case Claiming() | Contesting(wrong=False) | Collecting():
            return False
        case _:
            return True


def _accepted(run: Run, how: str, pay: int) -> Ended:
    bad = run.failure or (f"the module ended with exit code {run.exit_code}" if run.exit_code else "")
    return Ended(Outcome.FAILED if bad else Outcome.DONE, bad or how, run, pay)
