"""Facts that release work: most endpoints must agree on them, as deep as the sum asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio

from contracts.artifact import vault_artifact
from contracts.client import VaultClient
from contracts.devchain.genesis import born
from contracts.devchain.ledger import Ledger
from contracts.devchain.methods import Methods, RpcError
from contracts.devchain.server import DevServer
from contracts.errors import Disagreement, Reverted
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.witnesses import Witnesses
from protocol.identity import Address
from protocol.vault_calls import Deposit, Withdraw
from tests.contracts.twin import Person

ME = Person.number(1)
COIN = 10**18


class Lying(Methods):
    """Says that everybody is rich."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        return told[:-2] + "ff" if method == "eth_call" else told


class Ahead(Methods):
    """Claims blocks that nobody else has."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        if method == "eth_getBlockByNumber" and params[0] == "latest":
            return {**told, "number": hex(10**6)}
        return told


class Forked(Methods):
    """Has the same money in other blocks."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        return {**told, "hash": "0x" + "ee" * 32} if method == "eth_getBlockByNumber" else told


class Away(Methods):
    """Answers nothing."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        raise RpcError(-32000, "try again later")


@asynccontextmanager
async def witnesses(*kinds: type[Methods], deep: int = 5) -> AsyncIterator[Witnesses]:
    """Endpoints of different character on one chain of ``deep`` empty blocks."""
    ledger: Ledger
    ledger, vault = born(1337, {ME.address: COIN}, {ME.address: 1000}, 60, 600, vault_artifact())
    for _ in range(deep):
        ledger.mine()
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        clients = []
        for kind in kinds:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            face = DevServer(ledger, kind)
            nursery.start_soon(trio.serve_listeners, face.serve_connection, listeners)
            rpc = await stack.enter_async_context(Rpc(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"))
            clients.append(VaultClient(rpc, 1337, Address(vault)))
        yield Witnesses(clients)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("odd", [Methods, Lying, Ahead, Forked, Away])
async def test_one_of_three_can_do_nothing_alone(odd: type[Methods]) -> None:
    async with witnesses(odd, Methods, Methods) as asked:
        assert asked.quorum == 2
        seen = await asked.read([ME.address], [], depth=3)
        assert seen.accounts[0].balance == 1000
        assert seen.head.number == 6 - 2


@pytest.mark.parametrize("odd", [Lying, Forked, Away])
async def test_two_of_three_that_disagree_release_nothing(odd: type[Methods]) -> None:
    async with witnesses(Methods, odd, Away) as asked:
        with pytest.raises(Disagreement):
            await asked.read([ME.address], [], depth=1)


async def test_a_fact_counts_only_when_it_lies_deep_enough() -> None:
    async with witnesses(Methods, Methods, Methods, deep=2) as asked:
        assert (await asked.read([ME.address], [], depth=3)).accounts[0].balance == 1000
        with pytest.raises(Disagreement, match="endpoints say the same"):
            await asked.read([ME.address], [], depth=4)  # there was no vault yet
        with pytest.raises(Disagreement, match="not that deep"):
            await asked.read([ME.address], [], depth=9)


@pytest.mark.parametrize(("money", "depth"), [(0, 3), (300, 3), (301, 4), (1000, 10), (10**30, 50)])
def test_the_depth_grows_with_the_sum(money: int, depth: int) -> None:
    profile = replace(DEV, confirmations=3, secured_by_a_block=100, most_confirmations=50)
    assert profile.depth(money) == depth
    assert DEV.depth(money) == DEV.confirmations


async def test_a_preview_tells_the_price_or_the_reason() -> None:
    async with witnesses(Methods) as asked:
        (client,) = asked._clients
        preview = await client.preview(Deposit(ME.address, 7), ME.address)
        assert 25_000 < preview.gas < 35_000
        assert preview.fee == preview.gas * preview.price
        assert preview.total == preview.fee + 7
        with pytest.raises(Reverted, match="not enough free"):
            await client.preview(Withdraw(1001, ME.address), ME.address)
        assert (await client.lock(ME.address, 0)).number == 0
