"""A deal: what a job creator and a resource provider sign, and what each signs about it afterwards.

Every struct here is signed by EIP-712 under the vault's domain, so that the vault can judge it. A deal's
digest is its id everywhere. Amounts are base units of the chain's coin, moments are seconds of the chain's clock (Unix
time), spans seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NewType

from protocol.eip712 import Domain, digest
from protocol.types import Amount, Hash, Large, Moment, Party, Seat, Small, Span, Version

DealId = NewType("DealId", bytes)
"""32 bytes: the EIP-712 digest of the deal."""

NO_SEAT = 0
"""The seat of a deal that enters by ``open``: it needs none, its id is its only place."""


class Silence(IntEnum):
    """What a jury's silence means, agreed in the deal."""

    SPLIT = 0
    """Half the pay to the provider, half home; stakes and bonds go home."""
    RIGHT = 1
    """As if the result had been judged right."""
    WRONG = 2
    """As if the result had been judged wrong."""


@dataclass(frozen=True, slots=True)
class Deal:
    """All that the vault needs to know; the rest of the agreement is in ``terms``, by hash."""

    jc: Party
    """Job creator: pays."""
    rp: Party
    """Resource provider: delivers."""
    pay: Amount
    """The most that the provider earns; it gets less only with its own signed bill."""
    jc_stake: Amount
    """Timeout stake of the job creator: lost if it neither pays nor contests a delivery in time."""
    rp_stake: Amount
    """Timeout stake of the provider: lost if it does not deliver in time."""
    cheat: Amount
    """Cheat collateral of the provider: lost if a jury finds the result wrong; at least pay + n fees."""
    fee: Amount
    """What one juror earns in a dispute."""
    juror_stake: Amount
    """The least a juror must hold in the vault to be drawn."""
    start_by: Moment
    """The deal must be locked in the vault by this moment."""
    deliver_by: Moment
    """The result is due by this moment."""
    claim_until: Moment
    """The last moment for a claim; after it what is locked goes home."""
    grace: Span
    """How long after ``deliver_by`` a delivery still counts on chain."""
    answer: Span
    """How long the other side has to answer a claim."""
    judge: Span
    """How long the jurors have to vote."""
    appeal: Span
    """How long a ruling can be appealed; 0: a ruling stands at once."""
    pool: Hash
    """Keccak-256 over the addresses of the pool's mediators, 20 bytes each, sorted."""
    jurors: Small
    """n: how many are drawn; equal to the size of the pool means a named jury."""
    quorum: Small
    """k: how many equal votes decide; more than n / 2."""
    silence: Small
    """A `Silence`."""
    jc_seat: Seat
    """Slot (32 bits), lock number (40), position (8) of the job creator's share; 0 for ``open``."""
    rp_seat: Seat
    """The same for the provider's share."""
    terms: Hash
    """Hash of the whole agreement: the job, the terms, the talk they came from. Zero makes it a *standing line*: no
    job's, whose ``pay`` is the most that the jobs done on it may earn together; see `vault_lines`."""

    @property
    def jc_share(self) -> int:
        """What the job creator locks: pay and its timeout stake."""
        return self.pay + self.jc_stake

    @property
    def rp_share(self) -> int:
        """What the provider locks: its timeout stake and cheat collateral."""
        return self.rp_stake + self.cheat

    def id(self, domain: Domain) -> DealId:
        """The deal's name on one vault of one chain."""
        return DealId(digest(domain, self))


@dataclass(frozen=True, slots=True)
class Started:
    """Provider: I hold every input and begin."""

    deal: Hash


@dataclass(frozen=True, slots=True)
class Result:
    """Provider: this is what the run gave; an accusation needs it."""

    deal: Hash
    sealed: Hash
    """Keccak-256 of a 32-byte salt and the result's CID: jurors commit to their own run before it is opened."""
    exit_code: Small
    units: Large
    """Fuel used, where the executor counts it."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Job creator: I hold every block of that result."""

    deal: Hash
    sealed: Hash


@dataclass(frozen=True, slots=True)
class Voucher:
    """Job creator: the provider may take this much of the deal's pay, once."""

    deal: Hash
    amount: Amount


@dataclass(frozen=True, slots=True)
class Bill:
    """Provider: for this deal I ask no more than this."""

    deal: Hash
    amount: Amount


@dataclass(frozen=True, slots=True)
class Release:
    """Either party: end the deal now, this much of the pay to the provider, all else home; I shall not accuse."""

    deal: Hash
    amount: Amount


@dataclass(frozen=True, slots=True)
class Successor:
    """Both parties: on this line that deal stands now, and the jobs before it earned so much together."""

    line: Hash
    number: Version
    """A higher number replaces a lower one."""
    deal: Hash
    owed: Amount


@dataclass(frozen=True, slots=True)
class Vote:
    """Juror: how I judge."""

    deal: Hash
    round: Small
    """0, or 1 in an appeal."""
    ruling: Small
    """A `Ruling`, or 0 for a promise: I hold what I need to judge; silence after it costs my stake."""
    commitments: Hash
    """Hash of all jurors' commitments, so that votes over different evidence don't add up; zeros in a promise."""


class Ruling(IntEnum):
    """What a jury can find."""

    RIGHT = 1
    WRONG = 2
    NOT_FETCHABLE = 3
