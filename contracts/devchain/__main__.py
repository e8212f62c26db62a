"""``python -m contracts.devchain --port 0 --fund ADDRESS=WEI --vault --deposit ADDRESS=WEI``: one JSON line when ready.

It ends when its standard input does, so it never outlives the process that started it.
"""

from __future__ import annotations

import argparse
import json
import sys

import trio

from contracts.artifact import vault_artifact
from contracts.devchain.genesis import born
from contracts.devchain.ledger import Ledger
from contracts.devchain.server import DevServer

_DEFAULT_CHAIN_ID = 1337


def _amount(text: str) -> tuple[bytes, int]:
    address, _, amount = text.partition("=")
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:
        raise argparse.ArgumentTypeError(f"{address} is not an address")
    return raw, int(amount)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m contracts.devchain", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--chain-id", type=int, default=_DEFAULT_CHAIN_ID)
    parser.add_argument("--fund", type=_amount, action="append", default=[], metavar="ADDRESS=WEI")
    parser.add_argument("--vault", action="store_true", help="deploy the vault in the first block")
    parser.add_argument("--deposit", type=_amount, action="append", default=[], metavar="ADDRESS=WEI")
    parser.add_argument("--windows", type=int, nargs=2, default=(1, 7 * 86400), metavar=("SHORTEST", "LONGEST"))
    parser.add_argument(
        "--block-time", type=float, default=1.0, help="seconds between blocks when nothing happens; 0: only on demand"
    )
    return parser.parse_args()


async def _until_stdin_ends() -> None:
    stdin = trio.lowlevel.FdStream(sys.stdin.fileno())
    while await stdin.receive_some(1024):
        pass


async def _main() -> None:
    wanted = _arguments()
    shortest, longest = wanted.windows
    vault = None
    if wanted.vault or wanted.deposit:
        ledger, vault = born(
            wanted.chain_id, dict(wanted.fund), dict(wanted.deposit), shortest, longest, vault_artifact()
        )
    else:
        ledger = Ledger(wanted.chain_id, dict(wanted.fund))
    server = DevServer(ledger)
    try:
        listeners = await trio.open_tcp_listeners(wanted.port, host=wanted.host)
    except OSError as error:
        reason = (error.__cause__ or error).args[-1]
        print(f"devchain: {wanted.host}:{wanted.port} can't be listened on: {reason}", file=sys.stderr)
        print("  → choose another --port (0 takes a free one), or end what listens there", file=sys.stderr)
        sys.exit(2)
    async with trio.open_nursery() as nursery:
        port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(server.mine_on_demand)
        if wanted.block_time > 0:
            nursery.start_soon(server.keep_time, wanted.block_time)
        nursery.start_soon(trio.serve_listeners, server.serve_connection, listeners)
        ready = {
            "url": f"http://127.0.0.1:{port}",
            "chain_id": wanted.chain_id,
            "vault": None if vault is None else "0x" + vault.hex(),
        }
        print(json.dumps(ready), flush=True)
        await _until_stdin_ends()
        nursery.cancel_scope.cancel()


trio.run(_main)
