"""What a record's reader is told apart: what is shown, what only the chain can tell, and votes that rest on nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from node.cli.dispute import verify
from node.cli.jobs import _explained
from node.config import Config
from node.records import write
from protocol.record import Record, findings, hearsay
from simulator.signatures import recover
from tests.agents.test_records import recorded


def with_testimony(record: Record, **changes: object) -> Record:
    """The record with one voter's testimony changed."""
    (last,) = record.hearings
    said = list(last.testimony)
    at = next(at for at, each in enumerate(said) if each.vote)
    said[at] = replace(said[at], **changes)  # type: ignore[arg-type]
    return replace(record, hearings=(replace(last, testimony=tuple(said)),))


@pytest.mark.parametrize("changes", [{"cid": "another"}, {"salt": bytes(32)}, {"commitment": bytes(32)}])
def test_a_vote_on_a_run_that_was_not_committed_to_has_a_sign_of_its_own(changes: dict[str, object]) -> None:
    record = recorded(*("honest",) * 7)
    assert not any(finding.flawed for finding in findings(record, recover))
    found = findings(with_testimony(record, **changes), recover)
    assert [finding.flawed for finding in found].count(True) == 1
    assert all(finding.holds for finding in found), "the vault counted it, so the ruling stands"


def test_what_no_file_can_show_is_never_said_to_be_shown() -> None:
    record = recorded(*("honest",) * 7)
    (last,) = record.hearings
    changed = {
        "contested": replace(record, contested=not record.contested),
        "expected": replace(record, expected="another"),
        "block": replace(record, hearings=(replace(last, block=last.block + 1),)),
    }
    before = {finding.what for finding in hearsay(record)}
    assert len(before) == 2, "what the check gave is named in the jurors' signed grounds"
    for name, each in changed.items():
        told = hearsay(each)
        assert len({finding.what for finding in told} - before) == 1, name
        assert not any(finding.shown for finding in told)
    # a jury that is the whole pool needs no block
    assert not any("had the hash" in finding.what for finding in hearsay(recorded(*("honest",) * 3)))


def test_the_last_line_and_the_document_count_votes_that_rest_on_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = with_testimony(recorded(*("honest",) * 3), salt=bytes(32))
    (tmp_path / "record").write_text(write(record))
    config = Config(tmp_path, "")
    for as_json in (False, True):
        with pytest.raises(typer.Exit):  # the simulator signs in a way of its own
            verify(config, tmp_path / "record", as_json)
    text, document = capsys.readouterr().out.split("\n{", 1)
    assert text.splitlines()[-1].endswith("1 vote (!) rests on nothing, and counted")
    assert sum(line.startswith("!  ") for line in text.splitlines()) == 1
    told = json.loads("{" + document)
    assert told["flawed_votes"] == 1
    assert sum(each["flawed"] for each in told["findings"]) == 1


def test_what_a_juror_says_of_its_run_is_told_as_its_word() -> None:
    vote = {"event": "vote", "round": 0, "juror": "somebody", "ruling": "WRONG", "own": "bafy"}
    said = _explained(vote)
    assert "it says that its own run gave bafy" in said
    assert "committed" not in said
