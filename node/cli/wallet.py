"""``lilypad wallet``: the key of this peer, and its money inside and outside the vault."""

from __future__ import annotations

import json as json_format
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from node.cli.ending import run_trio
from node.cli.passphrase import passphrase
from node.config import LOCAL, Config
from node.errors import ExitCode, UserError
from node.parsing import parse_address
from protocol.identity import Address
from protocol.identity import show as in_hex


def new(config: Config) -> None:
    """Make a key."""
    from node.keys import new_key, save_key

    key = new_key()
    save_key(key, config.key_file, passphrase(new=True))
    print(f"address {in_hex(key.address)}\npeer    {key.peer_id}\nkey     {config.key_file}")


def show(config: Config, json: bool) -> None:
    """The address of the key, and its money where a network is configured."""
    from node.keys import address_in

    address = address_in(config.key_file)
    if address is None:
        raise UserError(ExitCode.FUNDS_OR_KEY, f"{config.key_file} names no address", "restore it from your copy")
    found: dict[str, Any] = {"address": in_hex(address), "key": str(config.key_file)}
    if config.network != LOCAL:
        found |= run_trio(lambda: _money(config, address))
    if json:
        print(json_format.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:8} {value}" for name, value in found.items()))


def deposit(config: Config, amount: int) -> None:
    """Coins of the key's address into the vault."""
    from protocol.vault_calls import Deposit

    _transact(config, lambda me: Deposit(me, amount), f"deposited {amount}")


def withdraw(config: Config, amount: int, to: str | None) -> None:
    """Free money out of the vault."""
    from protocol.vault_calls import Withdraw

    receiver = parse_address(to, "--to") if to is not None else None
    _transact(config, lambda me: Withdraw(amount, receiver or me), f"withdrew {amount}")


def _transact(config: Config, make: Any, done: str) -> None:
    from node.keys import load_key

    network = config.load_network(config.network)
    key = load_key(config.key_file, passphrase())

    async def go() -> None:
        from contracts.client import Intent

        async with _client(config, network, key) as client:
            intent = Intent(f"wallet:{secrets.token_hex(8)}", make(key.address))
            receipt = await client.wait(await client.submit(intent))
            account = (await client.accounts((key.address,)))[0]
            print(f"{done}; {receipt.gas_used} gas; free in the vault: {account.free}, locked: {account.locked}")

    run_trio(go)


@asynccontextmanager
async def _client(config: Config, network: Any, key: Any) -> AsyncIterator[Any]:
    import trio

    from contracts.client import VaultClient
    from contracts.journal import SqliteJournal
    from contracts.profile import DEV
    from contracts.rpc import Rpc
    from contracts.sender import Sender
    from node.store import Store

    domain = network.rules.domain
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = Store(config.home / "state.sqlite")
    try:
        async with Rpc(network.rpc) as rpc, trio.open_nursery() as nursery:
            journal = SqliteJournal(store.connection, domain.chain_id, key.address)
            sender = Sender(rpc, journal, key.private, DEV)
            nursery.start_soon(sender.run)
            client = VaultClient(rpc, domain.chain_id, domain.vault, sender)
            await client.check()
            yield client
            nursery.cancel_scope.cancel()
    finally:
        store.close()


async def _money(config: Config, address: Address) -> dict[str, str]:
    from contracts.client import VaultClient
    from contracts.rpc import Rpc

    network = config.load_network(config.network)
    async with Rpc(network.rpc) as rpc:
        client = VaultClient(rpc, network.rules.domain.chain_id, network.rules.domain.vault)
        await client.check()
        account = (await client.accounts((address,)))[0]
        coins = await client.coins(address)
    return {"free": str(account.free), "locked": str(account.locked), "coins": str(coins)}
