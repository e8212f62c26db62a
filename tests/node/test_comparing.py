"""Two results in a node's stores: one that can't be read differs, and a machine that can't look says just that."""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import trio
from PIL import Image

from agents.effects import Compare
from agents.events import Compared, Event, NotCompared
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid
from modules import compare_apart
from modules.module import load
from node.keyring import Keyring
from node.keys import new_key
from node.runtime import Runtime
from node.supervision import Tasks
from node.workshop import Workshop, job_resources
from protocol.job import Job

MANIFEST = """
name = "m"
version = "v1"
summary = "s"
executor = "wasm"
[wasm]
program = "p.wasm"
[verification]
compare = "{mode}"
tolerance = 0.1
"""


class Bench:
    """A workshop, and what a runtime lets an agent hear of it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.blocks = MemoryBlocks()
        keyring = Keyring(sqlite3.connect(":memory:", isolation_level=None), new_key())
        (place / "runs").mkdir()
        self.workshop = Workshop(self.blocks, MemoryBlocks(), keyring, {}, place / "runs", None)  # type: ignore[arg-type]

    def job(self, mode: str) -> Job:
        folder = self.place / mode
        folder.mkdir()
        (folder / "p.wasm").write_bytes(b"\0asm")
        (folder / "module.toml").write_text(MANIFEST.format(mode=mode))
        module, cid = load(folder), str(add_path(folder, self.blocks))
        return Job(module.digest, cid, cid, "wasm", job_resources(module), mode, bytes(32))

    def result(self, name: str, data: bytes) -> str:
        folder = self.place / f"{name}-{len(data)}"
        (folder / "outputs").mkdir(parents=True)
        (folder / "exit_code").write_text("0\n")
        (folder / "outputs" / name).write_bytes(data)
        cid = str(add_path(folder, self.blocks))
        shutil.rmtree(folder)
        return cid

    async def hear(self, job: Job, mine: str, theirs: str) -> Event:
        heard: list[Event] = []
        async with trio.open_nursery() as nursery:
            runtime = object.__new__(Runtime)  # nothing else of a node is needed
            runtime._workshop, runtime._tasks = self.workshop, Tasks(nursery)
            runtime._tasks.start_soon(runtime._compare, heard.append, Compare(b"x", job, mine, theirs))
        (event,) = heard
        assert not list(self.place.glob("runs/*")), "nothing is left lying about"
        return event


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_result_that_breaks_its_reader_differs(bench: Bench) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (150,), }".ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()
        archive.writestr("a.npy", data + struct.pack("<150f", *[1.0, 2.0, 3.0] * 50))
    good = buffer.getvalue()
    bad = good[:35] + b"\xff" * 5 + good[40:]
    event = await bench.hear(bench.job("numeric"), bench.result("w.npz", good), bench.result("w.npz", bad + b" "))
    assert isinstance(event, Compared)
    assert not event.same
    assert "outputs/w.npz" in event.how


async def test_a_result_that_is_none_differs_and_a_missing_one_is_not_compared(bench: Bench) -> None:
    job, mine = bench.job("text"), bench.result("a", b"hello")
    event = await bench.hear(job, mine, "not a cid")
    assert isinstance(event, Compared)
    assert not event.same
    plain = bench.place / "plain"
    plain.write_text("a file, and no directory with one")
    event = await bench.hear(job, mine, str(add_path(plain, bench.blocks)))
    assert isinstance(event, Compared)
    assert not event.same
    gone = bench.result("a", b"hello there")
    bench.blocks._blocks.pop(Cid.parse(gone))
    assert isinstance(await bench.hear(job, mine, gone), NotCompared)
    assert isinstance(await bench.hear(job, gone, mine), NotCompared)


async def test_a_machine_that_lacks_something_does_not_say_that_they_differ(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, mine, theirs = bench.job("text"), bench.result("a", b"hello there"), bench.result("a", b"hello, there")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(bench.place / "no-python"))
        event = await bench.hear(job, mine, theirs)
    assert isinstance(event, NotCompared)
    assert (event.about, event.theirs) == (b"x", theirs)
    assert "can't be started" in event.reason
    (bench.place / "runs").rmdir()
    (bench.place / "runs").touch()  # a disk with no room for a folder
    event = await bench.hear(job, mine, theirs)
    assert isinstance(event, NotCompared)
    assert "no room" in event.reason


async def test_without_what_reads_pictures_none_differ(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    cids = []
    for shade in (200, 201):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), (shade, 0, 0)).save(buffer, "PNG")
        cids.append(bench.result("a.png", buffer.getvalue()))
    job = bench.job("image")
    event = await bench.hear(job, *cids)
    assert isinstance(event, Compared)
    assert event.same
    house = bench.place / "house"
    house.mkdir()
    for name in ("modules", "protocol"):
        (house / name).symlink_to(Path(compare_apart.__file__).parents[1] / name)
    (house / "PIL.py").write_text("raise ImportError")
    monkeypatch.setattr(compare_apart, "_HOUSE", house)
    event = await bench.hear(job, *cids)
    assert isinstance(event, NotCompared)
    assert "Pillow" in event.reason


async def test_our_own_mistake_is_answered_too(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    event = await bench.hear(None, bench.result("a", b"1"), bench.result("a", b"12"))  # type: ignore[arg-type]
    assert isinstance(event, NotCompared)
