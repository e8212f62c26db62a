"""Facts that release work: most endpoints must agree on them, as deep as the sum asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from contracts.asking import PATIENCE
from contracts.client import Intent, VaultClient
from contracts.devchain.methods import Methods, RpcError
from contracts.errors import Disagreement, Garbled, NoCoins, Reverted
from contracts.fallback import Fallback
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Endpoint, Request, Rpc
from contracts.sender import Sender
from contracts.witnesses import Witnesses
from protocol.deal import DealId
from protocol.vault_calls import Deposit, Withdraw
from protocol.vault_state import State
from tests.contracts.endpoints import ME, faces


class Lying(Methods):
    """Says that everybody is rich."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        return told[:-2] + "ff" if method == "eth_call" else told


class Raving(Methods):
    """Answers with states that no vault has, numbers of no length, and objects where there should be none."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        if method == "eth_call":
            return told[:-2] + "77"
        if method == "eth_getTransactionReceipt":
            return {"blockHash": {}, "status": [], "transactionHash": None, "contractAddress": 7}
        return {"number": "0x" + "f" * 99} if method == "eth_getBlockByNumber" else [[]]


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


class Faking(Methods):
    """Has receipts of everything that was never mined, and a fee that ruins."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_sendRawTransaction":
            return "0x" + "00" * 32  # taken, it says
        if method == "eth_getTransactionReceipt":
            place = {"blockNumber": "0x2", "blockHash": "0x" + "ab" * 32}
            return {"transactionHash": params[0], "status": "0x1", "gasUsed": "0x1", **place}
        if method in ("eth_gasPrice", "eth_maxPriorityFeePerGas"):
            return hex(10**15)
        if method == "eth_getTransactionCount":
            return "0x64"
        if method == "eth_estimateGas":
            raise RpcError(3, "execution reverted: not open")
        return super().answer(method, params)


class Inflating(Methods):
    """Tells of receipts what fits no database."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        return told | {"gasUsed": hex(2**200)} if method == "eth_getTransactionReceipt" and told else told


class Deep(Methods):
    """Says that everything was mined long ago."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        told = super().answer(method, params)
        return told | {"blockNumber": "0x0"} if method == "eth_getTransactionReceipt" and told else told


class Slow:
    """An honest endpoint that takes its time."""

    def __init__(self, rpc: Rpc, seconds: float) -> None:
        self._rpc = rpc
        self._seconds = seconds

    async def call(self, method: str, *params: Any) -> Any:
        await trio.sleep(self._seconds)
        return await self._rpc.call(method, *params)

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        await trio.sleep(self._seconds)
        return await self._rpc.batch(requests)


@asynccontextmanager
async def witnesses(*kinds: type[Methods], deep: int = 5) -> AsyncIterator[Witnesses]:
    """Clients of endpoints of different character on one chain of ``deep`` empty blocks."""
    async with faces(*kinds, deep=deep, mining=False) as (urls, vault, _), AsyncExitStack() as stack:
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in urls]
        yield Witnesses([VaultClient(rpc, 1337, vault) for rpc in rpcs])


@pytest.mark.parametrize("odd", [Faking, Lying, Ahead, Away, Raving, Inflating, Deep])
async def test_one_of_three_endpoints_can_neither_stop_nor_fake_a_payment(odd: type[Methods], tmp_path: Path) -> None:
    async with (
        faces(odd, Methods, Methods) as (urls, vault, _),
        AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in urls]
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        sender = Sender(Fallback(rpcs), journal, ME.key, replace(DEV, resend_after=0.05))
        client = VaultClient(Fallback(rpcs), 1337, vault, sender)
        nursery.start_soon(sender.run)
        for number in range(3):
            receipt = await client.wait(await client.submit(Intent(f"pay in {number}", Deposit(ME.address, 5))))
            assert receipt.status == 1
            assert receipt.block > 1
        assert [journal.attempts(f"pay in {number}")[0].nonce for number in range(3)] == [0, 1, 2]
        assert (await VaultClient(rpcs[1], 1337, vault).accounts([ME.address]))[0].balance == 1015
        with pytest.raises(Reverted, match="not enough free"):
            await client.submit(Intent("too much", Withdraw(10**20, ME.address)))
        nursery.cancel_scope.cancel()


async def test_a_lie_that_comes_first_leaves_the_honest_time_to_answer() -> None:
    async with faces(Lying, Methods, Methods) as (urls, vault, _), AsyncExitStack() as stack:
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in urls]
        asked: list[Endpoint] = [rpcs[0], rpcs[1], Slow(rpcs[2], PATIENCE + 0.5)]
        clients = [VaultClient(rpc, 1337, vault) for rpc in asked]
        assert (await Witnesses(clients).read_at([ME.address], [], 1)).accounts[0].balance == 1000


