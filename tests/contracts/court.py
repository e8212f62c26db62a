"""A deal before its jury, on model and bytecode at once, for tests of what ends how."""

from __future__ import annotations

from collections.abc import Sequence

from eth_hash.auto import keccak

from protocol.deal import Result, Ruling, Vote
from protocol.vault_calls import (
    Accuse,
    Appeal,
    CastVotes,
    Contest,
    Deliver,
    Draw,
    Finalize,
    Join,
    Open,
    Payment,
    Settle,
)
from protocol.vault_disputes import SEED_DELAY, Ballot
from protocol.vault_state import Flag, State
from tests.contracts.twin import Person, draft, funded

JC, RP = Person.number(1), Person.number(2)
MEDIATORS = sorted((Person.number(n) for n in range(11, 32)), key=lambda person: person.address)
PURSE = 1_000_000
STAKE = 500
"""What each mediator has joined with, and what one dispute puts at risk."""
SEALED, EVIDENCE, NOTHING = b"\x05" * 32, b"\x06" * 32, bytes(32)
FEE = 100


class Court:
    """An open deal, its pool, and short names for what happens to it."""

    def __init__(self, *, pool: int = 3, paid: bool = False, **changes: object) -> None:
        self.members = MEDIATORS[:pool]
        self.twin = funded([JC, RP, *self.members], PURSE)
        for member in self.members:
            assert self.twin.do(member, Join(STAKE)) is None
        self.pool = b"".join(member.address for member in self.members)
        self.deal = draft(JC, RP, self.twin.now, pool=keccak(self.pool), **changes)
        assert self.twin.do(JC, Open(self.deal, self.twin.sign(RP, self.deal))) is None
        if paid:
            assert self.twin.do(JC, Settle((Payment(self.deal, self.deal.pay),))) is None
        self.named = self.pool if pool == self.deal.jurors else b""

    @property
    def sitting(self) -> list[int]:
        bits = self.twin.model.deal(self.deal).sitting
        return [seat for seat in range(24) if bits >> seat & 1]

    def contested(self) -> Court:
        assert self.twin.do(RP, Deliver(self.deal, SEALED, None)) is None
        assert self.twin.do(JC, Contest(self.deal, self.named)) is None
        return self.drawn()

    def accused(self) -> Court:
        result = Result(self.deal.id(self.twin.domain), SEALED, 0, 7)
        accusation = Accuse(self.deal, result, self.twin.sign(RP, result), self.named)
        assert self.twin.do(JC, accusation) is None
        return self.drawn()

    def drawn(self) -> Court:
        if Flag.DRAWN not in self.twin.model.deal(self.deal).flags:
            self.twin.block += SEED_DELAY + 1
            assert self.twin.do(RP, Draw(self.deal, self.pool)) is None
        return self

    def appealed(self, ruling: Ruling) -> Court:
        """By whom the ruling is against, and drawn anew."""
        by_provider = ruling is not Ruling.RIGHT
        assert self.twin.do(RP if by_provider else JC, Appeal(self.deal, self.pool, by_provider)) is None
        return self.drawn()

    @property
    def state(self) -> State:
        return self.twin.model.deal(self.deal).state

    def vote(self, ruling: int, seats: Sequence[int], evidence: bytes = EVIDENCE) -> str | None:
        votes = tuple((seat, self.ballot(ruling, seat, evidence).signature) for seat in seats)
        return self.twin.do(RP, CastVotes(self.deal, self.pool, ruling, evidence, votes))

    def ballot(self, ruling: int, seat: int, evidence: bytes = EVIDENCE) -> Ballot:
        turn = int(Flag.APPEALED in self.twin.model.deal(self.deal).flags)
        vote = Vote(self.deal.id(self.twin.domain), turn, ruling, evidence)
        return Ballot(ruling, evidence, self.twin.sign(self.members[seat], vote))

    def finalize(self, by: Person = RP) -> str | None:
        return self.twin.do(by, Finalize(self.deal, self.pool))

    def promise(self, seats: Sequence[int]) -> Court:
        assert self.vote(0, seats, evidence=bytes(32)) is None
        return self

    @property
    def silent(self) -> list[int]:
        voted = self.twin.model.deal(self.deal).voted
        return [seat for seat in self.sitting if not voted >> seat & 1]

    def pass_deadline(self) -> Court:
        self.twin.now = self.twin.model.deal(self.deal).deadline + 1
        return self

    def gains(self) -> tuple[int, int]:
        """What the two parties won or lost, with nothing left locked and no juror's stake at risk."""
        assert self.twin.model.deal(self.deal).state is State.CLOSED
        accounts = [self.twin.model.account(person.address) for person in (JC, RP)]
        assert all(account.locked == 0 for account in accounts)
        assert all(self.twin.model.mediator(member.address).busy == 0 for member in self.members)
        return accounts[0].balance - PURSE, accounts[1].balance - PURSE

    def fees(self) -> dict[int, int]:
        """What each mediator won or lost, where it did, by seat."""
        changes = {s: self.twin.model.mediator(m.address).stake - STAKE for s, m in enumerate(self.members)}
        return {seat: change for seat, change in changes.items() if change}
