"""A whole market on this machine, for one run: three providers, three mediators, a job creator, and a chain.

Every part is the real one: separate libp2p hosts on loopback, each with its own key, folder and HTTP server, and a
chain in a process of its own. Only the money is toy money, and all of it is gone when the run ends.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import trio

from agents.mediator import Bench
from agents.shop import Sheet, Shop
from contracts.anvil import chain_runner
from contracts.profile import ChainAccess
from modules.errors import ModuleFault
from modules.executor import Executor
from modules.module import Module
from node.errors import ExitCode, UserError
from node.executors import WASM, Trade, open_executors, with_gpus
from node.holding import enter, enter_all
from node.keys import Key, new_key
from node.opening import open_peer
from node.peer import Peer
from node.setup import Setup
from node.workshop import job_resources
from p2p.settings import Settings
from protocol.eip712 import Domain
from protocol.job import Capacity
from protocol.rules import Rules

FLOORS_AND_ASKS = ((700, 1400), (800, 1500), (1000, 2000))
"""Base units a job: what each provider will not go below, and what it asks first."""
MEDIATORS = 3
DEPOSIT = 10**15
"""Base units in the vault for each peer."""
COINS = 10**21
"""For the gas of the peers' transactions."""
MACHINE = Capacity(cpu_millis=4000, memory_mib=4096, disk_mib=8192, longest=3600)
WORKERS = 2
"""Processes that run WASM programs, shared by all peers of the market."""
SETTLE = 8.0
"""Seconds at most for the offers of all peers to be heard."""


@contextlib.asynccontextmanager
async def open_local_market(module: Module | None = None, chain_kind: str = "auto") -> AsyncIterator[Peer]:
    """Run it; gives the job creator's peer, once everybody's offers have reached it.

    Containers are sold where ``module`` is one; its image is made first, so that no deal waits for it. Raises
    `UserError` where there is no engine or no image, `ChainUnreachable` where the chain can't be had; its kinds are
    those of `contracts.anvil.chain_runner`.
    """
    keys = [new_key() for _ in range(1 + len(FLOORS_AND_ASKS) + MEDIATORS)]
    addresses = [key.address for key in keys]
    money = (dict.fromkeys(addresses, COINS), dict.fromkeys(addresses, DEPOSIT))
    chain_soon = chain_runner(chain_kind)(*money)
    with tempfile.TemporaryDirectory(prefix="lilypad-") as folder:
        async with trio.open_nursery() as nursery:
            chain, executors = await enter_all(nursery, (chain_soon, _executors(module)))
            market = _Market(Path(folder), Rules(Domain(chain.chain_id, chain.vault)), chain.url, executors)
            buyer = await enter(nursery, market.peer(keys[0], client=True))
            machine = with_gpus(MACHINE, executors)
            shops = [Shop(machine, (), (), _sheets(floor, ask)) for floor, ask in FLOORS_AND_ASKS]
            benches = [Bench(machine, (), fee=0) for _ in range(MEDIATORS)]
            roles: list[Shop | Bench] = [*shops, *benches]
            others = zip(keys[1:], roles, strict=True)
            meet = buyer.host.addrs[:1]
            await enter_all(nursery, [market.peer(key, role=role, bootstrap=meet) for key, role in others])
            await _everybody_heard(buyer, len(shops), len(benches))
            yield buyer
            nursery.cancel_scope.cancel()


def _sheets(floor: int, ask: int) -> tuple[Sheet, ...]:
    """Prices by every unit: a job costs what twenty gigafuel, twenty seconds or half a GiB cost."""
    shares = (("job", 1, 1), ("gigafuel", 1, 20), ("second", 1, 20), ("gib", 2, 1))
    return tuple(Sheet("*", floor * up // down, ask * up // down, unit) for unit, up, down in shares)


@contextlib.asynccontextmanager
async def _executors(module: Module | None) -> AsyncIterator[dict[str, Executor]]:
    """What this one run needs, and no more: looking for an engine takes longer than a small job."""
    name = module.manifest.executor if module is not None else WASM
    async with open_executors(Trade(executors=(name,)), WORKERS) as executors:
        if module is not None and with_gpus(MACHINE, executors).holds(job_resources(module)):
            try:
                await executors[name].prepare(module)
            except ModuleFault as fault:
                raise UserError(ExitCode.UNREACHABLE, str(fault), "`lilypad modules build` shows all it says") from None
        yield executors


@dataclass(frozen=True, slots=True)
class _Market:
    folder: Path
    rules: Rules
    rpc: str
    executors: Mapping[str, Executor]

    def peer(
        self, key: Key, role: Shop | Bench | None = None, *, client: bool = False, bootstrap: tuple[str, ...] = ()
    ) -> AbstractAsyncContextManager[Peer]:
        setup = Setup(
            key,
            self.folder / key.address.hex(),
            self.rules,
            ChainAccess((self.rpc,)),
            bootstrap=bootstrap,
            shop=role if isinstance(role, Shop) else None,
            bench=role if isinstance(role, Bench) else None,
            client=client,
            durable=False,
            # everybody here is told of everybody else, and lives for one job
            settings=Settings(dht=False, outside=False),
        )
        return open_peer(setup, self.executors)


async def _everybody_heard(buyer: Peer, providers: int, mediators: int) -> None:
    with trio.move_on_after(SETTLE):
        while True:
            now, book = buyer.clock.now(), buyer.buyer.book
            if len(list(book.providers(now))) >= providers and len(list(book.mediators(now))) >= mediators:
                return
            await trio.sleep(0.02)
