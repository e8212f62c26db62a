"""One job looking for a provider: several talks at once, the best hold is confirmed, the others are let go.

::

    GATHERING ──enough heard, or time passed──► TALKING ──no talk undecided──► CONFIRMING ──Bind──► (purchase)
        │ none fits                               │ ▲ nobody holds (busy: later)  │ no answer, outbid
        └──► (no offer)     (no agreement) ◄──────┘ └──────────────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from agents.auction import (
    AFTER_OUTBID,
    CROWD,
    MOST_LOTS,
    MOST_RIVALS,
    MOST_SPREAD,
    SETTLE_EACH,
    SPREAD_EACH,
    Auction,
    Lot,
)
from agents.bids import Bid, Bids
from agents.effects import Effect, Tell, WakeAt
from agents.events import Timer
from agents.preferences import Issue, Mandate, in_talk, shaped
from agents.promises import OUTBID_PERCENT
from agents.reports import Chosen, Outcome, Tendering
from agents.request import Request
from agents.shortlist import Shortlist
from agents.strategy import Accept as Taken
from agents.strategy import Answer
from agents.strategy import Counter as Proposed
from agents.strategy import Walk as Left
from protocol.errors import PeerFault
from protocol.identity import Address
from protocol.messages import Accept, Bind, Confirm, Counter, Decline, Move, Outbid, Walk
from protocol.negotiation import Phase, Side
from protocol.negotiation import step as step_talk
from protocol.offers import Offer, ResourceOffer
from protocol.terms import Terms, deal_of
from protocol.wire import agreement, digest

GATHER = 1.5
"""Seconds to listen before the first talk, when little has been heard yet."""
GATHER_KNOWN = 0.3
"""Seconds to listen when somebody fits already: time for others to answer the job offer just published."""
GATHER_JUDGES = 10.0
"""Seconds to wait for mediators that have announced themselves, and whose stakes are not in the vault yet."""
HEARD_ALL = 30.0
"""Seconds of listening after which every provider has announced itself at least once: no need to listen more."""
ENOUGH = 3
"""Fitting offers that are worth starting with at once."""
PATIENCE = 5.0
"""Seconds after which talks that are still undecided are left."""
MOST_WAITS = 4
"""How often in a row patience is had with peers that answer, where nobody has agreed yet: they may be slow machines."""
BIND_PATIENCE = 3.0
"""Seconds for a provider's signature after the confirmation."""
RETRY = 2.0
"""Seconds before another round of talks, when everybody was busy."""
SETTLE_MARGIN = 2.5
"""Seconds of a hold that are left for the confirmation."""
MARKET_MULTIPLE = 2
"""Without a limit of the user's own, the most to pay is this many times the middle one of the asking prices: the lowest
may be a lie, and would then be the end of the search."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The tender has ended without a deal."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Bought:
    """A provider has signed."""

    provider: Address
    bind: Bind
    terms: Terms
    rounds: int
    mandate: Mandate
    table: bytes
    """Digest of the move that named the terms."""


class Mode(Enum):
    """Where the tender stands."""

    GATHERING = "gathering"
    TALKING = "talking"
    CONFIRMING = "confirming"


class Tender:
    """The talks of one job."""

    def __init__(self, listed: Shortlist, rng: Random) -> None:
        self.list = listed
        self.me, self.rules, self.request, self.book = listed.me, listed.rules, listed.request, listed.book
        self.rng = rng
        self.auction: Auction | None = None
        """How to bid among many buyers; None where there are few."""
        self.mode = Mode.GATHERING
        self.bids = Bids(self.request.id, self.request.job, self.rules, rng)
        self._news: dict[Address, ResourceOffer] = {}
        """What has been announced since the auction was last looked at."""
        self._market: tuple[int, ...] = ()
        """What those that fit ask for this job."""
        self.round = 0
        self.patience = 0
        """How often it was begun to wait for what is undecided; earlier waits are void."""
        self.answered = False
        """Whether terms have come since."""
        self.waits = 0
        self.chosen: Address | None = None
        self.waited = False
        self.began = float("inf")
        self.end: Failure | Bought | None = None

    # --- events ------------------------------------------------------------------------------------------------------

    def begin(self, now: float, listened: float) -> list[Effect]:
        """Start talking if enough is known, else listen a little first; ``listened`` seconds have passed doing so."""
        self.waited, self.began = listened >= HEARD_ALL, now
        opened = self._enough(now)
        if opened:
            return opened
        pause = GATHER_KNOWN if self.list.has_judges(now) and self._fitting(now) else GATHER
        return self._timer(now + pause, "gather")

    def heard(self, now: float, offer: Offer) -> list[Effect]:
        """Something new is on offer."""
        if self.mode is Mode.GATHERING:
            return self._enough(now)
        if self.auction is not None and isinstance(offer, ResourceOffer):
            self._news[offer.provider] = offer  # looked at when it matters: every buyer hears every price
        return []

    def looked(self, now: float) -> list[Effect]:
        """More is known of who could judge."""
        return self._enough(now) if self.mode is Mode.GATHERING else []

    def _enough(self, now: float) -> list[Effect]:
        if not self.waited and not self.list.has_judges(now):
            return []
        known = len(self._fitting(now))
        if known >= ENOUGH or (self.waited and known):
            return self._open_talks(now)
        return []

    def _may_be_judged(self, now: float) -> bool:
        soon = now - self.began < GATHER_JUDGES
        return soon and not self.list.has_judges(now) and self.list.may_have_judges(now)

    def woke(self, now: float, phase: str) -> list[Effect]:
        """A timer of this tender has come."""
        match phase, self.mode:
            case "gather", Mode.GATHERING:
                self.waited = not self._may_be_judged(now)
                opened = self._enough(now)
                if opened or now < self.request.deadline:
                    return opened or self._timer(min(now + RETRY, self.request.deadline), "gather")
                self.end = self._nobody_fits(now)
            case str(), Mode.TALKING if phase == f"patience:{self.patience}" and self._worth_waiting():
                return self._have_patience(now)
            case str(), Mode.TALKING if phase == f"patience:{self.patience}":
                late = [bid for bid in self.bids if bid.undecided]
                left = [effect for bid in late for effect in self.bids.leave(bid, "you took too long")]
                for bid in late:
                    self._give_up(now, bid.provider)
                return [*left, *self._conclude(now)]
            case str(), Mode.CONFIRMING if self.chosen and phase == f"bind:{self.round}:{self.chosen.hex()}":
                return self._lost(now, self.bids[self.chosen], "no signature came", final=False, tell=True)
            case str(), Mode.TALKING if phase == f"court:{self.patience}":
                return self._court(now)
            case str(), Mode.TALKING if phase == f"settle:{self.patience}":
                return self._confirm(now)
            case str(), _ if phase == f"again:{self.round}":
                return self._open_talks(now)
        return []

    def decided(self, now: float, provider: Address, answer: Answer) -> list[Effect]:
        """The strategy has spoken about one talk."""
        bid = self.bids.get(provider)
        if bid is None or bid.over:
            return []
        match answer:
            case Left(reason, final):
                final = final and self._lasts(now, bid)
                return [*self.bids.leave(bid, reason, final), *self._conclude(now)]
            case Taken() if bid.talk is not None and bid.mandate.admits(bid.talk.terms):
                terms = bid.talk.terms  # proposing a seller's own terms is how a buyer takes them
            case Proposed(wanted):
                terms = bid.mandate.within(self.rules, bid.base, wanted)
                left = self.rules.objection(now, self.request.job, terms)
                if left is not None:
                    return [*self.bids.leave(bid, f"the strategy left the rules: {left}"), *self._conclude(now)]
            case _:
                return [*self.bids.leave(bid, "nothing that the mandate allows"), *self._conclude(now)]
        if bid.talk is None or bid.talk.phase in (Phase.ANSWERED, Phase.RELEASED):
            return self.bids.propose(bid, terms)
        return []

    def got(self, now: float, provider: Address, move: Move) -> list[Effect]:
        """A provider has moved."""
        bid = self.bids.get(provider)
        if bid is None or bid.over or bid.talk is None or bid.id != move.talk:
            return []
        try:
            talk = step_talk(bid.talk, Side.SELLER, move, digest(move))
        except PeerFault as fault:  # or a message overtook another on the way, which is nobody's fault
            return self._lost(now, bid, str(fault), final=False, tell=True)
        if talk is bid.talk:
            return []
        bid = self.bids.put(replace(bid, talk=talk))
        match move:
            case Counter(terms=terms):
                self.answered = True
                against = self.rules.objection(now, self.request.job, terms) or self._swapped(bid, terms)
                if against is not None:
                    reason = f"terms that nobody asked for: {against}"
                    lasting = self.rules.mistimed(now, self.request.job, terms) is None
                    return [*self.bids.leave(bid, reason, final=lasting), *self._conclude(now)]
                held = bid.mandate.holding(self.rules, terms, bid.base.start_by)
                bid = self.bids.received(replace(bid, mandate=held), terms)
                if self.auction is not None:
                    self._hear_prices(now)
                    # what is announced by another unit doesn't follow what is held, so it can't be held against anybody
                    heard = self.auction.asks if terms.unit == "job" else self.auction.raised
                    heard(provider, terms.pay)
                    return self._court(now)
                return self._ask(now, bid)
            case Accept():
                return self._conclude(now)
            case Outbid():
                if self.chosen == provider:
                    self.mode, self.chosen = Mode.TALKING, None
                bid = self.bids.put(replace(bid, outbid=True))
                if self.auction is not None:
                    self._hear_prices(now)
                    self.auction.raised(provider, bid.table.pay * (100 + OUTBID_PERCENT) // 100 + 1)
                    return self._court_soon(now)
                return [*self._ask(now, bid), *self._have_patience(now)]
            case Bind() if self.chosen == provider:
                return self._bought(bid, move)
            case Decline(reason=reason, final=final) | Walk(reason=reason, final=final):
                return self._lost(now, bid, reason, final)
            case _:
                return self._lost(now, bid, "the provider took its terms back", final=False)

    def unreached(self, now: float, provider: Address, talk: bytes) -> list[Effect]:
        """A move of this talk did not reach its provider, which may be there again in the next round."""
        bid = self.bids.get(provider)
        return [] if bid is None or bid.over or bid.id != talk else self._lost(now, bid, "not reachable", final=False)

    def put_off(self, request: Request) -> None:
        """Go on looking until this later deadline."""
        self.request = self.list.request = request

    def cancel(self) -> list[Effect]:
        """The user no longer wants the job: leave every talk."""
        return [effect for bid in self.bids if not bid.over for effect in self.bids.leave(bid, "cancelled")]

    # --- talks -------------------------------------------------------------------------------------------------------

    def _fitting(self, now: float) -> list[ResourceOffer]:
        return self.list.fitting(now, {bid.provider for bid in self.bids if bid.final})

    def _swapped(self, bid: Bid, terms: Terms) -> str | None:
        """What a seller changed that is none of the issues: it could name its own judges, or do away with checks."""
        wished = {wish.issue for wish in bid.mandate.wishes}
        free = {issue: issue.of(terms) for issue in Issue if issue is not Issue.CHECKS or issue in wished}
        same = shaped(self.rules, bid.base, terms.pay, free)
        changed = [name for name in Terms.__slots__ if getattr(same, name) != getattr(terms, name)]
        return f"{changed[0]} was changed" if changed else None

    def _lasts(self, now: float, bid: Bid) -> bool:
        """Whether the seller may be at its own limit: what others hold of its machine raises the price for a while."""
        offer = self.book.provider(now, bid.provider)
        full = offer is not None and self.list.misfit(offer) is not None
        return self.auction is None and not bid.outbid and not full

    def _open_talks(self, now: float) -> list[Effect]:
        if self.auction is not None:
            return self._court(now)
        fitting = self._fitting(now)
        self._market = tuple(self.list.asked(fitting))
        offers = self.list.whom_to_ask(now, fitting, self.rng)
        if not offers:
            return self._nobody_agrees(now)
        self.mode = Mode.TALKING
        self.round += 1
        self.waits = 0
        asks = self.list.asked(offers)
        effects: list[Effect] = [Tell(self.request.id, Tendering(tuple(offer.provider for offer in offers)))]
        if self.book.rivals(now, self.me) >= CROWD:
            most = self._market_limit(asks) if self.request.at_market else None
            self.auction = Auction(self._lot(now, offer, most) for offer in fitting[:MOST_LOTS])
            return [*effects, *self._join_crowd(now)]
        for offer in offers:
            most = self._market_limit(asks) if self.request.at_market else self.list.worth(offer)
            base = self.list.terms(now, offer)
            bid = self.bids.new(offer.provider, self._mandate(base, most, min(asks) // 2), base)
            effects += self._ask(now, bid)
        return [*effects, *self._have_patience(now)]

    def _mandate(self, base: Terms, most: int, best: int) -> Mandate:
        began = base.start_by - self.rules.lock_within
        return Mandate("buyer", most, min(most, best), in_talk(self.request.wishes, began))

    def _market_limit(self, asks: list[int]) -> int:
        return MARKET_MULTIPLE * sorted(asks)[len(asks) // 2]

    def _worth_waiting(self) -> bool:
        """Whether somebody has answered since the last wait began, and no hold would run out over it."""
        answered, self.answered = self.answered, False
        self.waits += 1
        return answered and self.waits < MOST_WAITS and not any(bid.held for bid in self.bids)

    def _have_patience(self, now: float) -> list[Effect]:
        self.patience += 1
        return self._timer(now + PATIENCE, f"patience:{self.patience}")

    def _ask(self, now: float, bid: Bid) -> list[Effect]:
        return self.bids.consult(now, bid, self._market)

    def _lost(self, now: float, bid: Bid, reason: str, final: bool, *, tell: bool = False) -> list[Effect]:
        left = self.bids.leave(bid, reason, final) if tell else self.bids.lost(bid, reason, final)
        self._give_up(now, bid.provider)
        if self.chosen != bid.provider:
            return [*left, *self._conclude(now)]
        # the others may still be deciding: another bid released them while this one was being confirmed
        self.mode, self.chosen = Mode.TALKING, None
        return [*left, *self._conclude(now), *self._have_patience(now)]

    # --- in a crowd --------------------------------------------------------------------------------------------------

    def _lot(self, now: float, offer: ResourceOffer, most: int | None) -> Lot:
        quote = self.list.quote(offer)
        worth = self.list.worth(offer) if most is None else most
        doubt = self.list.doubt(now, offer.provider)
        return Lot(offer.provider, worth, offer.serial, quote.pay if quote is not None else 0, doubt)

    def _hear_prices(self, now: float) -> None:
        news, self._news = self._news, {}
        for offer in news.values():
            self._hear_price(now, offer)

    def _hear_price(self, now: float, offer: ResourceOffer) -> None:
        assert self.auction is not None
        known = self.auction.lots.get(offer.provider)
        if known is not None and offer.serial <= known.serial:
            return
        fits = offer.provider != self.me and self.list.misfit(offer) is None
        if known is None and (self.request.at_market or not fits):
            return  # what is worth twice the middle price was said when there were others
        self.auction.hear(self._lot(now, offer, None if known is None else known.worth))
        if not fits:
            self.auction.taken(offer.provider)

    def _give_up(self, now: float, provider: Address) -> None:
        if self.auction is not None:
            self._hear_prices(now)  # or what it said before would bring it back
            self.auction.lost(provider)

    def _join_crowd(self, now: float) -> list[Effect]:
        """In a large crowd don't all bid at once, or all bid for the same: who comes later sees what is taken."""
        rivals = self.book.rivals(now, self.me)
        if rivals <= MOST_RIVALS:
            return self._court(now)
        self.patience += 1
        spread = min(SPREAD_EACH * rivals, MOST_SPREAD * (self.request.deadline - now))
        return self._timer(now + self.rng.random() * spread, f"court:{self.patience}")

    def _court_soon(self, now: float) -> list[Effect]:
        """Bid again once it can be known what the others pay now, and not all at the same moment."""
        self.patience += 1
        pause = AFTER_OUTBID + self.rng.random() * SPREAD_EACH * self._rivals(now)
        return self._timer(now + pause, f"court:{self.patience}")

    def _rivals(self, now: float) -> int:
        return min(MOST_LOTS, MOST_RIVALS, self.book.rivals(now, self.me))

    def _court(self, now: float) -> list[Effect]:
        """Bid where it is best now; one talk at a time, so one hold at most."""
        assert self.auction is not None
        self._hear_prices(now)
        self.mode = Mode.TALKING
        choice = self.auction.choose(self.bids.by_provider)
        best = None if choice is None else choice.lot.provider
        others = [bid for bid in self.bids if not bid.over and bid.provider != best]
        effects = [effect for bid in others for effect in self.bids.leave(bid, "another machine is the better choice")]
        if choice is None:
            return [*effects, *self._nobody_agrees(now)]
        bid = self.bids.get(choice.lot.provider)
        if bid is None or bid.over or bid.talk is None:
            self.round += 1
            offer = self.book.provider(now, choice.lot.provider)
            if offer is None:
                self.auction.lost(choice.lot.provider)
                return [*effects, *self._court(now)]
            base = self.list.terms(now, offer)
            bid = self.bids.new(offer.provider, self._mandate(base, choice.limit, choice.start), base)
        else:
            mandate = self._mandate(bid.base, choice.limit, choice.start)
            held = mandate.holding(self.rules, bid.talk.terms, bid.base.start_by)
            bid = self.bids.put(replace(bid, mandate=held))
        return [*effects, *self._ask(now, bid), *self._have_patience(now)]

    # --- the choice --------------------------------------------------------------------------------------------------

    def _conclude(self, now: float) -> list[Effect]:
        if self.mode is not Mode.TALKING or any(bid.undecided for bid in self.bids):
            return []
        held = [bid for bid in self.bids if not bid.over]
        if not held:
            return self._nobody_agrees(now) if self.auction is None else self._court(now)
        if self.auction is None:
            return self._confirm(now)
        # others may still overbid it; whoever confirms at once takes what is worth more to somebody else
        self.patience += 1
        settle = min(self.rules.hold - SETTLE_MARGIN, SETTLE_EACH * self._rivals(now))
        return self._timer(now + max(0.0, settle), f"settle:{self.patience}")

    def _confirm(self, now: float) -> list[Effect]:
        held = [bid for bid in self.bids if bid.held]
        if not held:
            return []

        best = min(held, key=lambda bid: (self.list.loss(now, bid.provider, bid.table.pay), self.rng.random()))
        assert best.talk is not None
        deal = deal_of(best.talk.terms, self.me, best.provider, agreement(best.talk.table, best.talk.job))
        self.mode, self.chosen = Mode.CONFIRMING, best.provider
        doubt = self.list.doubt(now, best.provider)
        rest = tuple(sorted(bid.table.pay for bid in held if bid is not best))
        told = Tell(self.request.id, Chosen(best.provider, best.talk.terms.pay, doubt, rest))
        confirmed = self.bids.move(best, Confirm(best.id, best.talk.head, deal))
        return [told, *confirmed, *self._timer(now + BIND_PATIENCE, f"bind:{self.round}:{best.provider.hex()}")]

    def _bought(self, bid: Bid, bind: Bind) -> list[Effect]:
        assert bid.talk is not None
        talk = bid.talk
        self.end = Bought(bid.provider, bind, talk.terms, talk.rounds, bid.mandate, talk.table)
        others = [other for other in self.bids if other.provider != bid.provider and not other.over]
        return [effect for other in others for effect in self.bids.leave(other, "bought elsewhere")]

    def _nobody_fits(self, now: float) -> Failure:
        lacks = self.list.misfits(now)
        heard = f"none fits: {'; '.join(sorted(lacks))}" if lacks else "no provider was heard"
        return Failure(Outcome.NO_OFFER, heard)

    def _nobody_agrees(self, now: float) -> list[Effect]:
        if now + RETRY < self.request.deadline and not (self.bids and all(bid.final for bid in self.bids)):
            return self._timer(now + RETRY, f"again:{self.round}")
        said = sorted({bid.reason for bid in self.bids if bid.reason})
        self.end = Failure(Outcome.NO_AGREEMENT, "; ".join(said) or "nobody answered")
        return []

    def _timer(self, moment: float, phase: str) -> list[Effect]:
        return [WakeAt(moment, Timer(self.request.id, f"tender:{phase}"))]
