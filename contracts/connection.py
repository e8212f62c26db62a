"""A line to one vault: its endpoints, what they agree on, and the sender of one key, put together in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import trio
from coincurve import PrivateKey

from contracts.client import VaultClient
from contracts.errors import Disagreement
from contracts.fallback import Fallback
from contracts.journal import SqliteJournal
from contracts.profile import ChainAccess, ChainProfile
from contracts.rpc import Rpc
from contracts.sender import Sender
from contracts.witnesses import Witnesses
from protocol.eip712 import Domain
from protocol.identity import address_of_public_key


@dataclass(frozen=True, slots=True)
class Connection:
    """What `connect` gives."""

    client: VaultClient
    witnesses: Witnesses
    profile: ChainProfile
    journal: SqliteJournal | None = None

    async def check(self) -> None:
        """Raises `WrongChain`, `ChainReborn`, or `ChainUnreachable` where nobody answers."""
        await self.witnesses.check()
        await self.client.check()


@asynccontextmanager
async def connect(
    access: ChainAccess, domain: Domain, database: sqlite3.Connection | None = None, key: PrivateKey | None = None
) -> AsyncIterator[Connection]:
    """A line for as long as the block lasts; with a key and a database for its journal it can send, too."""
    quorum = len(access.urls) // 2 + 1 if access.quorum is None else access.quorum
    if not 1 <= quorum <= len(access.urls):
        raise Disagreement(f"{quorum} of {len(access.urls)} endpoints can't agree")
    async with AsyncExitStack() as stack:
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in access.urls]
        everybody = Fallback(rpcs, quorum)
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        sender, journal = None, None
        if key is not None and database is not None:
            journal = SqliteJournal(database, domain.chain_id, address_of_public_key(key.public_key.format()))
            sender = Sender(everybody, journal, key, access.profile)
            nursery.start_soon(sender.run)
        client = VaultClient(everybody, domain.chain_id, domain.vault, sender, access.token)
        readers = [VaultClient(rpc, domain.chain_id, domain.vault, token=access.token) for rpc in rpcs]
        yield Connection(client, Witnesses(readers, quorum), access.profile, journal)
