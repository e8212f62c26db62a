"""The gateway and its client over real sockets: every answer by the book, and a source that cheats gets nothing in."""

from __future__ import annotations

import base64
import filecmp
import gzip
import hashlib
import io
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from content.adding import add_path
from content.blocks import Blocks, FileBlocks, MemoryBlocks
from content.car import header, read_car, section
from content.cid import Cid, Codec
from content.exporting import export
from content.limits import Limits
from content.reading import resolve
from content.walk import walk
from node.fetching import Blame, FetchFailed, FetchLimits, fetch
from node.gateway import gateway_routes

QUICK = FetchLimits(seconds=20, silence=2, breaks=3)
BIG = bytes(range(251)) * 20_000
"""Five chunks, all different."""


@asynccontextmanager
async def serving(routes: list[BaseRoute]) -> AsyncIterator[str]:
    """A real server on loopback; gives its address."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = 0.1
    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        application = Starlette(routes=routes)
        start = partial(serve, application, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
        addresses: list[str] = await nursery.start(start)
        try:
            yield addresses[0]
        finally:
            stop.set()
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def gateway(blocks: Blocks) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving([*gateway_routes(blocks)]) as address,
        httpx.AsyncClient(base_url=address, headers={"Accept-Encoding": "identity"}) as client,
    ):
        yield client


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "outputs").mkdir(parents=True)
    (folder / "stdout").write_bytes(b"moo\n")
    (folder / "outputs" / "cow.html").write_bytes(b"<script>alert(1)</script>")
    (folder / "outputs" / "big.bin").write_bytes(BIG)
    (folder / "outputs" / "again.bin").write_bytes(BIG)
    (folder / "outputs" / "empty").touch()
    return folder


@pytest.fixture
def blocks() -> MemoryBlocks:
    return MemoryBlocks()


@pytest.fixture
def root(tree: Path, blocks: MemoryBlocks) -> Cid:
    return add_path(tree, blocks)


async def test_a_file_comes_with_its_digest_its_tag_and_no_way_to_run_it(blocks: MemoryBlocks, root: Cid) -> None:
    big = resolve(root, "outputs/big.bin", blocks)
    digest = base64.b64encode(hashlib.sha256(BIG).digest()).decode()
    async with gateway(blocks) as client:
        answer = await client.get(f"/ipfs/{root}/outputs/big.bin")
        assert (answer.status_code, answer.content) == (200, BIG)
        assert answer.headers["etag"] == f'"{big}"'
        assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-length"] == str(len(BIG))
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-ipfs-roots"] == ",".join(
            str(cid) for cid in (root, resolve(root, "outputs", blocks), big)
        )
        page = await client.get(f"/ipfs/{root}/outputs/cow.html")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["content-security-policy"] == "sandbox"
        empty = await client.get(f"/ipfs/{root}/outputs/empty")
        assert (empty.status_code, empty.content) == (200, b"")


async def test_a_big_file_is_hashed_only_for_who_wants_its_digest(
    blocks: MemoryBlocks, root: Cid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.gateway._DIGEST_UNASKED", 1000)
    url = f"/ipfs/{root}/outputs/big.bin"
    async with gateway(blocks) as client:
        assert "repr-digest" not in (await client.head(url)).headers
        wanted = await client.head(url, headers={"Want-Repr-Digest": "sha-256=1"})
        assert base64.b64encode(hashlib.sha256(BIG).digest()).decode() in wanted.headers["repr-digest"]
        assert (await client.head(url)).headers["repr-digest"] == wanted.headers["repr-digest"], "it is known now"


async def test_the_head_of_a_file_is_that_of_its_get_without_the_body(blocks: MemoryBlocks, root: Cid) -> None:
    async with gateway(blocks) as client:
        for query in ("", "?format=raw", "?format=car"):
            url = f"/ipfs/{root}/outputs/big.bin{query}"
            head, get = await client.head(url), await client.get(url)
            assert head.status_code == 200
            assert head.content == b""
            assert _without(head, {"date"}) == _without(get, {"date"})


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, len(BIG)),
        ("bytes=-7", len(BIG) - 7, len(BIG)),
        ("bytes=1048570-1048580", 1_048_570, 1_048_581),
        ("bytes=10-99999999999", 10, len(BIG)),
        (f"bytes=-{len(BIG) + 5}", 0, len(BIG)),
    ],
)
async def test_a_range_is_cut_exactly(asked: str, start: int, stop: int, blocks: MemoryBlocks, root: Cid) -> None:
    async with gateway(blocks) as client:
        answer = await client.get(f"/ipfs/{root}/outputs/big.bin", headers={"Range": asked})
        assert answer.status_code == 206
        assert answer.content == BIG[start:stop]
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(BIG)}"
        whole = base64.b64encode(hashlib.sha256(BIG).digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{whole}:"


async def test_a_range_that_is_not_there_or_not_readable(blocks: MemoryBlocks, root: Cid) -> None:
    async with gateway(blocks) as client:
        url = f"/ipfs/{root}/outputs/big.bin"
        for asked in (f"bytes={len(BIG)}-", "bytes=-0"):
            answer = await client.get(url, headers={"Range": asked})
            assert answer.status_code == 416
            assert answer.headers["content-range"] == f"bytes */{len(BIG)}"
        for asked in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-", "bytes=" + "9" * 400 + "-"):
            answer = await client.get(url, headers={"Range": asked})
            assert (answer.status_code, len(answer.content)) == (200, len(BIG)), asked
        empty = await client.get(f"/ipfs/{root}/outputs/empty", headers={"Range": "bytes=0-"})
        assert empty.status_code == 416


async def test_conditions_are_honoured(blocks: MemoryBlocks, root: Cid) -> None:
    async with gateway(blocks) as client:
        for query in ("", "?format=raw", "?format=car"):
            url = f"/ipfs/{root}/outputs/big.bin{query}"
            etag = (await client.head(url)).headers["etag"]
            for known in (etag, f'W/{etag}, "other"', "*"):
                answer = await client.get(url, headers={"If-None-Match": known})
                assert (answer.status_code, answer.content) == (304, b"")
                assert answer.headers["etag"] == etag
            assert (await client.head(url, headers={"If-None-Match": '"other"'})).status_code == 200
        url = f"/ipfs/{root}/outputs/big.bin"
        etag = (await client.head(url)).headers["etag"]
        same = await client.get(url, headers={"Range": "bytes=0-4", "If-Range": etag})
        assert same.status_code == 206
        other = await client.get(url, headers={"Range": "bytes=0-4", "If-Range": '"other"'})
        assert (other.status_code, len(other.content)) == (200, len(BIG))


async def test_one_block_can_be_had_by_query_or_by_header(blocks: MemoryBlocks, root: Cid) -> None:
    async with gateway(blocks) as client:
        by_query = await client.get(f"/ipfs/{root}?format=raw")
        by_header = await client.get(f"/ipfs/{root}", headers={"Accept": "application/vnd.ipld.raw"})
        for answer in (by_query, by_header):
            assert answer.content == blocks.get(root)
            assert answer.headers["content-type"] == "application/vnd.ipld.raw"
            assert answer.headers["content-disposition"] == f'attachment; filename="{root}.bin"'
            assert base64.b64encode(root.digest).decode() in answer.headers["repr-digest"]


async def test_an_archive_holds_what_its_scope_says(blocks: MemoryBlocks, root: Cid) -> None:
    outputs = resolve(root, "outputs", blocks)
    big = resolve(root, "outputs/big.bin", blocks)
    everything = [cid for cid, _ in walk(root, blocks)]
    of_big = [cid for cid, _ in walk(big, blocks)]
    below = [cid for cid, _ in walk(outputs, blocks)]
    expected = {
        "": everything,
        "?dag-scope=all": everything,
        "?dag-scope=entity": [root],
        "?dag-scope=block": [root],
        "/outputs": [root, *below],
        "/outputs?dag-scope=entity": [root, outputs],
        "/outputs/big.bin?dag-scope=entity": [root, outputs, *of_big],
        "/outputs/big.bin?dag-scope=block": [root, outputs, big],
    }
    tags = set()
    async with gateway(blocks) as client:
        for target, cids in expected.items():
            accept = {"Accept": "text/html;q=0, application/vnd.ipld.car; version=1; order=dfs; dups=n"}
            answer = await client.get(f"/ipfs/{root}{target}", headers=accept)
            assert answer.headers["content-type"] == "application/vnd.ipld.car; version=1; order=dfs; dups=n"
            assert [cid for cid, _ in read_car(io.BytesIO(answer.content), root)] == cids, target
            tags.add(answer.headers["etag"])
    assert len(tags) == len(expected) - 1, "the first two are the same request"


async def test_what_can_not_be_answered_says_why(blocks: MemoryBlocks, root: Cid) -> None:
    absent = Cid.of(Codec.RAW, b"absent")
    junk = blocks.add(Codec.DAG_PB, b"junk")
    expected = {
        "/ipfs/nonsense": 400,
        f"/ipfs/{root}?format=tar": 400,
        f"/ipfs/{root}?format=car&dag-scope=some": 400,
        f"/ipfs/{root}?format=car&car-version=2": 400,
        f"/ipfs/{root}": 406,
        f"/ipfs/{root}/nothing": 404,
        f"/ipfs/{root}/stdout/below": 404,
        f"/ipfs/{root}/%2e%2e/x": 404,
        f"/ipfs/{absent}": 404,
        f"/ipfs/{absent}?format=raw": 404,
        f"/ipfs/{absent}?format=car": 404,
        f"/ipfs/{absent}?format=car&dag-scope=block": 404,
        f"/ipfs/{junk}": 502,
    }
    async with gateway(blocks) as client:
        for url, status in expected.items():
            answer = await client.get(url)
            assert answer.status_code == status, url
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-security-policy"] == "sandbox"
        assert (await client.post(f"/ipfs/{root}")).status_code == 405


async def test_a_result_is_fetched_into_files_and_comes_out_as_it_was(
    tree: Path, blocks: MemoryBlocks, root: Cid, tmp_path: Path
) -> None:
    mine = FileBlocks(tmp_path / "blocks")
    async with serving([*gateway_routes(blocks)]) as address, httpx.AsyncClient() as client:
        report = await fetch(root, address, mine, limits=QUICK, client=client)
        assert report.blocks == len(list(walk(root, blocks)))
        assert (report.breaks, report.already_here) == (0, 0)
        assert report.bytes < report.received < report.bytes + 100 * report.blocks
        again = await fetch(root, address, mine, limits=QUICK, client=client)
        assert (again.received, again.already_here) == (0, report.blocks)
    export(root, mine, tmp_path / "copy")
    assert (tmp_path / "copy" / "outputs" / "again.bin").read_bytes() == BIG
    assert (tmp_path / "copy" / "stdout").read_bytes() == b"moo\n"


@asynccontextmanager
async def cutting_proxy(address: str, cuts: list[int]) -> AsyncIterator[str]:
    """Passes bytes on to a server, and cuts the n-th connection after `cuts[n]` bytes of answers."""
    host, port = address.removeprefix("http://").split(":")
    left = iter(cuts)

    async def handle(ours: trio.SocketStream) -> None:
        allowed = next(left, 1 << 60)
        async with ours, await trio.open_tcp_stream(host, int(port)) as theirs, trio.open_nursery() as nursery:

            async def requests() -> None:
                with trio.CancelScope() as scope:
                    try:
                        async for data in ours:
                            await theirs.send_all(data)
                    except (trio.BrokenResourceError, trio.ClosedResourceError):
                        scope.cancel()

            nursery.start_soon(requests)
            sent = 0
            try:
                async for data in theirs:
                    await ours.send_all(data[: allowed - sent])
                    sent += len(data)
                    if sent >= allowed:
                        break
            except trio.BrokenResourceError:
                pass
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_a_transfer_that_is_cut_goes_on_where_it_was(blocks: MemoryBlocks, root: Cid) -> None:
    mine = MemoryBlocks()
    async with serving([*gateway_routes(blocks)]) as address, httpx.AsyncClient() as client:
        async with cutting_proxy(address, [2_500_000, 100, 500_000]) as flaky:
            report = await fetch(root, flaky, mine, limits=QUICK, client=client)
        assert report.breaks == 2, "the first connection, then two of those that follow it side by side"
        assert len(mine) == report.blocks
        # A cut loses the block that was under way, never more.
        assert report.received < report.bytes + (1 << 20) + 100 + 500_000


async def test_a_transfer_that_failed_is_finished_by_another_source(blocks: MemoryBlocks, root: Cid) -> None:
    mine = MemoryBlocks()
    never = FetchLimits(seconds=20, silence=2, breaks=0)
    async with serving([*gateway_routes(blocks)]) as address, httpx.AsyncClient() as client:
        async with cutting_proxy(address, [3_000_000]) as flaky:
            with pytest.raises(FetchFailed, match="the connection broke 1 times") as caught:
                await fetch(root, flaky, mine, limits=never, client=client)
            assert caught.value.source == flaky
            assert caught.value.blame is Blame.NOBODY
        had = len(mine)
        assert had >= 2
        report = await fetch(root, address, mine, limits=QUICK, client=client)
        assert report.already_here == had
        assert report.received < report.bytes - 2_000_000


async def test_a_source_that_lacks_a_block_in_the_middle_is_named(blocks: MemoryBlocks, root: Cid) -> None:
    partial_store = MemoryBlocks()
    for cid, block in list(walk(root, blocks))[:4]:
        partial_store.put(cid, block)
    async with serving([*gateway_routes(partial_store)]) as address, httpx.AsyncClient() as client:
        with pytest.raises(FetchFailed, match="does not have") as caught:
            await fetch(root, address, MemoryBlocks(), limits=QUICK, client=client)
    assert caught.value.source == address
    assert caught.value.blame is Blame.NOBODY


GOOD = b"what was ordered" * 100
ORDERED = Cid.of(Codec.RAW, GOOD)
OTHER = Cid.of(Codec.RAW, b"unasked")
CAR = "application/vnd.ipld.car; version=1"


def _car(*sections: bytes) -> Response:
    return Response(b"".join([header(ORDERED), *sections]), media_type=CAR)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_car(section(ORDERED, b"something else")), "are not the block"),
        (_car(section(OTHER, b"unasked")), "had to come"),
        (_car(section(ORDERED, GOOD), section(OTHER, b"unasked")), "the end had to come"),
        (_car(section(ORDERED, GOOD), section(ORDERED, GOOD)), "the end had to come"),
        (_car(b"\xff\xff\xff\x7f"), "a frame of"),
        (_car(section(ORDERED, GOOD), b"\x30"), "cut off"),
        (Response(b"hello, this is not an archive", media_type=CAR), "a frame of"),
        (Response(b"<html>", media_type="text/html"), "instead of"),
        (RedirectResponse("http://169.254.169.254/"), "redirect"),
        (
            Response(gzip.compress(bytes(1 << 20)), media_type=CAR, headers={"Content-Encoding": "gzip"}),
            "encoded its answer",
        ),
    ],
)
async def test_a_lie_is_refused_with_the_name_of_the_liar_and_its_reason(answer: Response, reason: str) -> None:
    mine = MemoryBlocks()

    async def lie(request: Request) -> Response:
        assert request.headers["accept-encoding"] == "identity"
        return answer

    async with serving([Route("/ipfs/{cid}", lie)]) as address, httpx.AsyncClient(follow_redirects=True) as client:
        with pytest.raises(FetchFailed, match=reason) as caught:
            await fetch(ORDERED, address, mine, limits=QUICK, client=client)
    assert caught.value.blame is Blame.SOURCE
    assert caught.value.source == address
    assert not mine.has(OTHER)


async def test_a_lie_is_refused_also_when_only_single_blocks_are_asked_for(blocks: MemoryBlocks, root: Cid) -> None:
    for lies, reason in ((b"x", "are not the block"), (bytes(3_000_000), "more than 2097152 bytes")):
        mine = MemoryBlocks()
        mine.put(root, blocks.get(root))  # as an interrupted transfer leaves it

        async def answer(_: Request, lies: bytes = lies) -> Response:
            return Response(lies, media_type="application/vnd.ipld.raw")

        async with serving([Route("/ipfs/{cid}", answer)]) as address, httpx.AsyncClient() as client:
            with pytest.raises(FetchFailed, match=reason):
                await fetch(root, address, mine, limits=QUICK, client=client)
        assert len(mine) == 1


async def test_an_endless_answer_ends_at_the_limit(blocks: MemoryBlocks, root: Cid) -> None:
    limits = FetchLimits(content=Limits(max_bytes=2_000_000), seconds=20)
    async with serving([*gateway_routes(blocks)]) as address, httpx.AsyncClient() as client:
        with pytest.raises(FetchFailed, match="more than 2000000 bytes") as caught:
            await fetch(root, address, MemoryBlocks(), limits=limits, client=client)
        assert caught.value.blame is Blame.CONTENT
        few = FetchLimits(content=Limits(max_blocks=3), seconds=20)
        with pytest.raises(FetchFailed, match="more than 3 blocks"):
            await fetch(root, address, MemoryBlocks(), limits=few, client=client)


async def test_the_right_bytes_of_bad_content_do_not_speak_against_their_source(blocks: MemoryBlocks) -> None:
    junk = blocks.add(Codec.DAG_PB, b"junk")
    async with serving([*gateway_routes(blocks)]) as address, httpx.AsyncClient() as client:
        with pytest.raises(FetchFailed) as caught:
            await fetch(junk, address, MemoryBlocks(), limits=QUICK, client=client)
    assert caught.value.blame is Blame.CONTENT


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Sixty megabytes are added, served, fetched and written, and never are more than a few blocks in memory."""
    with (tmp_path / "big").open("wb") as file:
        for number in range(60):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    theirs, mine = FileBlocks(tmp_path / "theirs"), FileBlocks(tmp_path / "mine")
    tracemalloc.start()
    try:
        root = add_path(tmp_path / "big", theirs)
        async with serving([*gateway_routes(theirs)]) as address, httpx.AsyncClient() as client:
            report = await fetch(root, address, mine, limits=QUICK, client=client)
            assert report.bytes > 60 << 20
            received = 0
            async with client.stream("GET", f"{address}/ipfs/{root}") as answer:
                async for data in answer.aiter_raw():
                    received += len(data)
            assert received == 60 << 20
        export(root, mine, tmp_path / "copy")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 << 20
    assert filecmp.cmp(tmp_path / "big", tmp_path / "copy", shallow=False)


