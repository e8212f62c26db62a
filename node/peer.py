"""One running peer: its key, its network, its chain, its workshop and its agents, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit

import httpx
import trio

from agents.effects import Tell
from agents.events import Cancelled, Requested
from agents.job_creator import JobCreator
from agents.mediator import Bench, Mediator
from agents.provider import Provider, Shop
from agents.reports import Ended, Outcome
from agents.request import ID_BYTES, Request
from agents.strategies.built_in import DEFAULT
from content.blocks import FileBlocks
from contracts.client import VaultClient
from contracts.errors import ChainError
from contracts.journal import SqliteJournal
from contracts.profile import DEV, ChainProfile
from contracts.rpc import Rpc
from contracts.sender import Sender
from modules.executor import Executor
from node.api import Api
from node.chain_link import ChainLink
from node.clock import Clock
from node.directory import Directory
from node.dishonest import Dishonest, corrupted
from node.errors import ExitCode, UserError
from node.jobs import Jobs
from node.keys import Key
from node.lock import only_one
from node.ports import Ports
from node.post import Ear, Post
from node.runtime import Agent, Runtime
from node.serving import serving
from node.store import Store
from node.strategies.advisers import Advisers, open_advisers
from node.workshop import Workshop
from p2p.host import Host, open_host
from p2p.settings import Settings
from protocol.identity import Address, show
from protocol.messages import PROTOCOLS
from protocol.offers import JOB_OFFERS, RESOURCE_OFFERS, MediatorOffer, ResourceOffer
from protocol.rules import PERCENT, Rules

CHAIN_POLL = 1.0
"""Seconds between two looks at the chain when nothing calls for an earlier one."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that one peer is told at its start."""

    key: Key
    home: Path
    """The data folder."""
    rules: Rules
    rpc: str
    """URL of the chain's JSON-RPC endpoint."""
    listen: tuple[str, ...] = ("/ip4/127.0.0.1/tcp/0",)
    http: str = "127.0.0.1:0"
    bootstrap: tuple[str, ...] = ()
    announce: tuple[str, ...] = ()
    """Multiaddrs to give out instead of those listened on."""
    shop: Shop | None = None
    """What it sells, if it is a provider."""
    bench: Bench | None = None
    """What it re-runs, if it is a mediator."""
    client: bool = True
    """Whether it buys for its user."""
    dishonest: str = ""
    """How it cheats as a provider, in tests; see `node.dishonest`."""
    strategies: Mapping[str, str] | None = None
    """Strategy names by role."""
    durable: bool = True
    """False for a market that ends with its process anyway."""
    settings: Settings = Settings()  # noqa: RUF009  (frozen)
    profile: ChainProfile = DEV


