"""The record of one dispute: all that anybody needs to check, without a node and without trust, how it was decided.

It holds what both parties signed, what the provider claimed, which jury sat and by what seed, and what each juror
signed. `findings` checks every step and says in words what it found. What a record can't show is said too, as a finding
of its own kind: who had a stake when a jury was drawn, and that nobody else ruled, is for a chain to tell. `hearsay`
has what is in a record without anything to check it by: the chain's blocks, how the dispute began, what nobody signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from eth_hash.auto import keccak

from protocol.deal import Deal, Result, Ruling, Silence, Vote
from protocol.eip712 import Domain, digest
from protocol.errors import PeerFault
from protocol.identity import Address, show
from protocol.job import Job
from protocol.judging import UNSHOWN, ballot, committed, grounds, is_tolerant, needed
from protocol.messages import sealed
from protocol.signing import Recover
from protocol.terms import MOST_MEDIATORS, pool_hash
from protocol.types import CidText, Hash, Large, Limit, Party, Signature, Small
from protocol.vault_disputes import jury_order
from protocol.vault_state import Outcome
from protocol.wire import agreement

NO_HASH = bytes(32)


@dataclass(frozen=True, slots=True)
class Testified:
    """What one juror said, with its signatures."""

    seat: Small
    """Its position in the pool."""
    commitment: bytes
    """Empty where none came."""
    cid: CidText
    """What it had committed to: the CID of its own run; empty where it was not opened."""
    salt: bytes
    ruling: Small
    """A `Ruling`; 0 where it did not vote to us."""
    grounds: bytes
    vote: bytes
    """Its signature of the vote; empty where none came."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """One jury's time."""

    round: Small
    """0, or 1 in an appeal."""
    block: Large
    """Number of the block whose hash was the seed; unused by a jury that is the whole pool."""
    block_hash: Hash
    """That hash; zeros where it is not known, or not needed."""
    sitting: Large
    """A bit for each seat of the pool."""
    before: Large
    """Seats that could not be drawn any more: of an earlier jury, or lost by silence."""
    ruling: Small
    """What this jury ruled; 0: nothing."""
    testimony: Annotated[tuple[Testified, ...], Limit(24)]


@dataclass(frozen=True, slots=True)
class Record:
    """One dispute from its deal to its end."""

    chain_id: Large
    vault: Party
    deal: Deal
    bond: Signature
    """The provider's signature of the deal."""
    table: Hash
    job: Job
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    contested: bool
    """The provider had claimed the delivery on chain; else it was accused."""
    sealed: Hash
    """What the vault has as the disputed result."""
    cid: CidText
    """What is under the seal; empty where it was never opened to the recorder."""
    salt: bytes
    exit_code: Small
    units: Large
    signature: bytes
    """The provider's signature of the result; empty where it never came."""
    expected: CidText
    """What the job creator's re-run gave; empty where there was none."""
    hearings: Annotated[tuple[Hearing, ...], Limit(8)]
    outcome: Small
    """An `Outcome` of the vault: how the deal ended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    holds: bool
    """Nothing in the record speaks against it."""
    what: str
    shown: bool = True
    """The record by itself is enough to say so; else it only may be."""
    flawed: bool = False
    """It is about a vote that the vault counts all the same, though it rests on nothing."""


def findings(record: Record, recover: Recover) -> list[Finding]:
    """Every check of a record, in the order in which things happened."""
    domain = Domain(record.chain_id, record.vault)
    name = record.deal.id(domain)
    found = [
        _signed("the provider signed the deal", recover, domain, record.deal, record.bond, record.deal.rp),
        Finding(record.deal.terms == agreement(record.table, record.job), "the job is the one that was sold"),
        Finding(record.deal.pool == pool_hash(record.mediators), "the pool is the one that both sides named"),
        Finding(
            not {record.deal.jc, record.deal.rp} & set(_sat(record)),
            "no party sat on its own jury",
        ),
    ]
    if record.cid:
        opens = sealed(record.cid, record.salt) == record.sealed
        found.append(Finding(opens, f"the seal in the vault opens to {record.cid}"))
    if record.signature:
        result = Result(name, record.sealed, record.exit_code, record.units)
        what = "the provider signed the result"
        found.append(_signed(what, recover, domain, result, record.signature, record.deal.rp))
    elif not record.contested:
        found.append(Finding(False, "an accusation needs the provider's signed result, and there is none"))
    before = 0
    for hearing in record.hearings:
        found += [*_seated(record, hearing, before), *_heard(record, hearing, domain, recover)]
        before |= hearing.sitting
    return [*found, _ended(record)]


def hearsay(record: Record) -> list[Finding]:
    """What only the chain, or nobody, can tell: the record's word for it, which changing it would not show."""
    kind = "the provider had claimed the delivery on chain, which was contested"
    said = [kind if record.contested else "the result was accused, and no delivery had been claimed on chain"]
    said += [
        f"block {hearing.block} had the hash 0x{hearing.block_hash.hex()}"
        for hearing in record.hearings
        if hearing.block_hash != NO_HASH and not _is_whole_pool(record, hearing)
    ]
    if record.expected and not _is_named(record):
        said.append(f"the job creator's own check gave {record.expected}, which nobody signed")
    return [Finding(True, what, shown=False) for what in said]


