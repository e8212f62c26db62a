"""A dev chain in a process of its own, for a test or a local market; it dies with whoever started it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from contracts.errors import ChainUnreachable
from protocol.identity import Address, show
from protocol.vault_book import Windows

_START_SECONDS = 90.0
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class DevChain:
    """Where it listens, and the vault it began with."""

    url: str
    chain_id: int
    vault: Address | None
    reorg: str = "dev_reorg"
    """The method by which a test makes it forget its newest blocks."""


@asynccontextmanager
async def run_devchain(
    fund: Mapping[Address, int] | None = None,
    deposits: Mapping[Address, int] | None = None,
    *,
    vault: bool = False,
    windows: Windows = Windows(1, 7 * 86400),  # noqa: B008  frozen
    chain_id: int = 1337,
    host: str = "127.0.0.1",
    port: int = 0,
    block_time: float = 1.0,
) -> AsyncIterator[DevChain]:
    """Start it, wait until it answers, end it on leaving. ``fund`` are coins, ``deposits`` money in the vault (wei).

    While nothing happens an empty block comes every ``block_time`` seconds; 0: blocks only on demand.
    """
    command = [sys.executable, "-m", "contracts.devchain", "--host", host, "--port", str(port)]
    command += ["--chain-id", str(chain_id), "--block-time", str(block_time)]
    command += [f"--fund={show(who)}={amount}" for who, amount in (fund or {}).items()]
    command += [f"--deposit={show(who)}={amount}" for who, amount in (deposits or {}).items()]
    if vault or deposits:
        command += ["--vault", "--windows", str(windows.shortest), str(windows.longest)]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT)
    try:
        yield await _ready(process)
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    await pipe.aclose()


async def _ready(process: trio.Process) -> DevChain:
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(_START_SECONDS):
        while not line.endswith(b"\n"):
            chunk = await process.stdout.receive_some(4096)
            if not chunk:
                break
            line += chunk
    try:
        told = json.loads(line)
    except ValueError as error:
        raise ChainUnreachable("the dev chain did not start") from error
    vault = told["vault"]
    return DevChain(told["url"], told["chain_id"], None if vault is None else Address(bytes.fromhex(vault[2:])))
