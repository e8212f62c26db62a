"""Payments wait for company as long as the policy says, and never until they are late."""

from __future__ import annotations

from contracts.batching import ALONE, Policy, Settlements
from protocol.deal import DealId
from protocol.vault import MAX_SETTLED
from protocol.vault_calls import Payment
from tests.contracts.twin import Person, draft

NOW = 1_800_000_000
GWEI = 10**9
DEAL = draft(Person.number(1), Person.number(2), NOW, claim_until=NOW + 100_000)


def name(number: int) -> DealId:
    return DealId(number.to_bytes(32, "big"))


def waiting(count: int, policy: Policy | None = None) -> Settlements:
    queue = Settlements(policy or Policy())
    for number in range(count):
        queue.add(name(number), Payment(DEAL, DEAL.pay), NOW)
    return queue


def test_the_oldest_payment_takes_the_others_along_when_it_has_waited_long_enough() -> None:
    queue = waiting(2)
    queue.add(name(7), Payment(DEAL, DEAL.pay), NOW + 599)
    assert queue.next_look() == NOW + 600
    assert queue.take(NOW + 599, GWEI) is None
    call = queue.take(NOW + 600, GWEI)
    assert call is not None
    assert len(call.payments) == 3
    assert queue.names == ()
    assert queue.next_look() is None
    assert queue.take(NOW + 10_000, GWEI) is None


def test_a_full_call_leaves_at_once() -> None:
    queue = waiting(MAX_SETTLED + 3)
    call = queue.take(NOW, GWEI)
    assert call is not None
    assert len(call.payments) == MAX_SETTLED
    assert queue.take(NOW, GWEI) is None
    assert len(queue.names) == 3


def test_waiting_for_a_saving_that_is_worth_nothing_is_no_use() -> None:
    policy = Policy(worth=ALONE * GWEI)
    assert waiting(1, policy).take(NOW, GWEI) is None
    assert waiting(1, policy).take(NOW, GWEI - 1) is not None


def test_a_payment_leaves_before_it_would_be_late() -> None:
    queue = waiting(1, Policy(wait=10**6, margin=100))
    assert queue.next_look() == DEAL.claim_until - 100
    queue.add(name(0), Payment(DEAL, DEAL.pay), NOW + 5, late=NOW + 300)
    assert queue.next_look() == NOW + 200
    queue.add(name(0), Payment(DEAL, DEAL.pay), NOW + 6)
    assert queue.next_look() == NOW + 200
    assert queue.take(NOW + 199, GWEI) is None
    assert queue.take(NOW + 200, GWEI) is not None


def test_a_payee_that_turns_to_the_vault_hurries_its_payment() -> None:
    queue = waiting(2, Policy(wait=10**6, margin=100))
    assert queue.hurry(name(1), NOW + 300)
    assert queue.next_look() == NOW + 200
    assert queue.hurry(name(1), NOW + 900)
    assert queue.next_look() == NOW + 200, "never later than was known"
    assert not queue.hurry(name(5), NOW + 300)
    assert name(5) not in queue.names


def test_what_was_paid_in_another_way_is_not_paid_again() -> None:
    queue = waiting(2)
    queue.drop(name(0))
    queue.drop(name(9))
    call = queue.take(NOW + 600, GWEI)
    assert call is not None
    assert len(call.payments) == 1
