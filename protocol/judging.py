"""What a juror's signed words rest on: how it hides its own run, and what its vote says beside the ruling."""

from __future__ import annotations

from collections.abc import Callable

from eth_hash.auto import keccak

from protocol.deal import Deal, Ruling, Vote
from protocol.eip712 import Domain, digest
from protocol.identity import Address
from protocol.job import Job
from protocol.vault_calls import CastVotes

UNSHOWN = bytes(32)
"""Grounds of a vote whose juror was shown too little to judge by, or saw that running proves nothing."""
CUT_OFF = "bafybeifluz3nuowgd32gh3l7ey6wct4vo7jt4dlaiue4udmewezbv7xnpy"
"""The result of every run that its time limit has ended: no output, and exit code 124. When a limit of time strikes is
another moment on each machine, so what was written by then proves nothing, and who names this claims no result."""


def committed(cid: str, salt: bytes, juror: Address) -> bytes:
    """The commitment to a CID; the juror's address is in it, so another's is of no use to a copier."""
    return keccak(salt + juror + cid.encode())


def is_tolerant(job: Job) -> bool:
    """Whether results of this job can agree though their bytes differ."""
    return job.compare != "exact"


def grounds(ruling: Ruling, sealed: bytes, own: str) -> bytes:
    """What a vote carries beside its ruling: what it rests on.

    "Right" rests on the sealed result. Where the juror could not compare it with a run of its own, and with "not
    fetchable", the grounds are `UNSHOWN`, and the vault takes no stake over them: what one jury is shown and the other
    not is in the parties' hands. "Wrong" also names what the juror's own run gave instead: where honest runs
    differ among themselves the module does not repeat, and no quorum for "wrong" comes together. Where a module allows
    a tolerance it names the job creator's own run, of which only those are told whose run agrees with it. Nothing else
    is in it (not the others' commitments, say), or one juror could keep the others' votes apart by different tales.
    """
    match ruling:
        case Ruling.RIGHT:
            return keccak(sealed)
        case Ruling.WRONG:
            return keccak(sealed + own.encode())
        case Ruling.NOT_FETCHABLE:
            return UNSHOWN


def ballot(ruling: int, why: bytes) -> tuple[int, bytes]:
    """What votes must have in common to add up in the vault: "wrong" its grounds too, the others the ruling only."""
    return ruling, why if ruling == Ruling.WRONG else UNSHOWN


def own_vote(
    deal: Deal, pool: bytes, seat: int, vote: Vote, domain: Domain, sign: Callable[[bytes], bytes]
) -> CastVotes:
    """The call by which a juror hands in its own vote."""
    return CastVotes(deal, pool, vote.ruling, vote.commitments, ((seat, sign(digest(domain, vote))),))


def subject(deal: bytes, what: str, number: int = 0) -> bytes:
    """A name for one of several calls of a kind about one deal; it begins with the deal's id."""
    return deal + f"{what}:{number}".encode()


def needed(deal: Deal, round_: int) -> int:
    """How many equal votes decide: k, or n + 1 of the 2n + 1 of an appeal."""
    return deal.jurors + 1 if round_ else deal.quorum
