"""The HTTP server of a node: one, for its user and for other peers, on trio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from node.errors import ExitCode, UserError

DRAIN = 2.0
"""Seconds that open requests get when the node ends."""


@contextlib.asynccontextmanager
async def serving(app: Any, address: str) -> AsyncIterator[str]:
    """Serve an ASGI application at ``host:port`` (port 0: any) for as long as the block lasts; gives its URL."""
    config = Config()
    config.bind = [address]
    config.accesslog = None
    config.errorlog = None
    config.graceful_timeout = DRAIN
    config.shutdown_timeout = DRAIN
    config.include_server_header = False
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        try:
            urls = await nursery.start(partial(serve, app, config, shutdown_trigger=stop.wait))
        except* OSError as group:
            reason = group.exceptions[0]
            raise UserError(ExitCode.USAGE, f"can't listen on {address}: {reason}", "choose another --http") from None
        try:
            yield str(urls[0])
        finally:
            stop.set()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN
