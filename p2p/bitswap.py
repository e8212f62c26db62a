"""Blocks to and from any IPFS peer: bitswap 1.2.0 over one host's connections.

    their stream ── wants ──> Serving ── our own stream ── blocks, presences ──> them
    Fetch ── our stream ── wants ──> them ── their own stream ── blocks, presences ──> Fetch

Nothing is remembered of what we could not give, nothing is fetched for anybody else, and each peer's questions, streams
and bytes are bounded (`Settings`). Over HTTP the same content travels about twice as fast (`node/fetching.py`).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from weakref import WeakValueDictionary

import trio

from content.blocks import Blocks
from content.cid import Cid
from content.limits import Limits
from p2p.blocks_fetching import Brought, Fetch, NotBrought
from p2p.blocks_reading import MessageReader, Unwanted
from p2p.blocks_serving import Serving
from p2p.blocks_wire import MOST_BYTES, PROTOCOL, Message, encode
from p2p.rates import Limiter
from p2p.settings import Settings
from protocol.errors import PeerFault
from protocol.identity import address_of_peer

log = logging.getLogger("p2p")

_SHORT = 256 * 1024
"""Bytes of a message that carries no blocks; longer ones are taken from those whose blocks we await."""
_READ_AT_ONCE = 4
"""Messages read side by side from one peer."""


class Lines(Protocol):
    """What blocks need of the host that carries them."""

    settings: Settings

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a 20-byte address, connecting first if ``dial`` allows it; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def start(self, task: Callable[[], Awaitable[None]]) -> None:
        """Run a task for as long as the host lives."""


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """Counters since the host was opened, and who is served now."""

    served_peers: int
    waiting: int
    """Wants that are not answered yet."""
    blocks_out: int
    bytes_out: int
    fetches: int


class Bitswap:
    """Serves a store and fills it. Addresses are 20-byte chain addresses."""

    def __init__(self, blocks: Blocks, lines: Lines) -> None:
        self._blocks = blocks
        self._lines = lines
        self._settings = lines.settings
        self._under_way = trio.CapacityLimiter(self._settings.block_messages_out)
        self._serving: dict[bytes, Serving] = {}
        self._fetches: dict[bytes, list[Fetch]] = defaultdict(list)
        self._turns: WeakValueDictionary[bytes, trio.CapacityLimiter] = WeakValueDictionary()
        self._messages = Limiter(self._settings.frames_in)
        self._bytes = Limiter(self._settings.bytes_in)
        self._blocks_out = 0
        self._bytes_out = 0

    def statistics(self) -> BlockStatistics:
        """Now."""
        live = self._serving.values()
        return BlockStatistics(
            len(live),
            sum(len(one.wanted) for one in live),
            self._blocks_out + sum(one.blocks_out for one in live),
            self._bytes_out + sum(one.bytes_out for one in live),
            sum(map(len, self._fetches.values())),
        )

    async def fetch(self, cid: Cid, address: bytes, limits: Limits = Limits()) -> Brought:  # noqa: B008  (frozen)
        """Bring all blocks below ``cid`` from a peer into the store.

        Raises `Unreachable`, `NotBrought`, and for content that is malformed or past the limits `BadNode`,
        `Unsupported` or `TooMuch`. What arrived before stays in the store, so the next attempt goes on from there.
        """
        settings = self._settings
        fetch = Fetch(cid, self._blocks, limits, settings.blocks_asked, settings.block_silence)
        stream = await self._lines.open_stream(address, PROTOCOL, dial=True)

        async def tell(message: Message) -> None:
            try:
                with trio.fail_after(settings.send_within):
                    await stream.write(encode(message))
            except Exception as error:  # the library raises what it likes on a stream that is gone
                raise NotBrought("the stream broke") from error

        async def watch_line() -> None:
            await stream.muxed_conn.event_closed.wait()
            fetch.line_ended()

        outcome: Brought | PeerFault
        self._fetches[address].append(fetch)
        try:
            async with trio.open_nursery() as nursery:
                # some answer on the stream of the question
                nursery.start_soon(self._read, stream, address)
                nursery.start_soon(watch_line)
                try:
                    outcome = await fetch.run(tell)
                except PeerFault as fault:  # carried around the nursery, which would wrap it in a group
                    outcome = fault
                nursery.cancel_scope.cancel()
        finally:
            self._fetches[address].remove(fetch)
            if not self._fetches[address]:
                del self._fetches[address]
            await _end(stream)
        if isinstance(outcome, PeerFault):
            raise outcome
        return outcome

    async def accepted(self, stream: Any) -> None:
        """Handle a stream that somebody opened."""
        try:
            await self._read(stream, address_of_peer(str(stream.muxed_conn.peer_id)))
        finally:
            await _end(stream)

    async def _read(self, stream: Any, address: bytes) -> None:
        turn = self._turns.get(address)
        if turn is None:
            turn = self._turns[address] = trio.CapacityLimiter(_READ_AT_ONCE)
        settings = self._settings
        reader = MessageReader(
            stream,
            lambda: MOST_BYTES if address in self._fetches else _SHORT,
            settings.idle_stream,
            settings.block_message_within,
            turn,
        )
        try:
            while (message := await reader.next()) is not None:
                await self._take(address, message, reader.size)
        except Unwanted:
            return
        except PeerFault as fault:
            self._lines.blame(stream.muxed_conn.peer_id, fault, 1.0)

    async def _take(self, address: bytes, message: Message, size: int) -> None:
        now = trio.current_time()
        wait = self._messages.borrow(address, 1, now)
        if fetches := tuple(self._fetches.get(address, ())):
            for fetch in fetches:
                await fetch.hear(message)
        else:
            wait = max(wait, self._bytes.borrow(address, size, now))
        serving = self._serving.get(address)
        if serving is None and any(not want.cancel for want in message.wants):
            serving = self._serve(address)
        if serving is not None:
            serving.hear(message)
        await trio.sleep(wait)

    def _serve(self, address: bytes) -> Serving:
        # whoever hung up meanwhile is not called back for an answer
        open_stream = partial(self._lines.open_stream, address, PROTOCOL, dial=False)
        serving = Serving(self._blocks, self._settings, self._under_way, open_stream)
        self._serving[address] = serving

        async def run() -> None:
            try:
                await serving.run()
            except Exception:  # whatever a broken stream raises: the peer asks again if it is still there
                log.debug("answers to 0x%s ended", address.hex(), exc_info=True)
            finally:
                # at once, so that the next want finds a new one
                del self._serving[address]
                self._blocks_out += serving.blocks_out
                self._bytes_out += serving.bytes_out
                await serving.leave()

        self._lines.start(run)
        return serving


async def _end(stream: Any) -> None:
    """Close a stream. Never raises, bounded in time."""
    with trio.CancelScope(shield=True), trio.move_on_after(1.0):
        try:
            await stream.close()
        except Exception:  # it is gone, which is what we want
            return
