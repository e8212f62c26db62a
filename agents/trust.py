"""Which mediators this peer would rather not be judged by: those that voted against what it knew, too often for chance.

A job creator that had a result run again knows what is right before the jury says so; so each of its disputes, and each
claim that it has seeded (docs/disputes.md), is a test of the jurors. A vote counts against a juror if it agrees with a
result that is wrong, names a run that nobody else gets, or does not open to what was committed before.

One such vote proves little, since machines fail. They are added up as in Page, "Continuous inspection schemes"
(Biometrika, 1954): the logarithm of how much likelier each vote is from a juror that runs nothing than from an honest
one, never below nothing, so that a good past covers for nobody. Like all of a peer's reputation it rests on what was
signed to this peer itself, and weighs half after a while.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import log

from agents.dispute import Dispute, Witness
from agents.reputation import HALF_LIFE, MOST_PEERS
from protocol.deal import Ruling
from protocol.identity import Address
from protocol.judging import is_tolerant
from protocol.types import Count, Large, Moment, Party

SLIP = 0.02
"""How often an honest juror's vote is against what is right: its machine, or ours, had a fault."""
IDLE = 0.5
"""How often that of a juror that runs nothing is, at least, where the claims it hears are false."""
UNIT = 1_000_000
"""Scores are kept in millionths, since what is saved holds no fractions."""
AGAINST = round(UNIT * log(IDLE / SLIP))
FOR = round(UNIT * log((1 - IDLE) / (1 - SLIP)))
LIMIT = round(UNIT * log(1000))
"""A thousand times likelier from a juror that runs nothing: three votes in a row against what was right, or more among
others."""
MOST_SCORE = 3 * LIMIT
"""So that even the worst is tried again some day."""


@dataclass(frozen=True, slots=True)
class Votes:
    """How one mediator has voted where this peer knew better."""

    peer: Party
    score: Large
    """As it weighed at a moment."""
    at: Moment
    votes: Count = 0
    against: Count = 0
    """…of these votes were against what was right."""

    def aged(self, now: float) -> Votes:
        """The same votes, as they weigh now."""
        factor = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE)
        return replace(self, score=int(self.score * factor), at=int(max(now, self.at)))


def key(peer: Address) -> str:
    """Where a mediator's votes are saved."""
    return f"votes:{peer.hex()}"


class Trust:
    """All mediators whose votes one job creator has seen."""

    def __init__(self) -> None:
        self._votes: dict[Address, Votes] = {}

    def restore(self, votes: Votes) -> None:
        """Take back what was saved."""
        self._votes[votes.peer] = votes

    def note(self, now: float, peer: Address, *, right: bool) -> Votes:
        """It has voted, for what is right or against it; gives what is to be saved."""
        before = self._votes.pop(peer, Votes(peer, 0, int(now))).aged(now)
        score = min(MOST_SCORE, max(0, before.score + (FOR if right else AGAINST)))
        after = replace(before, score=score, votes=before.votes + 1, against=before.against + (not right))
        if len(self._votes) >= MOST_PEERS:
            del self._votes[next(iter(self._votes))]  # the one that has not voted for longest
        self._votes[peer] = after
        return after

    def known(self) -> tuple[Votes, ...]:
        """All of it."""
        return tuple(self._votes.values())

    def is_doubted(self, now: float, peer: Address) -> bool:
        """Whether it is to be left out of pools: a mediator never heard in a dispute is not."""
        return self._score(now, peer) >= LIMIT

    def doubted(self, now: float, among: Collection[Address]) -> list[Address]:
        """Those of them, the worst first."""
        found = [peer for peer in among if self.is_doubted(now, peer)]
        return sorted(found, key=lambda peer: (-self._score(now, peer), peer))

    def _score(self, now: float, peer: Address) -> int:
        votes = self._votes.get(peer)
        return 0 if votes is None else votes.aged(now).score


def lessons(dispute: Dispute) -> tuple[tuple[Address, bool], ...]:
    """Who voted in a job creator's dispute over a result that it knows to be wrong, and whether the vote was right.

    Nothing is learnt where the jurors' own runs speak against our own: then the module does not repeat, or it is our
    machine that is wrong.
    """
    if dispute.for_provider or not dispute.disagrees or not dispute.expected:
        return ()
    found: list[tuple[Address, bool]] = []
    for hearing in dispute.hearings:
        runs = [w for w in hearing.witnesses if w.cid and _is_opened(dispute, w)]
        ours = sum(_is_ours(dispute, w) for w in runs)
        others = len({w.cid for w in runs if not _is_ours(dispute, w) and w.cid != dispute.cid})
        if others > ours:
            continue
        voted = [w for w in hearing.witnesses if w.vote and not w.late]  # to be slow is no crime
        found += [(dispute.mediators[w.seat], _is_right(dispute, w)) for w in voted]
    return tuple(found)


def _is_opened(dispute: Dispute, witness: Witness) -> bool:
    return witness.is_sound(dispute.sealed, dispute.mediators[witness.seat], dispute.expected)


def _is_ours(dispute: Dispute, witness: Witness) -> bool:
    return witness.agrees or witness.cid == dispute.expected


def _is_right(dispute: Dispute, witness: Witness) -> bool:
    if not _is_opened(dispute, witness) or witness.ruling == Ruling.RIGHT:
        return False
    # what it could not fetch it could not find wrong; but it ran the job, and got what we got
    return _is_ours(dispute, witness) or (is_tolerant(dispute.job) and witness.ruling == Ruling.WRONG)
