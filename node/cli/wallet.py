"""``lilypad wallet``: the key of this peer, and its money inside and outside the vault."""

from __future__ import annotations

import json as json_format
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from node.amounts import parse_amount, show_amount
from node.cli.ending import run_trio
from node.cli.passphrase import passphrase
from node.config import LOCAL, Config
from node.errors import ExitCode, UserError
from node.parsing import parse_address
from protocol.identity import Address
from protocol.identity import show as in_hex

if TYPE_CHECKING:
    from node.client import NodeClient
    from node.config import Network

_LOOK = 0.3
"""Seconds between two looks at how deep a transaction lies."""
_LONG = 3.0
"""Seconds of waiting for the same from which on it is said what for."""
ALL = "all"
_AMOUNTS = frozenset({"free", "locked", "stake", "at_risk", "coins", "tokens"})


@dataclass(frozen=True, slots=True)
class Manner:
    """How a move of money is made."""

    yes: bool = False
    dry_run: bool = False
    json: bool = False


def new(config: Config, json: bool) -> None:
    """Make a key."""
    from node.keys import new_key, save_key

    key = new_key()
    save_key(key, config.key_file, passphrase(new=True))
    found = {"address": in_hex(key.address), "peer": str(key.peer_id), "key": str(config.key_file)}
    if json:
        print(json_format.dumps(found, indent=2))
    else:
        print("\n".join(f"{name:7} {value}" for name, value in found.items()))


def export(config: Config, output: Path | None, secret: bool) -> None:
    """The key for another wallet, or as a copy to keep: its encrypted file, or the bare secret."""
    from node.keys import load_key

    key = load_key(config.key_file, passphrase())  # a copy that nobody can open is none
    if secret:
        print("whoever reads the next line can take all money of this key", file=sys.stderr)
    content = "0x" + key.secret.hex() + "\n" if secret else config.key_file.read_text()
    if output is None:
        print(content, end="" if content.endswith("\n") else "\n")
        return
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(ExitCode.USAGE, f"{output} exists already", "name a new file with -o") from None
    with os.fdopen(handle, "w") as file:
        file.write(content)
    print(f"wrote {output}", file=sys.stderr)


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
        return
    leaves = found.pop("leaves", None)
    for name, value in found.items():
        print(f"{name:8} {show_amount(int(value)) if name in _AMOUNTS else value}")
    if leaves:
        print(f"{'leaves':8} {_leaving(leaves)}")


def stake(config: Config, json: bool) -> None:
    """What the key has at stake as a mediator, and how and when it can be had back."""
    from node.keys import address_in

    address = address_in(config.key_file)
    if address is None:
        raise UserError(ExitCode.FUNDS_OR_KEY, f"{config.key_file} names no address", "restore it from your copy")
    config.load_network(config.network)
    money = run_trio(lambda: _money(config, address))
    found = {name: money[name] for name in ("stake", "at_risk", "leaves")}
    if json:
        print(json_format.dumps(found, indent=2))
        return
    for name in ("stake", "at_risk"):
        print(f"{name:8} {show_amount(int(money[name]))}")
    if money["leaves"]:
        print(f"{'leaves':8} {_leaving(money['leaves'])}")
    elif int(money["stake"]):
        print("it stays at stake until you say that it leaves: `lilypad wallet leave`")


def leave(config: Config, manner: Manner) -> None:
    """Say that this mediator leaves the juries: it is drawn no more, and later gets its stake back."""
    _move(config, {"what": "leave"}, lambda end: f"it leaves: {_leaving(end['leaves'])}", manner)


def collect(config: Config, manner: Manner) -> None:
    """The stake of a mediator that has left, back into its free money."""
    _move(config, {"what": "collect"}, lambda end: f"collected {end['amount']} of the stake", manner)


def _leaving(moment: int) -> str:
    from node.moves import moment as shown

    return f"the stake can be collected after {shown(moment)}, with `lilypad wallet collect`"


def deposit(config: Config, amount: str, manner: Manner) -> None:
    """Coins of the key's address into the vault."""
    units = parse_amount(amount)
    _move(config, {"what": "deposit", "amount": str(units)}, lambda _: f"deposited {units}", manner)


def approve(config: Config, amount: str, manner: Manner) -> None:
    """Let a vault for a token take so much of it by the next deposits."""
    units = parse_amount(amount)
    _move(config, {"what": "approve", "amount": str(units)}, lambda _: f"the vault may take {units}", manner)


def withdraw(config: Config, amount: str, to: str | None, manner: Manner) -> None:
    """Free money out of the vault."""
    units = None if amount.strip().lower() == ALL else parse_amount(amount)
    wish = {"what": "withdraw", "amount": None if units is None else str(units), "to": _address(to, "--to")}
    _move(config, wish, lambda end: f"withdrew {end['amount']} to {end['to']}", manner)


def delegate(config: Config, who: str, revoke: bool, manner: Manner) -> None:
    """Let another address answer claims for this peer, or no longer."""
    wish = {"what": "delegate", "to": _address(who, "the delegate"), "may": not revoke}
    said = f"{who} {'speaks no longer' if revoke else 'may answer claims'} for this peer"
    _move(config, wish, lambda _: said, manner)


