"""Fetching a DAG from a stranger's gateway, believing nothing but hashes.

First the whole DAG as one archive, depth first. Every block must be the one that the walk wants next, so there is no
way in for anything else. When the connection breaks, the blocks that are here stay, and only the missing ones are asked
for, a few at a time. Compressed answers and redirects are refused: what arrives is what was asked for, from whom it was
asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

import httpx
import trio

from content.blocks import MAX_BLOCK, Blocks
from content.car import CarFramer
from content.cid import Cid
from content.errors import BadCar, BadNode, MissingBlock, TooMuch, Unsupported
from content.limits import Limits
from content.walk import Walk
from protocol.errors import PeerFault

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
_AT_ONCE = 6
"""Single blocks asked for side by side, so that a distant source is not asked one question per journey."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a source may cost us."""

    content: Limits = Limits()  # noqa: RUF009  (frozen)
    """Blocks, their bytes, names and depth of the DAG."""
    seconds: float = 3600.0
    """For everything together."""
    silence: float = 20.0
    """Seconds in which not one byte came, to connect or to go on, after which a connection counts as broken."""
    breaks: int = 5
    """Interruptions in a row without a new block between them."""
    all_breaks: int = 100
    """Interruptions altogether; each may waste the bytes of `_AT_ONCE` blocks."""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a transfer took."""

    cid: Cid
    source: str
    blocks: int
    """Distinct blocks of the DAG."""
    bytes: int
    """Bytes of these blocks."""
    received: int
    """Bytes of response bodies, archive framing and what was lost in broken connections counted too."""
    already_here: int
    """Blocks that the store held before, and that were not asked for."""
    breaks: int
    """Interruptions."""
    seconds: float


class Blame(StrEnum):
    """Whom a failed transfer speaks against."""

    NOBODY = "nobody"
    """The source has not got it, is gone, or is slow: it may be just unlucky."""
    SOURCE = "source"
    """The source sent what nobody asked for, or what is not named by the CID."""
    CONTENT = "content"
    """The bytes are the right ones, and they are malformed, of a kind we don't read, or past our limits. Whoever signed
    the CID is to blame, who need not be the source."""


class FetchFailed(PeerFault):
    """A transfer that did not bring the content."""

    def __init__(self, source: str, reason: str, blame: Blame = Blame.NOBODY) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason
        self.blame = blame


class _Broken(Exception):
    """A connection that ended too early; worth another one."""


async def fetch(
    cid: Cid,
    source_url: str,
    blocks: Blocks,
    *,
    limits: FetchLimits = FetchLimits(),
    client: httpx.AsyncClient,
) -> FetchReport:
    """Bring all blocks below `cid` into the store, from the gateway at `source_url` ("http://host:port").

    Raises `FetchFailed`. What arrived before stays in the store, so the next attempt, with this source or another,
    starts where this one ended. Whether an address may be asked at all (private networks) is the caller's to decide.
    """
    _check_url(source_url)
    transfer = _Transfer(cid, source_url.rstrip("/"), blocks, limits, client)
    started = trio.current_time()
    try:
        with trio.fail_after(limits.seconds):
            await transfer.run()
    except trio.TooSlowError:
        raise FetchFailed(source_url, f"took longer than {limits.seconds:g} seconds") from None
    except FetchFailed:
        raise
    except (BadNode, Unsupported, TooMuch) as error:
        raise FetchFailed(source_url, str(error), Blame.CONTENT) from error
    except PeerFault as error:
        raise FetchFailed(source_url, str(error), Blame.SOURCE) from error
    return transfer.report(trio.current_time() - started)


class _Transfer:
    def __init__(self, cid: Cid, source: str, blocks: Blocks, limits: FetchLimits, client: httpx.AsyncClient) -> None:
        self._cid = cid
        self._source = source
        self._blocks = blocks
        self._limits = limits
        self._client = client
        self._walk = Walk(cid, limits.content)
        self._received = 0
        self._brought = 0
        self._breaks = 0
        self._breaks_in_a_row = 0

    async def run(self) -> None:
        # A root that is here means an earlier attempt: an archive would bring again what that one got.
        await self._take_what_is_here()
        if self._walk.block_count == 0:
            try:
                await self._archive()
            except _Broken as error:
                await self._count_break(error)
        while await self._take_what_is_here() is not None:
            try:
                await self._missing_blocks()
            except _Broken as error:
                await self._count_break(error)

    def report(self, seconds: float) -> FetchReport:
        return FetchReport(
            self._cid,
            self._source,
            self._walk.block_count,
            self._walk.byte_count,
            self._received,
            self._walk.block_count - self._brought,
            self._breaks,
            seconds,
        )

    async def _take_what_is_here(self) -> Cid | None:
        """Walk on through blocks that the store holds; the first that it lacks, or None at the end."""
        while (cid := self._walk.wanted) is not None:
            try:
                block = await trio.to_thread.run_sync(self._blocks.get, cid)
            except MissingBlock:
                return cid
            self._walk.supply(block)
        return None

    async def _archive(self) -> None:
        framer = CarFramer()
        query = {"format": "car", "dag-scope": "all"}
        accept = f"{CAR_TYPE}; version=1; order=dfs; dups=n"
        async with self._get(self._cid, query, accept, CAR_TYPE) as answer:
            async for data in answer:
                self._received += len(data)
                for cid, block in framer.receive(data):
                    if cid != self._walk.wanted:
                        raise BadCar(f"sent the block {cid}, where {self._walk.wanted or 'the end'} had to come")
                    await self._keep(cid, block)
                    self._walk.supply(block)
        if self._walk.wanted is not None:
            # A source that ends an archive early may only lack a block; asked for that one, it has to say so.
            raise _Broken("the archive ended too early")
        framer.finish()

    async def _missing_blocks(self) -> None:
        """The next few blocks that the walk is known to want and the store lacks."""
        failures: list[Exception] = []
        async with trio.open_nursery() as nursery:

            async def one(cid: Cid) -> None:
                try:
                    await self._one_block(cid)
                except _Broken as error:
                    failures.append(error)  # the others may still arrive
                except Exception as error:  # taken out of the nursery, so that callers see no groups
                    failures.append(error)
                    nursery.cancel_scope.cancel()

            for cid in self._walk.upcoming(_AT_ONCE):
                if not await trio.to_thread.run_sync(self._blocks.has, cid):
                    nursery.start_soon(one, cid)
        # A lie tells more than a broken connection, whichever was noticed first.
        for failure in sorted(failures, key=lambda error: isinstance(error, _Broken)):
            raise failure

    async def _one_block(self, cid: Cid) -> None:
        block = bytearray()
        async with self._get(cid, {"format": "raw"}, RAW_TYPE, RAW_TYPE) as answer:
            async for data in answer:
                self._received += len(data)
                block += data
                if len(block) > MAX_BLOCK:
                    self._lied(f"sent more than {MAX_BLOCK} bytes for the block {cid}")
        await self._keep(cid, bytes(block))

    async def _keep(self, cid: Cid, block: bytes) -> None:
        """The only way in, for a block that was asked for; the store checks its hash."""
        await trio.to_thread.run_sync(self._blocks.put, cid, block)
        self._brought += 1
        self._breaks_in_a_row = 0

    @asynccontextmanager
    async def _get(
        self, cid: Cid, query: dict[str, str], accept: str, media_type: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer, as they come over the wire (`aiter_bytes` would decompress them)."""
        request = self._client.build_request(
            "GET",
            f"{self._source}/ipfs/{cid}",
            params=query,
            headers={"Accept": accept, "Accept-Encoding": "identity"},
            timeout=self._limits.silence,
        )
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
            body = response.aiter_raw()
            try:
                self._check(response, cid, media_type)
                yield body
            finally:
                await _abandon(response, body)
        except httpx.TransportError as error:
            raise _Broken(f"{type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise FetchFailed(self._source, f"{type(error).__name__}: {error}") from error

    def _check(self, response: httpx.Response, cid: Cid, media_type: str) -> None:
        status = response.status_code
        if 300 <= status < 400:
            self._lied(f"wants to redirect to {response.headers.get('location', '')[:200]!r}")
        if status == 404:
            raise FetchFailed(self._source, f"does not have {cid}")
        if status >= 500:
            raise _Broken(f"answered with status {status}")
        if status != 200:
            raise FetchFailed(self._source, f"answered with status {status}")
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            self._lied(f"encoded its answer ({encoding[:40]}), though asked not to")
        found = response.headers.get("content-type", "")
        if found.partition(";")[0].strip().lower() != media_type:
            self._lied(f"answered with {found[:80]!r} instead of {media_type}")

    async def _count_break(self, error: _Broken) -> None:
        self._breaks += 1
        self._breaks_in_a_row += 1
        if self._breaks_in_a_row > self._limits.breaks or self._breaks > self._limits.all_breaks:
            raise FetchFailed(self._source, f"the connection broke {self._breaks} times, last: {error}")
        await trio.sleep(min(5.0, 0.05 * 2**self._breaks_in_a_row))

    def _lied(self, reason: str) -> NoReturn:
        raise FetchFailed(self._source, reason, Blame.SOURCE)


async def _abandon(response: httpx.Response, body: AsyncIterator[bytes]) -> None:
    """End an answer that may not have been read to its end.

    The client's streams are generators within generators, which trio wants to see ended. Once the connection is closed
    the next read fails, and that failure unwinds them all; nothing else does.
    """
    await response.aclose()
    with suppress(httpx.HTTPError, httpx.StreamError):
        async for _ in body:
            pass


def _check_url(source: str) -> None:
    """Refuse what is more than a plain address; it mostly comes from the peer itself."""
    try:
        url = httpx.URL(source)
    except httpx.InvalidURL as error:
        raise FetchFailed(source[:200], f"not an address: {error}", Blame.SOURCE) from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise FetchFailed(source[:200], "not the plain http address of a gateway", Blame.SOURCE)
