"""Everything that two peers say to each other, message by message.

Three ways of signing, and each message has one of them:
- *moves* of a negotiation, offers and a mediator's reports travel in a signed envelope (`protocol.signing`);
- *statements* carry the signature of an EIP-712 struct, since the vault may have to see it: `Statement.statement()`;
- the rest needs none beyond the authenticated stream.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from eth_hash.auto import keccak

from protocol.deal import Bill, Deal, DealId, Receipt, Result, Started, Vote, Voucher
from protocol.eip712 import Domain
from protocol.job import Job
from protocol.offers import JobOffer, MediatorOffer, ResourceOffer, Withdrawal
from protocol.terms import MOST_MEDIATORS, Terms
from protocol.types import (
    UNSIGNED,
    Amount,
    CidText,
    Hash,
    Large,
    Limit,
    Moment,
    Party,
    SealedKey,
    Signature,
    Small,
    TalkId,
    Text,
)

NEGOTIATE = "/lilypad/negotiate/1"
DEAL = "/lilypad/deal/1"
MEDIATE = "/lilypad/mediate/1"
PROTOCOLS = (NEGOTIATE, DEAL, MEDIATE)

Port = Annotated[int, "uint16"]
"""Where the sender's HTTP gateway listens, on the address of its libp2p connection; 0: it has none.

Only the port is taken from a peer's word: a URL of its choice could point at somebody else's machine. Agents write 0,
their world fills in its own port, as it does with signatures.
"""
Reason = Annotated[str, Limit(300)]


# --- negotiation: moves, each naming the digest of the talk's last move -------------------------------------------


@dataclass(frozen=True, slots=True)
class Propose:
    """Buyer: will you run this, on these terms? Opens a talk."""

    talk: TalkId
    job: Job
    gateway: Port
    terms: Terms


@dataclass(frozen=True, slots=True)
class Counter:
    """Either side: not those terms; these. A buyer takes a seller's terms by proposing the same."""

    talk: TalkId
    previous: Hash
    terms: Terms


@dataclass(frozen=True, slots=True)
class Accept:
    """Seller: agreed; the capacity is held for you until then, unless a better bid comes before you confirm."""

    talk: TalkId
    previous: Hash
    until: Moment


@dataclass(frozen=True, slots=True)
class Outbid:
    """Seller: the unconfirmed hold is released for a better bid; bid again or walk."""

    talk: TalkId
    previous: Hash


@dataclass(frozen=True, slots=True)
class Confirm:
    """Buyer: I take the hold; this is the deal."""

    talk: TalkId
    previous: Hash
    deal: Deal


@dataclass(frozen=True, slots=True)
class Bind:
    """Seller: here is my signature of the deal; from now on I am bound until ``start_by``."""

    talk: TalkId
    previous: Hash
    deal: Deal
    signature: Signature

    def statement(self) -> Deal:
        return self.deal


@dataclass(frozen=True, slots=True)
class Decline:
    """Seller: no; ``final`` means that no other terms would help."""

    talk: TalkId
    previous: Hash
    reason: Reason
    final: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """Either side: I leave this talk."""

    talk: TalkId
    previous: Hash
    reason: Reason
    final: bool


@dataclass(frozen=True, slots=True)
class Withdraw:
    """The author of the terms on the table takes them back before they were answered."""

    talk: TalkId
    previous: Hash


Move = Propose | Counter | Accept | Outbid | Confirm | Bind | Decline | Walk | Withdraw


# --- the deal --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Locked:
    """Job creator: the deal is in the vault, and here is my signature of it too."""

    deal: Deal
    signature: Signature

    def statement(self) -> Deal:
        return self.deal


@dataclass(frozen=True, slots=True)
class Begun:
    """Provider: I hold every input and begin."""

    deal: Hash
    signature: Signature

    def statement(self) -> Started:
        return Started(self.deal)


@dataclass(frozen=True, slots=True)
class Delivered:
    """Provider: the run is done, and this is where its result can be fetched."""

    deal: Hash
    cid: CidText
    salt: Hash
    exit_code: Small
    units: Large
    """Fuel used, where the executor counts it."""
    profile: Text
    """The execution profile under which fuel can be compared."""
    failure: Reason
    """Why the run ended before its program did; empty if it ended by itself."""
    gateway: Port
    signature: Signature

    def statement(self) -> Result:
        return Result(self.deal, sealed(self.cid, self.salt), self.exit_code, self.units)


@dataclass(frozen=True, slots=True)
class Received:
    """Job creator: I hold every block of that result."""

    deal: Hash
    sealed: Hash
    signature: Signature

    def statement(self) -> Receipt:
        return Receipt(self.deal, self.sealed)


@dataclass(frozen=True, slots=True)
class Paid:
    """Job creator: a voucher; the provider can redeem it if no settlement reaches the chain."""

    deal: Hash
    amount: Amount
    signature: Signature

    def statement(self) -> Voucher:
        return Voucher(self.deal, self.amount)


@dataclass(frozen=True, slots=True)
class Billed:
    """Provider, after a delivery that was not priced by the job: this is what was used, and what I ask for it."""

    deal: Hash
    used: Large
    """In parts of the price's unit: fuel, milliseconds or bytes."""
    amount: Amount
    signature: Signature

    def statement(self) -> Bill:
        return Bill(self.deal, self.amount)


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Provider: I can't do it, and this is why; the stakes follow the vault's rules."""

    deal: Hash
    reason: Reason


@dataclass(frozen=True, slots=True)
class Asking:
    """Either side, after silence or a restart: where are we? The other repeats its last message of this deal."""

    deal: Hash


@dataclass(frozen=True, slots=True)
class Opener:
    """Anybody to whoever may read private content: what I name by this CID lies in that box, and this opens it.

    Sent just before a message that names the content. For a private job's inputs, which the job names by their box,
    both CIDs are the same.
    """

    deal: Hash
    cid: CidText
    box: CidText
    key: SealedKey
    """Sealed for: deal ‖ CID text ‖ a blank ‖ box's CID text."""


