"""The record of a dispute, checked by somebody who was not there; and one that somebody has tampered with."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from eth_hash.auto import keccak
from market import Market, customer, seller
from test_disputes import Trial, pool

from agents.effects import Effect, Save
from agents.events import Event
from agents.purchase_stages import Over, Purchase
from node.cli.dispute import verify
from node.config import Config
from node.errors import UserError
from node.records import hearing, read, read_file, write
from protocol.record import Record, findings
from protocol.signing import recover_address
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


def refuted(record: Record) -> list[str]:
    return [finding.what for finding in findings(record, recover) if not finding.holds]


def open_ones(record: Record) -> list[str]:
    return [finding.what for finding in findings(record, recover) if finding.holds and not finding.shown]


def test_a_ruling_that_no_jury_made_does_not_hold() -> None:
    record = recorded(*("honest",) * 7)
    (last,) = record.hearings
    assert refuted(record) == open_ones(record) == []
    silent = replace(last, ruling=0, testimony=())
    for outcome in set(Outcome) - {Outcome.SPLIT}:
        assert refuted(replace(record, hearings=(), outcome=outcome)), outcome
        assert refuted(replace(record, hearings=(silent,), outcome=outcome)), outcome
    for outcome in (*set(Outcome) - {Outcome.WRONG}, 200):
        assert refuted(replace(record, outcome=outcome)), outcome
    # that everybody was silent may be; that they were no file can show
    split = replace(record, hearings=(silent,), outcome=Outcome.SPLIT)
    assert refuted(split) == []
    assert "by its default: half the pay each" in " ".join(open_ones(split))


def test_a_jury_has_no_more_seats_than_the_deal_gives_it() -> None:
    record = recorded(*("honest",) * 7)
    (last,) = record.hearings
    assert refuted(replace(record, hearings=(replace(last, sitting=0x7F),)))
    assert refuted(replace(record, hearings=(replace(last, sitting=last.sitting | 1 << 30),)))
    assert refuted(replace(record, hearings=(replace(last, before=last.sitting),)))
    assert refuted(replace(record, hearings=(replace(last, round=2),)))
    assert refuted(replace(record, hearings=(replace(last, testimony=(*last.testimony, last.testimony[0])),)))
    again = replace(last, round=1, before=last.sitting)
    assert any("sat before" in what for what in refuted(replace(record, hearings=(last, again))))


def test_a_block_that_would_have_seated_others_is_not_said_to_have_seated_these() -> None:
    record = recorded(*("honest",) * 7)
    (last,) = record.hearings
    told = 0
    for seed in range(20):
        other = replace(record, hearings=(replace(last, block_hash=bytes([seed + 1]) * 32),))
        told += any("draws from the pool, if" in what for what in open_ones(other))
    assert told > 15, "one of 35 draws seats the same three"
    unknown = replace(record, hearings=(replace(last, block_hash=bytes(32)),))
    assert any("does not have" in what for what in open_ones(unknown))


@pytest.mark.parametrize(
    "changes",
    [{"grounds": b"x" * 31}, {"grounds": b""}, {"salt": b""}, {"vote": b"x"}, {"seat": 255}, {"ruling": 200}],
)
def test_testimony_that_is_no_testimony_is_a_finding(changes: dict[str, object]) -> None:
    record = recorded(*("honest",) * 7)
    (last,) = record.hearings
    changed = replace(last.testimony[0], **changes)
    record = read(write(replace(record, hearings=(replace(last, testimony=(changed, *last.testimony[1:])),))))
    said = " ".join(finding.what for finding in findings(record, recover_address))
    assert "salt" in changes or refuted(record)
    assert said


def test_a_file_is_not_read_beyond_what_a_record_may_have(tmp_path: Path) -> None:
    place = tmp_path / "endless"
    os.mkfifo(place)

    def pour() -> None:
        with place.open("wb", buffering=0) as pipe, suppress(BrokenPipeError):
            while True:
                pipe.write(bytes(1 << 16))

    Thread(target=pour, daemon=True).start()
    with pytest.raises(UserError, match="at most"):
        read_file(place)
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(UserError, match="can't be read"):
        read_file(tmp_path / "text")


def test_what_jurors_and_files_say_stays_on_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = replace(recorded(*("honest",) * 3), cid="\x1b[1A\x1b[2Kok   everything\nok   fine")
    (tmp_path / "record").write_text(write(record))
    with pytest.raises(typer.Exit):
        verify(Config(tmp_path, ""), tmp_path / "record", json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\nok   fine" not in out
    assert "\\x1b[1A" in out


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(str))
def test_a_file_that_is_no_record_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(UserError):
        read(text)
