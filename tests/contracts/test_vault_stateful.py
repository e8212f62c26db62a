"""The invariants, stated for themselves and searched by Hypothesis, which shrinks what breaks one to a few calls.

Model and bytecode are compared after every call as always; what is asked here besides does not believe the model's
rules: it counts what every deal, lock and claim holds from their words alone.
"""

from __future__ import annotations

import os
import random
from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.deal import Deal
from protocol.identity import Address
from protocol.vault_batches import MAX_LOCK
from protocol.vault_disputes import LONGEST_DISPUTE
from protocol.vault_state import Account, DealState, Flag, State
from tests.contracts.fuzz_vault import MOVES, PEOPLE, World
from tests.contracts.twin import WINDOWS

EXAMPLES = int(os.environ.get("LILYPAD_STATEFUL_EXAMPLES", "8"))
LONGEST_EXIT = MAX_LOCK + (LONGEST_DISPUTE + 2) * WINDOWS.longest
"""The last lock or claim, then an absence answered by a receipt, a delivery contested, and the longest dispute."""


class Vaults(RuleBasedStateMachine):
    """A few people, their deals, and whatever they think of."""

    @initialize(rng=st.randoms(use_true_random=False))
    def begin(self, rng: random.Random) -> None:
        """A world whose chances are drawn by Hypothesis."""
        self.world = World(rng)
        self.twin = self.world.twin
        self.last = self.twin.now
        self.ended: dict[bytes, DealState] = {}

    @rule(rng=st.randoms(use_true_random=False), count=st.integers(1, 6))
    def anything(self, rng: random.Random, count: int) -> None:
        """Calls that fit, mostly."""
        self._draw_from(rng)
        for _ in range(count):
            self.world.step()

    @rule(rng=st.randoms(use_true_random=False))
    def several_deals_at_once(self, rng: random.Random) -> None:
        """Trees and their commits."""
        self._draw_from(rng)
        self.world.agree_on_many()
        while self.world.batches.due:
            self.world.step()

    @precondition(lambda self: self.world.deals)
    @rule(rng=st.randoms(use_true_random=False), number=st.integers(0, 50), name=st.sampled_from(sorted(MOVES)))
    def about_a_deal(self, rng: random.Random, number: int, name: str) -> None:
        """Any claim or answer about any deal, fitting or not."""
        self._draw_from(rng)
        deal = self.world.deals[number % len(self.world.deals)]
        by, call = MOVES[name](self.world, deal, self.twin.model.deal(deal))
        self.twin.do(by, call)

    @rule(seconds=st.sampled_from((1, 59, 60, 61, 100, 601)))
    def time_passes(self, seconds: int) -> None:
        """And blocks are made."""
        self.twin.now += seconds
        self.twin.block += 2

    def _draw_from(self, rng: random.Random) -> None:
        self.world.rng = rng
        self.world.batches.rng = rng
        self.world.lines.rng = rng

    @invariant()
    def the_vault_holds_what_it_owes(self) -> None:
        """Solvency: every balance and stake is covered by coins."""
        owed = sum(account.balance for account in self._accounts().values()) + sum(self._stakes())
        assert owed == self.twin.held() >= 0

    @invariant()
    def nobody_locks_more_than_it_has(self) -> None:
        """Locked <= balance."""
        assert all(0 <= account.locked <= account.balance for account in self._accounts().values())

    @invariant()
    def what_is_locked_is_locked_for_something(self) -> None:
        """Each account's locked sum is what its deals, bonds and locks hold, to the unit."""
        holds: Counter[Address] = Counter()
        for (owner, _), lock in self.twin.model.locks.items():
            holds[owner] += lock.left
        for name, deal in self.twin.deals.items():
            for who, amount in _held_for(deal, DealState.of(self.twin.bytecode.stored_deal(name))):
                holds[who] += amount
        assert {who: account.locked for who, account in self._accounts().items()} == {
            person.address: holds[person.address] for person in PEOPLE
        }

    @invariant()
    def a_deal_ends_once(self) -> None:
        """What is closed stays as it closed."""
        for name in self.twin.deals:
            standing = DealState.of(self.twin.bytecode.stored_deal(name))
            if standing.state is State.CLOSED:
                assert self.ended.setdefault(name, standing) == standing
            else:
                assert name not in self.ended

    def teardown(self) -> None:
        """Everybody gets out, to the last coin, within the longest lock and the windows."""
        if not hasattr(self, "world"):
            return
        began = self.twin.now
        self.world.wind_up()
        assert self.twin.held() == 0
        assert self.twin.now - began <= LONGEST_EXIT + 2 + LONGEST_DISPUTE * WINDOWS.longest + 1, "stakes leave last"

    def _accounts(self) -> dict[Address, Account]:
        people = [person.address for person in PEOPLE]
        return dict(zip(people, map(Account.of, self.twin.bytecode.stored_accounts(people)), strict=True))

    def _stakes(self) -> list[int]:
        people = [person.address for person in PEOPLE]
        return [word & (1 << 96) - 1 for word in self.twin.bytecode.stored_mediators(people)]


def _held_for(deal: Deal, standing: DealState) -> list[tuple[Address, int]]:
    """What a deal holds of each side's money by where it stands."""
    if standing.state in (State.NONE, State.CLOSED):
        return []
    bond = deal.fee * deal.jurors
    claimed = standing.state in (State.ABSENT, State.JURY, State.RULED)
    jc = (0 if standing.paid else deal.jc_share) + (bond if claimed else 0)
    held = [(deal.jc, jc), (deal.rp, deal.rp_share)]
    if Flag.APPEALED in standing.flags:
        appellant = deal.rp if Flag.BY_PROVIDER in standing.flags else deal.jc
        held.append((appellant, (2 * deal.jurors + 1) * deal.fee))
    return held


TestVaults = Vaults.TestCase
TestVaults.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