DealMessage = Locked | Begun | Delivered | Billed | Received | Paid | Abandoned | Asking | Opener


# --- mediation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recheck:
    """A party to a mediator of the pool: run this again, and tell us what you get."""

    deal: Deal
    table: Hash
    """Digest of the move that named the terms; with the job it makes the deal's ``terms``."""
    job: Job
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    """The pool, sorted."""
    gateway: Port
    fee: Amount


@dataclass(frozen=True, slots=True)
class Rechecked:
    """Mediator to who asked, and to the provider: the result of my own run; I was not told the provider's."""

    deal: Hash
    asker: Party
    """The party that asked for it, and pays for it."""
    cid: CidText
    exit_code: Small
    units: Large
    profile: Text
    failure: Reason
    gateway: Port


@dataclass(frozen=True, slots=True)
class CannotRecheck:
    """Mediator: not me, and this is why."""

    deal: Hash
    reason: Reason


# --- a dispute -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summons:
    """Either party to a juror: judge this deal; module and inputs can be had from me. Again: say all you said."""

    deal: Deal
    table: Hash
    """Digest of the move that named the terms; with the job it makes the deal's ``terms``."""
    job: Job
    mediators: Annotated[tuple[Party, ...], Limit(MOST_MEDIATORS)]
    """The pool, sorted."""
    gateway: Port


@dataclass(frozen=True, slots=True)
class Promised:
    """Juror to both parties: my own run is over, I hold what I need to judge; silence after this may cost my stake."""

    deal: Hash
    round: Small
    signature: Signature

    def statement(self) -> Vote:
        return Vote(self.deal, self.round, 0, bytes(32))


@dataclass(frozen=True, slots=True)
class Committed:
    """Juror to the other jurors and both parties: my own run is over, and this hides its CID."""

    deal: Hash
    round: Small
    commitment: Hash
    """Keccak-256(salt ‖ the juror's address ‖ CID text)."""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Either party to a juror, once all have committed or half of their time is over: the provider's seal, opened."""

    deal: Hash
    round: Small
    cid: CidText
    salt: Hash
    gateway: Port
    """Where the sender serves that result."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Job creator to a juror whose run agrees with its own within the module's tolerance: its own run's CID.

    Where results that agree differ in their bytes, votes for "wrong" add up by naming this one. Who guessed has nothing
    that agrees, and is not told.
    """

    deal: Hash
    round: Small
    cid: CidText


@dataclass(frozen=True, slots=True)
class Revealed:
    """Juror to the other jurors and both parties: what I had committed to; its blocks can be had from me."""

    deal: Hash
    round: Small
    cid: CidText
    salt: Hash
    exit_code: Small
    gateway: Port


@dataclass(frozen=True, slots=True)
class Judged:
    """Juror to both parties: my vote, for whoever it favours to hand in."""

    deal: Hash
    round: Small
    ruling: Small
    """1 right, 2 wrong, 3 not fetchable."""
    grounds: Hash
    """What the ruling rests on, see docs/disputes.md; 0 where the juror could not compare."""
    signature: Signature

    def statement(self) -> Vote:
        return Vote(self.deal, self.round, self.ruling, self.grounds)


Testimony = Promised | Committed | Revealed | Judged
"""What a juror says."""
MediationMessage = (
    Recheck | Rechecked | CannotRecheck | Summons | Promised | Committed | Exhibit | Expected | Revealed | Judged
)

Message = Move | DealMessage | MediationMessage
Gossip = ResourceOffer | MediatorOffer | JobOffer | Withdrawal
Statement = Bind | Locked | Begun | Delivered | Billed | Received | Paid | Promised | Judged
Enveloped = Move | Rechecked | Committed | Revealed | Gossip
Serving = Propose | Delivered | Recheck | Rechecked | Summons | Exhibit | Revealed
"""Messages that name the port of their sender's gateway."""


def content_named(message: Message, domain: Domain) -> tuple[bytes, str] | None:
    """The deal and the content that whoever gets this message will fetch because of it; None where it names none."""
    match message:
        case Delivered(deal=deal, cid=cid) | Rechecked(deal=deal, cid=cid):
            return deal, cid
        case Exhibit(deal=deal, cid=cid) | Revealed(deal=deal, cid=cid):
            return deal, cid
        case Recheck(deal=signed, job=job) | Summons(deal=signed, job=job):
            return signed.id(domain), job.inputs_cid
        case _:
            return None


def sealed(cid: str, salt: bytes) -> bytes:
    """What a provider signs instead of its result's CID, so that a juror can't copy it: Keccak-256(salt ‖ CID text)."""
    return keccak(salt + cid.encode())


def unfilled(move: Move) -> Move:
    """A move as its agent wrote it: without the port and the signature that its world fills in."""
    match move:
        case Propose(gateway=gateway) if gateway:
            return replace(move, gateway=0)
        case Bind(signature=signature) if signature != UNSIGNED:
            return replace(move, signature=UNSIGNED)
        case _:
            return move


def protocol_of(message: Message) -> str:
    """The libp2p protocol that a message travels by."""
    if isinstance(message, Move):
        return NEGOTIATE
    return DEAL if isinstance(message, DealMessage) else MEDIATE


def deal_named(message: DealMessage, domain: Domain) -> DealId:
    """Which deal a message is about."""
    return message.deal.id(domain) if isinstance(message, Locked) else DealId(message.deal)
