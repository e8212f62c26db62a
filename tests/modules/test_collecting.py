"""A result can be published by everybody or by nobody: what no CID can be given is refused where it is collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from content.adding import add_path
from content.blocks import MemoryBlocks
from content.reading import look
from modules.collecting import TooManyNames, collect
from modules.executor import MAX_FILES, Limits

LIMITS = Limits(0, 0, 64 << 20, 1 << 20, MAX_FILES, 1.0)


def left(outbox: Path, *paths: str) -> Path:
    """An outbox with these files among its outputs."""
    for path in paths:
        file = outbox / "outputs" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return outbox


@pytest.mark.parametrize(
    "paths",
    [
        [f"{number:0>200}" for number in range(1200)],
        [f"{number:0>8}" for number in range(5200)],
        ["a/" * 60 + "b"],
    ],
    ids=["long names", "many names", "deep"],
)
def test_what_content_has_no_room_for_is_refused(tmp_path: Path, paths: list[str]) -> None:
    with pytest.raises(TooManyNames, match="can't be published"):
        collect(left(tmp_path / "outbox", *paths), tmp_path / "result", 0, LIMITS)


@pytest.mark.parametrize(
    "paths",
    [
        [f"{number:0>200}" for number in range(1000)],
        [f"{number:0>8}" for number in range(4700)],
        ["a/" * 55 + "b"],
    ],
    ids=["long names", "many names", "deep"],
)
def test_all_that_content_has_room_for_is_taken(tmp_path: Path, paths: list[str]) -> None:
    collect(left(tmp_path / "outbox", *paths), tmp_path / "result", 0, LIMITS)
    blocks = MemoryBlocks()
    assert look(add_path(tmp_path / "result", blocks), blocks)
