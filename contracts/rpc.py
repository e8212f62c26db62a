"""JSON-RPC over HTTP on trio: single calls and batches, bounded in time and size, errors mapped once here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

import httpx
import trio

from contracts.errors import ChainError, ChainUnreachable, Garbled, NeverAsked, Reverted, RpcRefused

Request = tuple[str, tuple[Any, ...]]
"""A method and its parameters."""

_MOST_IN_A_BATCH = 100
_MOST_BYTES = 8 << 20
_MOST_BYTES_MORE = 1 << 18
"""…and for each further request of a batch."""
_BATCHES_AGAIN = 60.0
"""Seconds after which an endpoint that refused a batch is tried with one again: it may have been its rate limit."""
_REVERTED = re.compile(r"execution reverted(?::\s*(?P<reason>.*))?", re.DOTALL)
_LOTUS_REVERTED = re.compile(r"RetCode=33\b|\bexit(?: |=\[)33\b|contract reverted")
"""Filecoin's nodes run the EVM as an actor, whose exit code 33 is a revert. Source: filecoin-project/lotus#13389."""
_LOTUS_REASON = re.compile(r"\bError\((?P<reason>[^)]*)\)|(?P<raw>0x08c379a0[0-9a-f]+)")
_ERROR_STRING = "0x08c379a0"


class Endpoint(Protocol):
    """What answers JSON-RPC: one endpoint, or several that stand in for each other."""

    async def call(self, method: str, *params: Any) -> Any:
        """One result; raises `ChainUnreachable`, `Reverted`, `RpcRefused` or `Garbled`."""

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        """Results in order, an error in its place as a `ChainError`; raises only where nothing was answered."""


class Rpc:
    """One endpoint. Use as an asynchronous context manager, or call `aclose`."""

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        """``timeout`` in seconds for a whole request, its answer to the last byte."""
        self.url = url
        self._timeout = timeout
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False)
        self._id = 0
        self._no_batches_until = float("-inf")

    async def __aenter__(self) -> Rpc:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(self, method: str, *params: Any) -> Any:
        """One result; raises `ChainUnreachable`, `Reverted`, `RpcRefused` or `Garbled`."""
        (result,) = await self.batch([(method, params)])
        if isinstance(result, ChainError):
            raise result
        return result

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        """Results in order, an error in its place as a `ChainError`; raises only where nothing was answered."""
        results: list[Any] = []
        start = 0
        while start < len(requests):
            one_by_one = trio.current_time() < self._no_batches_until
            part = requests[start : start + (1 if one_by_one else _MOST_IN_A_BATCH)]
            answers = await self._post(part)
            if answers is None:
                self._no_batches_until = trio.current_time() + _BATCHES_AGAIN
                continue
            results += answers
            start += len(part)
        return results

    async def _post(self, requests: Sequence[Request]) -> list[Any] | None:
        first = self._id + 1
        self._id += len(requests)
        body = [
            {"jsonrpc": "2.0", "id": first + place, "method": method, "params": list(params)}
            for place, (method, params) in enumerate(requests)
        ]
        content = _Body(json.dumps(body if len(body) > 1 else body[0]).encode())
        try:
            with trio.fail_after(self._timeout):  # httpx's own is for each read: an answer may come drop by drop
                status, raw = await self._exchange(content, _MOST_BYTES + len(body) * _MOST_BYTES_MORE)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NeverAsked(f"{self.url}: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.InvalidURL, trio.TooSlowError) as error:
            raise ChainUnreachable(f"{self.url}: {type(error).__name__}") from error
        if status == 429:
            raise NeverAsked(f"{self.url}: HTTP {status}")
        if status >= 500:
            raise ChainUnreachable(f"{self.url}: HTTP {status}")
        return _sort(raw, first, len(body))

    async def _exchange(self, content: _Body, most: int) -> tuple[int, bytes]:
        request = self._client.build_request("POST", self.url, headers=content.headers)
        request.stream = content
        response = await self._client.send(request, stream=True)
        try:
            raw = bytearray()
            async for chunk in response.aiter_bytes():
                raw += chunk
                if len(raw) > most:
                    raise Garbled("an answer without end")
        finally:
            await response.aclose()
        return response.status_code, bytes(raw)


class _Body(httpx.AsyncByteStream):
    """A request's bytes. httpx's own is an asynchronous generator, which a cancelled request would leave unfinished."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]
        self.headers = {"content-type": "application/json", "content-length": str(len(content))}

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


def _sort(raw: bytes, first: int, count: int) -> list[Any] | None:
    """Answers in order; None where a batch was refused as such."""
    try:
        answer = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Garbled("an answer that is not JSON") from error
    items = answer if isinstance(answer, list) else [answer]
    by_id = {item["id"]: item for item in items if isinstance(item, dict) and isinstance(item.get("id"), int)}
    if count > 1 and isinstance(answer, dict):
        return None
    return [_result(by_id.get(first + place)) for place in range(count)]


def _result(item: dict[str, Any] | None) -> Any:
    if item is None:
        return Garbled("a request of the batch was not answered")
    if item.get("error") is not None:
        return _error(item)
    if "result" not in item:
        return Garbled("an answer without result or error")
    return item["result"]


def _error(item: dict[str, Any]) -> ChainError:
    error = item.get("error")
    if not isinstance(error, dict):
        return Garbled("an error that is no object")
    code = error.get("code")
    message = str(error.get("message", ""))[:1000]
    reverted = _REVERTED.search(message)
    if reverted is None and _LOTUS_REVERTED.search(message):
        said = _LOTUS_REASON.search(message)
        told = "" if said is None else said["reason"] or _reason(said["raw"])
        return Reverted(told.strip(), code if isinstance(code, int) else 3)
    if reverted is not None or code == 3:
        told = (reverted["reason"] if reverted else None) or _reason(error.get("data"))
        return Reverted(told.strip(), code if isinstance(code, int) else 3)
    return RpcRefused(code if isinstance(code, int) else 0, message)


def _reason(data: Any) -> str:
    if not isinstance(data, str) or not data.startswith(_ERROR_STRING):
        return ""
    try:
        raw = bytes.fromhex(data[len(_ERROR_STRING) :])
        return raw[64 : 64 + int.from_bytes(raw[32:64], "big")].decode(errors="replace")
    except ValueError:
        return ""
