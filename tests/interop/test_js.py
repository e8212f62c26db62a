"""Our peers and JavaScript ones understand each other: connections, gossip, talks, deals, content."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
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

from agents.provider import Provider
from agents.request import Request
from agents.shop import Sheet, Shop
from content import varint
from content.adding import add_path
from content.blocks import MemoryBlocks
from content.cid import Cid
from content.reading import cat
from content.walk import walk
from contracts.chain_process import run_devchain
from contracts.client import Intent, VaultClient
from contracts.journal import SqliteJournal
from contracts.profile import DEV, ChainAccess
from contracts.rpc import Rpc
from contracts.sender import Sender
from modules.wasm.pool import open_pool
from node.gateway import gateway_routes
from node.keys import Key
from node.opening import open_peer
from node.peer import Peer
from node.post import Ear
from node.preparing import bind_inputs, find_module, prepare
from node.serving import serving
from node.setup import Setup
from p2p.errors import Unreachable
from p2p.events import Heard, HostEvent
from p2p.host import Host, open_host
from p2p.places import peer_at
from protocol.deal import Deal, DealId
from protocol.eip712 import Domain
from protocol.identity import Address, address_of_peer
from protocol.job import Capacity, Job, Resources
from protocol.messages import PROTOCOLS, sealed
from protocol.offers import JOB_OFFERS, RESOURCE_OFFERS, Price, ResourceOffer, Withdrawal
from protocol.rules import Rules
from protocol.signing import seal, unseal
from protocol.vault_calls import Open
from protocol.vault_state import State

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


# -- the DHT -----------------------------------------------------------------------------------------------------------


async def test_they_find_one_of_us_through_another(js):
    async with ours() as (middle, _), ours() as (wanted, _), js(DOMAIN, dht=True) as them:
        await middle.connect(wanted.addrs[0])
        await _until(lambda: len(middle.dht.table) == 1)
        await them.ask("dial", place=middle.addrs[0])
        found = await them.ask("find", peer=wanted.peer_id)
        assert found["peer"] == wanted.peer_id
        assert set(found["places"]) & {wanted.addrs[0], wanted.addrs[0].split("/p2p/")[0]}


async def test_we_find_one_of_us_through_them(js):
    async with js(DOMAIN, dht=True) as them, ours() as (seeker, _), ours() as (wanted, _):
        await wanted.connect(them.places[0])
        await seeker.connect(them.places[0])
        await _until(lambda: them.address in {entry.peer.address for entry in seeker.dht.table})
        with trio.fail_after(30):  # they take whoever they have identified, and checked, into their table
            while not (places := await seeker.dht.find(peer_at(wanted.addrs[0]))):  # noqa: ASYNC110
                await trio.sleep(0.3)
        assert wanted.addrs[0] in places


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
            "longest": 600,
            "gpus": [],
        },
        "executors": ["wasm"],
        "isolation": ["sandboxed_wasm"],
        "prices": [{"module": "*", "unit": "job", "amount": {"money": str(ask)}}],
        "mediators": [],
        "vaults": [{"chain_id": domain.chain_id, "address": domain.vault}],
    }


def _job_offer(creator: bytes, job: dict[str, Any], domain: Domain) -> dict[str, Any]:
    return {
        "type": "job_offer",
        "creator": creator,
        "serial": time.time_ns() // 1_000_000,
        "expires": int(time.time()) + 60,
        "job": job,
        "vaults": [{"chain_id": domain.chain_id, "address": domain.vault}],
    }


def _heard(said: Sequence[HostEvent]) -> list[bytes]:
    return [event.data for event in said if isinstance(event, Heard)]


async def _until(condition: Callable[[], object]) -> None:
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110  (conditions are about many parts)
            await trio.sleep(0.02)


async def _repeat(say: Callable[[], Awaitable[object]]) -> None:
    """Gossip is lossy while a mesh forms, so whoever has something to say says it again."""
    while True:
        await say()
        await trio.sleep(0.3)


# -- the wire ---------------------------------------------------------------------------------------------------------

VECTORS = Path(__file__).parent.parent / "vectors/messages.json"


async def test_every_message_has_the_same_bytes_digest_and_signature_in_javascript(js):
    async with js(DOMAIN) as them:
        kinds = [row["type"] for row in json.loads(VECTORS.read_text())["messages"]]
        assert await them.ask("vectors", path=str(VECTORS)) == kinds


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


async def test_we_fetch_from_helia_by_bitswap_what_it_added_itself(js, tmp_path):
    content = random.Random(3).randbytes(5_000_001)
    (tmp_path / "same").write_bytes(content)
    mine = MemoryBlocks()
    async with js(DOMAIN) as them, ours(mine) as (host, _):
        await host.connect(them.places[0])
        root = Cid.parse(await them.ask("add", bytes=content))
        assert host.bitswap is not None
        brought = await host.bitswap.fetch(root, them.address)
        assert brought.bytes > len(content)
        assert b"".join(cat(root, mine)) == content
        assert root == add_path(tmp_path / "same", MemoryBlocks())  # both give equal content the same name


async def test_helia_verifies_a_result_that_it_fetches_from_our_gateway(js, result):
    blocks = MemoryBlocks()
    root = add_path(result, blocks)
    async with js(DOMAIN) as them, serving(Starlette(routes=gateway_routes(blocks)), "127.0.0.1:0") as url:
        assert (await them.ask("fetchByHttp", url=url, cid=str(root)))["files"] == _files(result)


# -- the market -------------------------------------------------------------------------------------------------------

COINS, DEPOSIT = 10**21, 10**15
MACHINE = Capacity(cpu_millis=4000, memory_mib=4096, disk_mib=8192, longest=600)


@asynccontextmanager
async def market(tmp_path: Path, theirs: bytes, **role: Any) -> AsyncIterator[tuple[Peer, Domain]]:
    """A chain on which both sides have money, and one real peer of ours."""
    key = Key(random.randbytes(32))
    rich = (key.address, Key(theirs).address)
    async with (
        run_devchain(fund=dict.fromkeys(rich, COINS), deposits=dict.fromkeys(rich, DEPOSIT)) as chain,
        open_pool(1) as pool,
    ):
        assert chain.vault is not None
        domain = Domain(chain.chain_id, chain.vault)
        setup = Setup(key, tmp_path / "home", Rules(domain), ChainAccess((chain.url,)), durable=False, **role)
        async with open_peer(setup, {"wasm": pool}) as peer:
            yield peer, domain


async def test_a_javascript_buyer_makes_a_deal_with_our_provider_and_gets_its_result(js, tmp_path):
    """Talk, deal, result and pay: all that a buyer says is said in JavaScript; only the vault is called from here."""
    secret = random.randbytes(32)
    module = find_module("cowsay:v0.1")
    prepared = prepare(module, bind_inputs(module, "hello from afar", {}, {}), tmp_path)
    shop = Shop(MACHINE, (), (), (Sheet("*", 800, 1500),))
    async with (
        market(tmp_path, secret, shop=shop, client=False) as (peer, domain),
        js(domain, secret=secret) as them,
    ):
        us = peer.host.peer_id
        await them.ask("dial", place=peer.host.addrs[0])
        wanted = prepared.job(prepared.inputs_cid)
        job = wanted | {"seed": bytes.fromhex(wanted["seed"])}
        async with trio.open_nursery() as nursery:
            # whoever hears of a job that it could run announces itself at once
            wanted = partial(_job_offer, them.address, job, domain)
            nursery.start_soon(_repeat, lambda: them.ask("publish", offer=wanted()))
            heard = await them.ask("hear", type="resource_offer", author=peer.setup.key.address)
            nursery.cancel_scope.cancel()
        offer = heard["message"]
        assert (offer["prices"][0]["amount"], offer["addresses"]) == (1500, list(peer.host.addrs))
        # the inputs come from the buyer; here they are on the provider's disk already
        for root in (prepared.module_cid, prepared.inputs_cid):
            for cid, block in walk(root, prepared.blocks):
                peer.workshop.blocks.put(cid, block)
        bought = await them.ask("buy", peer=us, job=job, first={"money": "500"}, most={"money": "1500"}, mediators=[])
        assert bought["signer"] == peer.setup.key.address
        assert bought["moves"][0] == "propose"
        assert bought["moves"][-3:] == ["accept", "confirm", "bind"]
        deal = Deal(**bought["deal"])
        assert bought["id"] == deal.id(domain)
        assert 800 <= deal.pay <= 1500
        await _open_in_vault(peer, Key(secret), deal, bought["signature"])
        begun = await them.ask("told", peer=us, type="begun", seconds=30)
        delivered = await them.ask("told", peer=us, type="delivered", seconds=30)
        assert begun["author"] == delivered["author"] == peer.setup.key.address
        result = delivered["message"]
        assert (result["deal"], result["exit_code"], result["failure"]) == (bought["id"], 0, "")
        over_http = await them.ask("fetchByHttp", url=peer.url, cid=result["cid"])
        assert over_http["files"]["/stdout"]["size"] > 0
        assert over_http["files"] == (await them.ask("fetchByBitswap", cid=result["cid"]))["files"]
        seal_hash = sealed(result["cid"], result["salt"])
        receipt = {"type": "received", "deal": bought["id"], "sealed": seal_hash, "signature": bytes(65)}
        voucher = {"type": "paid", "deal": bought["id"], "amount": {"money": str(deal.pay)}, "signature": bytes(65)}
        await them.ask("say", peer=us, message=receipt)
        await them.ask("say", peer=us, message=voucher)
        provider = peer.agents["provider"]
        assert isinstance(provider, Provider)
        await _until(lambda: getattr(provider.sales[deal.id(domain)].stage, "voucher", b""))


async def test_our_job_creator_buys_from_a_javascript_seller(js, tmp_path):
    secret = random.randbytes(32)
    async with market(tmp_path, secret) as (peer, domain), js(domain, secret=secret) as them:
        await them.ask("dial", place=peer.host.addrs[0])
        offer = _offer(them.address, them.places, 1200, domain)
        ids = random.randbytes(16)
        resources = Resources(cpu_millis=1000, memory_mib=64, disk_mib=64, gpus=0, vram_mib=0, timeout=30)
        job = Job("sha256:00", "bafkqaaa", "bafkqaaa", "wasm", resources, "exact", bytes(32))
        request = Request(ids, job, 2000, False, 0, (), int(time.time()) + 30, "")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_repeat, partial(them.ask, "publish", offer=offer))
            peer.ask(request, {"module": {"name": "none", "version": "v0", "digest": job.module}, "compare": "exact"})
            sold = await them.ask("sell", floor={"money": "900"}, ask={"money": "1200"})
            nursery.cancel_scope.cancel()
        assert sold["moves"][:2] == ["propose", "counter"]
        assert sold["moves"][-3:] == ["accept", "confirm", "bind"]
        assert (sold["deal"]["jc"], sold["deal"]["rp"]) == (peer.setup.key.address, them.address)
        # our side has checked their signature, and the vault has too: both shares are locked
        locked = await them.ask("told", peer=peer.host.peer_id, type="locked", seconds=20)
        assert locked["author"] == peer.setup.key.address
        standing = (await peer.chain.client.deals([DealId(sold["id"])]))[0]
        assert standing.state is State.OPEN


async def _open_in_vault(peer: Peer, buyer: Key, deal: Deal, theirs: bytes) -> None:
    """The buyer's transaction: it locks both shares with the provider's signature."""
    client = peer.chain.client
    domain = peer.setup.rules.domain
    async with Rpc(peer.setup.access.urls[0]) as rpc, trio.open_nursery() as nursery:
        journal = SqliteJournal(sqlite3.connect(":memory:", isolation_level=None), domain.chain_id, buyer.address)
        sender = Sender(rpc, journal, buyer.private, DEV)
        nursery.start_soon(sender.run)
        client = VaultClient(rpc, domain.chain_id, domain.vault, sender)
        receipt = await client.wait(await client.submit(Intent("open", Open(deal, theirs))))
        assert receipt.status == 1
        nursery.cancel_scope.cancel()
