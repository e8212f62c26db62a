"""What peers ask of the vault: one small dataclass a call; agents emit them, the chain client and the simulator carry them out.

`key` names a call for ever: asking twice for the same thing, also after a crash, sends one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from protocol.deal import Deal
from protocol.identity import Address
from protocol.types import Amount, Hash, Party, Signature


@dataclass(frozen=True, slots=True)
class Open:
    """Lock both shares of a deal; sent by one party with the other's signature."""

    deal: Deal
    signature: Signature


@dataclass(frozen=True, slots=True)
class Settle:
    """The payer pays the deal in full and sets both sides free."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Redeem:
    """The payee takes what a voucher grants."""

    deal: Deal
    amount: Amount
    signature: Signature


@dataclass(frozen=True, slots=True)
class ClaimAbsence:
    """Job creator, with a bond: nothing was delivered."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class AnswerWithReceipt:
    """Provider: it was; here is the job creator's receipt."""

    deal: Deal
    sealed: Hash
    signature: Signature


@dataclass(frozen=True, slots=True)
class AnswerWithVoucher:
    """Provider: it was, and here is what it paid me."""

    deal: Deal
    amount: Amount
    signature: Signature


@dataclass(frozen=True, slots=True)
class AnswerNoInputs:
    """Provider: the inputs never came, so I never started."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class ClaimDelivery:
    """Provider: I delivered, and the job creator neither pays nor contests."""

    deal: Deal
    sealed: Hash
    receipt: bytes
    """The job creator's signature of its receipt; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Anyone: the time to answer a claim is over."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Release:
    """Anyone, after ``claim_until``: what is still locked goes home."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move free money to another account of the vault."""

    to: Party
    amount: Amount
    purpose: Hash
    """Makes two transfers of the same sum different calls."""


Call = (
    Open
    | Settle
    | Redeem
    | ClaimAbsence
    | AnswerWithReceipt
    | AnswerWithVoucher
    | AnswerNoInputs
    | ClaimDelivery
    | Finalize
    | Release
    | Transfer
)


class Standing(Enum):
    """How a deal stands in the vault."""

    UNKNOWN = "unknown"
    """Never opened."""
    OPEN = "open"
    """Both shares are locked."""
    ABSENCE_CLAIMED = "absence claimed"
    DELIVERY_CLAIMED = "delivery claimed"
    DISPUTED = "disputed"
    """A jury decides."""
    CLOSED = "closed"
    """Paid, lapsed, ruled or released: nothing of it is locked any more."""


def key(call: Call, sender: Address) -> str:
    """The name of a call: its kind, who sends it and what it is about."""
    about = call.purpose if isinstance(call, Transfer) else call.deal.terms
    return f"{type(call).__name__}:{sender.hex()}:{about.hex()}"
