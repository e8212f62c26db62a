"""Random standing lines: successors agreed on in silence, shown too early, stale, twice or never, and resumed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from protocol.deal import Deal, Successor
from protocol.vault_calls import Open, Resume, Show, VaultCall
from protocol.vault_state import State
from tests.contracts.twin import Person, Twin


@dataclass
class Line:
    """A line and all that was ever agreed on about it."""

    deal: Deal
    agreed: list[tuple[Successor, Deal]] = field(default_factory=list)


class Lines:
    """The lines of one world."""

    def __init__(self, rng: random.Random, twin: Twin, parties: list[Person], draft: Callable[..., Deal]) -> None:
        self.rng = rng
        self.twin = twin
        self.people = {person.address: person for person in parties}
        self.draft = draft
        self.lines: list[Line] = []

    def open(self, jc: Person, rp: Person, deals: list[Deal]) -> tuple[Person, VaultCall]:
        """A new line."""
        line = Line(replace(self.draft(jc, rp), terms=bytes(32)))
        self.lines.append(line)
        deals.append(line.deal)
        return jc, Open(line.deal, self.twin.sign(rp, line.deal))

    def step(self, deals: list[Deal]) -> tuple[Person, VaultCall] | None:
        """A call about some line, if there is one; a deal that may come out of it joins ``deals``."""
        standing = [line for line in self.lines[-6:] if self.twin.model.deal(line.deal).state is State.LINE]
        line = self.rng.choice(standing if standing and self.rng.random() < 0.95 else self.lines[-6:] or [None])
        if line is None:
            return None
        if not line.agreed or self.rng.random() < 0.3:
            self._agree(line)
        shown = self.twin.model.deal(line.deal).block
        if not shown or self.rng.random() < 0.5:
            return self._show(line)
        return self._resume(line, shown, deals)

    def _agree(self, line: Line) -> None:
        rng, jc, rp = self.rng, self.people[line.deal.jc], self.people[line.deal.rp]
        if rng.random() < 0.03:
            jc, rp = rng.sample(list(self.people.values()), 2)
        deal = self.draft(jc, rp)
        if rng.random() < 0.8:
            deal = replace(deal, claim_until=min(deal.claim_until, line.deal.claim_until))
        if rng.random() < 0.03:
            deal = replace(deal, rp_seat=1)
        number = rng.choice((len(line.agreed) + 1, len(line.agreed) + 1, (1 << 40) - 1, 0))
        owed = rng.choice((0, line.deal.pay // 2, line.deal.pay))
        line.agreed.append((Successor(self.twin.model.id(line.deal), number, self.twin.model.id(deal), owed), deal))

    def _show(self, line: Line) -> tuple[Person, VaultCall]:
        rng = self.rng
        successor = rng.choice(line.agreed[-3:])[0]
        signers = [self.people[line.deal.jc], self.people[line.deal.rp]]
        if rng.random() < 0.05:
            signers[rng.randrange(2)] = rng.choice(list(self.people.values()))
        signed = self.twin.sign(signers[0], successor), self.twin.sign(signers[1], successor)
        number = successor.number if rng.random() < 0.98 else 1 << 40
        owed = successor.owed if rng.random() < 0.98 else line.deal.pay + 1
        by = rng.choice(list(self.people.values()))
        return by, Show(line.deal, number, successor.deal, owed, signed)

    def _resume(self, line: Line, shown: int, deals: list[Deal]) -> tuple[Person, VaultCall]:
        rng = self.rng
        deadline = self.twin.model.deal(line.deal).deadline
        if rng.random() < 0.7:
            self.twin.now = max(self.twin.now, deadline + (rng.random() < 0.95))
        named = [pair for pair in line.agreed if pair[0].number == shown]
        successor, deal = rng.choice(named if rng.random() < 0.95 else line.agreed)
        owed = successor.owed if rng.random() < 0.95 else rng.choice((0, line.deal.pay, line.deal.pay + 1))
        deals.append(deal)
        return rng.choice(list(self.people.values())), Resume(line.deal, deal, owed)
