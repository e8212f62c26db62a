"""A party's view of a dispute, one step at a time: what a hostile or unlucky juror can make it do."""

from __future__ import annotations

from random import Random

import pytest

from agents import ending
from agents.dispute import Dispute, Witness, step, weighing
from agents.effects import Fetch, Transact, WakeAt
from agents.events import ChainSaw, Got, NotFetched, Timer, Woke
from agents.purchase import step as saw
from agents.purchase_stages import Awaiting, Claiming, Contesting, Delivery, Fetching, Purchase
from protocol.deal import Ruling
from protocol.eip712 import Domain
from protocol.job import Run
from protocol.judging import UNSHOWN
from protocol.messages import Judged
from protocol.rules import Rules
from protocol.vault_calls import Expose
from protocol.vault_disputes import Ballot
from protocol.vault_state import DealState, Flag, State
from simulator.population import address
from simulator.pretend import draw_job
from tests.contracts.twin import Person, draft

NOW = 1_800_000_000.0
JURORS = tuple(address(f"juror {i}") for i in range(3))
DELIVERY = Delivery(Run("claimed", 0, 0, "", ""), bytes(32), bytes(65), 80)


def dispute(*witnesses: Witness) -> Dispute:
    """One whose jury sits, as the job creator sees it."""
    return Dispute(
        id=b"\x01" * 32,
        wanted=b"",
        deal=draft(Person.number(1), Person.number(2), int(NOW)),
        table=bytes(32),
        job=draw_job(Random(1)),
        mediators=JURORS,
        for_provider=False,
        disagrees=True,
        cid="claimed",
        salt=bytes(32),
        state=State.JURY,
        drawn=True,
        sitting=7,
        witnesses=witnesses,
        expected="expected",
    )


def test_what_several_jurors_made_and_nobody_serves_is_asked_for_once_at_a_time() -> None:
    it = dispute(*(Witness(seat, cid="theirs", gateway=80 + seat) for seat in range(3)))
    asked, sources, now = 1, set(), NOW
    for _ in range(12):
        answers = [NotFetched(weighing(it.id), "theirs", "not found")] * asked
        woken = [effect for answer in answers for effect in step(it, now, answer).effects]
        assert all(isinstance(effect, WakeAt) for effect in woken)
        now = max(effect.moment for effect in woken if isinstance(effect, WakeAt))
        wakes = [Woke(effect.timer) for effect in woken if isinstance(effect, WakeAt)]
        fetches = [effect for wake in wakes for effect in step(it, now, wake).effects]
        asked = len(fetches)
        sources |= {effect.source for effect in fetches if isinstance(effect, Fetch)}
        assert asked == 1, "a failure that asks everybody again doubles what is asked, until nothing else is done"
    assert sources == set(JURORS), "in turn"


def test_what_agreed_meanwhile_is_not_asked_for_again() -> None:
    it = dispute(Witness(0, cid="theirs", agrees=True))
    assert not step(it, NOW, Woke(Timer(it.id, "dispute:weigh:theirs"))).effects


@pytest.mark.parametrize("stage", [Awaiting(), Claiming("it never came", b""), Fetching(DELIVERY, b"")])
def test_what_a_watchtower_denied_is_seen_through_by_whoever_wakes_up(stage: Awaiting | Claiming | Fetching) -> None:
    deal = draft(Person.number(1), Person.number(2), int(NOW))
    terms = Rules(Domain(1337, Person.number(9).address)).terms(NOW, draw_job(Random(1)), deal.pay, 0, JURORS)
    bought = Purchase(b"\x01" * 32, b"\x02" * 16, deal, draw_job(Random(1)), terms, bytes(65), 1, False, stage)
    standing = DealState(State.JURY, Flag.CONTESTED, int(NOW) + 300)
    after, effects = saw(bought, NOW, ChainSaw(bought.id, standing, int(NOW), b"\x05" * 32))
    assert isinstance(after.stage, Contesting)
    assert after.dispute is not None
    assert after.dispute.contested
    assert any(isinstance(effect, WakeAt) and "draw" in effect.timer.phase for effect in effects)


def test_each_claim_on_a_deal_is_ended_under_a_name_of_its_own() -> None:
    deal = draft(Person.number(1), Person.number(2), int(NOW))
    first, second = (ending.end(b"\x01" * 32, deal, b"", f"finalize:{moment}") for moment in (100, 200))
    assert isinstance(first, Transact)
    assert isinstance(second, Transact)
    assert first.about != second.about
    assert ending.end_again(5.0, b"\x01" * 32, first.about) == ending.end_at(5.0, b"\x01" * 32, 100)


def judged(ruling: Ruling, why: bytes, by: int = 1) -> Got:
    """A vote of a juror, whose signature says what it is about."""
    return Got(JURORS[by], Judged(b"\x01" * 32, 0, ruling.value, why, f"{ruling.name} {why.hex()}".encode()))


def test_two_votes_of_one_juror_are_shown_to_the_vault() -> None:
    why = bytes([7]) * 32
    once = step(dispute(), NOW, judged(Ruling.RIGHT, UNSHOWN))
    again = step(once.state, NOW, judged(Ruling.WRONG, why))
    (shown,) = [effect.call for effect in again.effects if isinstance(effect, Transact)]
    ballots = (Ballot(1, UNSHOWN, once.state.witness(1).vote), Ballot(2, why, again.state.witness(1).vote))
    assert shown == Expose(dispute().deal, dispute().pool, 1, *ballots)


@pytest.mark.parametrize(
    "votes",
    [
        (judged(Ruling.RIGHT, UNSHOWN), judged(Ruling.RIGHT, bytes([7]) * 32)),
        (judged(Ruling.WRONG, bytes([7]) * 32), judged(Ruling.WRONG, bytes([7]) * 32)),
        (judged(Ruling.WRONG, bytes([7]) * 32), judged(Ruling.NOT_FETCHABLE, UNSHOWN)),
        (judged(Ruling.RIGHT, UNSHOWN), judged(Ruling.WRONG, bytes([7]) * 32, by=2)),
    ],
    ids=["one ruling on other grounds", "the same vote", "both for us", "two jurors"],
)
def test_what_is_no_double_vote_or_does_us_no_harm_is_not_shown(votes: tuple[Got, Got]) -> None:
    it = dispute()
    for vote in votes:
        it, effects = step(it, NOW, vote)
        assert not [effect for effect in effects if isinstance(effect, Transact)]
