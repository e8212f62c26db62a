"""What an agent hears: a closed union of frozen dataclasses, all in the past tense."""

from __future__ import annotations

from dataclasses import dataclass

from agents.request import Request
from agents.strategy import Answer
from protocol.deal import DealId
from protocol.identity import Address
from protocol.job import Run
from protocol.messages import Gossip, Message
from protocol.vault_calls import VaultCall
from protocol.vault_state import DealState


@dataclass(frozen=True, slots=True)
class Began:
    """The world runs; after a restart the agent has been given back what it saved."""


@dataclass(frozen=True, slots=True)
class Jumped:
    """The chain's clock, which ``now`` is, was put forward: nobody has lived through these seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """An offer came by gossip; the world has checked that its author signed it."""

    offer: Gossip


@dataclass(frozen=True, slots=True)
class Got:
    """A message came from a peer; the world has checked every signature in it against the sender."""

    sender: Address
    message: Message


@dataclass(frozen=True, slots=True)
class Unreached:
    """A message could not be handed over."""

    peer: Address
    message: Message


@dataclass(frozen=True, slots=True)
class Timer:
    """What an agent asked to be woken for; a stale one names a phase that has passed, and does nothing."""

    about: bytes
    """The talk, job or deal."""
    phase: str


@dataclass(frozen=True, slots=True)
class Woke:
    """The moment of a timer has come."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Decided:
    """The strategy has answered a consultation about a talk."""

    talk: bytes
    answer: Answer


@dataclass(frozen=True, slots=True)
class Requested:
    """The node's user wants a job done."""

    request: Request


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The node's user no longer wants it."""

    job: bytes


@dataclass(frozen=True, slots=True)
class ChainSaw:
    """How a watched deal now stands in the vault, as deep in the chain as the profile wants."""

    deal: DealId
    standing: DealState
    at: int
    """Time of the block in which it stood so, seconds of the chain's clock."""
    sealed: bytes = b""
    """In a dispute: the sealed CID that it is about, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Solvency:
    """What somebody could lock in the vault at this moment."""

    who: Address
    free: int
    """Base units; 0 also where the chain could not be asked."""


@dataclass(frozen=True, slots=True)
class Stakes:
    """With how much mediators have joined the vault."""

    of: tuple[tuple[Address, int], ...]
    """Base units; 0 for one that wants to leave. Those about whom the chain could not be asked are left out."""


OWN_FUNDS = "not enough free money of our own in the vault"
"""The reason of a `Refused` where the world has seen that it was ours that was missing."""

OWN_COINS = "no coins to pay for the transaction's gas"
"""The reason of a `Refused` where the node's address could not pay for sending it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The vault would not do that."""

    about: bytes
    """The deal, as the agent said when it asked."""
    call: VaultCall
    reason: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """Every block of a DAG is here and verified."""

    about: bytes
    cid: str
    size: int
    """Bytes of all its distinct blocks."""
    doubt: str = ""
    """What in it does not look like a result of a run, where one was expected."""
    exit_code: int | None = None
    """What a result's own file of this name says; None where it is no result, or the world doesn't look."""


@dataclass(frozen=True, slots=True)
class NotFetched:
    """It could not be had from that source."""

    about: bytes
    cid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Launched:
    """The program of a run that was asked for has begun; a world that can't tell leaves this out."""

    about: bytes


@dataclass(frozen=True, slots=True)
class Ran:
    """The executor is done."""

    about: bytes
    run: Run


@dataclass(frozen=True, slots=True)
class NotRan:
    """This machine could not run it: its executor is sick or missing, which says nothing of the job."""

    about: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """Two results of one job have been compared as its module's manifest says."""

    about: bytes
    mine: str
    theirs: str
    """CIDs."""
    same: bool
    how: str
    """What differs, in words; empty if they are the same."""


@dataclass(frozen=True, slots=True)
class NotCompared:
    """This machine could not compare them, here and now, which says nothing of either."""

    about: bytes
    theirs: str
    """CID of the second of the two."""
    reason: str


Event = (
    Began
    | Jumped
    | Heard
    | Got
    | Unreached
    | Woke
    | Decided
    | Requested
    | Cancelled
    | ChainSaw
    | Solvency
    | Stakes
    | Refused
    | Fetched
    | NotFetched
    | Launched
    | Ran
    | NotRan
    | Compared
    | NotCompared
)
