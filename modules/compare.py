"""Compares two results of one job, and says what differs; how strictly is the module's choice."""

from __future__ import annotations

import filecmp
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, assert_never

from modules import folders
from modules.budget import Budget
from modules.errors import ResultFault
from modules.manifest import Verification

BOUNDS: Final = folders.Bounds(files=20_000, bytes=1 << 36)
Agree = Callable[[Path, Path], bool]
"""Whether two files, which are not the same bytes, are alike; raises `ResultFault` for what can't be read."""
Begin = Callable[[str], None]
"""Hears of each pair of files, by its path, before it is read."""
MAX_NAMED: Final = 20
"""How many differing paths a verdict names."""
MAX_WHY: Final = 200


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
    why: str = field(default="", compare=False)
    """Which of the files could not be read, and why; for people."""

    def __str__(self) -> str:
        where = f"differs in {', '.join(self.paths)}" if self.paths else "the CIDs differ"
        return f"{where} ({self.why})" if self.why else where


Comparison = Same | Different


class CannotCompare(Exception):
    """This machine can't compare here and now, which says nothing of the results and is nobody's fault but its own."""


class UnknownComparison(CannotCompare):
    """A mode of comparison that this installation can't carry out."""


def _silently(_: str) -> None: ...


def compare(verification: Verification, mine: Result, theirs: Result, begin: Begin = _silently) -> Comparison:
    """Compare as the manifest's ``[verification]`` says; every mode is pure, symmetric and bounded.

    What a file breaks, whatever it is, is a difference in that file. Files are a stranger's and their readers are not
    all ours, so who runs this calls it in a process of its own (`modules.compare_apart`). Raises `UnknownComparison`
    where a mode's library is not installed, `FolderFault` for a result that is none, `OSError`.
    """
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    agree: Callable[[Path, Path, float, Budget], bool]
    match verification.compare:
        case "exact":
            return exact(mine, theirs)
        case "numeric":
            from modules.compare_numeric import MAX_WORK
            from modules.compare_numeric import numeric_files as agree
        case "image":
            from modules.compare_image import MAX_WORK
            from modules.compare_image import image_files as agree
        case "text":
            from modules.compare_text import MAX_WORK
            from modules.compare_text import text_files as agree
        case _:
            assert_never(verification.compare)
    # What a program says on stderr counts nothing, nor what it prints beside its pictures.
    ignored = {"stderr", "stdout"} if verification.compare == "image" else {"stderr"}
    budget, unread = Budget(MAX_WORK), list[str]()
    found: list[str] = []
    for path in _differences(mine.folder, theirs.folder, ignored):
        one, other = mine.folder / path, theirs.folder / path
        # The exit code is no measurement: in every mode it is the same or it isn't.
        if path != "exit_code" and one.is_file() and other.is_file():
            begin(path)
            try:
                if agree(one, other, verification.tolerance, budget):
                    continue
            except (OSError, CannotCompare):
                raise
            except Exception as error:  # a stranger's bytes and other people's readers: anything can come
                unread.append(f"{path}: {_told(error)}"[:MAX_WHY])
        found.append(path)
        if len(found) == MAX_NAMED:
            break
    return Different(tuple(found), "; ".join(unread)[:MAX_WHY]) if found else Same()


def exact(mine: Result, theirs: Result) -> Comparison:
    """Byte for byte, names included: two results are the same when their CIDs are."""
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    found = _differences(mine.folder, theirs.folder, set())
    return Different(tuple(path for path, _ in zip(found, range(MAX_NAMED), strict=False)))


def _differences(one: Path, other: Path, ignored: set[str]) -> Iterator[str]:
    """Where names or bytes differ, in the order of the names' bytes."""
    here, there = _entries(one), _entries(other)
    for path in sorted(here.keys() | there.keys(), key=str.encode):
        if path in ignored and path in here and path in there:
            continue
        kinds = here.get(path), there.get(path)
        if kinds[0] != kinds[1] or (kinds[0] == "file" and not _same_bytes(one / path, other / path)):
            yield path


def _entries(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise folders.FolderFault("is no folder")
    return {entry.path: entry.kind for entry in folders.walk(folder, BOUNDS)}


def _same_bytes(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and filecmp.cmp(one, other, shallow=False)


def _told(error: Exception) -> str:
    if isinstance(error, ResultFault):
        return str(error)
    return f"can't be read: {type(error).__name__} {error}".rstrip()
