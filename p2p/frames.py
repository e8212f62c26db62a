"""Whole frames on a libp2p stream: a 4-byte big-endian length, then that many bytes."""

from __future__ import annotations

import struct
from typing import Any

import trio
from libp2p.network.stream.exceptions import StreamEOF

from p2p.errors import BrokenFrame, SlowFrame
from p2p.settings import Settings

_LENGTH = struct.Struct(">I")
_CHUNK = 64 * 1024


class Ended(Exception):
    """The stream is over: closed or reset by either side, or nothing was said on it for too long."""


class FrameStream:
    """Reads and writes frames; one reader, any number of writers that take turns."""

    __slots__ = ("_buffer", "_lock", "_settings", "_stream", "_waiting", "broken", "last_used")

    def __init__(self, stream: Any, settings: Settings) -> None:
        self._stream = stream
        self._settings = settings
        self._buffer = bytearray()
        # two writers of more than 64 KiB on one stream interleave in the library
        self._lock = trio.Lock()
        self._waiting = 0
        self.broken = False
        self.last_used = trio.current_time()

    async def read(self) -> bytes:
        """The next frame. Raises `Ended`, or `BrokenFrame` or `SlowFrame` if the peer is to blame."""
        await self._fill_idle()
        with trio.move_on_after(self._settings.frame_within):
            await self._fill(_LENGTH.size)
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > self._settings.frame_cap:
                raise BrokenFrame(f"a frame of {size} bytes, where {self._settings.frame_cap} are allowed")
            await self._fill(_LENGTH.size + size)
            frame = bytes(self._buffer[_LENGTH.size : _LENGTH.size + size])
            del self._buffer[: _LENGTH.size + size]
            self.last_used = trio.current_time()
            return frame
        raise SlowFrame(f"a frame that took more than {self._settings.frame_within} s")

    async def write(self, frame: bytes) -> None:
        """Send one frame. The caller brings the time limit; a write that does not end whole breaks the stream."""
        if self.broken or self._waiting >= self._settings.waiting_sends:
            raise Ended
        self._waiting += 1
        try:
            async with self._lock:
                if self.broken:
                    raise Ended
                self.broken = True  # until the whole frame is out: whoever comes next must not write into the middle
                try:
                    await self._stream.write(_LENGTH.pack(len(frame)) + frame)
                except Exception as error:  # the library raises what it likes on a stream that is gone
                    raise Ended from error
                self.broken = False
        finally:
            self._waiting -= 1
        self.last_used = trio.current_time()

    def carried_by(self, conn: Any) -> bool:
        """Whether this is a stream of that muxed connection."""
        return self._stream.muxed_conn is conn

    async def close(self) -> None:
        """Leave; politely if nothing is wrong with the stream. Never raises, bounded in time."""
        graceful, self.broken = not self.broken, True
        with trio.CancelScope(shield=True), trio.move_on_after(1.0):
            try:
                await (self._stream.close() if graceful else self._stream.reset())
            except Exception:  # it is gone, which is what we want
                return

    async def reset(self) -> None:
        """Cut the stream: what is under way in either direction is lost."""
        self.broken = True
        await self.close()

    async def _fill_idle(self) -> None:
        while not self._buffer:
            left = self.last_used + self._settings.idle_stream - trio.current_time()
            if left <= 0:
                raise Ended
            with trio.move_on_after(left):
                await self._more()

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            await self._more()

    async def _more(self) -> None:
        try:
            chunk = await self._stream.read(_CHUNK)
        except StreamEOF:
            chunk = b""
        except Exception as error:  # as in `write`
            raise Ended from error
        if not chunk:
            # a connection that broke, or whose peer was killed, stops anywhere: to blame is only who ended the stream
            if self._buffer and not self._stream.muxed_conn.event_shutting_down.is_set():
                raise BrokenFrame("a frame that stopped halfway")
            raise Ended
        self._buffer += chunk
