"""Endpoints as they are on Filecoin, IPC and behind gateways: the client gets through and never asks for a filter."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trio

from contracts.client import Intent, VaultClient
from contracts.devchain.methods import Methods, RpcError
from contracts.devchain.server import DevServer
from contracts.errors import ChainError, ChainUnreachable, Garbled, Reverted, RpcRefused, WrongChain
from contracts.fallback import Fallback
from contracts.journal import SqliteJournal
from contracts.profile import DEV
from contracts.rpc import Rpc
from contracts.sender import Sender
from protocol.identity import Address
from protocol.vault_calls import Deposit, Withdraw
from tests.contracts.endpoints import ME, served

HASTY = replace(DEV, resend_after=0.05)


class Odd(Methods):
    """Null rounds, receipts that come late, no tip to ask for, dear gas, odd nonces; and it counts what it is asked."""

    asked: ClassVar[Counter[str]] = Counter()

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        turn = self.asked[method]
        self.asked[method] += 1
        if "ilter" in method or "Logs" in method or "subscribe" in method:
            raise RpcError(-32601, "filter not found")
        if method == "eth_maxPriorityFeePerGas":
            raise RpcError(-32601, "method not found")
        if method in ("eth_getTransactionReceipt", "eth_getBlockByNumber") and turn % 3 == 0:
            return None
        if method == "eth_blockNumber" and turn % 4 == 1:
            raise RpcError(12, "requested epoch was a null round")
        if method == "eth_getTransactionCount" and params[1] == "pending":
            return hex(999)
        if method == "eth_sendRawTransaction" and turn == 0:
            super().answer(method, params)
            return "0x" + "00" * 32
        if method == "eth_estimateGas":
            return hex(int(super().answer(method, params), 16) * 20)
        return super().answer(method, params)


class NoReceipts(Methods):
    """Has no receipt of anything, ever."""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        return None if method == "eth_getTransactionReceipt" else super().answer(method, params)


class Mistaken(Methods):
    """Shows the receipt of another transaction, twice; and before that some that are no receipts."""

    lies: ClassVar[list[dict[str, str]]] = []

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getTransactionReceipt" and self.lies:
            return {"transactionHash": params[0], "blockNumber": "0x2", "gasUsed": "0x1", "status": "0x1"} | (
                self.lies.pop()
            )
        if method == "eth_sendRawTransaction" and self.lies:
            return "0x" + "00" * 32  # swallowed, so that none of them is true
        return super().answer(method, params)


class Filecoins(Methods):
    """Says in Lotus's words what a contract refuses."""

    words = ""

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_estimateGas":
            raise RpcError(1, self.words)
        return super().answer(method, params)


class Poor(Methods):
    """Swallows what it takes first, and takes no replacement: it costs too much, it says."""

    asked: ClassVar[list[str]] = []

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_sendRawTransaction":
            self.asked.append(params[0])
            first = self.asked[0]
            if params[0] != first:
                raise RpcError(-32000, "insufficient funds for gas * price + value")
            if first == self.asked[-1] and len(set(self.asked)) == 1:
                return "0x" + "00" * 32
        return super().answer(method, params)


class AheadOnce(Methods):
    """Names a far too high nonce the first time."""

    told = False

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_getTransactionCount" and not self.told:
            self.told = True
            return "0x3"
        return super().answer(method, params)


class Forgetful(Methods):
    """Swallows the first two transactions while saying that it took them."""

    swallowed = 0

    def answer(self, method: str, params: Sequence[Any]) -> Any:
        if method == "eth_sendRawTransaction" and self.swallowed < 2:
            self.swallowed += 1
            return "0x" + "00" * 32
        return super().answer(method, params)


class Single(DevServer):
    """Takes no batches."""

    async def answer(self, body: bytes) -> bytes:
        if body.startswith(b"["):
            return b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"batches are not supported"}}'
        return await super().answer(body)


class Babbling(DevServer):
    """Answers what is no answer."""

    replies: ClassVar[list[bytes]] = [
        b"<html>",
        b"[]",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"id":2,"error":"no"}',
        b'{"id":3,"result":"moon"}',
    ]

    async def answer(self, body: bytes) -> bytes:
        return self.replies.pop(0) if self.replies else await super().answer(body)


