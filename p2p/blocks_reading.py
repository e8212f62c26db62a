"""Reads bitswap messages off a stream, long ones only while blocks are awaited from that peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio

from content import varint
from p2p.blocks_wire import Message, decode
from p2p.errors import BrokenFrame

_FIRST = 4096
_CHUNK = 256 * 1024


class Unwanted(Exception):
    """A message too long for somebody from whom we await nothing: it may only be late, so nobody is blamed."""


class MessageReader:
    """One reader of one stream.

    ``most``: bytes that a message may have just now. ``idle``: seconds of silence that end the stream; ``within``: the
    longest that one message takes. ``turn``: taken while a message is read beyond its first bytes, so that many
    streams of one peer do not hold many half messages.
    """

    __slots__ = ("_buffer", "_idle", "_most", "_stream", "_turn", "_within", "size")

    def __init__(
        self, stream: Any, most: Callable[[], int], idle: float, within: float, turn: trio.CapacityLimiter
    ) -> None:
        self._stream = stream
        self._most = most
        self._idle = idle
        self._within = within
        self._turn = turn
        self._buffer = bytearray()
        self.size = 0
        """Bytes of the last message."""

    async def next(self) -> Message | None:
        """The next message; None at the end. Raises `Malformed`, `BrokenFrame`, `Unwanted`."""
        if not self._buffer:
            with trio.move_on_after(self._idle):
                self._buffer += await self._some(_FIRST)
            if not self._buffer:
                return None
        async with self._turn:
            with trio.move_on_after(self._within):
                return decode(await self._body())
        raise BrokenFrame(f"a bitswap message that took more than {self._within} s")

    async def _body(self) -> bytes:
        while (length := varint.decode(self._buffer, 0)) is None:
            await self._more()
        self.size, start = length
        if self.size > self._most():
            raise Unwanted
        while len(self._buffer) < start + self.size:
            await self._more()
        body = bytes(self._buffer[start : start + self.size])
        del self._buffer[: start + self.size]
        return body

    async def _more(self) -> None:
        chunk = await self._some(_CHUNK)
        if not chunk:
            raise BrokenFrame("a bitswap message that stopped halfway")
        self._buffer += chunk

    async def _some(self, most: int) -> bytes:
        """At most so many bytes; none at the end, however it came."""
        try:
            return bytes(await self._stream.read(most))
        except Exception:  # the library raises what it likes on a stream that is gone
            return b""
