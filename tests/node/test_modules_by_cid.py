"""A module that is named by its CID comes from a gateway, every block verified, and is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from starlette.applications import Starlette

from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid
from modules.catalogue import find
from modules.module import load
from node.errors import UserError
from node.gateway import gateway_routes
from node.modules_by_cid import fetch_module, looks_like_cid, module_by_cid
from node.serving import serving


def cow(tmp_path: Path, blocks: MemoryBlocks) -> Cid:
    find("cowsay:v0.1").copy_to(tmp_path / "cow")
    return add_path(tmp_path / "cow", blocks)


async def test_a_gateway_gives_the_module_that_the_catalogue_has(tmp_path: Path) -> None:
    blocks = MemoryBlocks()
    cid = cow(tmp_path, blocks)
    async with serving(Starlette(routes=gateway_routes(blocks)), "127.0.0.1:0") as url:
        await fetch_module(cid, url, tmp_path / "cache" / str(cid), tmp_path)
    assert load(tmp_path / "cache" / str(cid)).digest == find("cowsay:v0.1").digest
    # What is kept needs neither a gateway nor a node.
    kept = await trio.to_thread.run_sync(module_by_cid, str(cid), tmp_path / "cache", tmp_path)
    assert kept == tmp_path / "cache" / str(cid)


def test_without_a_gateway_and_without_a_node_it_says_what_to_do(tmp_path: Path) -> None:
    cid = cow(tmp_path, MemoryBlocks())
    with pytest.raises(UserError, match="say CID@http"):
        module_by_cid(str(cid), tmp_path / "cache", tmp_path)
    with pytest.raises(UserError, match="can't be fetched"):
        module_by_cid(f"{cid}@http://127.0.0.1:9", tmp_path / "cache", tmp_path)


def test_a_cid_is_told_from_other_names(tmp_path: Path) -> None:
    cid = cow(tmp_path, MemoryBlocks())
    assert looks_like_cid(str(cid))
    assert looks_like_cid(f"{cid}@http://127.0.0.1:1")
    assert not any(map(looks_like_cid, ("cowsay:v0.1", "./bafy", "git+https://host/x@main", "")))