async def pay_in_three_times(url: str, vault: Address, folder: Path) -> None:
    async with Rpc(url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(rpc, SqliteJournal(folder / "journal", 1337, ME.address), ME.key, HASTY)
        client = VaultClient(rpc, 1337, vault, sender)
        nursery.start_soon(sender.run)
        for number in range(3):
            receipt = await client.wait(await again(client, Intent(f"pay in {number}", Deposit(ME.address, 5))))
            assert receipt.status == 1
        with trio.fail_after(5):
            while (await balance(client)) != 15:  # noqa: ASYNC110
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def balance(client: VaultClient) -> int | None:
    try:
        return (await client.accounts([ME.address]))[0].balance
    except ChainError:
        return None


async def again(client: VaultClient, intent: Intent) -> Any:
    for _ in range(10):
        try:
            return await client.submit(intent)
        except ChainError:
            await trio.sleep(0.01)
    raise AssertionError("it never got through")


async def test_null_rounds_late_receipts_and_dear_gas_lose_nothing(tmp_path: Path) -> None:
    async with served(methods=Odd) as (url, vault):
        await pay_in_three_times(url, vault, tmp_path)
    assert not [method for method in Odd.asked if "ilter" in method or "Logs" in method]


async def test_a_swallowed_transaction_is_sent_again(tmp_path: Path) -> None:
    async with served(methods=Forgetful) as (url, vault):
        await pay_in_three_times(url, vault, tmp_path)


async def test_a_transaction_without_a_receipt_is_found_in_its_block_and_never_paid_twice(tmp_path: Path) -> None:
    async with served(methods=NoReceipts) as (url, vault):
        await pay_in_three_times(url, vault, tmp_path)


async def test_without_receipts_a_refused_transaction_is_told_from_a_good_one(tmp_path: Path) -> None:
    async with served(methods=NoReceipts) as (url, vault), Rpc(url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(rpc, SqliteJournal(tmp_path / "journal", 1337, ME.address), ME.key, HASTY)
        client = VaultClient(rpc, 1337, vault, sender)
        nursery.start_soon(sender.run)
        refused = await client.wait(await client.submit(Intent("take", Withdraw(1, ME.address), gas=100_000)))
        assert refused.status == 0
        nursery.cancel_scope.cancel()


async def test_nonces_that_nobody_uses_are_filled(tmp_path: Path) -> None:
    async with served(methods=AheadOnce) as (url, vault), Rpc(url) as rpc, trio.open_nursery() as nursery:
        hasty = replace(HASTY, stuck_after=0.1)
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        sender = Sender(rpc, journal, ME.key, hasty)
        client = VaultClient(rpc, 1337, vault, sender)
        sent = await client.submit(Intent("pay in", Deposit(ME.address, 5)))
        assert journal.attempts("pay in")[0].nonce == 3
        nursery.start_soon(sender.run)
        with trio.fail_after(20):
            while journal.receipt("pay in") is None:
                await rpc.call("evm_mine")
                await trio.sleep(0.05)
        assert (await client.wait(sent)).status == 1
        assert await balance(client) == 5
        nursery.cancel_scope.cancel()


async def test_what_is_submitted_next_does_not_wait_behind_a_nonce_that_was_a_lie(tmp_path: Path) -> None:
    async with served(methods=AheadOnce) as (url, vault), Rpc(url) as rpc, trio.open_nursery() as nursery:
        journal = SqliteJournal(tmp_path / "journal", 1337, ME.address)
        sender = Sender(rpc, journal, ME.key, HASTY)
        client = VaultClient(rpc, 1337, vault, sender)
        nursery.start_soon(sender.run)
        first = await client.submit(Intent("first", Deposit(ME.address, 5)))
        for number in range(3):
            with trio.fail_after(5):
                await client.wait(await client.submit(Intent(f"next {number}", Deposit(ME.address, 5))))
        with trio.fail_after(5):  # they have filled the gap before it
            assert (await client.wait(first)).status == 1
        assert await balance(client) == 20
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "lie",
    [
        {"transactionHash": "0x" + "11" * 32},
        {"gasUsed": hex(2**200)},
        {"blockNumber": "moon"},
        {"blockNumber": hex(2**62)},
        {"status": "0x7"},
    ],
)
async def test_a_receipt_that_is_none_of_ours_ends_nothing(lie: dict[str, str], tmp_path: Path) -> None:
    Mistaken.lies[:] = [lie, lie]
    async with served(methods=Mistaken) as (url, vault):
        await pay_in_three_times(url, vault, tmp_path)


async def test_where_no_replacement_is_taken_the_old_bytes_are_sent_on(tmp_path: Path) -> None:
    Poor.asked.clear()
    async with served(methods=Poor) as (url, vault), Rpc(url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(
            rpc, SqliteJournal(tmp_path / "journal", 1337, ME.address), ME.key, replace(HASTY, stuck_after=0.2)
        )
        client = VaultClient(rpc, 1337, vault, sender)
        sent = await client.submit(Intent("pay in", Deposit(ME.address, 5)))
        nursery.start_soon(sender.run)
        with trio.fail_after(10):
            while len(set(Poor.asked)) < 2:
                await rpc.call("evm_mine")
                await trio.sleep(0.05)
            assert (await client.wait(sent)).status == 1
        nursery.cancel_scope.cancel()


async def test_a_clock_that_is_put_back_keeps_nothing_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poor.asked.clear()
    async with served(methods=Poor) as (url, vault), Rpc(url) as rpc, trio.open_nursery() as nursery:
        sender = Sender(
            rpc, SqliteJournal(tmp_path / "journal", 1337, ME.address), ME.key, replace(HASTY, stuck_after=0.2)
        )
        now = time.time()
        with monkeypatch.context() as fast:
            fast.setattr(time, "time", lambda: now + 86_400)
            await VaultClient(rpc, 1337, vault, sender).submit(Intent("pay in", Deposit(ME.address, 5)))
        nursery.start_soon(sender.run)
        with trio.fail_after(10):
            while len(set(Poor.asked)) < 2:
                await rpc.call("evm_mine")
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("failed to estimate gas: message execution failed (exit=[33], vm error=[Error(not open)])", "not open"),
        ("message execution failed: exit 33, revert reason: Error(too late), vm error: message failed", "too late"),
        ("message execution failed: exit 33, reason: message failed\n00: f01 -- contract reverted at 75 (33)", ""),
    ],
)
async def test_a_refusal_in_the_words_of_filecoin_is_a_refusal(words: str, reason: str) -> None:
    Filecoins.words = words
    async with served(methods=Filecoins) as (url, vault), Rpc(url) as rpc:
        with pytest.raises(Reverted) as refused:
            await VaultClient(rpc, 1337, vault).preview(Deposit(ME.address, 1), ME.address)
        assert refused.value.reason == reason


