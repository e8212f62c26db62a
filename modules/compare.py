"""Compares two results of one job, and says what differs; how strictly is the module's choice."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modules import folders
from modules.errors import ResultFault
from modules.manifest import Verification

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
    """A mode of comparison that this version can't carry out."""


def compare(verification: Verification, mine: Result, theirs: Result) -> Comparison:
    """Compare as the manifest's ``[verification]`` says. Raises `UnknownComparison`, `FolderFault`, `OSError`."""
    if verification.compare == "exact":
        return exact(mine, theirs)
    raise UnknownComparison(f'compare = "{verification.compare}" can\'t be carried out yet; use "exact"')


def exact(mine: Result, theirs: Result) -> Comparison:
    """Byte for byte, names included: two results are the same when their CIDs are."""
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    return Different(tuple(_differences(mine.folder, theirs.folder))[:MAX_NAMED])


def _differences(one: Path, other: Path) -> list[str]:
    here = {entry.path: entry for entry in folders.walk(one)}
    there = {entry.path: entry for entry in folders.walk(other)}
    return [
        path
        for path in sorted(here.keys() | there.keys(), key=str.encode)
        if path not in here
        or path not in there
        or here[path] != there[path]
        or (here[path].kind == "file" and not filecmp.cmp(one / path, other / path, shallow=False))
    ]
