"""A party's view of a dispute, one step at a time: what a hostile or unlucky juror can make it do."""

from __future__ import annotations

from random import Random

from agents.dispute import Dispute, Witness, step, weighing
from agents.effects import Fetch, WakeAt
from agents.events import NotFetched, Timer, Woke
from protocol.vault_state import State
from simulator.population import address
from simulator.pretend import draw_job
from tests.contracts.twin import Person, draft

NOW = 1_800_000_000.0
JURORS = tuple(address(f"juror {i}") for i in range(3))


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
