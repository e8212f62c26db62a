"""The trustless gateway: HTTP routes that serve blocks, archives and plain files by CID.

    GET|HEAD /ipfs/{cid}[/path]                 a file, also a range of it
    GET|HEAD /ipfs/{cid}[/path]?format=raw      one block
    GET|HEAD /ipfs/{cid}[/path]?format=car      an archive, depth first; dag-scope = block | entity | all

Formats: the IPFS trustless and path gateway specs, RFC 9110 (ranges, conditions), RFC 9530 (Repr-Digest). Only what
the store holds is served, nothing is fetched for anybody. Files are sandboxed and never sniffed, because the page of
the node lives at the same origin. The handlers are plain functions: the server runs them, and the steps of every
stream, in worker threads, so a slow disk does not hold up the node.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never
from urllib.parse import quote

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from content.blocks import Blocks
from content.car import write_car
from content.cid import Cid, Codec
from content.errors import BadCid, MissingBlock, NoSuchEntry
from content.reading import cat, look, trail
from content.unixfs import Directory, size_of
from content.walk import walk
from protocol.errors import PeerFault

RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car"
CAR_TYPE_SENT = f"{CAR_TYPE}; version=1; order=dfs; dups=n"

_DIGEST_UNASKED = 256 << 20
"""Bytes. A bigger file is hashed for its digest only when the client wants it: that takes a second or more."""
_DIGESTS_KEPT = 4096
_SENT_AT_ONCE = 256 << 10
"""Bytes. Small blocks are sent together, since every step of a stream costs a change of threads."""

_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox", "Vary": "Accept"}
_FOR_EVER = {"Cache-Control": "public, max-age=29030400, immutable"}


def gateway_routes(blocks: Blocks, below: str = "") -> list[Route]:
    """The routes of the gateway over a store, to be mounted into the application of the node."""
    gateway = _Gateway(blocks)
    return [Route(below + "/ipfs/{cid}", gateway.answer), Route(below + "/ipfs/{cid}/{path:path}", gateway.answer)]


class _Refused(Exception):
    """A request that gets an error instead of content."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Plain:
    """The request is for the bytes of a file."""


@dataclass(frozen=True, slots=True)
class _Raw:
    """The request is for one block."""


@dataclass(frozen=True, slots=True)
class _Car:
    """The request is for an archive."""

    scope: str
    """How much of what the path leads to: "block", "entity" (a file, or the names in a directory) or "all"."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A representation of known length, of which any stretch can be read."""

    size: int
    media_type: str
    etag: str
    read: Callable[[int, int], Iterator[bytes]]
    """The bytes from a start to before a stop."""
    digest: bytes | None
    """SHA-256 of all of it; None if nobody has worked it out."""


class _Streamed(Response):
    """A body that is made step by step in a worker thread, and not any further once the client is gone.

    Starlette's own streaming response leaves an open generator behind when that happens, which trio complains about.
    """

    def __init__(self, parts: Iterator[bytes], status_code: int, headers: dict[str, str]) -> None:
        # The base class would add the length of a body that it holds.
        self.status_code = status_code
        self.background = None
        self.init_headers(headers)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            await send(start)
            while part := await trio.to_thread.run_sync(next, self._parts, b""):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()