class Peer:
    """A peer while it runs."""

    def __init__(
        self,
        setup: Setup,
        *,
        host: Host,
        chain: ChainLink,
        clock: Clock,
        store: Store,
        directory: Directory,
        workshop: Workshop,
        advisers: Advisers,
    ) -> None:
        self.setup = setup
        self.host = host
        self.chain = chain
        self.clock = clock
        self.store = store
        self.directory = directory
        self.workshop = workshop
        self.jobs = Jobs(store, clock, directory, setup.rules.domain)
        self.agents = _agents(setup, host.addrs, workshop)
        self.api = Api(self)
        self.advisers = advisers
        self.url = ""
        self.stop = trio.Event()
        self.runtime: Runtime | None = None

    @property
    def buyer(self) -> JobCreator:
        """The agent that buys for this peer's user."""
        found = self.agents.get("client")
        if not isinstance(found, JobCreator):
            raise UserError(ExitCode.USAGE, "this node has no client role", "start it with --role client")
        return found

    def ask(self, request: Request, about: dict[str, Any]) -> None:
        """Have a job done; its story can be followed in `jobs`."""
        assert self.runtime is not None
        _ = self.buyer
        self.jobs.begin(request.id, about)
        self.runtime.feed("client", Requested(request))

    def strategy_for(self, role: str, talk: bytes) -> str:
        """Who haggles in this talk: for a job of our own whom its user chose, else whom the node was started with."""
        name = (self.setup.strategies or {}).get(role, DEFAULT)
        if role == "client":
            wanted = self.buyer.wanted.get(talk[:ID_BYTES])
            name = (wanted.request.strategy if wanted is not None else "") or name
        return name

    async def can_pay(self, most: int) -> str:
        """Empty if the free money in the vault covers a job that costs this much at most, else what is missing.

        Raises `ChainError`. Beside the pay a job creator locks its own timeout stake.
        """
        needed = most + most * self.setup.rules.jc_stake_percent // PERCENT
        free = (await self.chain.client.accounts((self.setup.key.address,)))[0].free
        if free >= max(needed, 1):
            return ""
        return f"the job can lock {needed} in the vault, where {free} are free" if most else "nothing is free there"

    def refuse(self, request: Request, about: dict[str, Any], reason: str) -> None:
        """Note a job that is over before it began, for want of money."""
        self.jobs.begin(request.id, about)
        self.jobs.tell(Tell(request.id, Ended(Outcome.NO_FUNDS, reason, None, 0)))

    def cancel(self, job: bytes) -> None:
        """Drop a job that has no deal yet."""
        assert self.runtime is not None
        self.runtime.feed("client", Cancelled(job))

    def offers(self) -> list[dict[str, Any]]:
        """What this peer has heard on offer."""
        now, book, name = self.clock.now(), self.buyer.book, self.directory.name
        machines = [_describe_provider(offer, name(offer.provider), now) for offer in book.providers(now)]
        return machines + [_describe_mediator(offer, name(offer.mediator), now) for offer in book.mediators(now)]

    async def status(self) -> dict[str, Any]:
        """Who this peer is, whom it knows, what it has."""
        found: dict[str, Any] = {
            "peer": self.host.peer_id,
            "address": show(self.setup.key.address),
            "roles": list(self.agents),
            "addresses": list(self.host.addrs),
            "http": self.url,
            "peers": [{"peer": peer.id, "address": show(peer.address)} for peer in self.host.peers()],
            "chain": {"id": self.setup.rules.domain.chain_id, "vault": show(self.setup.rules.domain.vault)},
        }
        try:
            account = (await self.chain.client.accounts((self.setup.key.address,)))[0]
            coins = await self.chain.client.coins(self.setup.key.address)
        except ChainError as error:
            found["money"] = {"error": str(error)}
        else:
            found["money"] = {"free": str(account.free), "locked": str(account.locked), "coins": str(coins)}
        return found


@contextlib.asynccontextmanager
async def open_peer(setup: Setup, executors: Mapping[str, Executor]) -> AsyncIterator[Peer]:
    """Run a peer for as long as the block lasts. Raises `UserError` where it can't start."""
    clock, directory = Clock(), Directory()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(only_one(setup.home))
        advisers = await stack.enter_async_context(open_advisers((setup.strategies or {}).values()))
        store = Store(setup.home / "state.sqlite", durable=setup.durable)
        stack.callback(store.close)
        ports = Ports(setup.home)
        setup = replace(setup, http=ports.http(setup.http), listen=tuple(map(ports.listen, setup.listen)))
        runs = setup.home / "runs"
        runs.mkdir(exist_ok=True)
        rpc = await stack.enter_async_context(Rpc(setup.rpc))
        journal = SqliteJournal(store.connection, setup.rules.domain.chain_id, setup.key.address)
        sender = Sender(rpc, journal, setup.key.private, setup.profile)
        client = VaultClient(rpc, setup.rules.domain.chain_id, setup.rules.domain.vault, sender)
        http = await stack.enter_async_context(httpx.AsyncClient())
        workshop = Workshop(FileBlocks(setup.home / "blocks"), executors, runs, http)
        ear = Ear(setup.rules.domain)
        host = await stack.enter_async_context(
            open_host(
                setup.key.secret,
                listen=setup.listen,
                protocols=PROTOCOLS,
                topics=(RESOURCE_OFFERS, JOB_OFFERS),
                validate=ear.validate,
                bootstrap=setup.bootstrap,
                settings=replace(setup.settings, announce=setup.announce),
                blocks=workshop.blocks,
            )
        )
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        chain = ChainLink(client, clock, CHAIN_POLL, nursery)
        if setup.bench is not None and setup.bench.stake:
            setup = replace(setup, bench=await _with_stake(setup.bench, client, setup.key.address))
        peer = Peer(
            setup,
            host=host,
            chain=chain,
            clock=clock,
            store=store,
            directory=directory,
            workshop=workshop,
            advisers=advisers,
        )
        peer.url = await stack.enter_async_context(serving(peer.api.app(), setup.http))
        post = Post(host, ear, setup.rules.domain, setup.key, directory, nursery)
        post.gateway = urlsplit(peer.url).port or 0
        ports.remember(post.gateway, host.addrs)
        chain.landed = peer.jobs.landed
        peer.runtime = Runtime(
            peer.agents,
            clock=clock,
            store=store,
            post=post,
            host=host,
            chain=chain,
            workshop=workshop,
            advisers=advisers,
            strategy_for=peer.strategy_for,
            tell=peer.jobs.tell,
            nursery=nursery,
        )
        nursery.start_soon(sender.run)
        nursery.start_soon(peer.runtime.run)
        _restore(peer)
        yield peer


def _agents(setup: Setup, addrs: tuple[str, ...], workshop: Workshop) -> dict[str, Agent]:
    executors = workshop.executors
    agents: dict[str, Agent] = {}
    me, rng = setup.key.address, SystemRandom()
    places = (setup.announce or addrs)[:8]
    names = tuple(sorted(executors))
    if setup.shop is not None:
        isolation = min((executor.isolation for executor in executors.values()), default=None)
        shop = replace(
            setup.shop,
            addresses=places,
            executors=names,
            isolation=isolation.name.lower() if isolation is not None else "none",
        )
        agents["provider"] = corrupted(setup.dishonest, Provider(me, setup.rules, shop, rng), workshop.blocks)
    if setup.bench is not None:
        agents["mediator"] = Mediator(
            me, setup.rules, replace(setup.bench, addresses=places, executors=setup.bench.executors or names), rng
        )
    if setup.client:
        agents["client"] = JobCreator(me, setup.rules, rng)
    return agents


async def _with_stake(bench: Bench, client: VaultClient, me: Address) -> Bench:
    """What is still to be joined with, so that at least the wanted stake is there; raises `UserError`."""
    try:
        (joined,) = await client.mediators((me,))
        (account,) = await client.accounts((me,))
    except ChainError as error:
        raise UserError(ExitCode.UNREACHABLE, f"the stake can't be looked up: {error}", "check rpc and vault") from None
    more = max(0, bench.stake - joined.stake)
    if more > account.free:
        raise UserError(
            ExitCode.FUNDS_OR_KEY,
            f"a stake of {bench.stake} wants {more} more, and {account.free} are free in the vault",
            f"run `lilypad wallet deposit {more - account.free}` first",
        )
    return replace(bench, stake=more, staked=joined.stake)


def _restore(peer: Peer) -> None:
    for role, agent in peer.agents.items():
        if isinstance(agent, Provider | Dishonest | Mediator | JobCreator):
            agent.restore(peer.store.records(role))
    for address, places in peer.jobs.partners():
        # whoever owes us a result may announce itself only much later
        peer.host.learn(address, places)
        peer.directory.learn(address, places)


def _describe_provider(offer: ResourceOffer, peer: str, now: float) -> dict[str, Any]:
    return {
        "kind": "provider",
        "peer": peer,
        "address": show(offer.provider),
        "cpu": offer.capacity.cpu_millis / 1000,
        "memory_mib": offer.capacity.memory_mib,
        "gpus": offer.capacity.gpus,
        "executors": list(offer.executors),
        "isolation": offer.isolation,
        "prices": [{"module": p.module, "unit": p.unit, "amount": str(p.amount)} for p in offer.prices],
        "expires_in": round(offer.expires - now),
    }


def _describe_mediator(offer: MediatorOffer, peer: str, now: float) -> dict[str, Any]:
    return {
        "kind": "mediator",
        "peer": peer,
        "address": show(offer.mediator),
        "executors": list(offer.executors),
        "fee": str(offer.fee),
        "expires_in": round(offer.expires - now),
    }
