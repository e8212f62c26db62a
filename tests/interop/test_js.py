"""Our peers and JavaScript ones understand each other: connections, gossip, talks, deals, content."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.id import ID
from starlette.applications import Starlette

from content import varint
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid
from content.reading import cat
from node.gateway import gateway_routes
from node.keys import Key
from node.post import Ear
from node.serving import serving
from p2p.errors import Unreachable
from p2p.events import Heard, HostEvent
from p2p.host import Host, open_host
from protocol.eip712 import Domain
from protocol.identity import Address, address_of_peer
from protocol.messages import PROTOCOLS
from protocol.offers import JOB_OFFERS, RESOURCE_OFFERS, Price, ResourceOffer, Withdrawal
from protocol.signing import seal, unseal

DOMAIN = Domain(1337, Address(bytes(19) + b"\xaa"))


@asynccontextmanager
async def ours(blocks: MemoryBlocks | None = None) -> AsyncIterator[tuple[Host, list[HostEvent]]]:
    """One of our hosts and what it was told."""
    secret, said = random.randbytes(32), list[HostEvent]()
    async with open_host(
        secret,
        listen=["/ip4/127.0.0.1/tcp/0"],
        protocols=PROTOCOLS,
        topics=(RESOURCE_OFFERS, JOB_OFFERS),
        validate=Ear(DOMAIN).validate,
        blocks=blocks,
    ) as host:

        async def take_events() -> None:
            async for event in host.events:
                said.append(event)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_events)
            yield host, said
            nursery.cancel_scope.cancel()


async def test_they_dial_us_ping_us_and_learn_who_we_are(js):
    async with js(DOMAIN) as them, ours(MemoryBlocks()) as (host, _):
        found = await them.ask("dial", place=host.addrs[0])
        assert found == {"peer": host.peer_id, "security": "/noise", "muxer": "/yamux/1.0.0"}
        assert await them.ask("ping", peer=host.peer_id) < 1000
        told = await them.ask("identify", peer=host.peer_id)
        assert told["peer"] == host.peer_id
        assert {*PROTOCOLS, "/meshsub/1.1.0", "/ipfs/bitswap/1.2.0"} <= set(told["protocols"])
        assert [peer.address for peer in host.peers()] == [them.address]


async def test_we_dial_them_ping_them_and_learn_who_they_are(js):
    async with js(DOMAIN) as them, ours() as (host, _):
        peer = await host.connect(them.places[0])
        assert (peer.id, peer.address) == (them.peer, them.address) == (them.peer, address_of_peer(them.peer))
        assert len(await PingService(host.machinery.host).ping(ID.from_base58(them.peer), 2)) == 2
        told = await _identify(host, them.peer)
        assert set(PROTOCOLS) <= set(told.protocols)
        assert await them.ask("peers") == [host.peer_id]


async def test_a_peer_with_another_kind_of_key_is_refused(js):
    async with js(DOMAIN, key="Ed25519") as them, ours() as (host, _):
        with pytest.raises(Unreachable):
            await host.connect(them.places[0].replace(them.peer, host.peer_id))
        with suppress(Exception):  # that the handshake fails may show at either end first
            await them.ask("dial", place=host.addrs[0])
        with pytest.raises(Exception, match="ping: "):
            await them.ask("ping", peer=host.peer_id)
        assert host.peers() == ()


async def _identify(host: Host, peer: str) -> Identify:
    stream = await host.open_stream(address_of_peer(peer), IDENTIFY, dial=False)
    data = b""
    with trio.fail_after(5), suppress(StreamEOF):
        while chunk := await stream.read(65536):
            data += chunk
    size, start = varint.decode(data, 0)
    told = Identify()
    told.ParseFromString(data[start : start + size])
    return told


# -- gossip -----------------------------------------------------------------------------------------------------------


async def test_offers_travel_both_ways_with_valid_signatures(js):
    secret = random.randbytes(32)
    key = Key(secret)
    async with js(DOMAIN) as them, ours() as (host, said):
        await them.ask("dial", place=host.addrs[0])
        theirs = _offer(them.address, them.places)
        mine = Withdrawal(key.address, 7, int(time.time()) + 60)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_repeat, partial(them.ask, "publish", offer=theirs))
            nursery.start_soon(_repeat, partial(host.publish, RESOURCE_OFFERS, seal(mine, DOMAIN, key.sign)))
            heard = await them.ask("hear", type="withdrawal", author=key.address)
            assert (heard["message"]["serial"], heard["author"]) == (7, key.address)
            await _until(lambda: _heard(said))
            nursery.cancel_scope.cancel()
        found = unseal(_heard(said)[0], DOMAIN)
        assert found.author == them.address
        assert isinstance(found.message, ResourceOffer)
        assert found.message.addresses == tuple(them.places)
        assert found.message.prices == (Price("*", "job", 1000),)


async def test_an_offer_in_anothers_name_is_not_heard(js):
    async with js(DOMAIN) as them, ours() as (host, said):
        await them.ask("dial", place=host.addrs[0])
        async with trio.open_nursery() as nursery:
            for author in (b"\x01" * 20, them.address):
                nursery.start_soon(_repeat, partial(them.ask, "publish", offer=_offer(author, them.places)))
            await _until(lambda: len(_heard(said)) >= 2)
            nursery.cancel_scope.cancel()
        assert {unseal(data, DOMAIN).author for data in _heard(said)} == {them.address}


def _offer(provider: bytes, places: Sequence[str], ask: int = 1000, domain: Domain = DOMAIN) -> dict[str, Any]:
    now = int(time.time())
    return {
        "type": "resource_offer",
        "provider": provider,
        "serial": time.time_ns() // 1_000_000,
        "expires": now + 60,
        "addresses": list(places),
        "capacity": {
            "cpu_millis": 4000,
            "memory_mib": 4096,
            "disk_mib": 8192,
            "gpus": 0,
            "vram_mib": 0,
            "longest": 600,
        },
        "executors": ["wasm"],
        "isolation": "sandbox",
        "prices": [{"module": "*", "unit": "job", "amount": {"money": str(ask)}}],
        "mediators": [],
        "vaults": [{"chain_id": domain.chain_id, "address": domain.vault}],
    }


def _heard(said: Sequence[HostEvent]) -> list[bytes]:
    return [event.data for event in said if isinstance(event, Heard)]


async def _until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():  # noqa: ASYNC110  (conditions are about many parts)
            await trio.sleep(0.02)


async def _repeat(say: Callable[[], Awaitable[object]]) -> None:
    """Gossip is lossy while a mesh forms, so whoever has something to say says it again."""
    while True:
        await say()
        await trio.sleep(0.3)


# -- content ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result directory with a file of several chunks and many small ones."""
    rng = random.Random(11)
    (tmp_path / "stdout").write_bytes(b"hello\n")
    (tmp_path / "outputs" / "many").mkdir(parents=True)
    (tmp_path / "outputs" / "image").write_bytes(rng.randbytes(3_500_000))
    for number in range(200):
        (tmp_path / "outputs" / "many" / f"{number}.txt").write_text(f"row {number}")
    return tmp_path


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found["/" + str(path.relative_to(folder))] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return found


