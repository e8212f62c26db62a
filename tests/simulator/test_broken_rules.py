"""A rule broken on purpose is caught by some seed: the simulation can fail, and says which seed shows it."""

from __future__ import annotations

import pytest

from agents import purchase, sale
from agents.effects import Effect
from agents.job_creator import JobCreator
from agents.machine import Step
from agents.promises import Promises
from agents.purchase_stages import Purchase
from agents.sale import Sale
from simulator.ledger import Ledger
from simulator.run import Violation, run

SEEDS = 300


def first_violation() -> str:
    """The message of the first seed that shows a rule broken."""
    for seed in range(SEEDS):
        violation = violation_of(seed)
        if violation is not None:
            assert f"python -m simulator.replay --seed {seed}" in str(violation)
            assert "\n" not in str(violation)
            return violation.what
    pytest.fail("no seed noticed it")


def violation_of(seed: int) -> Violation | None:
    """What a seed shows."""
    try:
        run(seed, restless=seed % 2 == 0)
    except Violation as violation:
        return violation
    return None


def test_a_provider_that_skips_the_room_check_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Promises, "has_room", lambda self, job: True)
    assert "has sold more than it has" in first_violation()


def test_a_sale_that_is_not_saved_before_it_binds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = sale.begin

    def forgetful(it: Sale, now: float) -> Step[Sale]:
        return Step(it, honest(it, now).effects[1:])

    monkeypatch.setattr(sale, "begin", forgetful)
    assert "forgot a deal that it signed" in first_violation()


def test_a_call_that_is_sent_as_often_as_it_is_asked_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "_is_known", lambda self, transaction: False)
    assert "paid twice" in first_violation()


def test_a_buyer_that_forgets_after_a_crash_what_it_bought_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def resume(self: JobCreator, now: float) -> list[Effect]:
        effects = [effect for it in self.purchases.values() for effect in purchase.begin(it, now).effects]
        return effects + [effect for it in self.wanted.values() for effect in self._tender(now, it.request)]

    monkeypatch.setattr(JobCreator, "_resume", resume)
    assert "paid to two providers" in first_violation()


def test_a_buyer_that_leaves_a_claim_unanswered_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(it: Purchase, now: float) -> Step[Purchase]:
        return Step(it)

    monkeypatch.setattr(purchase, "_answer", silent)
    assert "lost its stake by silence" in first_violation()


def test_a_refused_call_that_is_not_asked_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purchase, "_refused", lambda it, *told: Step(it))
    assert "is left in state" in first_violation()
