"""Gets a module that is named by its CID: from the cache, the running node, or a gateway, every block verified."""

from __future__ import annotations

import tempfile
from pathlib import Path

import trio

from content.blocks import FileBlocks
from content.cid import Cid
from content.errors import BadCid
from content.exporting import export
from content.limits import Limits
from modules.module import MAX_BUILD_BYTES
from node.errors import ExitCode, UserError
from protocol.errors import PeerFault


def looks_like_cid(reference: str) -> bool:
    """Whether this is ``CID`` or ``CID@http://GATEWAY``."""
    try:
        Cid.parse(reference.partition("@")[0])
    except BadCid:
        return False
    return True


def module_by_cid(reference: str, cache: Path, home: Path) -> Path:
    """The module's folder, kept in ``cache`` under its CID. Raises `UserError`."""
    text, _, gateway = reference.partition("@")
    place = cache / text
    if place.is_dir():
        return place
    try:
        trio.run(fetch_module, Cid.parse(text), gateway, place, home)
    except PeerFault as fault:
        raise UserError(ExitCode.UNREACHABLE, f"the module {text} can't be fetched: {fault}") from None
    return place


async def fetch_module(cid: Cid, gateway: str, place: Path, home: Path) -> None:
    """Bring the module's folder to ``place``, from ``gateway`` or, where none is named, from the node of ``home``."""
    import httpx

    from node.client import running_node
    from node.fetching import FetchLimits, fetch

    limits = Limits(max_bytes=MAX_BUILD_BYTES)
    place.parent.mkdir(parents=True, exist_ok=True)
    if not gateway:
        node = running_node(home)
        if node is None:
            raise UserError(
                ExitCode.UNREACHABLE, f"no node works in {home} to fetch {cid}", "start one, or say CID@http://GATEWAY"
            )
        async with node:
            await node.download(cid, place)
        return
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".cid-") as folder:
        blocks = FileBlocks(Path(folder))
        async with httpx.AsyncClient() as client:
            await fetch(cid, gateway, blocks, limits=FetchLimits(content=limits), client=client)
        await trio.to_thread.run_sync(export, cid, blocks, place, limits)