async def test_helia_fetches_a_result_from_us_by_bitswap(js, result):
    blocks = MemoryBlocks()
    root = add_path(result, blocks)
    async with js(DOMAIN) as them, ours(blocks) as (host, _):
        await them.ask("dial", place=host.addrs[0])
        await them.ask("identify", peer=host.peer_id)
        assert (await them.ask("fetchByBitswap", cid=str(root)))["files"] == _files(result)
        assert host.bitswap is not None
        await _until(lambda: host.bitswap.statistics().blocks_out >= len(blocks))
        assert host.statistics().bans == 0


async def test_we_fetch_from_helia_by_bitswap_what_it_added_itself(js):
    content = random.Random(3).randbytes(5_000_001)
    mine = MemoryBlocks()
    async with js(DOMAIN) as them, ours(mine) as (host, _):
        await host.connect(them.places[0])
        root = Cid.parse(await them.ask("add", bytes=content))
        assert host.bitswap is not None
        brought = await host.bitswap.fetch(root, them.address)
        assert brought.bytes > len(content)
        assert b"".join(cat(root, mine)) == content


async def test_helia_verifies_a_result_that_it_fetches_from_our_gateway(js, result):
    blocks = MemoryBlocks()
    root = add_path(result, blocks)
    async with js(DOMAIN) as them, serving(Starlette(routes=gateway_routes(blocks)), "127.0.0.1:0") as url:
        assert (await them.ask("fetchByHttp", url=url, cid=str(root)))["files"] == _files(result)


async def test_helia_and_we_give_the_same_content_the_same_name(js, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(random.Random(4).randbytes(2_100_000))
    async with js(DOMAIN) as them:
        assert await them.ask("add", bytes=path.read_bytes()) == str(add_path(path, MemoryBlocks()))
