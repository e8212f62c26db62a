"""A peer in JavaScript as a process of its own, driven by JSON lines; the whole folder is skipped without Node."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from protocol.eip712 import Domain

FOLDER = Path(__file__).parent / "js"
OLDEST_NODE = 20


class JsFailed(Exception):
    """The JavaScript peer could not do what it was asked; carries its words."""


class JsPeer:
    """Asks and awaits; binary is `bytes` here, money goes out as ``{"money": text}`` and comes back as an integer."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._ids = itertools.count()
        self._answers: dict[int, dict[str, Any]] = {}
        self._news = trio.Event()
        self._turn = trio.Lock()
        self._ended = False
        self.peer = ""
        self.address = b""
        self.places: list[str] = []

    async def ask(self, do: str, **options: Any) -> Any:
        """What the command ``do`` gives; raises `JsFailed`."""
        number = next(self._ids)
        line = json.dumps({"id": number, "do": do, **to_js(options)}) + "\n"
        assert self._process.stdin is not None
        async with self._turn:
            await self._process.stdin.send_all(line.encode())
        while number not in self._answers:
            if self._ended:
                raise JsFailed("the process ended; its last words are on stderr")
            await self._news.wait()
        answer = self._answers.pop(number)
        if "failed" in answer:
            raise JsFailed(f"{do}: {answer['failed']}")
        return from_js(answer["done"])

    async def listen(self) -> None:
        """Take answers for as long as the process lives."""
        buffer = b""
        assert self._process.stdout is not None
        async for chunk in self._process.stdout:
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                self._answers[answer["id"]] = answer
                self._wake()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()


def to_js(value: Any) -> Any:
    """JSON has no bytes."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case dict():
            return {key: to_js(item) for key, item in value.items()}
        case list() | tuple():
            return [to_js(item) for item in value]
        case _:
            return value


def from_js(value: Any) -> Any:
    """The other way round."""
    match value:
        case {"hex": str(text), **rest} if not rest:
            return bytes.fromhex(text)
        case {"money": str(text), **rest} if not rest:
            return int(text)
        case dict():
            return {key: from_js(item) for key, item in value.items()}
        case list():
            return [from_js(item) for item in value]
        case _:
            return value


@pytest.fixture(scope="session")
def node_command() -> list[str]:
    """How to start the JavaScript peer; brings its packages if they are missing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node and npm: the JavaScript peer can't run")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"needs Node {OLDEST_NODE} or newer, found {version.strip()}")
    if not (FOLDER / "node_modules/.package-lock.json").exists():
        done = subprocess.run([npm, "ci"], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=500)
        if done.returncode:
            pytest.skip(f"`npm ci` in tests/interop/js failed: {done.stderr.strip()[-300:]}")
    return [node, "--import", "./polyfill.mjs", "peer.mjs"]


OpenJs = Callable[..., AbstractAsyncContextManager[JsPeer]]


@pytest.fixture
def js(node_command: list[str]) -> OpenJs:
    """Opens JavaScript peers."""

    @asynccontextmanager
    async def opened(
        domain: Domain, *, secret: bytes | None = None, key: str = "secp256k1", dht: bool = False
    ) -> AsyncIterator[JsPeer]:
        process = await trio.lowlevel.open_process(
            node_command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            async with trio.open_nursery() as nursery:
                peer = JsPeer(process)
                nursery.start_soon(peer.listen)
                options = {} if secret is None else {"secret": secret}
                with trio.fail_after(180):
                    found = await peer.ask(
                        "open", chainId=domain.chain_id, vault=domain.vault, key=key, dht=dht, **options
                    )
                peer.peer, peer.address, peer.places = found["peer"], found["address"], found["places"]
                yield peer
                nursery.cancel_scope.cancel()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                for pipe in (process.stdin, process.stdout):
                    assert pipe is not None
                    await pipe.aclose()

    return opened
