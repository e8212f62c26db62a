"""Brings a DAG from one peer block by block: asks ahead, takes only what was asked for, names it by its hash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio

from content.blocks import Blocks
from content.cid import Cid
from content.errors import MissingBlock
from content.limits import Limits
from content.walk import Walk
from p2p.blocks_wire import Message, Sent, Want, cid_named
from protocol.errors import PeerFault

_WASTE = 32 << 20
"""Bytes of blocks that nobody asked for, after which a peer is given up; a few may be late or sent twice."""

Tell = Callable[[Message], Awaitable[None]]


class NotBrought(PeerFault):
    """A peer that has not got the content, fell silent, or sent other things instead."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What a fetch took."""

    cid: Cid
    blocks: int
    """Distinct blocks of the DAG."""
    bytes: int
    """Bytes of these blocks."""
    already_here: int
    """Blocks that the store held before."""
    seconds: float


class Fetch:
    """One fetch; fed with the peer's messages by `hear` while `run` goes on."""

    def __init__(self, cid: Cid, blocks: Blocks, limits: Limits, ahead: int, silence: float) -> None:
        self._cid = cid
        self._blocks = blocks
        self._walk = Walk(cid, limits)
        self._ahead = ahead
        self._silence = silence
        self._asked: set[Cid] = set()
        self._lacks: set[Cid] = set()
        self._brought = 0
        self._waste = 0
        self._broke = False
        self._news = trio.Event()

    async def hear(self, message: Message) -> None:
        """Keep what was asked for."""
        for sent in message.blocks:
            cid = await trio.to_thread.run_sync(Sent.cid, sent)
            if cid in self._asked:
                # the store checks the hash once more: nothing else has a way in
                await trio.to_thread.run_sync(self._blocks.put, cid, sent.data)
                self._asked.discard(cid)
                self._brought += 1
                self._news.set()
            else:
                self._waste += len(sent.data)
                self._news.set()
        for presence in message.presences:
            cid = cid_named(presence.name)
            if cid in self._asked and not presence.here:
                self._lacks.add(cid)
                self._news.set()

    def line_ended(self) -> None:
        """The connection is gone, and with it every answer."""
        self._broke = True
        self._news.set()

    async def run(self, tell: Tell) -> Brought:
        """Until the whole DAG is in the store. Raises `NotBrought`, `BadNode`, `Unsupported`, `TooMuch`."""
        started = trio.current_time()
        try:
            while True:
                self._news = trio.Event()  # before looking, so that what comes meanwhile wakes us
                if (wanted := await self._take_what_is_here()) is None:
                    break
                if self._waste > _WASTE:
                    raise NotBrought(f"it sent {self._waste} bytes that nobody asked for")
                if self._broke:
                    raise NotBrought("the connection ended")
                if wanted in self._lacks:
                    raise NotBrought(f"it has not got {wanted}")
                if wanted not in self._asked or len(self._asked) <= self._ahead // 2:
                    await self._ask(tell)
                with trio.move_on_after(self._silence) as scope:
                    await self._news.wait()
                if scope.cancelled_caught:
                    raise NotBrought(f"no block for {self._silence:g} s")
        finally:
            if self._asked:
                with suppress(NotBrought), trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
                    await tell(Message(wants=tuple(Want(bytes(cid), cancel=True) for cid in self._asked)))
        walk = self._walk
        return Brought(
            self._cid,
            walk.block_count,
            walk.byte_count,
            walk.block_count - self._brought,
            trio.current_time() - started,
        )

    async def _take_what_is_here(self) -> Cid | None:
        """Walk on through blocks that the store holds; the first that it lacks, or None at the end."""
        while (cid := self._walk.wanted) is not None:
            if cid in self._asked:
                return cid
            try:
                block = await trio.to_thread.run_sync(self._blocks.get, cid)
            except MissingBlock:
                return cid
            self._walk.supply(block)
        return None

    async def _ask(self, tell: Tell) -> None:
        ahead = [cid for cid in self._walk.upcoming(self._ahead) if cid not in self._asked and cid not in self._lacks]
        missing = await trio.to_thread.run_sync(self._missing, ahead)
        # the wanted block comes first, and there is always room for it
        fresh = missing[: max(1, self._ahead - len(self._asked))]
        if fresh:
            self._asked.update(fresh)
            await tell(Message(wants=tuple(Want(bytes(cid)) for cid in fresh)))

    def _missing(self, cids: Sequence[Cid]) -> list[Cid]:
        return [cid for cid in cids if not self._blocks.has(cid)]
