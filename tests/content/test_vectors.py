"""Our roots and archives are the ones that the IPFS tools make."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from content.adding import add_path
from content.blocks import MemoryBlocks
from content.car import load_car, write_car
from content.cid import Cid, Codec
from content.layout import add_stream
from content.limits import Budget, Limits

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "vectors.json").read_text())
FILES = [pytest.param(vector, id=f"{vector['content']}-{vector['size']}") for vector in VECTORS["files"]]


class InOrder(MemoryBlocks):
    """A store that remembers the order in which blocks were made, which is the order in ipfs-car's archives."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[Cid, bytes] = {}

    def add(self, codec: Codec, block: bytes) -> Cid:
        cid = super().add(codec, block)
        self.made[cid] = block
        return cid


def bytes_of(kind: str, size: int) -> bytes:
    match kind:
        case "zeros":
            return bytes(size)
        case "ff":
            return b"\xff" * size
    parts = (hashlib.sha256(b"lilypad-vector" + c.to_bytes(8, "big")).digest() for c in itertools.count())
    return b"".join(itertools.islice(parts, -(-size // 32)))[:size]


def archive(root: Cid, blocks: InOrder) -> bytes:
    return b"".join(write_car(root, blocks.made.items()))


@pytest.mark.parametrize("vector", FILES)
def test_a_file_has_the_root_and_the_archive_of_the_ipfs_tools(vector: dict[str, Any]) -> None:
    blocks = InOrder()
    data = bytes_of(vector["content"], vector["size"])
    made = add_stream(io.BytesIO(data), blocks, Budget(Limits()))
    assert str(made.cid) == vector["root"]
    car = archive(made.cid, blocks)
    assert (len(car), hashlib.sha256(car).hexdigest()) == (vector["car_size"], vector["car_sha256"])
    assert load_car(io.BytesIO(car), MemoryBlocks()) == made.cid


@pytest.mark.parametrize("vector", FILES)
def test_deeper_trees_have_the_root_of_the_ipfs_tools(vector: dict[str, Any]) -> None:
    data = bytes_of(vector["content"], vector["size"])
    for layout in vector["other_layouts"]:
        made = add_stream(
            io.BytesIO(data), MemoryBlocks(), Budget(Limits()), chunk=layout["chunk"], width=layout["width"]
        )
        assert str(made.cid) == layout["root"], layout


def test_a_directory_has_the_root_and_the_archive_of_the_ipfs_tools(tmp_path: Path) -> None:
    expected = VECTORS["directory"]
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in expected["files"]:
        data = file["text"].encode() if "text" in file else bytes_of(file["content"], file["size"])
        (folder / file["name"]).write_bytes(data)
    blocks = InOrder()
    root = add_path(folder, blocks)
    assert str(root) == expected["root"]
    car = archive(root, blocks)
    assert (len(car), hashlib.sha256(car).hexdigest()) == (expected["car_size"], expected["car_sha256"])


def test_an_empty_directory_has_its_well_known_name(tmp_path: Path) -> None:
    assert str(add_path(tmp_path, MemoryBlocks())) == "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
