"""One bad request to the dev chain is answered as such, and the chain goes on for everybody else."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from contracts.errors import RpcRefused
from contracts.rpc import Rpc
from tests.contracts.endpoints import served

NOBODY = "0x" + "00" * 20


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_getBalance", ["0x12"]),
        ("eth_getBalance", [NOBODY, "-0x5"]),
        ("eth_getBlockByNumber", ["-0x1000", False]),
        ("eth_getStorageAt", [NOBODY, "0x" + "f" * 70]),
        ("eth_getStorageAt", [NOBODY, "-0x1"]),
        ("eth_call", [{"to": NOBODY, "value": "-0x1"}]),
        ("eth_call", [{"data": "0x" + "60" * 100_000}]),
        ("eth_estimateGas", [{"from": "0x" + "11" * 32, "to": NOBODY}]),
        ("eth_sendRawTransaction", ["0x02f8"]),
        ("evm_increaseTime", [10**30]),
        ("evm_increaseTime", [-1]),
        ("evm_setNextBlockTimestamp", [2**70]),
        ("dev_reorg", [-5]),
    ],
)
async def test_what_no_chain_can_do_is_refused(method: str, params: list[Any]) -> None:
    async with served() as (url, _), Rpc(url) as rpc:
        with pytest.raises(RpcRefused, match=r"-32602|-32000"):
            await rpc.call(method, *params)
        await rpc.call("evm_mine")
        assert await rpc.call("eth_chainId") == hex(1337)


@pytest.mark.parametrize(
    "raw",
    [
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b'{"a":' * 200_000,
        b"\x00\xff no HTTP\r\n\r\n",
    ],
)
async def test_what_is_no_request_ends_nothing(raw: bytes) -> None:
    async with served() as (url, _), Rpc(url) as rpc:
        stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
        async with stream:
            await stream.send_all(raw)
            with trio.fail_after(5):
                assert b"result" not in await stream.receive_some(4096)
        assert await rpc.call("eth_chainId") == hex(1337)