async def test_a_source_that_drips_is_given_up_when_the_time_is_over() -> None:
    async def drip(_: Request) -> Response:
        async def drops() -> AsyncIterator[bytes]:
            for byte in header(ORDERED) + section(ORDERED, GOOD):
                yield bytes([byte])
                await trio.sleep(0.05)

        return StreamingResponse(drops(), media_type=CAR)

    async with serving([Route("/ipfs/{cid}", drip)]) as address, httpx.AsyncClient() as client:
        limits = FetchLimits(seconds=0.5, silence=5)
        with trio.fail_after(5), pytest.raises(FetchFailed, match=r"longer than 0\.5 seconds"):
            await fetch(ORDERED, address, MemoryBlocks(), limits=limits, client=client)


async def test_a_source_that_falls_silent_or_is_not_there_is_given_up() -> None:
    async def silent(_: Request) -> Response:
        await trio.sleep_forever()
        raise AssertionError

    limits = FetchLimits(seconds=20, silence=0.1, breaks=1)
    async with serving([Route("/ipfs/{cid}", silent)]) as address, httpx.AsyncClient() as client:
        with trio.fail_after(5), pytest.raises(FetchFailed, match="ReadTimeout"):
            await fetch(ORDERED, address, MemoryBlocks(), limits=limits, client=client)
    async with httpx.AsyncClient() as client:
        with trio.fail_after(5), pytest.raises(FetchFailed, match="ConnectError"):
            await fetch(ORDERED, address, MemoryBlocks(), limits=limits, client=client)


