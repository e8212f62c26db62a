"""The model vault's books: what it remembers, who may speak for whom, and the two ways money moves inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from protocol.deal import Deal, DealId
from protocol.eip712 import Domain, digest
from protocol.errors import NotSigned, PeerFault
from protocol.identity import Address
from protocol.vault_state import NO_FLAGS, Account, DealState, Flag, Lock, Mediator, Outcome, State

Recover = Callable[[bytes, bytes], Address | None]
"""The signer of a digest; None or `NotSigned` where the signature is none."""


BlockHash = Callable[[int], bytes]
"""The hash of a recent block by its number."""


class Refused(PeerFault):
    """The vault does not do that; the reason is the contract's revert reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls, and in which block."""

    sender: Address
    now: int
    """The block's time, seconds of the chain's clock."""
    block: int = 0
    """The block's number."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Bounds, in seconds, of every window for an answer, a judgement or an appeal; fixed when a vault is born."""

    shortest: int
    longest: int


class Book:
    """What every call of the vault works on."""

    def __init__(self, domain: Domain, windows: Windows, recover: Recover, block_hash: BlockHash) -> None:
        self.domain = domain
        self.windows = windows
        self.accounts: dict[Address, Account] = {}
        self.deals: dict[DealId, DealState] = {}
        self.mediators: dict[Address, Mediator] = {}
        self.locks: dict[tuple[Address, int], Lock] = {}
        """By owner and slot."""
        self.sealed: dict[DealId, bytes] = {}
        self.tallies: dict[bytes, int] = {}
        """Digest of a vote to the seats that signed it."""
        self.delegates: set[tuple[Address, Address]] = set()
        """Pairs of a party and who may claim and answer in its place."""
        self.held = 0
        """Coins in the vault; equal to `total` at any moment."""
        self._recover = recover
        self._block_hash = block_hash
        self._id: Callable[[Deal], DealId] = lru_cache(4096)(lambda deal: deal.id(domain))

    def account(self, who: Address) -> Account:
        """What somebody has here, without a mediator's stake."""
        return self.accounts.get(who, _EMPTY)

    def mediator(self, who: Address) -> Mediator:
        """A mediator's stake."""
        return self.mediators.get(who, _STRANGER)

    def deal(self, deal: Deal) -> DealState:
        """Where a deal stands."""
        return self.deals.get(self._id(deal), _UNKNOWN)

    def id(self, deal: Deal) -> DealId:
        """A deal's name here."""
        return self._id(deal)

    def total(self) -> int:
        """All money that the vault owes, base units."""
        stakes = sum(mediator.stake for mediator in self.mediators.values())
        return stakes + sum(account.balance for account in self.accounts.values())

    def _standing(self, deal: Deal) -> tuple[DealId, DealState]:
        name = self._id(deal)
        return name, self.deals.get(name, _UNKNOWN)

    def _other(self, call: Call, deal: Deal) -> Address:
        if call.sender == deal.jc:
            return deal.rp
        need(call.sender == deal.rp, "not a party")
        return deal.jc

    def _speaks_for(self, call: Call, party: Address) -> bool:
        return call.sender == party or (party, call.sender) in self.delegates

    def _need_party(self, call: Call, party: Address) -> None:
        need(self._speaks_for(call, party), "not a party")

    def _signed(self, struct: Any, signature: bytes, by: Address) -> bool:
        return self._signs(digest(self.domain, struct), signature, by)

    def _signs(self, hash_: bytes, signature: bytes, by: Address) -> bool:
        try:
            return self._recover(hash_, signature) == by
        except NotSigned:
            return False

    def _take_free(self, who: Address, amount: int) -> None:
        account = self.account(who)
        need(account.free >= amount, "not enough free")
        self.accounts[who] = Account(account.balance - amount, account.locked)

    def _credit(self, who: Address, amount: int) -> None:
        account = self.account(who)
        self.accounts[who] = Account(account.balance + amount, account.locked)

    def _lock(self, who: Address, amount: int) -> None:
        account = self.account(who)
        need(account.free >= amount, "not enough free")
        self.accounts[who] = Account(account.balance, account.locked + amount)

    def _close(self, name: DealId, outcome: Outcome, *, paid: bool = False) -> None:
        self.deals[name] = DealState(State.CLOSED, Flag.PAID if paid else NO_FLAGS, outcome=outcome)

    def _move(self, deal: Deal, jc_free: int, rp_free: int, *, to_jc: int = 0, to_rp: int = 0) -> None:
        jc, rp = self.account(deal.jc), self.account(deal.rp)
        self.accounts[deal.jc] = Account(jc.balance + to_jc - to_rp, jc.locked - jc_free)
        self.accounts[deal.rp] = Account(rp.balance + to_rp - to_jc, rp.locked - rp_free)


def bond(deal: Deal) -> int:
    """What a claim or a contest costs to make, base units: one fee a juror."""
    return deal.jurors * deal.fee


_EMPTY = Account()
_STRANGER = Mediator()
_UNKNOWN = DealState()


def need(condition: bool, reason: str) -> None:
    """Raise `Refused` unless it holds."""
    if not condition:
        raise Refused(reason)