class _Gateway:
    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._digests: OrderedDict[Cid, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """One request."""
        try:
            return self._answer(request)
        except BadCid as error:
            status, reason = 400, str(error)
        except _Refused as error:
            status, reason = error.status, str(error)
        except (MissingBlock, NoSuchEntry) as error:
            status, reason = 404, str(error)
        except PeerFault as error:  # content that a stranger made, and that we hold, can be anything
            status, reason = 502, str(error)
        return PlainTextResponse(reason + "\n", status, {**_SAFE, "Cache-Control": "no-store"})

    def _answer(self, request: Request) -> Response:
        root = Cid.parse(request.path_params["cid"])
        path = request.path_params.get("path", "")
        wanted = _wanted(request)
        way = trail(root, path, self._blocks)
        headers = {
            **_SAFE,
            **_FOR_EVER,
            "X-Ipfs-Path": quote(f"/ipfs/{root}/{path}".rstrip("/")),
            "X-Ipfs-Roots": ",".join(str(cid) for cid in way),
        }
        match wanted:
            case _Plain():
                return _bytes_response(request, headers, self._file(request, way[-1], path))
            case _Raw():
                headers["Content-Disposition"] = f'attachment; filename="{way[-1]}.bin"'
                return _bytes_response(request, headers, self._block(way[-1]))
            case _Car(scope):
                headers["Content-Disposition"] = f'attachment; filename="{root}.car"'
                return self._car_response(request, headers, way, scope)
            case _:
                assert_never(wanted)

    def _block(self, cid: Cid) -> _Bytes:
        block = self._blocks.get(cid)

        def read(start: int, stop: int) -> Iterator[bytes]:
            yield block[start:stop]

        return _Bytes(len(block), RAW_TYPE, f'"{cid}.raw"', read, cid.digest)

    def _file(self, request: Request, cid: Cid, path: str) -> _Bytes:
        size = size_of(look(cid, self._blocks))
        if size is None:
            raise _Refused(406, "this is a directory: ask for it with ?format=car, or for a path below it")

        def read(start: int, stop: int) -> Iterator[bytes]:
            return cat(cid, self._blocks, start, stop)

        unasked = size <= _DIGEST_UNASKED
        digest = self._digest(cid, unasked or "sha-256" in request.headers.get("want-repr-digest", ""))
        return _Bytes(size, _media_type(path), f'"{cid}"', read, digest)

    def _digest(self, cid: Cid, worth_it: bool) -> bytes | None:
        """SHA-256 of a whole file: free if it is one block, remembered if it was worked out before."""
        if cid.codec is Codec.RAW:
            return cid.digest
        with self._lock:
            if cid in self._digests:
                self._digests.move_to_end(cid)
                return self._digests[cid]
        if not worth_it:
            return None
        hasher = hashlib.sha256()
        for part in cat(cid, self._blocks):
            hasher.update(part)
        with self._lock:
            self._digests[cid] = hasher.digest()
            if len(self._digests) > _DIGESTS_KEPT:
                self._digests.popitem(last=False)
        return hasher.digest()

    def _car_response(self, request: Request, headers: dict[str, str], way: tuple[Cid, ...], scope: str) -> Response:
        # The archive is a function of the way down the path and the scope, so its tag can be a strong one.
        hashed = hashlib.sha256(b"".join(bytes(cid) for cid in way)).hexdigest()[:32]
        etag = f'"car-{scope}.{hashed}"'
        headers |= {"ETag": etag, "Accept-Ranges": "none"}
        shallow = scope == "block" or (scope == "entity" and isinstance(look(way[-1], self._blocks), Directory))
        if not self._blocks.has(way[-1]):
            raise MissingBlock(way[-1])
        if _is_known(request, etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = CAR_TYPE_SENT
        if request.method == "HEAD":
            return _Streamed(iter(()), 200, headers)
        parts = write_car(way[0], self._blocks_of(way, shallow))
        return _Streamed(_in_bigger_parts(parts), 200, headers)

    def _blocks_of(self, way: tuple[Cid, ...], shallow: bool) -> Iterator[tuple[Cid, bytes]]:
        for cid in way if shallow else way[:-1]:
            yield cid, self._blocks.get(cid)
        if not shallow:
            yield from walk(way[-1], self._blocks)


def _wanted(request: Request) -> _Plain | _Raw | _Car:
    """What the query asks for, or else the Accept header: the query wins, as the spec says."""
    query = request.query_params
    version = query.get("car-version", "1")
    form = query.get("format")
    if form is None:
        for choice in request.headers.get("accept", "").split(","):
            kind, *parameters = (part.strip().lower() for part in choice.split(";"))
            if kind == RAW_TYPE:
                form = "raw"
            elif kind == CAR_TYPE:
                form = "car"
                given = dict(part.partition("=")[::2] for part in parameters)
                version = query.get("car-version", given.get("version", "1"))
            if form:
                break
    match form:
        case None:
            return _Plain()
        case "raw":
            return _Raw()
        case "car":
            scope = query.get("dag-scope", "all")
            if scope not in ("block", "entity", "all"):
                raise _Refused(400, "dag-scope is block, entity or all")
            if version != "1":
                raise _Refused(400, "only version 1 of the CAR format is written")
            return _Car(scope)
        case _:
            raise _Refused(400, "format is raw or car")


def _bytes_response(request: Request, headers: dict[str, str], content: _Bytes) -> Response:
    """A representation or the range that was asked for, under the conditions of the request (RFC 9110, 13 and 14)."""
    headers |= {"ETag": content.etag, "Accept-Ranges": "bytes"}
    if content.digest is not None:  # on a range too, and then still of the whole (RFC 9530, 3)
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(content.digest).decode()}:"
    if _is_known(request, content.etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = content.media_type
    start, stop, status = 0, content.size, 200
    if request.method == "GET" and request.headers.get("if-range", content.etag) == content.etag:
        match _range(request.headers.get("range", ""), content.size):
            case None:
                pass
            case (first, end) if first < end:
                start, stop, status = first, end, 206
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{content.size}"
            case _:
                unsatisfied = {**_SAFE, "Cache-Control": "no-store", "Content-Range": f"bytes */{content.size}"}
                return PlainTextResponse("there are no such bytes\n", 416, unsatisfied)
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return _Streamed(_in_bigger_parts(content.read(start, stop)), status, headers)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The stretch (start, before stop) of a range header; an empty one if it can't be satisfied.

    None means to send everything: no header, one that can't be read, or several ranges, which nobody has to serve.
    """
    found = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", header.replace(" ", ""), re.ASCII | re.IGNORECASE)
    if found is None:
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    if first:
        return int(first), min(size, int(last) + 1) if last else size
    if last:
        return max(0, size - int(last)), size
    return None


def _is_known(request: Request, etag: str) -> bool:
    """Whether the client says that it holds this representation already (If-None-Match, weak comparison)."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def _media_type(path: str) -> str:
    kind, encoding = mimetypes.guess_type(path.rsplit("/", 1)[-1])
    if kind is None or encoding is not None:
        return "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


def _in_bigger_parts(parts: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= _SENT_AT_ONCE:
            yield b"".join(held)
            held.clear()
            size = 0
    if held:
        yield b"".join(held)