def _is_named(record: Record) -> bool:
    """Whether a juror's signed grounds name what the job creator's check gave."""
    why = grounds(Ruling.WRONG, record.sealed, record.expected)
    return any(said.vote and said.grounds == why for hearing in record.hearings for said in hearing.testimony)


def _is_whole_pool(record: Record, hearing: Hearing) -> bool:
    return len(record.mediators) == record.deal.jurors and not hearing.round


def _sat(record: Record) -> list[Address]:
    together = 0
    for hearing in record.hearings:
        together |= hearing.sitting
    return [record.mediators[seat] for seat in _seats(together) if seat < len(record.mediators)]


def _seats(bits: int) -> list[int]:
    return [seat for seat in range(bits.bit_length()) if bits >> seat & 1]


def _signed(what: str, recover: Recover, domain: Domain, struct: Any, signature: bytes, by: Address) -> Finding:
    try:
        return Finding(recover(digest(domain, struct), signature) == by, f"{what} ({show(by)})")
    except PeerFault as fault:
        return Finding(False, f"{what} ({show(by)}): {fault}")


def _title(hearing: Hearing) -> str:
    return "the appeal's jury" if hearing.round else "the jury"


def _wanted(record: Record, hearing: Hearing) -> int:
    """How many seats this jury has: n, or 2n + 1 in an appeal."""
    return 2 * record.deal.jurors + 1 if hearing.round else record.deal.jurors


def _seated(record: Record, hearing: Hearing, before: int) -> list[Finding]:
    """What is wrong with who sat, whatever block drew them; ``before`` are all who sat earlier."""
    title, found = _title(hearing), []
    if hearing.round > 1:
        found.append(f"there is no round {hearing.round}")
    if hearing.before != before:
        found.append(f"{title} says that others sat before it than did")
    if hearing.sitting >> len(record.mediators):
        found.append(f"{title} has seats that the pool has not")
    if hearing.sitting.bit_count() > _wanted(record, hearing):
        found.append(f"{title} has {hearing.sitting.bit_count()} seats; it may have {_wanted(record, hearing)}")
    if hearing.round and hearing.sitting & before:
        found.append(f"{title} has members who sat before")
    if len({said.seat for said in hearing.testimony}) < len(hearing.testimony):
        found.append(f"a juror of {title.removeprefix('the ')} is heard twice")
    return [Finding(False, what) for what in found]


