"""The talks of one job with providers: what has been said in each, and what only this side knows of it.

Each `Bid` is a talk of `protocol.negotiation`; here it is opened, moved and left. Which of them to follow, and which to
confirm, is `agents.tender`'s to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from agents.effects import Consult, Effect, Send, Tell
from agents.preferences import Mandate
from agents.reports import TalkOver
from agents.strategy import View
from protocol.identity import Address
from protocol.job import Job
from protocol.messages import Confirm, Counter, Propose, Walk
from protocol.negotiation import Phase, Side, Talk
from protocol.negotiation import begin as begin_talk
from protocol.negotiation import step as step_talk
from protocol.rules import Rules
from protocol.terms import Terms
from protocol.wire import digest

ROUNDS = 12
"""How often the strategy is asked in one talk."""
MOST_STORIES = 200
"""Ended talks of one job that its user is told of."""


@dataclass(frozen=True, slots=True)
class Bid:
    """One talk, with what only this side knows."""

    provider: Address
    id: bytes
    mandate: Mandate
    base: Terms
    talk: Talk | None = None
    history: tuple[Terms, ...] = ()
    received: tuple[Terms, ...] = ()
    proposed: tuple[Terms, ...] = ()
    asked: int = 0
    outbid: bool = False
    """Whether others' bids have raised the price meanwhile."""
    over: bool = False
    reason: str = ""
    final: bool = False

    @property
    def undecided(self) -> bool:
        """Whether it goes on and the provider holds nothing yet."""
        return not self.over and (self.talk is None or self.talk.phase is not Phase.HELD)

    @property
    def held(self) -> bool:
        """Whether the provider waits for a word of ours."""
        return not self.over and not self.undecided

    @property
    def table(self) -> Terms:
        """The terms that were named last."""
        assert self.talk is not None
        return self.talk.terms


class Bids:
    """One job's talks, one a provider."""

    def __init__(self, request: bytes, job: Job, rules: Rules, rng: Random) -> None:
        self.request = request
        self.job = job
        self.rules = rules
        self.rng = rng
        self.by_provider: dict[Address, Bid] = {}
        self.stories = 0
        """How many ended talks its user was told of."""

    def __iter__(self) -> Iterator[Bid]:
        return iter(self.by_provider.values())

    def __len__(self) -> int:
        return len(self.by_provider)

    def __getitem__(self, provider: Address) -> Bid:
        return self.by_provider[provider]

    def get(self, provider: Address) -> Bid | None:
        """The talk with this provider, over or not."""
        return self.by_provider.get(provider)

    def put(self, bid: Bid) -> Bid:
        """Remember it, in place of an earlier talk with the same provider."""
        self.by_provider[bid.provider] = bid
        return bid

    def new(self, provider: Address, mandate: Mandate, base: Terms) -> Bid:
        """A talk that has yet to be opened."""
        return self.put(Bid(provider, self.rng.randbytes(16), mandate, base))

    def received(self, bid: Bid, terms: Terms) -> Bid:
        """The provider proposed these."""
        return self.put(replace(bid, history=(*bid.history, terms), received=(*bid.received, terms)))

    def consult(self, now: float, bid: Bid, market: tuple[int, ...]) -> list[Effect]:
        """Ask the strategy what to say next; ``market`` are the asking prices for this job."""
        theirs = bid.table if bid.talk is not None and bid.talk.phase is Phase.ANSWERED else None
        view = View(
            role="buyer",
            mandate=bid.mandate,
            theirs=theirs,
            mine=bid.proposed[-1] if bid.proposed else None,
            history=bid.history,
            received=bid.received,
            proposed=bid.proposed,
            round=bid.asked,
            rounds_left=max(0, ROUNDS - bid.asked),
            now=now,
            deadline=bid.base.start_by,
            market=market,
            rng=self.rng,
            rules=self.rules,
            base=theirs or bid.base,
        )
        self.put(replace(bid, asked=bid.asked + 1))
        return [Consult(self.request + bid.provider, view)]

    def propose(self, bid: Bid, terms: Terms) -> list[Effect]:
        """Open the talk, or answer in it, with these terms."""
        if bid.talk is not None:
            return self.move(bid, Counter(bid.id, bid.talk.head, terms))
        move = Propose(bid.id, self.job, 0, terms)
        self.put(replace(bid, talk=begin_talk(move, digest(move)), proposed=(terms,), history=(terms,)))
        return [Send(bid.provider, move)]

    def move(self, bid: Bid, move: Counter | Confirm) -> list[Effect]:
        """Say this."""
        assert bid.talk is not None
        bid = replace(bid, talk=step_talk(bid.talk, Side.BUYER, move, digest(move)))
        if isinstance(move, Counter):
            bid = replace(bid, proposed=(*bid.proposed, move.terms), history=(*bid.history, move.terms))
        self.put(bid)
        return [Send(bid.provider, move)]

    def leave(self, bid: Bid, reason: str, final: bool = False) -> list[Effect]:
        """Walk away, if there is anybody to walk away from."""
        self.put(replace(bid, over=True, reason=reason, final=final))
        if bid.talk is None or bid.talk.phase in (Phase.OVER, Phase.BOUND):
            return []
        walk = Send(bid.provider, Walk(bid.id, bid.talk.head, reason[:300], final))
        return [walk, *self._told(bid, reason, by_us=True)]

    def lost(self, bid: Bid, reason: str, final: bool) -> list[Effect]:
        """They left."""
        self.put(replace(bid, over=True, reason=reason, final=final))
        return self._told(bid, reason, by_us=False)

    def _told(self, bid: Bid, reason: str, *, by_us: bool) -> list[Effect]:
        self.stories += 1
        if self.stories > MOST_STORIES:
            return []
        last = [terms[-1].pay if terms else None for terms in (bid.proposed, bid.received)]
        rounds = 0 if bid.talk is None else bid.talk.rounds
        return [Tell(self.request, TalkOver(bid.provider, by_us, reason[:300], last[0], last[1], rounds))]
