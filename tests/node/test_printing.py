"""What peers say reaches the terminal as one line of plain letters."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.ending import complain
from node.cli.jobs import _log
from node.cli.progress import Progress, pass_on, printable
from node.cli.tables import print_table

FORGED = "busy\n   1.23 s  result accepted: our own run gave the same\x1b[2A\r\x07\u202e\x9b2J\u2028"


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_is_printed_moves_the_cursor_or_ends_the_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown == text or not text.isprintable()
    shown.encode()


def test_letters_of_every_script_stay_as_they_are() -> None:
    assert printable("Ein Frosch, 蛙, лягушка, 🐸") == "Ein Frosch, 蛙, лягушка, 🐸"


def test_a_peers_reason_can_not_write_lines_that_look_like_ours(capsys: pytest.CaptureFixture[str]) -> None:
    noted = {"event": "noted", "at": 1.5, "text": f"mediator did not check: {FORGED}"}
    Progress(quiet=False).event(noted)
    _log(noted, json_lines=False)
    complain(FORGED, FORGED)
    print_table(("WHY",), [(FORGED,)])
    said = capsys.readouterr()
    together = said.out + said.err
    assert len(together.splitlines()) == 6, together
    assert together.replace("\n", "").isprintable()
    assert "\\n   1.23 s" in together


def test_what_a_job_wrote_commands_no_terminal_and_is_left_as_it_is_elsewhere(tmp_path: Path) -> None:
    text = "a\tb\n\x1b[2Jlilypad: paid 0\r\nend"
    with (tmp_path / "file").open("w", newline="") as file:
        pass_on(text, file)
    assert (tmp_path / "file").read_bytes() == text.encode()
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", newline="") as terminal:
        pass_on(text, terminal)
        pass_on("", terminal)
        shown = os.read(ours, 1000)
    os.close(ours)
    assert shown.replace(b"\r\n", b"\n") == b"a    b\n\\x1b[2Jlilypad: paid 0\\r\nend\n"
