"""Shares wait for company in one lock as long as the policy says, and never until their deal is too late for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.batching import Policy
from contracts.locking import ALONE, SIGNING, Batch, Commitments
from protocol.deal import Deal
from protocol.errors import Misuse
from protocol.vault_calls import Commit, Enter, SettleLock
from protocol.vault_state import Lock, State
from protocol.vault_tree import SEATS, SeatName, Tree, provider_leaf
from tests.contracts.twin import BIRTH, Person, draft, drain, funded

JC = Person.number(1)
PROVIDERS = [Person.number(n) for n in range(40, 44)]
TWIN = funded([JC, *PROVIDERS], 1_000_000)
GWEI = 10**9
POLICY = Policy(wait=30, margin=10)


def waiting(policy: Policy = POLICY, locks: dict[int, Lock] | None = None) -> Commitments:
    return Commitments(JC.address, TWIN.domain, policy, locks if locks is not None else {})


def signed(queue: Commitments, number: int, now: int = BIRTH, **changes: object) -> Deal:
    """A deal for the next seat, with a provider whose own lock has nothing else in it."""
    seat = queue.reserve(now)
    deal = draft(
        JC, PROVIDERS[number], BIRTH, jc_seat=seat.word(), rp_seat=SeatName(0, 1, 0).word(), juror_stake=0, **changes
    )
    queue.add(deal, now)
    return deal


def taken(queue: Commitments, now: int) -> Batch:
    batch = queue.take(now, GWEI)
    assert batch is not None
    return batch


def test_what_one_commit_locks_is_paid_together_or_opened_one_by_one() -> None:
    twin = funded([JC, *PROVIDERS], 1_000_000)
    queue = waiting()
    deals = [signed(queue, 0), signed(queue, 1)]
    queue.release(queue.reserve(BIRTH))  # one that came to nothing leaves an empty seat between the others
    deals.append(signed(queue, 2))
    batch = taken(queue, BIRTH + 30)
    assert twin.do(JC, batch.call) is None
    trees = {deal: Tree((provider_leaf(deal, twin.domain),)) for deal in deals}
    for deal, provider in zip(deals, PROVIDERS, strict=False):
        tree = trees[deal]
        assert twin.do(provider, Commit(0, tree.root, tree.total, deal.claim_until)) is None
    opened = deals[2]
    name = opened.id(twin.domain)
    assert twin.do(PROVIDERS[2], Enter(opened, batch.path(name), trees[opened].path(0))) is None
    assert twin.model.deal(opened).state is State.OPEN
    assert twin.do(JC, SettleLock(batch.call.slot, batch.tree.leaves, 0b0011)) is None
    assert twin.model.account(PROVIDERS[0].address).balance == 1_000_000 + deals[0].pay
    drain(twin)


def test_seats_that_strangers_reserved_and_left_are_given_away() -> None:
    queue = waiting()
    for _ in range(SEATS // 2):
        queue.release(queue.reserve(BIRTH))
    cold = [queue.reserve(BIRTH) for _ in range(SEATS // 2)]
    deals = [signed(queue, 0) for _ in range(SEATS // 2)]  # the released ones first
    with pytest.raises(Misuse, match="every seat"):
        queue.reserve(BIRTH + SIGNING - 1)
    again = queue.reserve(BIRTH + SIGNING)
    assert again == cold[0]
    assert len({deal.jc_seat for deal in deals}) == SEATS // 2
    batch = queue.take(BIRTH + SIGNING + 30, GWEI)
    assert batch is not None
    assert len(batch.seats) == SEATS // 2


def test_the_first_deal_takes_the_others_along_when_it_has_waited_long_enough() -> None:
    queue = waiting()
    assert queue.next_look() is None
    signed(queue, 0)
    signed(queue, 1, BIRTH + 20)
    assert queue.take(BIRTH + 29, GWEI) is None
    assert len(taken(queue, BIRTH + 30).seats) == 2
    assert queue.take(BIRTH + 1000, GWEI) is None


def test_a_lock_is_made_before_the_first_of_its_deals_would_be_too_late() -> None:
    queue = waiting(Policy(wait=10_000, margin=10))
    deal = signed(queue, 0)
    assert queue.next_look() == deal.start_by - 10
    queue.reserve(deal.start_by - 11)  # nobody who is still signing keeps it
    assert len(taken(queue, deal.start_by - 10).seats) == 1


def test_who_is_still_signing_is_waited_for_a_moment() -> None:
    queue = waiting()
    signed(queue, 0)
    late = queue.reserve(BIRTH + 29)
    assert queue.take(BIRTH + 30, GWEI) is None
    assert queue.next_look() == BIRTH + 29 + SIGNING
    taken(queue, BIRTH + 29 + SIGNING)
    deal = draft(JC, PROVIDERS[1], BIRTH, jc_seat=late.word(), rp_seat=SeatName(0, 1, 0).word())
    with pytest.raises(Misuse, match="reserve another"):
        queue.add(deal, BIRTH + 50)
    queue.release(late)  # of no lock any more: nothing happens


def test_waiting_for_a_saving_that_is_worth_nothing_is_no_use() -> None:
    queue = waiting(Policy(wait=10_000, margin=10, worth=ALONE * GWEI))
    signed(queue, 0)
    assert queue.take(BIRTH, GWEI) is None
    assert queue.take(BIRTH, GWEI - 1) is not None


def test_a_full_lock_leaves_at_once_and_holds_no_more() -> None:
    queue = waiting()
    for _ in range(SEATS):
        signed(queue, 0)
    with pytest.raises(Misuse, match="take it first"):
        queue.reserve(BIRTH)
    assert len(taken(queue, BIRTH).tree.leaves) == SEATS


def test_a_seat_is_for_one_deal_that_named_it() -> None:
    queue = waiting()
    deal = signed(queue, 0)
    queue.add(deal, BIRTH + 5)  # told again, after a crash
    with pytest.raises(Misuse, match="another deal"):
        queue.add(replace(deal, pay=deal.pay + 1), BIRTH)
    with pytest.raises(Misuse, match="not reserved"):
        queue.add(replace(deal, jc_seat=SeatName(0, 1, 9).word()), BIRTH)


def test_a_slot_is_used_again_when_its_lock_has_ended_or_everything_has_left() -> None:
    locks: dict[int, Lock] = {}
    queue = waiting(locks=locks)
    signed(queue, 0)
    assert taken(queue, BIRTH + 30).call.slot == 0
    assert queue.reserve(BIRTH + 31) == SeatName(1, 1, 0), "the chain has not shown the first yet"
    locks[0] = Lock(number=1, left=5, until=BIRTH + 100)
    locks[1] = Lock(number=4, left=0, until=BIRTH + 500)
    assert waiting(locks=locks).reserve(BIRTH + 50) == SeatName(1, 5, 0)
    assert waiting(locks=locks).reserve(BIRTH + 101) == SeatName(0, 2, 0)