async def test_a_source_in_trouble_is_asked_again_and_a_source_that_refuses_is_not(
    blocks: MemoryBlocks, root: Cid
) -> None:
    asked: list[str] = []

    async def shaky(request: Request) -> Response:
        asked.append(request.query_params["format"])
        if len(asked) == 1:
            return Response(status_code=503)
        if len(asked) == 2:
            return Response(status_code=429)
        return Response(header(root), media_type=CAR)

    async with serving([Route("/ipfs/{cid}", shaky)]) as address, httpx.AsyncClient() as client:
        with pytest.raises(FetchFailed, match="status 429") as caught:
            await fetch(root, address, MemoryBlocks(), limits=QUICK, client=client)
        assert asked == ["car", "raw"]
        assert caught.value.blame is Blame.NOBODY
        # An archive without blocks, and then no block either.
        with pytest.raises(FetchFailed, match="instead of"):
            await fetch(root, address, MemoryBlocks(), limits=QUICK, client=client)
        assert asked == ["car", "raw", "car", "raw"]


@pytest.mark.parametrize(
    "source", ["file:///etc/passwd", "ftp://host", "http://", "http://user:pass@host", "http://host?x=1", "http://h\0"]
)
async def test_only_a_plain_address_is_asked(source: str) -> None:
    async with httpx.AsyncClient() as client:
        with pytest.raises(FetchFailed, match="address"):
            await fetch(ORDERED, source, MemoryBlocks(), client=client)


async def test_a_block_that_the_gateway_loses_cuts_the_stream(blocks: MemoryBlocks, root: Cid) -> None:
    """What was promised with a length or a status can't be taken back: the connection has to break."""
    big = resolve(root, "outputs/big.bin", blocks)
    holed = MemoryBlocks()
    for cid, block in list(walk(big, blocks))[:-1]:
        holed.put(cid, block)
    async with gateway(holed) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"/ipfs/{big}?format=car")


def _without(answer: httpx.Response, names: set[str]) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in names}
