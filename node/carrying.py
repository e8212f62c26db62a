"""Brings what a peer has: from its gateway over HTTP where that can be reached, else over the libp2p connection to it.

::

    direct connection, gateway answers ──► HTTP ──► all here
    relayed, behind a router, no gateway, broke off ──► bitswap, through a relay too ──► all here

HTTP is quicker and can be resumed at any byte; bitswap needs nothing but the connection over which the deal was made.
Whichever it is, every block is verified, what arrived stays, and the next attempt brings only what is missing.
"""

from __future__ import annotations

from contextlib import suppress

import httpx
import trio

from content.blocks import Blocks
from content.cid import Cid
from content.errors import MissingBlock
from content.limits import Limits
from content.walk import walk
from node.fetching import Blame, FetchFailed, FetchLimits, fetch
from p2p.blocks_fetching import NotBrought
from p2p.errors import Unreachable
from p2p.host import Host
from protocol.errors import PeerFault
from protocol.identity import Address

_CONNECT_WITHIN = 1.5
"""Seconds for a gateway to take a connection; a router that drops what it does not expect never would."""


class Carrier:
    """Fills one store of blocks from the peers of one host."""

    def __init__(self, host: Host, blocks: Blocks, client: httpx.AsyncClient) -> None:
        self._host = host
        self._blocks = blocks
        self._client = client

    async def bring(self, cid: Cid, whose: Address, gateway: int, content: Limits) -> None:
        """Have every block of a DAG in the store. ``gateway``: the TCP port that the peer named; 0: it has none.

        Raises `PeerFault` where the peer does not give it.
        """
        limits = FetchLimits(content=content)
        ip = self._host.remote_ip(whose)  # of the proven peer; empty through a relay
        if ip and gateway and await _takes_connections(ip, gateway):
            host = f"[{ip}]" if ":" in ip else ip
            try:
                await fetch(cid, f"http://{host}:{gateway}", self._blocks, limits=limits, client=self._client)
            except FetchFailed as fault:
                if fault.blame is not Blame.NOBODY:
                    raise
            else:
                return
        with trio.move_on_after(limits.seconds):
            await self._over_libp2p(cid, whose, content)
            return
        raise NotBrought(f"took longer than {limits.seconds:g} seconds")

    async def _over_libp2p(self, cid: Cid, whose: Address, content: Limits) -> None:
        """As long as it gets on: a relay ends each line after some megabytes, and the next one goes on from there."""
        assert self._host.bitswap is not None, "nodes serve their blocks"
        idle, held = 0, await self._held(cid, content)
        while True:
            try:
                await self._host.bitswap.fetch(cid, whose, content)
            except (NotBrought, Unreachable):
                before, held = held, await self._held(cid, content)
                idle = idle + 1 if held <= before else 0
                if idle > 1:  # the first time the line may just have been changed for a direct one
                    raise
            else:
                return

    async def _held(self, cid: Cid, content: Limits) -> int:
        """Blocks of a DAG that are here, as far as they can be walked."""

        def count() -> int:
            found = 0
            with suppress(MissingBlock, PeerFault):
                for _ in walk(cid, self._blocks, content):
                    found += 1
            return found

        return await trio.to_thread.run_sync(count)


async def _takes_connections(ip: str, port: int) -> bool:
    with trio.move_on_after(_CONNECT_WITHIN), suppress(OSError):
        stream = await trio.open_tcp_stream(ip, port)
        await stream.aclose()
        return True
    return False
