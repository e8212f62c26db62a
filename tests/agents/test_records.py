"""The record of a dispute, checked by somebody who was not there; and one that somebody has tampered with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from eth_hash.auto import keccak
from market import Market, customer, seller
from test_disputes import Trial, pool

from agents.effects import Effect, Save
from agents.events import Event
from agents.purchase_stages import Over, Purchase
from node.errors import UserError
from node.records import hearing, read, write
from protocol.record import Record, findings
from protocol.vault_state import Outcome
from simulator.population import APPEALING, RULES
from simulator.signatures import recover
from simulator.world import Peer, World


class Notary:
    """Keeps the last state of a purchase."""

    def __init__(self) -> None:
        self.saved: Purchase | None = None

    def handled(self, world: World, peer: Peer, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Save) and isinstance(effect.state, Purchase):
                self.saved = effect.state

    def mined(self, *_: object) -> None: ...
    def dropped(self, *_: object) -> None: ...
    def restored(self, *_: object) -> None: ...
    def told(self, *_: object) -> None: ...


def recorded(*jurors: str, provider: str = "liar", buyer: str = "honest", appealing: bool = False) -> Record:
    rules = APPEALING if appealing else RULES
    notary = Notary()
    people = customer(kind=buyer, rules=rules), seller("cheat", 100, kind=provider, rules=rules)
    market = Market(*people, *pool(*jurors, rules=rules), rules=rules)
    market.world.observers.append(notary)
    Trial(market)
    it = notary.saved
    assert it is not None
    assert isinstance(it.stage, Over)
    assert it.dispute is not None
    hearings, before = [], 0
    for number, past in enumerate(it.dispute.hearings, 1):
        last = number == len(it.dispute.hearings)
        ruling = past.ruling or (it.stage.ruling if last and it.stage.ruling <= Outcome.NOT_FETCHABLE else 0)
        hearings.append(hearing(past, ruling, before, keccak(past.block.to_bytes(8, "big"))))
        before |= past.sitting
    delivery = it.stage.delivery
    return Record(
        RULES.domain.chain_id,
        RULES.domain.vault,
        it.deal,
        it.bond,
        it.table,
        it.job,
        it.terms.mediators,
        it.dispute.contested,
        it.dispute.sealed,
        it.dispute.cid,
        it.dispute.salt,
        delivery.run.exit_code if delivery else 0,
        delivery.run.units if delivery else 0,
        delivery.signature if delivery else b"",
        it.dispute.expected,
        tuple(hearings),
        it.stage.ruling,
    )


@pytest.mark.parametrize(
    ("jurors", "provider", "buyer"),
    [
        (("honest",) * 3, "liar", "honest"),
        (("honest",) * 3, "honest", "accuser"),
        (("honest",) * 7, "liar", "honest"),
        (("honest", "honest", "copier"), "liar", "honest"),
        (("honest",) * 3, "phantom", "honest"),
    ],
)
def test_whoever_was_not_there_can_check_every_step(jurors: tuple[str, ...], provider: str, buyer: str) -> None:
    record = read(write(recorded(*jurors, provider=provider, buyer=buyer)))
    found = findings(record, recover)
    assert [finding.what for finding in found if not finding.holds] == []
    said = " / ".join(finding.what for finding in found)
    assert "the jury ruled" in said
    assert ("draws from the pool" in said) == (len(jurors) > 3)


def test_both_juries_of_an_appeal_are_in_the_record() -> None:
    for first in range(21):
        jurors = ["colluder" if (i - first) % 21 < 8 else "honest" for i in range(21)]
        record = recorded(*jurors, appealing=True)
        if len(record.hearings) > 1:
            found = findings(record, recover)
            assert [finding.what for finding in found if not finding.holds] == []
            assert record.hearings[1].ruling == record.outcome
            if (record.hearings[0].ruling, record.outcome) == (Outcome.RIGHT, Outcome.WRONG):
                return
    pytest.fail("no first jury, and it alone, was bought")


def test_a_record_that_was_changed_anywhere_does_not_hold() -> None:
    record = recorded(*("honest",) * 7)
    last = record.hearings[-1]
    said = next(each for each in last.testimony if each.vote)
    position = last.testimony.index(said)

    def with_said(**changes: object) -> Record:
        testimony = (*last.testimony[:position], replace(said, **changes), *last.testimony[position + 1 :])
        return replace(record, hearings=(*record.hearings[:-1], replace(last, testimony=testimony)))

    def with_hearing(**changes: object) -> Record:
        return replace(record, hearings=(*record.hearings[:-1], replace(last, **changes)))

    free = next(seat for seat in range(7) if not last.sitting >> seat & 1)
    changed = [
        replace(record, deal=replace(record.deal, pay=record.deal.pay + 1)),
        replace(record, job=replace(record.job, seed=bytes(32))),
        replace(record, mediators=record.mediators[1:]),
        replace(record, cid="another"),
        replace(record, exit_code=record.exit_code + 1),
        replace(record, signature=b""),
        replace(record, bond=record.signature),
        replace(record, outcome=Outcome.RIGHT),
        with_said(ruling=1),
        with_said(grounds=bytes(32)),
        with_said(seat=free),
        with_said(vote=bytes(65)),
        with_hearing(ruling=1),
        with_hearing(sitting=last.sitting ^ (1 << free) ^ (1 << said.seat)),
        with_hearing(testimony=()),
    ]
    for each in (with_said(cid="another"), with_said(salt=bytes(32))):
        assert "rests on nothing" in " ".join(finding.what for finding in findings(each, recover))
    for number, each in enumerate(changed):
        assert not all(finding.holds for finding in findings(each, recover)), f"change {number} was not noticed"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(str))
def test_a_file_that_is_no_record_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError):
        read(text)
