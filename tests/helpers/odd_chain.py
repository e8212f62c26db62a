"""An endpoint between a node and its chain that behaves like the bad ones of this world; also as a process of its own.

``python -m tests.helpers.odd_chain URL [--kind filecoin]`` prints its own URL. ``filecoin`` imitates FEVM and IPC: it
refuses filters, subscriptions and logs, has null rounds, gives receipts late or never, tells an odd pending nonce, has
no fee history and wants much gas. `Moody` is what the chaos run puts in front of a chain.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from contracts.devchain.ledger import Ledger
from contracts.devchain.server import DevServer

FORBIDDEN = ("filter", "getlogs", "subscribe")


class Proxy(DevServer):
    """Passes everything on; a subclass changes what it likes."""

    def __init__(self, upstream: str, http: httpx.AsyncClient) -> None:
        super().__init__(Ledger(1, {}))  # only its way with HTTP is used
        self._upstream = upstream
        self._http = http
        self.asked: Counter[str] = Counter()

    async def answer(self, body: bytes) -> bytes:
        """As `DevServer.answer`."""
        request = json.loads(body)
        if isinstance(request, list):
            return json.dumps([await self._one(each) for each in request]).encode()
        return json.dumps(await self._one(request)).encode()

    async def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked[request["method"]] += 1
        return await self.pass_on(request)

    async def pass_on(self, request: dict[str, Any]) -> dict[str, Any]:
        """The true answer."""
        answer = await self._http.post(self._upstream, json=request, timeout=30)
        found: dict[str, Any] = answer.json()
        return found


class Filecoin(Proxy):
    """As FEVM and IPC endpoints are."""

    async def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        method, params = request["method"], request.get("params", [])
        turn = self.asked[method]
        self.asked[method] += 1
        if any(word in method.lower() for word in FORBIDDEN):
            print(f"asked for {method}", file=sys.stderr, flush=True)
            return _error(request, -32601, "filter not found")
        if method in ("eth_feeHistory", "eth_getBlockReceipts"):
            return _error(request, -32601, "method not found")
        if method == "eth_getTransactionReceipt" and (turn % 3 == 0 or int(params[0][-1], 16) % 3 == 0):
            return _result(request, None)  # late, and for every third transaction never
        height = params[-1] if method in ("eth_call", "eth_getTransactionCount") else None
        if method == "eth_getBlockByNumber":
            height = params[0]
        if isinstance(height, str) and height.startswith("0x") and int(height, 16) % 7 == 5:
            return _error(request, 12, "requested epoch was a null round")
        if method == "eth_getTransactionCount" and params[-1] == "pending":
            return _result(request, hex(999))
        answer = await self.pass_on(request)
        if method == "eth_estimateGas" and "result" in answer:
            answer["result"] = hex(int(answer["result"], 16) * 20)
        return answer


class Moody(Proxy):
    """Drops, hangs, lags and lies by turns, one mood at a time."""

    MOODS = ("drop", "hang", "lag", "lie")

    def __init__(self, upstream: str, http: httpx.AsyncClient, rng: random.Random) -> None:
        super().__init__(upstream, http)
        self._rng = rng
        self.mood = ""
        self._old: dict[str, Any] = {}

    async def answer(self, body: bytes) -> bytes:
        """As `DevServer.answer`."""
        if self.mood == "drop":
            return b"" if self._rng.random() < 0.5 else b"<html>bad gateway</html>"
        if self.mood == "hang":
            await trio.sleep(15)
        return await super().answer(body)

    async def _one(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked[request["method"]] += 1
        what = json.dumps([request["method"], request.get("params")])
        if self.mood == "lag" and what in self._old and "send" not in what:
            return {**self._old[what], "id": request["id"]}
        answer = await self.pass_on(request)
        if self.mood == "lie":
            return _lie(request, answer)
        self._old[what] = answer
        while len(self._old) > 2000:
            del self._old[next(iter(self._old))]
        return answer


def _lie(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    match request["method"]:
        case "eth_sendRawTransaction":  # takes what it was given, and tells nobody
            return answer
        case "eth_getTransactionReceipt":
            faked = {"transactionHash": request["params"][0], "blockNumber": "0x1", "blockHash": "0x" + "aa" * 32}
            return _result(request, {**faked, "status": "0x1", "gasUsed": "0x5208"})
        case "eth_blockNumber" | "eth_getTransactionCount" if isinstance(answer.get("result"), str):
            return _result(request, hex(int(answer["result"], 16) + 1000))
        case "eth_gasPrice" | "eth_maxPriorityFeePerGas":
            return _result(request, hex(10**14))
        case "eth_estimateGas":
            return _error(request, 3, "execution reverted: not open")
        case "eth_call" if len(answer.get("result") or "") > 2:
            return _result(request, answer["result"][:-2] + "77")
        case _:
            return answer


def _result(request: dict[str, Any], result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def _error(request: dict[str, Any], code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}


@asynccontextmanager
async def serving(make: Callable[[httpx.AsyncClient], Proxy], port: int = 0) -> AsyncIterator[tuple[str, Proxy]]:
    """Serve a proxy on loopback; its URL."""
    async with httpx.AsyncClient(trust_env=False) as http, trio.open_nursery() as nursery:
        proxy = make(http)
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, proxy.serve_connection, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}", proxy
        nursery.cancel_scope.cancel()


async def _main(upstream: str, kind: str) -> None:
    async with serving(lambda http: {"filecoin": Filecoin, "plain": Proxy}[kind](upstream, http)) as (url, _):
        print(json.dumps({"url": url}), flush=True)
        stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
        while await stdin.receive_some(1024):
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("upstream")
    parser.add_argument("--kind", choices=("filecoin", "plain"), default="filecoin")
    told = parser.parse_args()
    trio.run(_main, told.upstream, told.kind)
