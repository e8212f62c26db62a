"""The dev chain's HTTP face: JSON-RPC, single or in batches, over kept-alive connections on loopback."""

from __future__ import annotations

import json
import logging
from typing import Any

import h11
import trio

from contracts.devchain.ledger import Ledger
from contracts.devchain.methods import Methods, RpcError

_GROUPING = 0.004
"""Seconds to wait for more transactions before a block is mined."""
_MOST_BODY = 4 << 20
_MOST_OPENED = 5_000
"""Brackets in a body: py-evm allows Python to recurse so deeply that a body of them alone would end the process."""
_CHUNK = 1 << 16
log = logging.getLogger("lilypad.devchain")


class DevServer:
    """Serves one ledger and mines whenever something waits."""

    def __init__(self, ledger: Ledger, methods: type[Methods] = Methods) -> None:
        self._ledger = ledger
        self._wanted = trio.Event()
        self._methods = methods(ledger, lambda: self._wanted.set())

    async def mine_on_demand(self) -> None:
        """Group what arrives within a few milliseconds into one block, for ever."""
        while True:
            await self._wanted.wait()
            await trio.sleep(_GROUPING)
            self._wanted = trio.Event()
            while self._methods.automine and self._ledger.ready():
                self._ledger.mine()
                await trio.lowlevel.checkpoint()

    async def keep_time(self, interval: float) -> None:
        """An empty block every ``interval`` seconds in which nothing else was mined, so that chain time passes."""
        while True:
            before = self._ledger.head.number
            await trio.sleep(interval)
            if self._methods.automine and self._ledger.head.number == before:
                self._ledger.mine()

    async def serve_connection(self, stream: trio.SocketStream) -> None:
        """Answer requests until the client hangs up."""
        connection = h11.Connection(h11.SERVER)
        body = b""
        try:
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(_CHUNK))
                elif isinstance(event, h11.Request):
                    if event.method != b"POST":
                        await self._reply(connection, stream, b"", status=405)
                        return
                    body = b""
                elif isinstance(event, h11.Data):
                    body += event.data
                    if len(body) > _MOST_BODY:
                        return
                elif isinstance(event, h11.EndOfMessage):
                    await self._reply(connection, stream, await self.answer(body))
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()
                else:
                    return
        except (h11.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
            return
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await stream.aclose()

    async def _reply(
        self, connection: h11.Connection, stream: trio.SocketStream, body: bytes, status: int = 200
    ) -> None:
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("allow", "POST")]
        await stream.send_all(
            (connection.send(h11.Response(status_code=status, headers=headers)) or b"")
            + (connection.send(h11.Data(data=body)) or b"")
            + (connection.send(h11.EndOfMessage()) or b"")
        )

    async def answer(self, body: bytes) -> bytes:
        """The body of the answer to a request's body."""
        try:
            if body.count(b"[") + body.count(b"{") > _MOST_OPENED:
                return json.dumps(_error(None, -32600, "too many brackets")).encode()
            request = json.loads(body)
        except ValueError:
            return json.dumps(_error(None, -32700, "parse error")).encode()
        if isinstance(request, list):
            return json.dumps([self._answer_one(one) for one in request]).encode()
        return json.dumps(self._answer_one(request)).encode()

    def _answer_one(self, request: Any) -> dict[str, Any]:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _error(None, -32600, "invalid request")
        name = request.get("id")
        params = request.get("params") or []
        if not isinstance(params, list):
            return _error(name, -32602, "params must be a list")
        try:
            return {"jsonrpc": "2.0", "id": name, "result": self._methods.answer(request["method"], params)}
        except RpcError as error:
            return _error(name, error.code, str(error), error.data)
        except Exception as error:  # whatever one request breaks, the chain goes on for everybody else
            log.exception("a request to %s failed", request["method"])
            return _error(name, -32603, f"internal error: {type(error).__name__}")


def _error(name: Any, code: int, message: str, data: str | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": name, "error": error}
