"""The composition root: a peer's key, network, chain, workshop and agents, put together and put away."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from random import SystemRandom
from urllib.parse import urlsplit

import httpx
import trio

from agents.job_creator import JobCreator
from agents.mediator import Bench, Mediator
from agents.provider import Provider
from content.blocks import FileBlocks
from contracts.balances import read_money
from contracts.connection import Connection, connect
from contracts.errors import ChainError
from modules.executor import Executor
from node.api import Api
from node.carrying import Carrier
from node.chain_faults import chain_fault
from node.chain_link import ChainLink
from node.clock import Clock
from node.directory import Directory
from node.dishonest import Dishonest, corrupted_buyer, corrupted_mediator, corrupted_provider
from node.errors import ExitCode, UserError
from node.keyring import Keyring
from node.lock import only_one, only_one_sender
from node.peer import Peer
from node.ports import Ports
from node.post import Ear, Post
from node.runtime import Agent, Runtime
from node.serving import serving
from node.setup import Setup
from node.store import Store
from node.strategies.advisers import open_advisers
from node.supervision import Tasks
from node.tower import Tower
from node.workshop import Workshop
from p2p.host import Host, open_host
from protocol.errors import PeerFault
from protocol.identity import Address
from protocol.messages import PROTOCOLS
from protocol.offers import JOB_OFFERS, RESOURCE_OFFERS

log = logging.getLogger("lilypad.node")

LEAVE = 3.0
"""Seconds at most in which a node that ends takes its offers back and hands over what it has said."""
CHAIN_POLL = 1.0
"""Seconds between two looks at the chain when nothing calls for an earlier one."""


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
        stack.enter_context(only_one_sender(setup.rules.domain.chain_id, setup.key.address))
        line = await stack.enter_async_context(
            connect(setup.access, setup.rules.domain, store.connection, setup.key.private)
        )
        keyring = Keyring(store.connection, setup.key)
        http = await stack.enter_async_context(httpx.AsyncClient())
        blocks = FileBlocks(setup.home / "blocks")
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
                blocks=blocks,
            )
        )
        carrier = Carrier(host, blocks, http)
        workshop = Workshop(blocks, FileBlocks(setup.home / "private"), keyring, executors, runs, carrier.bring)
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        tasks = Tasks(nursery)
        poll = max(CHAIN_POLL, setup.access.profile.poll)
        chain = ChainLink(line, clock, poll, tasks, me=setup.key.address, batching=setup.batching)
        await chain.ask_the_time()
        least = setup.rules.juror_stake
        if setup.bench is not None and (setup.bench.stake or least):
            setup = replace(setup, bench=await _with_stake(setup.bench, line, setup.key.address, least))
        peer = Peer(
            setup,
            host=host,
            chain=chain,
            clock=clock,
            store=store,
            directory=directory,
            workshop=workshop,
            advisers=advisers,
            tasks=tasks,
            agents=_agents(setup, _told_places(setup, host), workshop),
        )
        peer.url = await stack.enter_async_context(serving(Api(peer).app(), setup.http))
        post = Post(host, ear, setup.rules.domain, setup.key, directory, keyring, tasks)
        peer.post = post
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
            tasks=tasks,
        )
        tasks.keep("the purse", peer.purse.run)
        if setup.guarded:
            tasks.keep("the watchtower", Tower(line, setup.guarded, poll).run)
        tasks.keep("the memory of peers", peer.remember_peers)
        _restore(peer)
        peer.runtime.begin()
        yield peer
        with trio.move_on_after(LEAVE):
            await peer.leave()


def _told_places(setup: Setup, host: Host) -> tuple[str, ...]:
    """Where offers say that we can be dialled: through our relays first, which were named for want of better."""
    relayed = tuple(f"{relay}/p2p-circuit/p2p/{host.peer_id}" for relay in setup.settings.relays)
    return relayed + host.addrs


def _agents(setup: Setup, addrs: tuple[str, ...], workshop: Workshop) -> dict[str, Agent]:
    executors = workshop.executors
    agents: dict[str, Agent] = {}
    me, rng = setup.key.address, SystemRandom()
    places = addrs[:8]
    names = tuple(sorted(executors))
    if setup.shop is not None:
        shop = replace(
            setup.shop,
            addresses=places,
            executors=names,
            isolation=tuple(executors[name].isolation.word for name in names),
        )
        make = partial(Provider, me, setup.rules, shop, rng)
        agents["provider"] = corrupted_provider(setup.habit, make, workshop.blocks)
    if setup.bench is not None:
        bench = replace(setup.bench, addresses=places, executors=setup.bench.executors or names)
        agents["mediator"] = corrupted_mediator(setup.habit, Mediator(me, setup.rules, bench, rng), workshop.blocks)
    if setup.client:
        buyer = JobCreator(me, setup.rules, rng, settles_later=setup.batching is not None)
        agents["client"] = corrupted_buyer(setup.habit, buyer)
    return agents


async def _with_stake(bench: Bench, line: Connection, me: Address, least: int) -> Bench:
    """What is still to be joined with, so that at least the wanted stake is there; raises `UserError`.

    ``least`` is what the rules ask of a juror.
    """
    try:
        money = await read_money(line, me)
    except ChainError as error:
        fault = chain_fault(error)
        raise UserError(fault.code, f"the stake can't be looked up: {fault.what}", fault.mend) from None
    joined, account = money.stake, money.account
    more = max(0, bench.stake - joined.stake)
    if more > account.free:
        raise UserError(
            ExitCode.FUNDS_OR_KEY,
            f"a stake of {bench.stake} wants {more} more, and {account.free} are free in the vault",
            f"run `lilypad wallet deposit {more - account.free}` first",
        )
    if joined.leaves and not more:
        log.warning("this mediator has said that it leaves, and no jury takes it: to stay, start with a higher --stake")
    if max(joined.stake, bench.stake) < least:
        log.warning("no pool takes a mediator with a stake below %d here: start it with --stake %d", least, least)
    return replace(bench, stake=more, staked=joined.stake)


def _restore(peer: Peer) -> None:
    for role, agent in peer.agents.items():
        if isinstance(agent, Provider | Mediator | JobCreator | Dishonest):
            agent.restore(peer.store.records(role))
    # whoever owes us a result may announce itself only much later, and first peers may be gone for good
    for address, places in (*peer.store.peers(), *peer.jobs.partners()):
        try:
            peer.host.learn(address, places)
        except PeerFault:
            continue
        peer.directory.learn(address, places)
