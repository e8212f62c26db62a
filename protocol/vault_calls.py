"""Everything that can be asked of the vault, as data: agents emit it, the client encodes it, the model performs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from protocol.deal import Deal, Result
from protocol.errors import Misuse
from protocol.identity import Address
from protocol.vault import Vault
from protocol.vault_book import Call
from protocol.vault_disputes import Ballot
from protocol.vault_tree import Leaf, Path


@dataclass(frozen=True, slots=True)
class Deposit:
    """Pay ``value`` base units of the coin in for ``to``."""

    to: Address
    value: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take free money out to a coin address."""

    amount: int
    to: Address


@dataclass(frozen=True, slots=True)
class Transfer:
    """Move free money to another account of the vault."""

    to: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Delegate:
    """Let ``who`` claim and answer for the caller, or no longer."""

    who: Address
    may: bool


@dataclass(frozen=True, slots=True)
class Open:
    """Lock both shares, with the other party's signature of the deal."""

    deal: Deal
    signature: bytes


@dataclass(frozen=True, slots=True)
class Payment:
    """What one provider gets for one deal."""

    deal: Deal
    amount: int
    bill: bytes | None = None
    """The provider's signed `Bill`; needed where the amount is below the deal's pay."""
    final: bool = False
    """The payer will not accuse: the provider's share is free at once."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Pay any of the caller's deals; those settled meanwhile are skipped."""

    payments: tuple[Payment, ...]

    def __post_init__(self) -> None:
        for payment in self.payments:
            if (payment.amount == payment.deal.pay) != (payment.bill is None):
                raise Misuse("a payment below the pay needs the provider's bill, and a whole one must not have it")

    @property
    def bills(self) -> tuple[bytes, ...]:
        """The bills in order, as the contract takes them."""
        return tuple(payment.bill for payment in self.payments if payment.bill is not None)

    @property
    def finals(self) -> int:
        """Bit i: payment i is final."""
        return sum(1 << position for position, payment in enumerate(self.payments) if payment.final)


@dataclass(frozen=True, slots=True)
class Show:
    """Show what stands on a line, with both parties' signatures of the `Successor`."""

    line: Deal
    number: int
    deal: bytes
    """The id of the deal that stands."""
    owed: int
    signatures: tuple[bytes, bytes]
    """The job creator's and the provider's."""


@dataclass(frozen=True, slots=True)
class Resume:
    """End a line whose time to show a later successor is over; ``deal``, which was shown, goes on alone."""

    line: Deal
    deal: Deal
    owed: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Lock the sum of a `Tree` under its root; the lock of the slot before must be empty or over."""

    slot: int
    root: bytes
    amount: int
    until: int
    """Last moment of its life."""


@dataclass(frozen=True, slots=True)
class Enter:
    """Take both shares of a deal out of their locks and open it, before a claim."""

    deal: Deal
    jc_path: Path
    rp_path: Path


@dataclass(frozen=True, slots=True)
class SettleLock:
    """Pay any seats of one of the caller's locks; all leaves are shown."""

    slot: int
    leaves: tuple[Leaf, ...]
    pay: int
    """Bit i: pay the deal at seat i."""
    amounts: tuple[int, ...] = ()
    """Empty: the whole pay to each; else what each seat's payee gets."""
    bills: tuple[bytes, ...] = ()
    """The payees' signed `Bill`s for the amounts below the pay, in order."""


@dataclass(frozen=True, slots=True)
class Redeem:
    """Take what the job creator's `Voucher` grants, once."""

    deal: Deal
    amount: int
    voucher: bytes


@dataclass(frozen=True, slots=True)
class Free:
    """Send home what is locked after ``claim_until`` (the vault's ``release``)."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Part:
    """End the deal now by agreement, with the other party's signed `Release`."""

    deal: Deal
    amount: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class Absent:
    """Claim that nothing was delivered."""

    deal: Deal
    started: bytes | None
    """The provider's signed `Started`, where the job creator holds one."""


@dataclass(frozen=True, slots=True)
class NoInputs:
    """Answer a claim of absence: the inputs never came."""

    deal: Deal


@dataclass(frozen=True, slots=True)
class Deliver:
    """Claim that the result was delivered; with the job creator's `Receipt` it answers a claim of absence too."""

    deal: Deal
    sealed: bytes
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class Contest:
    """Deny a delivery that was claimed; ``pool`` where the jury is all of it, else `Draw` follows."""

    deal: Deal
    pool: bytes = b""
    """Sorted addresses of the mediators, 20 bytes each."""


@dataclass(frozen=True, slots=True)
class Accuse:
    """Claim that the result is wrong, with the provider's signed `Result`; ``pool`` as for `Contest`."""

    deal: Deal
    result: Result
    signature: bytes | None
    """None where the provider claimed this delivery on chain itself."""
    pool: bytes = b""
    paths: tuple[Path, Path] | None = None
    """The payer's and the provider's, where the deal is still in its locks: it enters and is accused in one call."""


@dataclass(frozen=True, slots=True)
class Vacate:
    """Take one's share home out of a lock when its deal can enter no more."""

    deal: Deal
    for_provider: bool
    path: Path


@dataclass(frozen=True, slots=True)
class Draw:
    """Seat the jury by the hash of a block that the dispute did not know."""

    deal: Deal
    pool: bytes


@dataclass(frozen=True, slots=True)
class CastVotes:
    """Hand in signed `Vote`s for one ruling over the same commitments; ruling 0 hands in promises to vote."""

    deal: Deal
    pool: bytes
    ruling: int
    commitments: bytes
    votes: tuple[tuple[int, bytes], ...]
    """Position in the pool and signature, by rising position."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """Have a ruling judged again."""

    deal: Deal
    pool: bytes
    for_provider: bool


@dataclass(frozen=True, slots=True)
class Expose:
    """Show two different votes of one sitting juror."""

    deal: Deal
    pool: bytes
    position: int
    first: Ballot
    second: Ballot


@dataclass(frozen=True, slots=True)
class Finalize:
    """End a claim, a jury or a ruling whose deadline has passed; ``pool`` where a jury was summoned."""

    deal: Deal
    pool: bytes = b""


@dataclass(frozen=True, slots=True)
class Join:
    """Add free money to the caller's stake as a mediator."""

    amount: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Ask for the mediator's stake back."""


@dataclass(frozen=True, slots=True)
class Collect:
    """Take out a mediator's stake after the time to leave."""


VaultCall = (
    Deposit
    | Withdraw
    | Transfer
    | Delegate
    | Open
    | Settle
    | Show
    | Resume
    | Commit
    | Enter
    | SettleLock
    | Vacate
    | Redeem
    | Free
    | Part
    | Absent
    | NoInputs
    | Deliver
    | Contest
    | Accuse
    | Draw
    | CastVotes
    | Appeal
    | Expose
    | Finalize
    | Join
    | Leave
    | Collect
)


def perform(vault: Vault, by: Call, call: VaultCall) -> None:
    """Let the model do it; raises `Refused` and changes nothing where the contract would revert."""
    match call:
        case Deposit(to, value):
            vault.deposit(by, to, value)
        case Withdraw(amount, to):
            vault.withdraw(by, amount, to)
        case Transfer(to, amount):
            vault.transfer(by, to, amount)
        case Delegate(who, may):
            vault.delegate(by, who, may)
        case Open(deal, signature):
            vault.open(by, deal, signature)
        case Settle(payments):
            deals, amounts = [p.deal for p in payments], [p.amount for p in payments]
            vault.settle(by, deals, amounts, call.bills, call.finals)
        case Show(line, number, current, owed, signatures):
            vault.show(by, line, number, current, owed, signatures)
        case Resume(line, deal, owed):
            vault.resume(by, line, deal, owed)
        case Commit(slot, root, amount, until):
            vault.commit(by, slot, root, amount, until)
        case Enter(deal, jc_path, rp_path):
            vault.enter(by, deal, jc_path, rp_path)
        case SettleLock(slot, leaves, pay, amounts, bills):
            vault.settle_lock(by, slot, leaves, pay, amounts, bills)
        case Vacate(deal, for_provider, path):
            vault.vacate(by, deal, for_provider, path)
        case Redeem(deal, amount, voucher):
            vault.redeem(by, deal, amount, voucher)
        case Free(deal):
            vault.release(by, deal)
        case Part(deal, amount, signature):
            vault.part(by, deal, amount, signature)
        case Absent(deal, started):
            vault.absent(by, deal, started)
        case NoInputs(deal):
            vault.no_inputs(by, deal)
        case Deliver(deal, sealed, receipt):
            vault.deliver(by, deal, sealed, receipt)
        case Contest(deal, pool):
            vault.contest(by, deal, pool)
        case Accuse(deal, result, signature, pool, paths):
            if paths is None:
                vault.accuse(by, deal, result, signature, pool)
            else:
                vault.accuse_seated(by, deal, paths, result, signature, pool)
        case Draw(deal, pool):
            vault.draw(by, deal, pool)
        case CastVotes(deal, pool, ruling, commitments, votes):
            vault.vote(by, deal, pool, ruling, commitments, dict(votes))
        case Appeal(deal, pool, for_provider):
            vault.appeal(by, deal, pool, for_provider)
        case Expose(deal, pool, position, first, second):
            vault.expose(by, deal, pool, position, first, second)
        case Finalize(deal, pool):
            vault.finalize(by, deal, pool)
        case Join(amount):
            vault.join(by, amount)
        case Leave():
            vault.leave(by)
        case Collect():
            vault.collect(by)
        case _:
            assert_never(call)
