"""``python -m testnet.chain_process FOLDER``: a testnet's chain until it is told to end.

Reads ``chain.json`` of that folder and writes ``ready.json`` beside it when the vault is there and everybody has money.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import trio

from contracts.anvil import run_anvil
from contracts.chain_process import run_devchain
from protocol.identity import Address, show
from testnet.layout import CHAIN_FILE, READY_FILE

LOOK = 2.0
"""Seconds between two looks whether the chain's own process lives."""


async def _main(folder: Path) -> str | None:
    """What went wrong; None where it was told to end."""
    wanted: dict[str, Any] = json.loads((folder / CHAIN_FILE).read_text())
    run = run_anvil if wanted["kind"] == "anvil" else run_devchain
    money = ({Address(bytes.fromhex(who[2:])): n for who, n in wanted[key].items()} for key in ("fund", "deposits"))
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on, signals, nursery.cancel_scope)
            chain_id, host, port = wanted["chain_id"], wanted["host"], wanted["port"]
            async with run(*money, chain_id=chain_id, host=host, port=port) as chain:
                assert chain.vault is not None
                ready = {"vault": show(chain.vault), "chain_id": chain.chain_id, "reorg": chain.reorg}
                temporary = folder / "ready.new"
                temporary.write_text(json.dumps(ready))
                temporary.replace(folder / READY_FILE)
                await _until_it_ends(port)
                nursery.cancel_scope.cancel()
                return "the process of the chain itself was ended"
    return None


async def _until_it_ends(port: int) -> None:
    while True:
        await trio.sleep(LOOK)
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:  # nobody listens any more
            return
        await stream.aclose()


async def _cancel_on(signals: Any, scope: trio.CancelScope) -> None:
    async for _ in signals:
        scope.cancel()
        return


if __name__ == "__main__":
    sys.exit(trio.run(_main, Path(sys.argv[1])))