async def test_an_answer_that_comes_drop_by_drop_is_not_waited_for() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            with suppress(trio.BrokenResourceError):
                while True:
                    await stream.send_all(b" ")
                    await trio.sleep(0.05)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, drip, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with Rpc(url, timeout=0.5) as rpc:
            with trio.fail_after(5), pytest.raises(ChainUnreachable):
                await rpc.call("eth_chainId")
        nursery.cancel_scope.cancel()


async def test_an_endpoint_without_batches_is_asked_one_by_one(tmp_path: Path) -> None:
    async with served(server=Single) as (url, vault):
        await pay_in_three_times(url, vault, tmp_path)


async def test_what_is_no_answer_is_told_apart_from_an_error() -> None:
    async with served(server=Babbling) as (url, vault), Rpc(url) as rpc:
        for _ in range(3):
            with pytest.raises(Garbled):
                await rpc.call("eth_chainId")
        with pytest.raises(Garbled):
            await rpc.call("eth_chainId")
        with pytest.raises(Garbled):
            await VaultClient(rpc, 1337, vault).head()
        with pytest.raises(RpcRefused, match="does not exist"):
            await rpc.call("eth_newFilter", {})
        with pytest.raises(WrongChain):
            await VaultClient(rpc, 1, vault).check()


async def test_another_endpoint_takes_over_and_is_asked_first_from_then_on() -> None:
    async with (
        served() as (url, vault),
        Rpc("http://127.0.0.1:9", timeout=1) as nobody,
        Rpc(url) as somebody,
    ):
        client = VaultClient(Fallback([nobody, somebody]), 1337, vault)
        await client.check()
        assert (await client.head()).number == 1
        both = Fallback([nobody, nobody])
        with pytest.raises(ChainUnreachable):
            await both.call("eth_chainId")
        with pytest.raises(RpcRefused):
            await Fallback([somebody]).call("eth_newFilter", {})
        with pytest.raises(ChainUnreachable, match="no endpoint"):
            await Fallback([]).call("eth_chainId")


async def test_nobody_at_home_is_unreachable() -> None:
    async with Rpc("http://127.0.0.1:9", timeout=1) as rpc:
        with pytest.raises(ChainUnreachable):
            await rpc.call("eth_chainId")
