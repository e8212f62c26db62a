"""Dev chains inside the test's own process, whose endpoints may be odd, lie, or fail in any way a test thinks of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from contracts.artifact import vault_artifact
from contracts.devchain.genesis import born
from contracts.devchain.ledger import Ledger
from contracts.devchain.methods import Methods
from contracts.devchain.server import DevServer
from protocol.identity import Address
from tests.contracts.twin import Person

COIN = 10**18
ME = Person.number(1)


@asynccontextmanager
async def faces(
    *kinds: type[Methods], deep: int = 0, mining: bool = True
) -> AsyncIterator[tuple[list[str], Address, Ledger]]:
    """URLs of endpoints of different character on one chain, its vault, and its ledger; ``deep`` blocks are there."""
    ledger: Ledger
    ledger, vault = born(1337, {ME.address: COIN}, {ME.address: 1000}, 60, 600, vault_artifact())
    for _ in range(deep):
        ledger.mine()
    async with trio.open_nursery() as nursery:
        urls = []
        for kind in kinds:
            face = DevServer(ledger, kind)
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            if mining:
                nursery.start_soon(face.mine_on_demand)
            nursery.start_soon(trio.serve_listeners, face.serve_connection, listeners)
            urls.append(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        yield urls, Address(vault), ledger
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def served(
    server: type[DevServer] = DevServer, methods: type[Methods] = Methods
) -> AsyncIterator[tuple[str, Address]]:
    """URL and vault of one endpoint with nothing paid in."""
    ledger: Ledger
    ledger, vault = born(1337, {ME.address: COIN}, {}, 60, 600, vault_artifact())
    face = server(ledger, methods)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(face.mine_on_demand)
        nursery.start_soon(trio.serve_listeners, face.serve_connection, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", Address(vault)
        nursery.cancel_scope.cancel()
