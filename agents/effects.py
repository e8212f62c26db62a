"""What an agent wants done: a closed union of frozen dataclasses, all imperative; a world carries them out in order.

Durability: a world writes all of a batch's `Save`, `Forget` and `Tell` at once, before it carries out any other effect.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.events import Timer
from agents.reports import Report
from agents.strategy import Lesson, View
from protocol.deal import Deal, Vote
from protocol.identity import Address
from protocol.job import Job
from protocol.messages import Gossip, Message
from protocol.vault_calls import VaultCall


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell everybody."""

    offer: Gossip


@dataclass(frozen=True, slots=True)
class Send:
    """Tell one peer; the world signs what its kind wants signed."""

    to: Address
    message: Message


@dataclass(frozen=True, slots=True)
class Consult:
    """Ask the strategy; the answer comes as `Decided`."""

    talk: bytes
    view: View


@dataclass(frozen=True, slots=True)
class Inform:
    """Let the strategy learn from what became of a talk or a deal; it answers nothing."""

    strategy: str
    """As the job's user chose it; empty: the node's own."""
    lesson: Lesson


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Fire this timer at this moment."""

    moment: float
    timer: Timer


@dataclass(frozen=True, slots=True)
class Save:
    """Never forget this; replaces what was saved under the key."""

    key: str
    state: Any
    """A state of one of the agent's machines (a member of its union)."""


@dataclass(frozen=True, slots=True)
class Forget:
    """This is over."""

    key: str


@dataclass(frozen=True, slots=True)
class Transact:
    """Ask the vault; a refusal comes back as `Refused`, success shows in `ChainSaw`.

    The kind of the call and ``about`` name it for ever: asked again, also after a crash, it is sent once.
    """

    about: bytes
    call: VaultCall


@dataclass(frozen=True, slots=True)
class CastOwn:
    """Sign this vote and hand it in ourselves; for the rest as `Transact`."""

    about: bytes
    deal: Deal
    pool: bytes
    """Sorted addresses of the mediators, 20 bytes each."""
    seat: int
    """Our position in it."""
    vote: Vote


@dataclass(frozen=True, slots=True)
class Watch:
    """Report how this deal stands in the vault, now and at every change."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Unwatch:
    """No longer."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class LookUp:
    """Find out how much free money somebody has in the vault; the answer comes as `Solvency`."""

    who: Address


@dataclass(frozen=True, slots=True)
class LookUpStakes:
    """Find out with how much these have joined the vault as mediators; the answer comes as `Stakes`, in any case."""

    who: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Get this DAG from that peer's gateway, verified block by block."""

    about: bytes
    cid: str
    source: Address
    gateway: int
    """TCP port on the peer's address."""
    most: int = 4096 << 20
    """Bytes; more are not taken."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Run this job; its module and inputs are here."""

    about: bytes
    job: Job


@dataclass(frozen=True, slots=True)
class Compare:
    """Compare two results of a job, which are here, as its module's manifest says.

    The answer is `Compared`, or `NotCompared` where this machine can't.
    """

    about: bytes
    job: Job
    mine: str
    theirs: str
    """CIDs."""


@dataclass(frozen=True, slots=True)
class Share:
    """Let this peer read this content of a deal, if it is private and ours.

    Messages that name content bring what opens it by themselves; this is for where the other side knows the name.
    """

    to: Address
    deal: bytes
    cid: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Let the node's user know; it may read this later, so it is written as durably as what is saved."""

    job: bytes
    report: Report


Effect = (
    Publish
    | Send
    | Consult
    | Inform
    | WakeAt
    | Save
    | Forget
    | Transact
    | CastOwn
    | Watch
    | Unwatch
    | LookUp
    | LookUpStakes
    | Fetch
    | Execute
    | Compare
    | Share
    | Tell
)
