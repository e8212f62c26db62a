"""What a job's document and the lines about it say of money, out of its story alone."""

from __future__ import annotations

from typing import Any

import pytest

from node.cli.jobs import _summary
from node.cli.progress import still_locked, tell, won_or_lost
from node.jobs import build_document
from protocol.eip712 import Domain
from protocol.identity import Address

DEAL = {
    "event": "agreed",
    "deal": "0xaa",
    "provider": "somebody",
    "pay": "900",
    "per": "job",
    "rate": "900",
    "rounds": 2,
    "check_fee": "7",
    "locks": "1000",
    "provider_locks": "9500",
    "cheat": "9000",
    "jurors": 3,
    "juror_fee": "50",
}
LOCKED = {"event": "locked", "deal": "0xaa"}
ACCUSED = {"event": "dispute", "deal": "0xaa", "kind": "accused", "reason": "another CID", "claimed": "bafy"}
CONTESTED = {**ACCUSED, "kind": "contested"}
ENDED = {"event": "ended", "outcome": "TIMED_OUT", "reason": "nothing came", "paid": "0"}


def ruled(ruling: str, final: bool = True, round_: int = 0) -> dict[str, Any]:
    return {"event": "ruling", "round": round_, "ruling": ruling, "final": final}


def document(*events: dict[str, Any]) -> dict[str, Any]:
    about = {"module": {"name": "cowsay", "version": "v1"}, "compare": "exact"}
    story = [(number, float(number), event) for number, event in enumerate(events)]
    return build_document("ab" * 16, about, 0.0, story, Domain(1337, Address(bytes(20))))


@pytest.mark.parametrize(
    ("dispute", "ruling", "won", "lost"),
    [
        (ACCUSED, "WRONG", ("8850", "9000"), ("0", "0")),
        (CONTESTED, "NOT_FETCHABLE", ("9350", "9500"), ("0", "0")),
        (ACCUSED, "RIGHT", ("0", "0"), ("150", "150")),
        (CONTESTED, "RIGHT", ("0", "0"), ("0", "75")),
        (ACCUSED, "SPLIT", ("0", "0"), ("0", "0")),
    ],
)
def test_what_a_ruling_won_or_lost(
    dispute: dict[str, Any], ruling: str, won: tuple[str, str], lost: tuple[str, str]
) -> None:
    money = document(DEAL, LOCKED, dispute, ruled(ruling))["money"]
    assert money["ruling"]["won"] == {"least": won[0], "most": won[1]}
    assert money["ruling"]["lost"] == {"least": lost[0], "most": lost[1]}
    assert money["locked"] == {"ours": "1000", "provider": "9500", "bond": "150"}
    assert won_or_lost(money["ruling"])


def test_what_an_appeal_cost_is_not_guessed() -> None:
    money = document(DEAL, LOCKED, ACCUSED, ruled("WRONG", False), ruled("RIGHT", round_=1))["money"]
    assert money["ruling"]["won"] is money["ruling"]["lost"] is None
    assert "not known" in won_or_lost(money["ruling"])


def test_a_job_that_ends_before_its_dispute_says_what_is_still_locked() -> None:
    told = document(DEAL, LOCKED, CONTESTED, ENDED)
    assert told["money"]["still_locked"] == {"ours": "1150", "provider": "9500"}
    assert "its dispute goes on; 1150 of ours are locked until then" in still_locked(told)
    over = document(DEAL, LOCKED, CONTESTED, ENDED, ruled("NOT_FETCHABLE"))
    assert (still_locked(over), over["money"]["still_locked"]["ours"]) == ("", "0")


def test_the_deal_that_was_disputed_counts_and_not_the_next_one() -> None:
    again = {**DEAL, "deal": "0xbb", "locks": "7"}
    told = document(DEAL, LOCKED, CONTESTED, again, {**LOCKED, "deal": "0xbb"})
    assert told["money"]["locked"]["ours"] == "1000"


def test_checks_are_paid_for_one_by_one() -> None:
    checked = {"event": "checked", "verdict": "accepted", "mediators": ["one", "two"], "reason": "the same"}
    assert document(DEAL, LOCKED, checked)["money"]["check_fees"] == "14"


def test_what_there_is_not_is_not_shown_as_none() -> None:
    for told in (document(), document(DEAL), document({key: DEAL[key] for key in DEAL if key != "locks"}, LOCKED)):
        lines = "\n".join(_summary(told))
        assert "None" not in lines
        assert "no result" in lines
    assert document()["money"] is None


def test_every_step_of_a_dispute_is_told_while_a_job_runs() -> None:
    jury = {"event": "jury", "round": 0, "jurors": ["one", "two", "three"]}
    vote = {"event": "vote", "round": 0, "juror": "one", "ruling": "WRONG", "own": "bafy"}
    said = [tell(event) for event in (ACCUSED, jury, vote, ruled("WRONG"))]
    words = ("accused before the vault", "the jury, seated", "juror one voted WRONG", "ruled WRONG, final")
    assert all(word in line for word, line in zip(words, said, strict=True))