def _address(text: str | None, what: str) -> str | None:
    return None if text is None else parse_address(text, what).hex()


class _Teller(Protocol):
    """Who makes a move: the running node, or this process."""

    async def preview(self, wish: Mapping[str, Any]) -> dict[str, Any]: ...

    async def begin(self, name: str, wish: Mapping[str, Any]) -> dict[str, Any]: ...

    async def progress(self, name: str) -> dict[str, Any]: ...


class _Node:
    """Asks the running node, whose key it is."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client

    async def preview(self, wish: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.post("/api/v1/wallet/preview", dict(wish))
        return found

    async def begin(self, name: str, wish: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.post(f"/api/v1/wallet/{name}", dict(wish))
        return found

    async def progress(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._client.get(f"/api/v1/wallet/{name}")
        return found


def _move(config: Config, wish: Mapping[str, Any], done: Callable[[dict[str, Any]], str], manner: Manner) -> None:
    network = config.load_network(config.network)
    result = run_trio(lambda: _make(config, network, wish, manner))
    if result is None:
        return
    if manner.json:
        print(json_format.dumps(result, indent=2))
        return
    print(f"{done(result)}; {result['gas']} gas; free in the vault: {result['free']}, locked: {result['locked']}")


async def _make(config: Config, network: Network, wish: Mapping[str, Any], manner: Manner) -> dict[str, Any] | None:
    async with _teller(config, network) as teller:
        cost = await teller.preview(wish)
        if not manner.json:
            amount = f"{wish['what']} {show_amount(int(cost['amount']))}: " if int(cost["amount"]) else ""
            print(f"{amount}about {show_amount(int(cost['fee']))} for {cost['gas']} gas", file=sys.stderr)
        if manner.dry_run:
            if manner.json:
                print(json_format.dumps(cost, indent=2))
            return None
        if not (manner.yes or manner.json) and sys.stdin.isatty() and not await _agreed():
            raise UserError(ExitCode.INTERRUPTED, "nothing was sent")
        name = secrets.token_hex(8)
        sent = await teller.begin(name, wish)
        # whoever stops here must not take it for undone, and send it again
        print(f"sent {sent['hash']}; it goes on even if this command ends", file=sys.stderr)
        may = {"may": wish["may"]} if "may" in wish else {}
        return {**cost, **may, **sent, **await _follow(teller, name, sent["hash"], quiet=manner.json)}


async def _agreed() -> bool:
    import trio

    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    await trio.lowlevel.wait_readable(sys.stdin.fileno())  # a terminal gives whole lines; until then ^C is heard
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _follow(teller: _Teller, name: str, hash_: str, *, quiet: bool) -> dict[str, Any]:
    import trio

    from contracts.errors import ChainError

    told, waits, since = -1, "", trio.current_time()
    while True:
        try:
            found = await teller.progress(name)
        except (ChainError, UserError) as error:
            if isinstance(error, UserError) and error.code is not ExitCode.UNREACHABLE:
                raise
            print(f"no answer ({error}); the transaction is kept and goes on", file=sys.stderr)
            await trio.sleep(2.0)
            continue
        if not quiet and found["needed"] > 1 and found["confirmations"] != told:
            told = found["confirmations"]
            print(f"{hash_[:18]}… {told} of {found['needed']} confirmations", file=sys.stderr)
        if found["done"]:
            if not found["ok"]:
                raise UserError(ExitCode.FUNDS_OR_KEY, f"the vault refused it when it was mined ({hash_})")
            return found
        if found["waits"] != waits:
            waits, since = found["waits"], trio.current_time()
        elif trio.current_time() - since > _LONG:
            print(f"still waiting: {waits}; the transaction is kept and goes on", file=sys.stderr)
            since = float("inf")
        await trio.sleep(_LOOK)


@asynccontextmanager
async def _teller(config: Config, network: Network) -> AsyncIterator[_Teller]:
    from contracts.connection import connect
    from node.client import running_node
    from node.keys import load_key
    from node.lock import only_one, only_one_sender
    from node.moves import Moves
    from node.store import Store

    node = running_node(config.home)
    if node is not None:
        async with node:
            yield _Node(node)
        return
    key, domain = load_key(config.key_file, passphrase()), network.rules.domain
    with only_one(config.home), only_one_sender(domain.chain_id, key.address):
        store = Store(config.home / "state.sqlite")
        try:
            async with connect(network.access, domain, store.connection, key.private) as line:
                await line.check()
                yield Moves(line, key.address)
        finally:
            store.close()


async def _money(config: Config, address: Address) -> dict[str, Any]:
    from contracts.balances import read_money
    from contracts.connection import connect
    from contracts.errors import ChainError
    from node.chain_faults import chain_fault
    from node.moves import describe_money

    network = config.load_network(config.network)
    try:
        async with connect(network.access, network.rules.domain) as line:
            await line.check()
            money = await read_money(line, address)
    except* ChainError as errors:
        fault = chain_fault(errors.exceptions[0])
        what = f"the key is {in_hex(address)}, and its money can't be read: {fault.what}"
        raise UserError(fault.code, what, fault.mend) from None
    return dict(describe_money(money))
