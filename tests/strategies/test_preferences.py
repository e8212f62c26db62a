"""What a side wants in money, and that nothing leaves its mandate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from views import BASE, BUYER, JOB, NOW, RULES, SELLER, view_of

from agents.consultation import answer_document, answer_from, view_document, view_from
from agents.preferences import Issue, Mandate, Wish
from agents.strategies.built_in import BUILT_IN
from agents.strategy import Counter

mandates = st.builds(
    Mandate,
    role=st.sampled_from(("buyer", "seller")),
    worst_pay=st.integers(100, 5000),
    best_pay=st.integers(100, 5000),
    wishes=st.sampled_from(
        (
            (),
            (Wish(Issue.DELIVERY, 90, 30, 300),),
            (Wish(Issue.DELIVERY, 30, 90, 500), Wish(Issue.CHECKS, 500_000, 0, 100)),
            (Wish(Issue.RP_STAKE, 100, 300, 200), Wish(Issue.JURORS, 3, 5, 10)),
        )
    ),
    reserve=st.just(0),
    step=st.sampled_from((1, 7, 100)),
).filter(lambda it: it.best_pay <= it.worst_pay if it.role == "buyer" else it.best_pay >= it.worst_pay)


@given(mandates, st.floats(0, 1), st.sampled_from(("near", "price", "rest", "least")))
def test_what_is_proposed_is_worth_what_was_asked_for_and_may_be_signed(
    mandate: Mandate, utility: float, lean: Any
) -> None:
    terms = mandate.terms_at(utility, RULES, BASE, RULES.repriced(BASE, 1000), lean)
    assert mandate.admits(terms)
    assert RULES.objection(NOW, JOB, terms) is None
    assert mandate.holding(RULES, terms) == mandate
    best = mandate.utility(mandate.terms_at(1.0, RULES, BASE, None, "least"))
    step = mandate.step / mandate.total if mandate.total > 0 else 1.0
    assert mandate.utility(terms) >= min(utility, best) - 0.01 - step


@given(mandates, st.integers(100, 10**6), st.integers(0, 10**4), st.integers(0, 1_000_000))
def test_nothing_that_a_strategy_wants_leaves_the_mandate(mandate: Mandate, pay: int, late: int, checks: int) -> None:
    wanted = replace(BASE, pay=pay, deliver_by=BASE.start_by + late, check_ppm=checks, cheat=0, jurors=1, grace=0)
    pressed = mandate.within(RULES, BASE, wanted)
    assert (pressed.pay <= mandate.worst_pay) if mandate.role == "buyer" else (pressed.pay >= mandate.worst_pay)
    assert all(wish.allows(wish.issue.of(pressed)) for wish in mandate.wishes)
    assert (pressed.grace, pressed.mediators, pressed.silence) == (BASE.grace, BASE.mediators, BASE.silence)
    assert RULES.objection(NOW, JOB, pressed) is None


def test_a_later_delivery_is_worth_a_lower_price() -> None:
    soon, late = (BUYER.terms_at(0.5, RULES, BASE, None, lean) for lean in ("rest", "price"))
    assert soon.deliver_by < late.deliver_by
    assert soon.pay > late.pay
    assert BUYER.utility(soon) == pytest.approx(BUYER.utility(late), abs=0.02)


def test_the_nearest_of_equal_terms_is_proposed() -> None:
    theirs = replace(RULES.repriced(BASE, 1400), deliver_by=BASE.start_by + 80)
    near = BUYER.terms_at(0.5, RULES, BASE, theirs, "near")
    rest = BUYER.terms_at(0.5, RULES, BASE, theirs, "rest")
    assert abs(near.deliver_by - theirs.deliver_by) < abs(rest.deliver_by - theirs.deliver_by)


def test_a_side_that_never_wished_it_holds_a_raised_stake_to_the_usual_one() -> None:
    raised = replace(RULES.repriced(BASE, 1000), rp_stake=2000)
    assert RULES.objection(NOW, JOB, raised) is None
    held = SELLER.holding(RULES, raised)
    assert not held.admits(raised)
    pressed = held.within(RULES, raised, raised)
    assert (pressed.rp_stake, pressed.pay) == (1000, 1000)
    assert held.admits(pressed)
    willing = Mandate("seller", 700, 1400, (Wish(Issue.RP_STAKE, 300, 100, 200),))
    assert willing.holding(RULES, raised) == willing


@pytest.mark.parametrize("name", ["micro", "boulware", "linear", "conceder", "tit-for-tat", "combi"])
@pytest.mark.parametrize("rounds", [3, 12, 60])
@pytest.mark.parametrize("zone", [0, 1, 5, 400])
def test_the_default_agrees_wherever_there_is_a_zone(name: str, rounds: int, zone: int) -> None:
    buyer, seller = Mandate("buyer", 1000, 300), Mandate("seller", 1000 - zone, 1900)
    for first, second in (("micro", name), (name, "micro")):
        assert _haggle(first, second, buyer, seller, rounds)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_without_a_zone_nobody_agrees(name: str) -> None:
    assert not _haggle("micro", name, Mandate("buyer", 999, 300), Mandate("seller", 1000, 1900), 12)


def _haggle(first: str, second: str, buyer: Mandate, seller: Mandate, rounds: int) -> bool:
    """As the agents do it: both are asked rounds + 1 times at most, and acceptances are checked against mandates."""
    names, mandates_of = (first, second), (buyer, seller)
    makers = [BUILT_IN[name]() for name in names]
    received: list[list[Any]] = [[], []]
    proposed: list[list[Any]] = [[], []]
    theirs = None
    for asked in range(rounds + 2):
        for side in (0, 1):
            view = replace(
                view_of(mandates_of[side], asked=asked, rounds=max(rounds, asked)),
                theirs=theirs,
                mine=proposed[side][-1] if proposed[side] else None,
                received=tuple(received[side]),
                proposed=tuple(proposed[side]),
            )
            answer = makers[side].decide(view)
            if type(answer).__name__ == "Accept":
                return theirs is not None and mandates_of[side].admits(theirs)
            if not isinstance(answer, Counter):
                return False
            theirs = mandates_of[side].within(RULES, BASE, answer.terms)
            if theirs == view.theirs:
                return True
            proposed[side].append(theirs)
            received[1 - side].append(theirs)
    return False


def test_a_view_survives_the_way_to_a_worker_and_back() -> None:
    view = view_of(BUYER, theirs=900, asked=3)
    again = view_from(view_document(view))
    assert replace(again, rng=view.rng) == view
    assert again.offer_at(0.4) == view.offer_at(0.4)
    answer = Counter(view.offer_at(0.4))
    assert answer_from(answer_document(answer), view) == answer


@pytest.mark.parametrize(
    ("wish", "field", "value"),
    [
        (Wish(Issue.START, BASE.start_by + 20, BASE.start_by - 10, 100), "start_by", BASE.start_by + 7),
        (Wish(Issue.CHECKS, 0, 500_000, 100), "check_ppm", 123_456),
        (Wish(Issue.PAYER, 0, 100, 100), "check_payer", 60),
        (Wish(Issue.JURORS, 1, 3, 100), "jurors", 2),
        (Wish(Issue.FEE, 0, 90, 100), "fee", 31),
    ],
)
def test_a_program_in_any_language_can_move_every_issue_and_only_what_its_mandate_names(
    wish: Wish, field: str, value: int
) -> None:
    answer = {"answer": "counter", "terms": {"pay": "900", field: value}}
    for wishes, moved in (((wish,), value), ((), getattr(BASE, field))):
        view = view_of(replace(BUYER, wishes=wishes), theirs=900)
        found = answer_from(answer, view)
        assert isinstance(found, Counter)
        assert getattr(found.terms, field) == moved


def test_levels_go_down_step_by_step() -> None:
    proposals = [BUYER.terms_at(u / 10, RULES, BASE, None, "rest").pay for u in range(10, -1, -1)]
    assert all(before <= after for before, after in pairwise(proposals))
