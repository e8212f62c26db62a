"""Two results of one job are the same when their CIDs are; otherwise the verdict says where they differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.compare import Different, Result, Same, UnknownComparison, compare
from modules.manifest import Verification


def result(folder: Path, **files: str) -> Path:
    (folder / "outputs").mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_equal_cids_are_the_same_without_a_look() -> None:
    assert compare(Verification(), Result("bafy1"), Result("bafy1")) == Same()
    assert compare(Verification(), Result("bafy1"), Result("bafy2")) == Different(())


def test_what_differs_is_named(tmp_path: Path) -> None:
    one = result(tmp_path / "one", stdout="a", stderr="", exit_code="0\n")
    other = result(tmp_path / "other", stdout="b", stderr="", exit_code="0\n")
    (one / "outputs" / "only-here").touch()
    (one / "outputs" / "kind").mkdir()
    (other / "outputs" / "kind").touch()
    verdict = compare(Verification(), Result("bafy1", one), Result("bafy2", other))
    assert verdict == Different(("outputs/kind", "outputs/only-here", "stdout"))
    assert str(verdict) == "differs in outputs/kind, outputs/only-here, stdout"


def test_a_mode_that_is_not_there_yet_is_an_error() -> None:
    with pytest.raises(UnknownComparison, match="image"):
        compare(Verification("image", 0.1), Result("bafy1"), Result("bafy1"))
