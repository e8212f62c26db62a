"""The resource provider: announces its machine, haggles over it, and never sells the same capacity twice.

An *accept* is a hold of a few seconds; until the buyer confirms it, a better bid may release it (`Outbid`). What is
held, bound or running is counted in `agents.promises`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random

from agents import sale as sales
from agents.effects import Consult, Effect, Inform, Publish, Send, WakeAt
from agents.events import (
    Began,
    ChainSaw,
    Decided,
    Event,
    Fetched,
    Got,
    Heard,
    Launched,
    NotFetched,
    NotRan,
    Ran,
    Refused,
    Solvency,
    Stakes,
    Timer,
    Unreached,
    Woke,
)
from agents.promises import Haggle, Promises
from agents.purses import Purses
from agents.roll import PHASE, Judged, Roll, slack
from agents.sale import Over, Sale, Waiting
from agents.shop import Shop
from agents.strategy import Accept as Taken
from agents.strategy import Answer, Breached, Dealt, Lost, Settled, View
from agents.strategy import Counter as Proposed
from protocol.deal import DealId
from protocol.errors import PeerFault
from protocol.identity import Address
from protocol.isolation import satisfies
from protocol.job import Job
from protocol.messages import (
    Accept,
    Bind,
    CannotRecheck,
    Confirm,
    Counter,
    DealMessage,
    Decline,
    Move,
    Outbid,
    Propose,
    Recheck,
    Rechecked,
    Testimony,
    deal_named,
)
from protocol.negotiation import Phase, Side, Talk
from protocol.negotiation import begin as begin_talk
from protocol.negotiation import step as step_talk
from protocol.offers import JobOffer, MediatorOffer, Price, ResourceOffer, Withdrawal
from protocol.prices import pay_at
from protocol.rules import Rules
from protocol.terms import Terms, deal_of
from protocol.types import UNSIGNED
from protocol.wire import agreement, digest

ANNOUNCE = 20.0
"""Seconds between two announcements of the same offer: gossip is lossy and peers come and go."""
NEWS = 0.5
"""Seconds between two announcements at least, however fast prices change."""
OFFER_LIFE = 75.0
"""Seconds until an offer expires by itself; three lost announcements are survived."""
MOST_TALKS = 256
MOST_TALKS_A_BUYER = 4
MOST_HOLDS_A_BUYER = 3
"""Holds, and deals that are not in the vault yet, of one buyer at a time."""
TALK_LIFE = 60.0
"""Seconds after which a talk that did not end is dropped."""
ROUNDS = 12
"""How often the strategy is asked in one talk."""


Memory = Sale | Judged
"""What a provider saves."""


class Provider:
    """The agent of one machine."""

    deaf_to = (ResourceOffer,)
    """Gossip that changes nothing here; a world need not bring it."""

    def __init__(self, me: Address, rules: Rules, shop: Shop, rng: Random) -> None:
        self.me = me
        self.rules = rules
        self.shop = shop
        self.rng = rng
        self.promises = Promises(rules, shop)
        self.haggles, self.sales = self.promises.haggles, self.promises.sales
        self.closing: tuple[tuple[str, int], ...] = ()
        """Units and prices of the latest deals made here, newest last."""
        self.purses = Purses()
        self.roll = Roll(me, rules, rng)
        self.announced = float("-inf")
        self.news = False
        """Whether there is something to announce and a timer for it."""

    def restore(self, records: Iterable[Memory]) -> None:
        """Take back what was saved, before `Began`."""
        for record in records:
            match record:
                case Sale() if not isinstance(record.stage, Over):
                    self.sales[DealId(record.id)] = record
                case Judged():
                    self.roll.restore(record)
                case Sale():
                    pass

    def handle(self, now: float, event: Event) -> list[Effect]:
        """What this event makes the provider do."""
        match event:
            case Began():
                resumed = [effect for sale in self.sales.values() for effect in sales.begin(sale, now).effects]
                return [*resumed, *self.roll.ask(now, self.shop.mediators), *self._announce(now)]
            case Woke(Timer(phase="announce")):
                return self._announce(now)
            case Woke(Timer(phase="news")):
                self.news, self.announced = False, now
                return [Publish(self.offer(now))]
            case Heard(JobOffer(job=job)):
                return self._show_up(now, job)
            case Heard(MediatorOffer() | Withdrawal() as offer):
                return self.roll.heard(now, offer)
            case Woke(Timer(phase=phase)) if phase == PHASE:
                return self.roll.ask(now)
            case Stakes(of):
                return self.roll.saw(now, of)
            case Got(sender, Propose() as move):
                return self._open(now, sender, move)
            case Got(sender, message) if isinstance(message, Move):
                return self._hear(now, sender, message)
            case Decided(about, answer):
                return self._decided(now, about, answer)
            case Woke(Timer(about, "talk" | "held" as phase)):
                return self._talk_timer(now, about, phase)
            case Unreached(message=Recheck(deal=deal)):
                return self._sale_event(now, event, deal.id(self.rules.domain))
            case Unreached(peer, message) if isinstance(message, Move):
                self.haggles.pop(peer + message.talk, None)
                return []
            case Got(sender, message) if isinstance(message, DealMessage):
                return self._sale_event(now, event, deal_named(message, self.rules.domain), sender)
            case Got(message=message) if isinstance(message, Testimony):
                return self._sale_event(now, event, message.deal)
            case Got(message=Rechecked(deal=deal) | CannotRecheck(deal=deal)):
                return self._sale_event(now, event, deal)
            case Solvency(who, free):
                return self._saw_purse(now, who, free)
            case ChainSaw(deal=deal):
                return self._sale_event(now, event, deal)
            case Woke(Timer(about)) | Fetched(about) | NotFetched(about) | Refused(about):
                return self._sale_event(now, event, about[:32])
            case Launched(about) | Ran(about) | NotRan(about):
                return self._sale_event(now, event, about[:32])
            case _:
                return []

    # --- announcing --------------------------------------------------------------------------------------------------

    def offer(self, now: float) -> ResourceOffer:
        """What this machine has on offer at this moment."""
        shop = self.shop
        return ResourceOffer(
            provider=self.me,
            serial=int(now * 1000),
            expires=int(now + OFFER_LIFE),
            addresses=shop.addresses,
            capacity=self.promises.free(),
            executors=shop.executors,
            isolation=shop.isolation,
            prices=tuple(Price(sheet.module, sheet.unit, self.promises.announced(sheet)) for sheet in shop.sheets),
            mediators=shop.mediators,
            vaults=(self.rules.vault,),
        )

    def _announce(self, now: float) -> list[Effect]:
        self.announced = now
        again = ANNOUNCE * (0.8 + 0.4 * self.rng.random())  # spread out, or all peers would speak at once
        return [Publish(self.offer(now)), WakeAt(now + again, Timer(self.me, "announce"))]

    def _show_up(self, now: float, job: Job) -> list[Effect]:
        # somebody who asks now may have joined after the last announcement
        if now - self.announced < 1.0 or self._objection(job) is not None:
            return []
        self.announced = now
        return [Publish(self.offer(now))]

    def _tell_news(self, now: float) -> list[Effect]:
        """Say what is free now and what it costs, as soon as the last announcement is old enough."""
        if self.news:
            return []
        if now - self.announced < NEWS:
            self.news = True
            return [WakeAt(self.announced + NEWS, Timer(self.me, "news"))]
        self.announced = now
        return [Publish(self.offer(now))]

    # --- haggling ----------------------------------------------------------------------------------------------------

    def _open(self, now: float, buyer: Address, move: Propose) -> list[Effect]:
        about = buyer + move.talk
        if about in self.haggles:
            return []  # a late copy
        talk = begin_talk(move, digest(move))
        theirs = sum(1 for haggle in self.haggles.values() if haggle.buyer == buyer)
        if len(self.haggles) >= MOST_TALKS or theirs >= MOST_TALKS_A_BUYER:
            return [Send(buyer, Decline(move.talk, talk.head, "too many talks at once", final=False))]
        objection = self._objection(move.job) or self._cannot_sign(now, buyer, move.job, move.terms)
        sheet = self.shop.sheet(move.job, move.terms.unit)
        looked = self.roll.ask(now, move.terms.mediators)  # so that they are known in its next talk
        if objection is not None or sheet is None:
            reason = objection or f"no price for this module by the {move.terms.unit}"
            final = sheet is None or self._lasts(now, buyer, move.job, move.terms, objection)
            return [*looked, Send(buyer, Decline(move.talk, talk.head, reason, final))]
        if not self.promises.has_room(move.job) and self.promises.to_outbid(sheet.unit) == 0:
            return [Send(buyer, Decline(move.talk, talk.head, "busy", final=False))]
        mandate = self.promises.mandate(sheet, talk, int(now))
        self.haggles[about] = Haggle(buyer, move.gateway, int(now), mandate, talk, (move.terms,), (move.terms,))
        looked += self.purses.ask(now, buyer)  # so that it is known when a hold is due
        return [*looked, WakeAt(now + TALK_LIFE, Timer(about, "talk")), *self._consult(now, about)]

    def _hear(self, now: float, buyer: Address, move: Move) -> list[Effect]:
        about = buyer + move.talk
        haggle = self.haggles.get(about)
        if haggle is None:
            return []
        before = haggle.talk
        if isinstance(move, Confirm) and before.phase is Phase.RELEASED and move.previous in before.seen:
            return []  # it crossed our `Outbid` on the way, which the buyer will hear
        try:
            talk = step_talk(before, Side.BUYER, move, digest(move))
        except PeerFault as fault:
            return self._end(about, f"{fault}", final=True)
        if talk is before:
            return []
        self.haggles[about] = haggle = replace(haggle, talk=talk)
        match move:
            case Counter(terms=terms):
                objection = self._cannot_sign(now, buyer, talk.job, terms)
                if terms.unit != before.terms.unit:
                    objection = "the unit of the price can't change within a talk"
                if objection is not None:
                    return self._end(about, objection, final=self._lasts(now, buyer, talk.job, terms, objection))
                self.haggles[about] = replace(
                    haggle, history=(*haggle.history, terms), received=(*haggle.received, terms)
                )
                return self._consult(now, about)
            case Confirm():
                return self._confirmed(now, about, move)
            case _:
                del self.haggles[about]
                return [Inform("", Lost(talk.reason)), *self._freed(now, before)]

    def _consult(self, now: float, about: bytes) -> list[Effect]:
        haggle = self.haggles[about]
        talk = haggle.talk
        mine = haggle.proposed[-1] if haggle.proposed else None
        sheet = self.shop.sheet(talk.job, talk.terms.unit)
        if sheet is not None:  # what others hold by now has changed what this must bring
            haggle = self.haggles[about] = replace(haggle, mandate=self.promises.mandate(sheet, talk, haggle.began))
        if talk.terms == mine and haggle.mandate.admits(talk.terms):
            return self._decided(now, about, Taken())  # a buyer takes our terms by proposing the same
        view = View(
            role="seller",
            mandate=haggle.mandate,
            theirs=talk.terms,
            mine=mine,
            history=haggle.history,
            received=haggle.received,
            proposed=haggle.proposed,
            round=haggle.asked,
            rounds_left=max(0, ROUNDS - haggle.asked),
            now=now,
            deadline=talk.terms.start_by,
            market=tuple(pay_at(rate, unit, talk.terms.most) for unit, rate in self.closing if unit == talk.terms.unit),
            rng=self.rng,
            rules=self.rules,
            base=talk.terms,
        )
        self.haggles[about] = replace(haggle, asked=haggle.asked + 1)
        return [Consult(about, view)]

    def _decided(self, now: float, about: bytes, answer: Answer) -> list[Effect]:
        haggle = self.haggles.get(about)
        if haggle is None or haggle.talk.phase is not Phase.ASKED:
            return []
        match answer:
            case Taken() if haggle.mandate.admits(haggle.talk.terms):
                return self._hold(now, about)
            case Taken():
                floor = self.promises.floor(haggle.talk)
                hopeless = floor is None or haggle.talk.terms.pay < floor
                return self._end(about, "the price is below this provider's floor", final=hopeless)
            case Proposed(terms):
                # only what the mandate names is the strategy's to move: the rest stays as asked, and was checked
                wanted = haggle.mandate.within(self.rules, haggle.talk.terms, terms)
                if (reason := self.rules.objection(now, haggle.talk.job, wanted)) is not None:
                    lasts = self._lasts(now, haggle.buyer, haggle.talk.job, wanted, reason)
                    return self._end(about, f"the strategy left the rules: {reason}", final=lasts)
                return self._move(about, Counter(*_link(haggle.talk), wanted))
            case _:
                # what another buyer's hold has raised comes down again, so then no walk is final
                floor = self.promises.floor(haggle.talk)
                calm = floor is not None and haggle.mandate.worst_pay <= floor
                return self._end(about, answer.reason, answer.final and calm)

    def _hold(self, now: float, about: bytes) -> list[Effect]:
        haggle = self.haggles[about]
        free = self.purses.known(now, haggle.buyer)
        if free is None:
            self.haggles[about] = replace(haggle, agreed=True)  # until it is known, nothing is held
            return self.purses.ask(now, haggle.buyer)
        theirs = self.promises.of(haggle.buyer)
        if len(theirs) >= MOST_HOLDS_A_BUYER:
            return self._end(about, "too many holds at once", final=False)
        needed = sum(theirs) + haggle.talk.terms.pay + haggle.talk.terms.jc_stake
        if free < needed:
            reason = f"{free} are free in your account of the vault, where this would need {needed}"
            return self._end(about, reason, final=False)
        released: list[Effect] = []
        while not self.promises.has_room(haggle.talk.job):
            worse = self.promises.worst_hold(haggle.talk.terms)
            if worse is None:
                return [*released, *self._end(about, "busy", final=False)]
            released += self._move(worse, Outbid(*_link(self.haggles[worse].talk)))
        until = int(now) + self.rules.hold
        moved = self._move(about, Accept(*_link(haggle.talk), until))
        return [*released, *moved, WakeAt(until + 1, Timer(about, "held")), *self._tell_news(now)]

    def _saw_purse(self, now: float, who: Address, free: int) -> list[Effect]:
        self.purses.saw(now, who, free)
        waiting = [about for about, it in self.haggles.items() if it.buyer == who and it.agreed]
        effects: list[Effect] = []
        for about in waiting:
            self.haggles[about] = replace(self.haggles[about], agreed=False)
            if self.haggles[about].talk.phase is Phase.ASKED:
                effects += self._hold(now, about)
        return effects

    def _confirmed(self, now: float, about: bytes, move: Confirm) -> list[Effect]:
        haggle = self.haggles[about]
        talk = haggle.talk
        if move.deal != deal_of(talk.terms, haggle.buyer, self.me, agreement(talk.table, talk.job)):
            return self._end(about, "that is not the deal that was agreed", final=True)
        deal_id = move.deal.id(self.rules.domain)
        sale = sales.opened(
            move.deal, deal_id, talk.job, talk.terms, haggle.gateway, self.rng.randbytes(32), talk.table
        )
        self.sales[deal_id] = sale
        self.closing = (*self.closing, (talk.terms.unit, talk.terms.rate))[-32:]
        bind = Bind(*_link(talk), move.deal, UNSIGNED)
        del self.haggles[about]
        dealt = Inform("", Dealt(talk.terms, haggle.mandate))
        return [*sales.begin(sale, now).effects, Send(haggle.buyer, bind), dealt, *self._tell_news(now)]

    def _talk_timer(self, now: float, about: bytes, phase: str) -> list[Effect]:
        haggle = self.haggles.get(about)
        if haggle is None:
            return []
        if phase == "talk":
            return self._end(about, "the talk took too long", final=False)
        if haggle.talk.phase is Phase.HELD and now >= haggle.talk.until:
            return [*self._end(about, "the hold ran out", final=False), *self._tell_news(now)]
        return []

    def _freed(self, now: float, talk: Talk) -> list[Effect]:
        return self._tell_news(now) if talk.phase in (Phase.HELD, Phase.CONFIRMED) else []

    def _move(self, about: bytes, move: Counter | Accept | Outbid) -> list[Effect]:
        haggle = self.haggles[about]
        haggle = replace(haggle, talk=step_talk(haggle.talk, Side.SELLER, move, digest(move)))
        if isinstance(move, Counter):
            proposed = (*haggle.proposed, move.terms)
            haggle = replace(haggle, proposed=proposed, history=(*haggle.history, move.terms))
        if haggle.talk.phase is Phase.OVER:
            del self.haggles[about]
        else:
            self.haggles[about] = haggle
        return [Send(haggle.buyer, move)]

    def _end(self, about: bytes, reason: str, final: bool) -> list[Effect]:
        haggle = self.haggles.pop(about)
        return [Send(haggle.buyer, Decline(*_link(haggle.talk), reason[:300], final)), Inform("", Lost(reason))]

    # --- limits ------------------------------------------------------------------------------------------------------

    def _objection(self, job: Job) -> str | None:
        if job.executor not in self.shop.executors:
            return f"no {job.executor} executor here"
        offered = dict(zip(self.shop.executors, self.shop.isolation, strict=False)).get(job.executor, "")
        if not satisfies(offered, job.isolation):
            return f"isolation: {job.isolation} wanted, {offered or 'none'} offered"
        return self.shop.lacks(job.resources)

    def _cannot_sign(self, now: float, buyer: Address, job: Job, terms: Terms) -> str | None:
        trusted = set(self.shop.mediators)
        if trusted and not set(terms.mediators) <= trusted:
            return "a mediator in the pool is not trusted here"
        return self.rules.objection(now, job, terms) or self._unjudged(now, buyer, terms)

    def _unjudged(self, now: float, buyer: Address, terms: Terms) -> str | None:
        """Why no dispute under these terms would be judged by whom this peer trusts, as far as it knows by now."""
        pool = terms.mediators
        if not self.shop.mediators:
            if not pool and self.roll.had_judges(now):
                return "its pool is empty, and this market has mediators"
            return self.roll.objection(now, self.roll.known(now), pool, buyer, self.me)
        if not pool:
            return "none of the mediators trusted here is in the pool"
        staked = sum(self.roll.is_staked(now, who) for who in pool)
        if not staked or len(pool) - staked > slack(len(pool)):
            return f"{staked} of the {len(pool)} mediators in its pool have a stake that is known here"
        return None

    def _lasts(self, now: float, buyer: Address, job: Job, terms: Terms, objection: str | None) -> bool:
        """Whether an objection would be the same in another talk; not if it is about the moment, or what is known."""
        return objection not in (self.rules.mistimed(now, job, terms), self._unjudged(now, buyer, terms))

    # --- deals -------------------------------------------------------------------------------------------------------

    def _sale_event(self, now: float, event: Event, about: bytes, sender: Address | None = None) -> list[Effect]:
        sale = self.sales.get(DealId(about))
        if sale is None or sender not in (None, sale.buyer):
            return []
        after, effects = sales.step(sale, now, event)
        if not isinstance(after.stage, Over):
            self.sales[DealId(about)] = after
            return [*effects, *(self._tell_news(now) if sale.busy and not after.busy else ())]
        del self.sales[DealId(about)]
        kept = isinstance(sale.stage, Waiting)
        return [*effects, Inform("", Settled(sale.deal.pay) if kept else Breached(after.stage.how))]


def _link(talk: Talk) -> tuple[bytes, bytes]:
    return talk.id, talk.head
