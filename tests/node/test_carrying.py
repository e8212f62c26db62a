"""Content comes over HTTP where the gateway can be reached, and over libp2p where it can't: from real hosts."""

from __future__ import annotations

import random
import socket
from pathlib import Path

import httpx
import pytest
import trio

from content.adding import add_path
from content.blocks import MemoryBlocks
from content.limits import Limits
from content.walk import walk
from node.carrying import Carrier
from p2p.blocks_fetching import NotBrought
from p2p.rates import Rate
from p2p.settings import Settings
from tests.p2p.conftest import _honest as honest

MIB = 1024 * 1024


def _content(folder: Path, size: int) -> tuple[MemoryBlocks, object]:
    blocks, file = MemoryBlocks(), folder / "content"
    file.write_bytes(random.Random(size).randbytes(size))
    return blocks, add_path(file, blocks)


async def test_what_is_larger_than_a_relay_carries_at_once_comes_over_one_line_after_another(tmp_path: Path) -> None:
    theirs, cid = _content(tmp_path, 4 * MIB)
    mine = MemoryBlocks()
    wide = Rate(64 * MIB, 64 * MIB)
    async with (
        honest(settings=Settings(relay=True, relay_bytes=3 * MIB // 2, relay_rate=wide, dht=False)) as relay,
        honest(
            listen=None,
            blocks=theirs,
            settings=Settings(relays=(relay.host.addrs[0],), punch=False, dht=False, wanted_peers=0),
        ) as hidden,
        honest(blocks=mine, settings=Settings(punch=False, dht=False, wanted_peers=0, blocks_asked=2)) as caller,
        httpx.AsyncClient() as http,
    ):
        with trio.fail_after(30):
            while not hidden.host.relay_client.places():  # noqa: ASYNC110
                await trio.sleep(0.05)
        caller.host.learn(hidden.host.address, hidden.host.relay_client.places())
        with trio.fail_after(120):
            await Carrier(caller.host, mine, http).bring(cid, hidden.host.address, 0, Limits(max_bytes=8 * MIB))
        assert sum(len(block) for _, block in walk(cid, mine)) >= 4 * MIB
        assert caller.host.statistics().dials >= 3  # one circuit carries one block and no second one


async def test_a_gateway_that_takes_no_connection_is_no_obstacle(tmp_path: Path) -> None:
    theirs, cid = _content(tmp_path, 1000)
    mine = MemoryBlocks()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        async with honest(blocks=theirs) as giver, honest(blocks=mine) as taker, httpx.AsyncClient() as http:
            await taker.host.connect(giver.host.addrs[0])
            carrier = Carrier(taker.host, mine, http)
            with trio.fail_after(20):
                await carrier.bring(cid, giver.host.address, taken.getsockname()[1], Limits())
            assert mine.has(cid)


async def test_who_has_it_neither_way_is_said_to(tmp_path: Path) -> None:
    _, cid = _content(tmp_path, 1000)
    mine = MemoryBlocks()
    async with honest(blocks=MemoryBlocks()) as giver, honest(blocks=mine) as taker, httpx.AsyncClient() as http:
        await taker.host.connect(giver.host.addrs[0])
        with trio.fail_after(20), pytest.raises(NotBrought, match="has not got"):
            await Carrier(taker.host, mine, http).bring(cid, giver.host.address, 0, Limits())
