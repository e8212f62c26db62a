"""The grammar of a talk: who may say what, when; one table, kept alike by both sides and by no strategy.

::

    (buyer) Propose ──► ASKED ──Counter (seller)──► ANSWERED ──Counter (buyer)──► ASKED …
                          │
                          └──Accept (seller)──► HELD   (a buyer takes a seller's terms by proposing the same)
                                                 │ │
                          RELEASED ◄──Outbid─────┘ └──Confirm (buyer)──► CONFIRMED ──Bind (seller)──► BOUND
                             │  ▲                                            │
          Counter (buyer) ───┘  └──────────────────Outbid (seller)───────────┘
    Decline (seller) and Walk (either) before BOUND, Withdraw (the author of unanswered terms) ──► OVER

Every move after the first names the digest of the move that it answers (``previous``), so a talk is a chain of hashes
and neither side can claim another history. Two moves can cross on the wire: a buyer that has confirmed may still hear
`Outbid`, and either side may walk over a move that it has not seen. Late copies of known moves change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from protocol.deal import Deal
from protocol.errors import OutOfTurn, PeerFault
from protocol.job import Job
from protocol.messages import Accept, Bind, Confirm, Counter, Decline, Move, Outbid, Propose, Walk, Withdraw
from protocol.terms import Terms


class Side(Enum):
    """Who speaks."""

    BUYER = "buyer"
    SELLER = "seller"


class Phase(Enum):
    """Where a talk stands."""

    ASKED = "asked"
    """The buyer's terms are on the table."""
    ANSWERED = "answered"
    """The seller's terms are on the table."""
    HELD = "held"
    """The seller holds its capacity for the buyer."""
    RELEASED = "released"
    """The hold was given to a better bid."""
    CONFIRMED = "confirmed"
    """The buyer took the hold; the seller's signature is due."""
    BOUND = "bound"
    """Both are bound; the talk is done and the deal begins."""
    OVER = "over"
    """No deal."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One talk, as both of its sides see it."""

    id: bytes
    phase: Phase
    head: bytes
    """Digest of the last move."""
    table: bytes
    """Digest of the move that put the present terms on the table; once accepted it names the agreement."""
    seen: frozenset[bytes]
    """Digests of all moves, so that late copies are known."""
    job: Job
    terms: Terms
    rounds: int
    """How many terms have been proposed, by both sides together."""
    until: int = 0
    """HELD: the moment at which the hold ends."""
    deal: Deal | None = None
    """CONFIRMED and BOUND: what was confirmed."""
    reason: str = ""
    """OVER: why."""


MOST_ROUNDS = 200
"""Terms proposed in one talk, after which it is over: nobody haggles for ever at another's cost."""

_TABLE: dict[tuple[Phase, Side, type[Move]], Phase] = {
    (Phase.ASKED, Side.SELLER, Counter): Phase.ANSWERED,
    (Phase.ASKED, Side.SELLER, Accept): Phase.HELD,
    (Phase.ASKED, Side.BUYER, Withdraw): Phase.OVER,
    (Phase.ANSWERED, Side.BUYER, Counter): Phase.ASKED,
    (Phase.ANSWERED, Side.SELLER, Withdraw): Phase.OVER,
    (Phase.HELD, Side.BUYER, Confirm): Phase.CONFIRMED,
    (Phase.HELD, Side.SELLER, Outbid): Phase.RELEASED,
    (Phase.RELEASED, Side.BUYER, Counter): Phase.ASKED,
    (Phase.CONFIRMED, Side.SELLER, Bind): Phase.BOUND,
    (Phase.CONFIRMED, Side.SELLER, Outbid): Phase.RELEASED,
    **{
        (phase, side, kind): Phase.OVER
        for phase in (Phase.ASKED, Phase.ANSWERED, Phase.HELD, Phase.RELEASED, Phase.CONFIRMED)
        for side, kind in ((Side.BUYER, Walk), (Side.SELLER, Walk), (Side.SELLER, Decline))
    },
}


class BrokenChain(PeerFault):
    """A move that answers something else than the talk's last move."""


def begin(move: Propose, digest: bytes) -> Talk:
    """A talk that a buyer opens."""
    return Talk(move.talk, Phase.ASKED, digest, digest, frozenset((digest,)), move.job, move.terms, rounds=1)


def step(talk: Talk, side: Side, move: Move, digest: bytes) -> Talk:
    """The talk after this move; the same talk for a late copy; raises `OutOfTurn` or `BrokenChain`."""
    if digest in talk.seen or talk.phase in (Phase.OVER, Phase.BOUND):
        return talk
    after = _TABLE.get((talk.phase, side, type(move)))
    if after is None or isinstance(move, Propose):
        raise OutOfTurn(talk.phase, move)
    if move.previous != talk.head and not _may_cross(talk, move):
        raise BrokenChain(f"{type(move).__name__} answers another move than the last one")
    talk = replace(talk, phase=after, head=digest, seen=talk.seen | {digest})
    match move:
        case Counter(terms=terms):
            if talk.rounds >= MOST_ROUNDS:
                return replace(talk, phase=Phase.OVER, reason="too many rounds")
            return replace(talk, terms=terms, table=digest, rounds=talk.rounds + 1)
        case Accept(until=until):
            return replace(talk, until=until)
        case Confirm(deal=deal):
            return replace(talk, deal=deal)
        case Bind(deal=deal):
            if deal != talk.deal:
                raise BrokenChain("a signature of another deal than the confirmed one")
            return talk
        case Outbid():
            return replace(talk, deal=None)
        case Decline(reason=reason) | Walk(reason=reason):
            return replace(talk, reason=reason)
        case Withdraw():
            return replace(talk, reason="the terms were taken back")


def _may_cross(talk: Talk, move: Move) -> bool:
    # these say nothing about the move they missed, so they stand whatever it was, as long as they answer this talk
    return isinstance(move, Walk | Decline | Outbid | Withdraw) and move.previous in talk.seen
