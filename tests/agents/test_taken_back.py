"""A reorganisation deeper than the chain's profile expects takes a locked deal back: nobody waits for it for ever."""

from __future__ import annotations

from random import Random

import pytest

from agents import sale as selling
from agents.effects import Unwatch, WakeAt, Watch
from agents.events import ChainSaw, Woke
from agents.purchase import TAKEN_BACK, step
from agents.purchase_stages import Awaiting, Checking, Delivery, Fetching, Over, Paying, Purchase, Stage
from protocol.deal import DealId
from protocol.eip712 import Domain
from protocol.job import Run
from protocol.rules import Rules
from protocol.terms import deal_of
from protocol.vault_state import DealState, State
from simulator.pretend import draw_job
from tests.contracts.twin import Person

NOW = 1_800_000_000.0
JC, RP = Person.number(1).address, Person.number(2).address
RUN = Run("theirs", 0, 0, "", "")
DELIVERY = Delivery(RUN, bytes(32), bytes(65), 80)
JOB = draw_job(Random(1))
TERMS = Rules(Domain(1337, Person.number(9).address)).terms(NOW, JOB, 1000, 0, ())
DEAL = deal_of(TERMS, JC, RP, bytes(32))
NAME = DealId(b"\x01" * 32)
GONE = DealState(State.NONE)


def saw(state: DealState, at: int) -> ChainSaw:
    return ChainSaw(NAME, state, at, b"")


@pytest.mark.parametrize(
    "stage", [Awaiting(), Fetching(DELIVERY, b""), Checking(DELIVERY, ()), Paying(DELIVERY, "accepted", (), 0)]
)
def test_a_job_creator_ends_a_deal_that_can_not_be_locked_again(stage: Stage) -> None:
    it = Purchase(NAME, b"\x02" * 16, DEAL, JOB, TERMS, bytes(65), 1, check=False, stage=stage)
    it, effects = step(it, NOW, saw(GONE, DEAL.start_by))
    assert it.stage == stage, "the same call may still lock it"
    (wake,) = effects
    assert isinstance(wake, WakeAt)
    assert wake.moment > DEAL.start_by
    it, effects = step(it, wake.moment, Woke(wake.timer))
    assert effects == (Watch(DEAL),)
    back, _ = step(it, wake.moment, saw(DealState(State.OPEN), DEAL.start_by + 1))
    assert back.stage == stage
    it, effects = step(it, wake.moment, saw(GONE, DEAL.start_by + 1))
    assert it.stage == Over(TAKEN_BACK)
    assert Unwatch(DEAL) in effects


@pytest.mark.parametrize(
    "stage",
    [
        selling.Preparing(("module",)),
        selling.Working(),
        selling.Waiting(RUN, b"", b"", 0, DEAL.deliver_by),
        selling.GivenUp("no inputs"),
    ],
)
def test_a_provider_ends_a_deal_that_can_not_be_locked_again(stage: selling.Stage) -> None:
    sale = selling.opened(DEAL, NAME, JOB, TERMS, 80, bytes(32), bytes(32))
    sale = selling.Sale(NAME, DEAL, JOB, 80, bytes(32), sale.mediators, stage)
    sale, effects = selling.step(sale, NOW, saw(GONE, DEAL.start_by))
    assert sale.stage == stage
    (wake,) = effects
    assert isinstance(wake, WakeAt)
    sale, effects = selling.step(sale, wake.moment, Woke(wake.timer))
    assert effects == (Watch(DEAL),)
    sale, effects = selling.step(sale, wake.moment, saw(GONE, DEAL.start_by + 1))
    assert isinstance(sale.stage, selling.Over)
    assert Unwatch(DEAL) in effects
