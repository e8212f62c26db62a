"""The command line's side of a node's HTTP interface."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import trio

from content.blocks import Blocks, FileBlocks
from content.car import write_car
from content.cid import Cid
from content.exporting import export
from content.walk import walk
from node.errors import ExitCode, UserError
from node.fetching import fetch
from node.lock import is_taken
from node.parsing import job_path

CONTACT = "node.json"


class NodeClient:
    """Talks to one running node."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30.0)

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> Any:
        """A JSON answer; raises `UserError`."""
        return await self._json("GET", path)

    async def post(self, path: str, body: Any = None) -> Any:
        """Post JSON, get JSON; raises `UserError`."""
        return await self._json("POST", path, json=body)

    async def upload(self, root: Cid, blocks: Blocks, *, private: bool = False) -> Cid:
        """Hand a DAG in; the CID that others know it by: its own, or that of the box private content goes into."""

        async def car() -> AsyncIterator[bytes]:
            parts = write_car(root, walk(root, blocks))
            while (part := await trio.to_thread.run_sync(next, parts, None)) is not None:
                yield part

        path = f"/api/v1/content?root={root}" + ("&private=1" if private else "")
        return Cid.parse((await self._json("POST", path, content=car()))["root"])

    async def follow(self, job: str, after: int = -1) -> AsyncIterator[dict[str, Any]]:
        """A job's events, as they happen, to its end."""
        path = job_path(job, f"events?after={after}")
        try:
            async with self._http.stream("GET", path, timeout=httpx.Timeout(30.0, read=None)) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise _refused(response)
                async for line in response.aiter_lines():
                    yield json.loads(line)
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error

    async def download(self, cid: Cid, destination: Path) -> None:
        """Bring a DAG to disk, every block verified against its CID."""
        with tempfile.TemporaryDirectory(prefix="lilypad-get-") as folder:
            blocks = FileBlocks(Path(folder))
            await fetch(cid, f"{self.url}/api/v1", blocks, client=self._http)
            await trio.to_thread.run_sync(export, cid, blocks, destination)

    async def _json(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = await self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise _unreachable(self.url, error) from error
        if response.status_code >= 300:
            raise _refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise _unreachable(self.url, error) from error


def running_node(home: Path) -> NodeClient | None:
    """The node that works in this data folder, if one does; or that ``LILYPAD_NODE`` and ``LILYPAD_TOKEN`` name.

    Raises `UserError` where what is named is no URL.
    """
    if elsewhere := os.environ.get("LILYPAD_NODE"):
        try:
            return NodeClient(elsewhere, os.environ.get("LILYPAD_TOKEN", ""))
        except httpx.InvalidURL as error:
            raise UserError(
                ExitCode.USAGE, f"LILYPAD_NODE: '{elsewhere}' is no URL: {error}", "write http://HOST:PORT"
            ) from None
    try:
        contact = json.loads((home / CONTACT).read_text())
        os.kill(contact["pid"], 0)
        # the number may be another process's by now, but then nobody holds the folder
        return NodeClient(contact["url"], contact["token"]) if is_taken(home) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def need_node(home: Path) -> NodeClient:
    """The node that works in this data folder; raises `UserError` where none does."""
    found = running_node(home)
    if found is None:
        raise UserError(ExitCode.UNREACHABLE, f"no node works in {home}", "start one with `lilypad node start`")
    return found


def leave_contact(home: Path, url: str, token: str) -> None:
    """Write down how this node is reached, readable by its owner only."""
    path = home / CONTACT
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"url": url, "token": token, "pid": os.getpid()}, file)
    temporary.replace(path)


def forget_contact(home: Path) -> None:
    """Whoever holds the folder's lock calls this, so that nobody looks for a node where none is."""
    (home / CONTACT).unlink(missing_ok=True)


def _refused(response: httpx.Response) -> UserError:
    code = ExitCode.UNREACHABLE if response.status_code == 503 else ExitCode.USAGE
    try:
        told = response.json()
        if "exit" in told:
            return UserError(ExitCode(told["exit"]), str(told["error"]), str(told.get("mend", "")))
        reason = told["error"]
    except (ValueError, KeyError, TypeError):
        reason = f"HTTP {response.status_code}"
    return UserError(code, f"the node refused: {reason}")


def _unreachable(url: str, error: Exception) -> UserError:
    return UserError(
        ExitCode.UNREACHABLE, f"the node at {url} does not answer ({error!r})", "see `lilypad node status`"
    )
