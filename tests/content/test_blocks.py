"""A store never holds, takes or gives bytes that are not what their CID says."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from content.blocks import MAX_BLOCK, Blocks, FileBlocks, MemoryBlocks
from content.cid import Cid, Codec
from content.errors import BadBlock, MissingBlock

COW = Cid.of(Codec.RAW, b"moo")


@pytest.fixture(params=["memory", "files"])
def blocks(request: pytest.FixtureRequest, tmp_path: Path) -> Blocks:
    return MemoryBlocks() if request.param == "memory" else FileBlocks(tmp_path / "blocks")


def test_what_is_put_can_be_had(blocks: Blocks) -> None:
    assert not blocks.has(COW)
    with pytest.raises(MissingBlock) as caught:
        blocks.get(COW)
    assert caught.value.cid == COW
    blocks.put(COW, b"moo")
    blocks.put(COW, b"moo")
    assert blocks.has(COW)
    assert blocks.get(COW) == b"moo"
    node = blocks.add(Codec.DAG_PB, b"moo")
    assert node != COW
    assert blocks.get(node) == b"moo"


def test_other_bytes_are_not_taken(blocks: Blocks) -> None:
    with pytest.raises(BadBlock):
        blocks.put(COW, b"boo")
    assert not blocks.has(COW)


def test_a_block_too_big_to_travel_is_not_taken(blocks: Blocks) -> None:
    biggest = bytes(MAX_BLOCK)
    assert blocks.get(blocks.add(Codec.RAW, biggest)) == biggest
    bigger = bytes(MAX_BLOCK + 1)
    with pytest.raises(BadBlock, match="the most"):
        blocks.add(Codec.RAW, bigger)
    with pytest.raises(BadBlock, match="the most"):
        blocks.put(Cid.of(Codec.RAW, bigger), bigger)


def test_files_outlive_the_store_and_are_spread_over_folders(tmp_path: Path) -> None:
    first = FileBlocks(tmp_path)
    cids = [first.add(Codec.RAW, str(number).encode()) for number in range(200)]
    second = FileBlocks(tmp_path)
    assert [second.get(cid) for cid in cids] == [str(number).encode() for number in range(200)]
    assert len(list(tmp_path.iterdir())) > 100


@pytest.mark.parametrize("torn", [b"", b"mo", b"mop", b"moo and more"])
def test_a_block_that_rotted_on_disk_is_missing_and_can_be_brought_again(torn: bytes, tmp_path: Path) -> None:
    store = FileBlocks(tmp_path)
    store.put(COW, b"moo")
    [path] = tmp_path.rglob(str(COW))
    path.write_bytes(torn)
    with pytest.raises(MissingBlock):
        store.get(COW)
    store.put(COW, b"moo")
    assert store.get(COW) == b"moo"


def test_what_a_killed_process_left_is_swept_but_not_what_a_live_one_writes(tmp_path: Path) -> None:
    FileBlocks(tmp_path)
    old, young = tmp_path / "partial" / "old", tmp_path / "partial" / "young"
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    FileBlocks(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_many_threads_may_write_the_same_blocks(tmp_path: Path) -> None:
    store = FileBlocks(tmp_path)
    data = [bytes([number]) * 10_000 for number in range(40)]

    def write() -> None:
        for block in data:
            store.add(Codec.RAW, block)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [store.get(Cid.of(Codec.RAW, block)) for block in data] == data
    assert list((tmp_path / "partial").iterdir()) == []
