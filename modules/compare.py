"""Compares two results of one job, and says what differs; how strictly is the module's choice."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from modules import folders
from modules.errors import ResultFault
from modules.manifest import Verification

BOUNDS: Final = folders.Bounds(files=20_000, bytes=1 << 36)
Agree = Callable[[Path, Path], bool]
"""Whether two files, which are not the same bytes, are alike."""
MAX_NAMED: Final = 20
"""How many differing paths a verdict names."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result directory by its CID, and where its files lie if they are at hand."""

    cid: str
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Same:
    """The results agree, as far as the module's mode of comparison asks."""


@dataclass(frozen=True, slots=True)
class Different:
    """The results disagree."""

    paths: tuple[str, ...]
    """Where, in the result directory, in order; at most 20, and none when a result's files are not at hand."""

    def __str__(self) -> str:
        return f"differs in {', '.join(self.paths)}" if self.paths else "the CIDs differ"


Comparison = Same | Different


class UnknownComparison(ResultFault):
    """A mode of comparison that this installation can't carry out."""


def compare(verification: Verification, mine: Result, theirs: Result) -> Comparison:
    """Compare as the manifest's ``[verification]`` says; every mode is pure, symmetric and bounded.

    Raises `UnknownComparison` where a mode's library is not installed, `FolderFault`, `OSError`.
    """
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    match verification.compare:
        case "exact":
            return exact(mine, theirs)
        case "numeric":
            from modules.compare_numeric import numeric_files as agree
        case "image":
            from modules.compare_image import image_files as agree
        case "text":
            from modules.compare_text import text_files as agree
        case _:
            assert_never(verification.compare)
    return _by_file(mine.folder, theirs.folder, lambda one, other: agree(one, other, verification.tolerance))


def exact(mine: Result, theirs: Result) -> Comparison:
    """Byte for byte, names included: two results are the same when their CIDs are."""
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    return Different(tuple(_differences(mine.folder, theirs.folder, _same_bytes))[:MAX_NAMED])


def _by_file(mine: Path, theirs: Path, agree: Agree) -> Comparison:
    """The same files under the same names, each pair alike; what was said on ``stderr`` counts nothing."""
    found = [path for path in _differences(mine, theirs, agree) if path != "stderr"]
    return Different(tuple(found)[:MAX_NAMED]) if found else Same()


def _differences(one: Path, other: Path, agree: Agree) -> list[str]:
    here = {entry.path: entry for entry in folders.walk(one, BOUNDS)}
    there = {entry.path: entry for entry in folders.walk(other, BOUNDS)}
    return [
        path
        for path in sorted(here.keys() | there.keys(), key=str.encode)
        if path not in here
        or path not in there
        or here[path].kind != there[path].kind
        or (here[path].kind == "file" and not _alike(one / path, other / path, agree))
    ]


def _alike(one: Path, other: Path, agree: Agree) -> bool:
    # The exit code is no measurement: in every mode it is the same or it isn't.
    if _same_bytes(one, other):
        return True
    return one.name != "exit_code" and agree(one, other)


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)
