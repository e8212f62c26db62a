"""The process that compares: what a stranger's files do to it is their difference, what this machine lacks is not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import trio

from modules import compare_apart as apart
from modules.compare import CannotCompare, Different, Result, Same
from modules.compare_apart import compare_apart
from modules.manifest import Verification

NUMERIC = Verification("numeric", 0.1)


def result(folder: Path, name: str, data: bytes) -> Result:
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs" / name).write_bytes(data)
    (folder / "exit_code").write_text("0\n")
    return Result(folder.name, folder)


def children() -> set[str]:
    """Processes of ours that compare."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
            parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if b"modules.compare_child" in words and parent == str(os.getpid()):
            found.add(place.name)
    return found


async def test_it_says_what_the_comparison_says(tmp_path: Path) -> None:
    one = result(tmp_path / "one", "a.txt", b"loss 0.123")
    assert await compare_apart(NUMERIC, one, result(tmp_path / "near", "a.txt", b"loss 0.124")) == Same()
    far = await compare_apart(NUMERIC, one, result(tmp_path / "far", "a.txt", b"lost 0.123"))
    assert far == Different(("outputs/a.txt",))
    broken = await compare_apart(NUMERIC, one, result(tmp_path / "broken", "a.txt", b"\xff"))
    assert broken == Different(("outputs/a.txt",))
    assert "outputs/a.txt: can't be read" in str(broken)
    assert await compare_apart(NUMERIC, one, Result("one")) == Same()


def ends_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str) -> None:
    """Have the process do this when it has said which file it begins with, as a reader of files might."""
    package = tmp_path / "house" / "modules"
    package.mkdir(parents=True)
    for place in Path(apart.__file__).parent.glob("*.py"):
        (package / place.name).symlink_to(place)
    (package.parent / "protocol").symlink_to(Path(apart.__file__).parents[1] / "protocol")
    (package / "compare_text.py").unlink()
    (package / "compare_text.py").write_text(
        f"import os, resource, signal, time\nMAX_WORK = 1\ndef text_files(*_):\n    {deed}\n"
    )
    monkeypatch.setattr(apart, "_HOUSE", package.parent)


async def test_folders_however_deep_are_a_difference_and_no_want_of_this_machine(tmp_path: Path) -> None:
    one = result(tmp_path / "one", "a", b"1")
    for depth in (20, 60, 80):
        other = result(tmp_path / f"{depth}", "a", b"1")
        (tmp_path / f"{depth}" / "outputs" / Path(*["d"] * depth)).mkdir(parents=True)
        verdict = await compare_apart(NUMERIC, one, other)
        assert isinstance(verdict, Different)
        assert (await compare_apart(NUMERIC, other, one)) == verdict


async def test_names_however_long_do_not_crowd_out_what_it_says(tmp_path: Path) -> None:
    results = []
    for side in "ab":
        # names that JSON writes with six letters each, and a path near what a path can be
        inner = tmp_path / side / "outputs" / Path(*["\x01" * 240] * 14)
        inner.mkdir(parents=True)
        for number in range(40):
            (inner / f"{number}").write_text(side)
        results.append(Result(side, tmp_path / side))
    verdict = await compare_apart(NUMERIC, *results)
    assert isinstance(verdict, Different)
    assert len(verdict.paths) == 20


@pytest.mark.parametrize(
    "deed",
    [
        "os.kill(os.getpid(), signal.SIGSEGV)",
        "os.abort()",
        "os._exit(3)",
        "[bytearray(1 << 30) for _ in range(8)]",
        "resource.setrlimit(resource.RLIMIT_CPU, (1, 5))\n    while True: pass",
        "raise AssertionError",
        "raise BaseException",
    ],
)
async def test_a_file_that_breaks_its_reader_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    ends_with(tmp_path, monkeypatch, deed)
    one, other = result(tmp_path / "one", "a", b"1"), result(tmp_path / "other", "a", b"2")
    verdict = await compare_apart(Verification("text", 0.1), one, other)
    assert verdict == Different(("outputs/a",))
    assert "outputs/a: " in str(verdict)


@pytest.mark.parametrize(
    "deed",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",  # as a system does that is short of memory
        "raise OSError(5, 'Input/output error')",
        "time.sleep(60)",
    ],
)
async def test_what_is_this_machines_fault_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    ends_with(tmp_path, monkeypatch, deed)
    monkeypatch.setattr(apart, "DEADLINE", 2.0)
    one, other = result(tmp_path / "one", "a", b"1"), result(tmp_path / "other", "a", b"2")
    with pytest.raises(CannotCompare):
        await compare_apart(Verification("text", 0.1), one, other)
    assert not children()


async def test_a_machine_that_can_not_start_it_can_not_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = result(tmp_path / "one", "a", b"1"), result(tmp_path / "other", "a", b"2")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(tmp_path / "no-python"))
        with pytest.raises(CannotCompare, match="can't be started"):
            await compare_apart(NUMERIC, one, other)
    monkeypatch.setattr(apart, "_HOUSE", tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CannotCompare, match="without an answer"):
        await compare_apart(NUMERIC, one, other)


async def test_it_ends_when_nobody_waits_for_it_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends_with(tmp_path, monkeypatch, "time.sleep(60)")
    one, other = result(tmp_path / "one", "a", b"1"), result(tmp_path / "other", "a", b"2")
    with trio.move_on_after(2):
        await compare_apart(Verification("text", 0.1), one, other)
    assert not children()
