"""Answers one peer's wants out of our store, at a bounded rate, on a stream of our own.

Mends: the library answers on the stream that brought the question, which other implementations never read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from content.blocks import Blocks
from content.errors import MissingBlock
from p2p.blocks_wanted import Wanted
from p2p.blocks_wire import Message, Presence, Sent, Want, answer, cid_named, encode
from p2p.rates import Bucket
from p2p.settings import Settings

_ENOUGH = 512 * 1024
"""A message takes no further block from here on, so it stays below the 4 MiB that others take at most."""
_PRESENCES = 512

Open = Callable[[], Awaitable[Any]]


class Serving:
    """One peer's wants and the task that answers them; the task ends when nothing was wanted for a while."""

    def __init__(self, blocks: Blocks, settings: Settings, under_way: trio.CapacityLimiter, open_stream: Open) -> None:
        self.wanted = Wanted(settings.wants_per_peer)
        self.blocks_out = 0
        self.bytes_out = 0
        self._blocks = blocks
        self._settings = settings
        self._under_way = under_way
        self._open = open_stream
        self._rate = Bucket(settings.block_bytes_out, trio.current_time())
        self._news = trio.Event()
        self._stream: Any = None

    def hear(self, message: Message) -> None:
        """Take in wants and cancels."""
        self.wanted.hear(message)
        self._news.set()

    async def run(self) -> None:
        """Answer until nothing was wanted for ``block_linger`` seconds; raises when the peer takes no more."""
        while await self._something_wanted():
            # one slot for all peers' messages: what is read from disk and not yet sent is bounded as a whole
            async with self._under_way:
                reply, size = await self._collect()
                if reply.blocks or reply.presences:
                    with trio.fail_after(self._settings.block_message_within):
                        await self._send(encode(reply))
                    self.blocks_out += len(reply.blocks)
                    self.bytes_out += size
            await trio.sleep(self._rate.borrow(size, trio.current_time()))

    async def leave(self) -> None:
        """Close our stream, if there is one. Never raises, bounded in time."""
        await self._leave("close")

    async def _something_wanted(self) -> bool:
        if not self.wanted:
            self._news = trio.Event()
            with trio.move_on_after(self._settings.block_linger):
                await self._news.wait()
        return bool(self.wanted)

    async def _collect(self) -> tuple[Message, int]:
        """The next answers, and the bytes of the blocks among them."""
        blocks: list[Sent] = []
        presences: list[Presence] = []
        size = 0
        while size < _ENOUGH and len(presences) < _PRESENCES and (want := self.wanted.next()) is not None:
            match await self._look_up(want):
                case Sent() as sent:
                    blocks.append(sent)
                    size += len(sent.data)
                case Presence() as presence:
                    presences.append(presence)
                case None:
                    pass
        return Message(blocks=tuple(blocks), presences=tuple(presences)), size

    async def _look_up(self, want: Want) -> Sent | Presence | None:
        no = Presence(want.name, here=False) if want.answer_no else None
        cid = cid_named(want.name)
        if cid is None:
            return no
        if not want.whole:
            here = await trio.to_thread.run_sync(self._blocks.has, cid)
            return Presence(want.name, here=True) if here else no
        try:
            return answer(want, await trio.to_thread.run_sync(self._blocks.get, cid))
        except MissingBlock:
            return no

    async def _send(self, data: bytes) -> None:
        if self._stream is None:
            self._stream = await self._open()
        try:
            await self._stream.write(data)
        except Exception:
            # the other side ends a stream that was silent for some seconds: once more, on a new one
            await self._leave("reset")
            self._stream = await self._open()
            await self._stream.write(data)

    async def _leave(self, how: str) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        with trio.CancelScope(shield=True), trio.move_on_after(1.0):
            try:
                await getattr(stream, how)()
            except Exception:  # it is gone, which is what we want
                return
