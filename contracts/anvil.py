"""Anvil, a faster dev chain of another make, behind the same interface as `run_devchain`; used where it is found.

``npm install --prefix FOLDER @foundry-rs/anvil`` puts the binary under ``FOLDER/node_modules``; it is looked for on the
path, and where ``LILYPAD_ANVIL`` points (to the binary or to such a folder).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import trio

from contracts.artifact import vault_artifact
from contracts.chain_process import DevChain, run_devchain
from contracts.encoding import encode_call
from contracts.errors import ChainUnreachable, NoAnvil
from contracts.rpc import Rpc
from protocol.identity import Address, show
from protocol.vault_book import Windows
from protocol.vault_calls import Deposit

_START_SECONDS = 90.0
_LISTENING = re.compile(rb"Listening on [\d.]+:(\d+)")
_BINARIES = "node_modules/@foundry-rs/anvil-*/bin/anvil"
_COINS = 1 << 100
"""What the account that deploys and pays deposits in begins with, wei."""


def find_anvil() -> Path | None:
    """The binary, or None."""
    told = os.environ.get("LILYPAD_ANVIL")
    if told:
        place = Path(told)
        if place.is_dir():
            return next(iter(sorted(place.glob(_BINARIES))), None)
        return place if place.is_file() else None
    found = shutil.which("anvil")
    return None if found is None else Path(found)


def chain_runner(kind: str) -> Callable[..., AbstractAsyncContextManager[DevChain]]:
    """How to start a chain of this kind: ``py-evm``, ``anvil``, or ``auto``, which is anvil where it is found."""
    if kind == "auto":
        kind = "py-evm" if find_anvil() is None else "anvil"
    return run_anvil if kind == "anvil" else run_devchain


@asynccontextmanager
async def run_anvil(
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
    """As `run_devchain`; raises `NoAnvil` where there is none."""
    binary = find_anvil()
    if binary is None:
        raise NoAnvil("anvil was not found on the path, nor where LILYPAD_ANVIL points")
    command = [
        str(binary),
        "--host",
        host,
        "--port",
        str(port),
        "--chain-id",
        str(chain_id),
        "--accounts",
        "1",
        "--no-request-size-limit",
    ]
    if block_time > 0:
        command += ["--block-time", str(block_time), "--mixed-mining"]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        async with trio.open_nursery() as nursery, Rpc(await _ready(process.stdout)) as rpc:
            nursery.start_soon(_drain, process.stdout)
            yield await _prepare(rpc, chain_id, fund or {}, deposits or {}, windows if vault or deposits else None)
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            if process.stdout is not None:
                await process.stdout.aclose()


async def _ready(output: trio.abc.ReceiveStream) -> str:
    told = b""
    with trio.move_on_after(_START_SECONDS):
        while chunk := await output.receive_some(4096):
            told += chunk
            if found := _LISTENING.search(told):
                return f"http://127.0.0.1:{int(found[1])}"
    raise ChainUnreachable("anvil did not start")


async def _drain(output: trio.abc.ReceiveStream) -> None:
    """It tells about every request; a full pipe would stop it."""
    while await output.receive_some(1 << 16):
        pass


async def _prepare(
    rpc: Rpc, chain_id: int, fund: Mapping[Address, int], deposits: Mapping[Address, int], windows: Windows | None
) -> DevChain:
    (maker,) = await rpc.call("eth_accounts")
    for who, amount in ((maker, _COINS), *((show(who), amount) for who, amount in fund.items())):
        await rpc.call("anvil_setBalance", who, hex(amount))
    if windows is None:
        return DevChain(rpc.url, chain_id, None, "anvil_rollback")
    code = vault_artifact().bytecode + windows.shortest.to_bytes(32, "big") + windows.longest.to_bytes(32, "big")
    created = await _mined(rpc, {"from": maker, "data": "0x" + code.hex()})
    place = Address(bytes.fromhex(created["contractAddress"][2:]))
    for who, amount in deposits.items():
        payload, value = encode_call(Deposit(who, amount))
        await _mined(rpc, {"from": maker, "to": show(place), "data": "0x" + payload.hex(), "value": hex(value)})
    return DevChain(rpc.url, chain_id, place, "anvil_rollback")


async def _mined(rpc: Rpc, transaction: dict[str, str]) -> dict[str, str]:
    name = await rpc.call("eth_sendTransaction", transaction)
    with trio.fail_after(_START_SECONDS):
        while (receipt := await rpc.call("eth_getTransactionReceipt", name)) is None:  # noqa: ASYNC110  it mines at once
            await trio.sleep(0.005)
    if receipt["status"] != "0x1":
        raise ChainUnreachable("anvil refused what it was asked to begin with")
    return dict(receipt)
