"""What an agent tells its user about a job, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.deal import Deal
from protocol.identity import Address
from protocol.job import Run
from protocol.terms import Terms


class Outcome(Enum):
    """How a job ended for the one who asked for it."""

    DONE = "done"
    NO_OFFER = "no offer fits"
    NO_AGREEMENT = "no agreement"
    FAILED = "the job failed"
    DISPUTED = "disputed"
    TIMED_OUT = "timed out"
    NO_FUNDS = "not enough funds"
    CANCELLED = "cancelled"


class Verdict(Enum):
    """What checking a result gave."""

    ACCEPTED = "accepted"
    """A mediator's own run gave the same."""
    UNCHECKED = "unchecked"
    """Taken as it came: this time no check was due, or nobody was there to make it."""
    REJECTED = "rejected"
    """A mediator's own run gave something else."""


@dataclass(frozen=True, slots=True)
class Tendering:
    """Talks have been opened."""

    contacted: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class TalkOver:
    """A talk ended without a deal."""

    provider: Address
    by_us: bool
    """Whether we left, or they."""
    reason: str
    bid: int | None
    """The last price that we proposed, base units."""
    ask: int | None
    """The last price that they proposed."""
    rounds: int
    """Terms proposed by both sides together."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Of the machines that agreed, this one is confirmed."""

    provider: Address
    pay: int
    doubt: float
    """How likely this buyer takes it to be, from its own deals, that the provider breaks its word."""
    others: tuple[int, ...]
    """What the others that held their machines would have been paid."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """Both sides have signed; now the vault must lock it."""

    deal: Deal
    terms: Terms
    provider: Address
    rounds: int
    """Terms proposed in the talk that led here."""


@dataclass(frozen=True, slots=True)
class InVault:
    """Both shares are locked."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Running:
    """The provider holds the inputs and has begun."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Arrived:
    """The provider's signed word on its run; the result is being fetched."""

    run: Run


@dataclass(frozen=True, slots=True)
class Held:
    """Every block of the result is here and verified."""

    run: Run


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of the result's check."""

    verdict: Verdict
    mediators: tuple[Address, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class DisputeOpened:
    """The result is accused, or a delivery denied, before the vault."""

    deal: Deal
    contested: bool
    """The provider had claimed the delivery on chain; else we accuse it."""
    reason: str
    run: Run | None
    """What the provider signed, where it came."""


@dataclass(frozen=True, slots=True)
class JuryDrawn:
    """These judge it."""

    round: int
    """0, or 1 in an appeal."""
    jurors: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Voted:
    """A juror has told its vote."""

    juror: Address
    round: int
    ruling: int
    """A `Ruling`."""
    own: str = ""
    """CID of its own run, to which it had committed; empty where it has none."""


@dataclass(frozen=True, slots=True)
class Ruled:
    """The jury has ruled."""

    round: int
    ruling: int
    """An `Outcome` of the vault: right, wrong, not fetchable, or split where the jury stayed silent."""
    final: bool
    """Nothing can change it any more, and the money has moved."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth a line to the user, without consequences of its own."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last word on a job."""

    outcome: Outcome
    reason: str
    run: Run | None
    paid: int
    """Base units that went to the provider."""


Report = (
    Tendering
    | TalkOver
    | Chosen
    | Agreed
    | InVault
    | Running
    | Arrived
    | Held
    | Checked
    | DisputeOpened
    | JuryDrawn
    | Voted
    | Ruled
    | Noted
    | Ended
)
