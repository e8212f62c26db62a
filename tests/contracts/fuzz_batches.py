"""Random locks for many deals: honest trees, trees with one thing wrong, and calls about both."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from protocol.deal import Bill, Deal, Result
from protocol.identity import Address
from protocol.vault_calls import Accuse, Commit, Enter, SettleLock, Vacate, VaultCall
from protocol.vault_tree import Leaf, Path, SeatName, Tree, payer_leaf, provider_leaf
from tests.contracts.twin import Person, Twin

SLOTS = 2


@dataclass
class Batch:
    """A lock that somebody meant to make."""

    owner: Person
    slot: int
    tree: Tree


class Batches:
    """The locks of one world."""

    def __init__(self, rng: random.Random, twin: Twin, parties: list[Person], pools: dict[bytes, bytes]) -> None:
        self.rng = rng
        self.twin = twin
        self.parties = parties
        self.pools = pools
        """What was hashed into each deal, by its terms."""
        self.due: list[tuple[Person, Commit]] = []
        """Commits agreed on and not sent yet."""
        self.batches: list[Batch] = []
        self.deals: list[tuple[Deal, Path, Path]] = []

    def agree(self, drafts: list[Deal]) -> list[Deal]:
        """Give seats to deals of one payer, and plan the commits of everybody in them."""
        rng = self.rng
        people = {person.address: person for person in self.parties}
        parties = [drafts[0].jc, *sorted({draft.rp for draft in drafts})]
        slots = {who: self._free_slot(people[who]) for who in parties}
        planned = []
        for draft in drafts:
            jc_seat, rp_seat = (self._seat(slots[who], who, planned) for who in (draft.jc, draft.rp))
            planned.append(replace(draft, jc_seat=jc_seat, rp_seat=rp_seat))
        trees = {who: Tree(tuple(self._spoilt(self._leaves(who, planned)))) for who in parties}
        for who, tree in trees.items():
            until = max(deal.claim_until for deal in planned) + rng.choice((-1, 0, 0, 0, 0, 100))
            amount = max(0, tree.total + rng.choice((0,) * 18 + (1, -1)))
            slot = slots[who][0]
            self.due.append((people[who], Commit(slot, tree.root, amount, until)))
            self.batches.append(Batch(people[who], slot, tree))
        for deal in planned:
            own = [one.rp for one in planned[: planned.index(deal)]].count(deal.rp)
            self.deals.append((deal, trees[deal.jc].path(planned.index(deal)), trees[deal.rp].path(own)))
        return planned

    def _leaves(self, who: Address, planned: list[Deal]) -> list[Leaf]:
        domain = self.twin.domain
        return [
            payer_leaf(deal, domain) if deal.jc == who else provider_leaf(deal, domain)
            for deal in planned
            if who in (deal.jc, deal.rp)
        ]

    def _seat(self, slot: tuple[int, int], who: Address, planned: list[Deal]) -> int:
        position = len([deal for deal in planned if who in (deal.jc, deal.rp)])
        return SeatName(*slot, position if self.rng.random() < 0.98 else self.rng.randrange(256)).word()

    def step(self) -> tuple[Person, VaultCall] | None:
        """A call about some lock, if there is one."""
        rng = self.rng
        if self.due:
            return self.due.pop(0 if rng.random() < 0.9 else rng.randrange(len(self.due)))
        if not self.deals:
            return None
        if rng.random() < 0.08:
            owner = rng.choice(self.parties)
            until = self.twin.now + rng.choice((0, 10, 100, 90 * 86400, 90 * 86400 + 1))
            return owner, Commit(rng.randrange(SLOTS), rng.randbytes(32), rng.choice((0, 0, 50, 10**9)), until)
        match rng.randrange(8):
            case 0 | 1 | 2:
                return self._settle()
            case 3:
                return self._accuse(*rng.choice(self.deals[-4:]))
            case 4:
                return self._vacate(*rng.choice(self.deals[-6:]))
            case _:
                return self.enter(*rng.choice(self.deals[-4:]))

    def enter(self, deal: Deal, jc_path: Path, rp_path: Path) -> tuple[Person, VaultCall]:
        """Open a deal out of its locks, sometimes with a path that is not its own."""
        rng = self.rng
        by = {person.address: person for person in self.parties}[rng.choice((deal.jc, deal.rp))]
        if rng.random() < 0.04:
            jc_path, rp_path = rp_path, jc_path
        if rng.random() < 0.04:
            sibling, sum_ = jc_path[0]
            jc_path = ((sibling, sum_ + 1), *jc_path[1:])
        return by, Enter(deal, jc_path, rp_path)

    def _accuse(self, deal: Deal, jc_path: Path, rp_path: Path) -> tuple[Person, VaultCall]:
        people = {person.address: person for person in self.parties}
        result = Result(deal.id(self.twin.domain), bytes([self.rng.randrange(1, 3)]) * 32, 0, 9)
        signature = self.twin.sign(people[deal.rp if self.rng.random() < 0.95 else deal.jc], result)
        pool = self.pools[deal.terms]
        named = pool if len(pool) == 20 * deal.jurors and self.rng.random() < 0.9 else b""
        by = people[deal.jc if self.rng.random() < 0.95 else deal.rp]
        return by, Accuse(deal, result, signature, named, (jc_path, rp_path))

    def _vacate(self, deal: Deal, jc_path: Path, rp_path: Path) -> tuple[Person, VaultCall]:
        rng = self.rng
        if rng.random() < 0.3:
            moment = rng.choice((deal.start_by, deal.start_by, deal.claim_until)) + rng.randrange(2)
            self.twin.now = max(self.twin.now, moment)
        for_provider = rng.random() < 0.5
        owner = deal.rp if for_provider != (rng.random() < 0.04) else deal.jc
        by = {person.address: person for person in self.parties}[owner]
        return by, Vacate(deal, for_provider, rp_path if for_provider != (rng.random() < 0.04) else jc_path)

    def free_all(self) -> list[tuple[Person, VaultCall]]:
        """What takes home every lock that is over; time must have passed."""
        people = {person.address: person for person in self.twin.people}
        return [(people[owner], Commit(slot, bytes(32), 0, 0)) for owner, slot in self.twin.model.locks]

    def _free_slot(self, person: Person) -> tuple[int, int]:
        locks = [self.twin.model.lock(person.address, slot) for slot in range(SLOTS)]
        free = [slot for slot, lock in enumerate(locks) if lock.left == 0 or lock.until < self.twin.now]
        slot = self.rng.choice(free or [0])
        return slot, locks[slot].number + 1 + (self.rng.random() < 0.02)

    def _spoilt(self, leaves: list[Leaf]) -> list[Leaf]:
        if self.rng.random() < 0.05:
            at = self.rng.randrange(len(leaves))
            leaves[at] = replace(leaves[at], rest=leaves[at].rest + 1)
        return leaves

    def _settle(self) -> tuple[Person, VaultCall]:
        rng = self.rng
        batch = rng.choice(self.batches[-6:])
        leaves = batch.tree.leaves
        pay = rng.choice((rng.getrandbits(len(leaves)), (1 << len(leaves)) - 1, 1, rng.getrandbits(200)))
        if rng.random() < 0.05:
            leaves = leaves[:-1] if rng.random() < 0.5 else (*leaves, leaves[0])
        amounts: list[int] = []
        bills: list[bytes] = []
        if rng.random() < 0.5:
            people = {person.address: person for person in self.parties}
            for leaf in leaves:
                amount = rng.choice((leaf.pay, max(0, leaf.pay - 3), leaf.pay + (rng.random() < 0.1)))
                amounts.append(amount)
                if amount != leaf.pay:
                    signer = people.get(leaf.payee, batch.owner)
                    signer = rng.choice(self.parties) if rng.random() < 0.04 else signer
                    bills.append(self.twin.sign(signer, Bill(leaf.deal, amount)))
        return batch.owner, SettleLock(batch.slot, leaves, pay, tuple(amounts), tuple(bills))