def _heard(record: Record, hearing: Hearing, domain: Domain, recover: Recover) -> list[Finding]:
    title = _title(hearing)
    found = [_drawn(record, hearing, domain, title)]
    cast: dict[tuple[int, bytes], set[int]] = {}
    for said in hearing.testimony:
        who = record.mediators[said.seat] if said.seat < len(record.mediators) else Address(bytes(20))
        juror = f"juror {show(who)}"
        if not hearing.sitting >> said.seat & 1:
            found.append(Finding(False, f"{juror} had no seat"))
            continue
        if not said.vote:
            found.append(Finding(True, f"{juror} did not vote, or not to the recorder"))
            continue
        vote = Vote(record.deal.id(domain), hearing.round, said.ruling, said.grounds)
        ruling = Ruling(said.ruling).name if said.ruling in list(Ruling) else str(said.ruling)
        found.append(_signed(f"{juror} voted {ruling}", recover, domain, vote, said.vote, who))
        flaw = _flaw(record, said, who)
        own = f"its own run, {said.cid}, to which it had committed" if said.cid else "what it was shown"
        if said.grounds == UNSHOWN:
            own = "nothing: it could not compare, and says so"
        rests = f"{juror}'s vote {f'rests on nothing: {flaw}' if flaw else f'rests on {own}'}"
        found.append(Finding(True, rests, flawed=bool(flaw)))
        if found[-2].holds:  # the vault counts signatures, whatever they rest on
            cast.setdefault(ballot(said.ruling, said.grounds), set()).add(said.seat)
    if hearing.ruling:
        most = max((len(seats) for (ruling, _), seats in cast.items() if ruling == hearing.ruling), default=0)
        enough = 0 < most >= needed(record.deal, hearing.round)
        name = Outcome(hearing.ruling).name if hearing.ruling in list(Outcome) else str(hearing.ruling)
        needs = needed(record.deal, hearing.round)
        found.append(Finding(enough, f"{title} ruled {name} by {most} equal votes, of {needs} needed"))
    return found


def _drawn(record: Record, hearing: Hearing, domain: Domain, title: str) -> Finding:
    """That the hash of its block seats this jury, as far as a record can show it.

    Who is earlier in the order and did not sit must have been a party, which shows, or have lacked the stake, which
    only the chain of that time can tell: with any other hash there would be such members, too.
    """
    pool = b"".join(record.mediators)
    if _is_whole_pool(record, hearing):
        text, order = f"{title} is the whole pool", list(range(len(record.mediators)))
    elif hearing.block_hash == NO_HASH:
        text = f"{title} was drawn by the hash of block {hearing.block}, which the record does not have"
        return Finding(True, text, shown=False)
    else:
        text = f"{title} is what the hash recorded of block {hearing.block} draws from the pool"
        seed = keccak(record.deal.id(domain) + hearing.block_hash)
        order = [position for position, _ in jury_order(pool, seed)]
    parties = (record.deal.jc, record.deal.rp)
    free = [at for at in order if not hearing.before >> at & 1 and record.mediators[at] not in parties]
    drawn = [at for at in free if hearing.sitting >> at & 1]
    is_full = hearing.sitting.bit_count() >= _wanted(record, hearing)
    # a jury with a seat left went through all of the pool
    asked = free[: free.index(drawn[-1]) + 1 if drawn else 0] if is_full else free
    passed = len(asked) - len(drawn)
    if passed:
        text += f", if {passed} earlier in the order had no stake at that time"
    return Finding(True, text, shown=not passed)


def _flaw(record: Record, said: Testified, who: Address) -> str:
    """Why a vote does not rest on a run of the juror's own; empty if it does."""
    if said.ruling not in list(Ruling):
        return "there is no such ruling"
    ruling = Ruling(said.ruling)
    if said.cid and committed(said.cid, said.salt, who) != said.commitment:
        return f"it had not committed to {said.cid}, which it says its own run gave"
    if ruling is not Ruling.WRONG and said.grounds == UNSHOWN:
        return ""
    if ruling is Ruling.WRONG and (not said.cid or said.cid == record.cid):
        return "its own run gave nothing else"
    named = [said.cid, record.expected] if is_tolerant(record.job) else [said.cid]
    if not any(grounds(ruling, record.sealed, own) == said.grounds for own in named):
        return "it is about another result, or names another run"
    return ""


def _ended(record: Record) -> Finding:
    known = record.outcome in list(Outcome)
    outcome = Outcome(record.outcome) if known else Outcome.NONE
    ruled = [hearing.ruling for hearing in record.hearings if hearing.ruling]
    if ruled:
        return Finding(ruled[-1] == outcome, f"the deal ended as last ruled: {outcome.name}")
    default = Outcome.SPLIT if record.deal.silence == Silence.SPLIT else Outcome(record.deal.silence)
    if outcome is default:
        half = ": half the pay each" if default is Outcome.SPLIT else f": {outcome.name}"
        return Finding(True, f"no jury ruled, and the deal ended by its default{half}", shown=False)
    return Finding(False, f"the deal ended {outcome.name if known else record.outcome}, which no jury ruled")