async def test_what_one_may_have_taken_is_not_forgotten_because_others_refuse_it(tmp_path: Path) -> None:
    class Poor(Methods):
        def answer(self, method: str, params: Sequence[Any]) -> Any:
            if method == "eth_sendRawTransaction":
                raise RpcError(-32000, "insufficient funds for gas * price + value")
            return super().answer(method, params)

    async with faces(Methods, Poor, Poor) as (urls, vault, _), AsyncExitStack() as stack:
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in urls]
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        late = Fallback([Slow(rpcs[0], PATIENCE + 0.5), *rpcs[1:]])
        sender = Sender(late, journal, ME.key, DEV)
        await VaultClient(late, 1337, vault, sender).submit(Intent("pay in", Deposit(ME.address, 5)))
        assert journal.attempts("pay in")
        sure = Fallback(rpcs[1:])
        sender = Sender(sure, SqliteJournal(tmp_path / "other", 1337, ME.address), ME.key, DEV)
        with pytest.raises(NoCoins):
            await VaultClient(sure, 1337, vault, sender).submit(Intent("pay in", Deposit(ME.address, 5)))


@pytest.mark.parametrize("who", [0, 1, 2])
async def test_one_that_lies_of_a_block_can_not_have_a_payment_made_twice(who: int, tmp_path: Path) -> None:
    """Nobody has receipts, and one says that another transaction took the nonce."""

    class NoReceipts(Methods):
        def answer(self, method: str, params: Sequence[Any]) -> Any:
            return None if method == "eth_getTransactionReceipt" else super().answer(method, params)

    class Slandering(NoReceipts):
        def answer(self, method: str, params: Sequence[Any]) -> Any:
            told = super().answer(method, params)
            if method == "eth_getBlockByNumber" and params[1]:
                return told | {"transactions": [one | {"hash": "0x" + "66" * 32} for one in told["transactions"]]}
            return told

    kinds = [NoReceipts, NoReceipts, NoReceipts]
    kinds[who] = Slandering
    async with (
        faces(*kinds) as (urls, vault, _),
        AsyncExitStack() as stack,
        trio.open_nursery() as nursery,
    ):
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in urls]
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        sender = Sender(Fallback(rpcs), journal, ME.key, replace(DEV, resend_after=0.05))
        client = VaultClient(Fallback(rpcs), 1337, vault, sender)
        nursery.start_soon(sender.run)
        with trio.fail_after(20):
            assert (await client.wait(await client.submit(Intent("pay in", Deposit(ME.address, 5))))).status == 1
        assert len(journal.attempts("pay in")) == 1
        assert (await client.accounts([ME.address]))[0].balance == 1005
        nursery.cancel_scope.cancel()


async def test_where_too_few_tell_a_nonce_the_journal_knows_it(tmp_path: Path) -> None:
    class Inventing(Methods):
        def answer(self, method: str, params: Sequence[Any]) -> Any:
            return hex(10**6) if method == "eth_getTransactionCount" else super().answer(method, params)

    async with faces(Methods, Inventing) as (urls, vault, _), AsyncExitStack() as stack:
        honest, liar = [await stack.enter_async_context(Rpc(url)) for url in urls]
        away = await stack.enter_async_context(Rpc("http://127.0.0.1:9", timeout=1))
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        alone = Fallback([liar, away, away])
        with pytest.raises(Disagreement, match="1 of 3 endpoints tell a nonce"):
            await VaultClient(alone, 1337, vault, Sender(alone, journal, ME.key, DEV)).submit(
                Intent("pay in", Deposit(ME.address, 5))
            )
        await VaultClient(honest, 1337, vault, Sender(honest, journal, ME.key, DEV)).submit(
            Intent("pay in", Deposit(ME.address, 5))
        )
        await VaultClient(alone, 1337, vault, Sender(alone, journal, ME.key, DEV)).submit(
            Intent("and again", Deposit(ME.address, 5))
        )
        assert [journal.attempts(name)[0].nonce for name in ("pay in", "and again")] == [0, 1]


async def test_a_state_that_no_vault_has_is_no_answer() -> None:
    async with witnesses(Raving) as asked:
        with pytest.raises(Disagreement):
            await asked.read([ME.address], [], depth=1)
    async with witnesses(Lying) as asked:
        with pytest.raises(Garbled, match="no standing"):
            await asked._clients[0].deals([DealId(b"\x01" * 32)])
    async with witnesses(Raving, Methods, Methods) as asked:
        (standing,) = (await asked.read([], [DealId(b"\x01" * 32)], depth=1)).deals
        assert standing.state is State.NONE


async def test_an_endpoint_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    async with faces(Methods, Methods) as (urls, vault, _), AsyncExitStack() as stack:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")  # takes connections, says nothing
        silent = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        rpcs = [await stack.enter_async_context(Rpc(url)) for url in (silent, *urls)]
        asked = Witnesses([VaultClient(rpc, 1337, vault) for rpc in rpcs])
        with trio.fail_after(8):  # an endpoint's own time is 10 s
            assert (await asked.read([ME.address], [], depth=1)).accounts[0].balance == 1000
            await Fallback(rpcs).call("eth_blockNumber")
        await listeners[0].aclose()


@pytest.mark.parametrize("odd", [Methods, Lying, Ahead, Forked, Away, Raving])
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
