"""``lilypad node``: run a peer in the foreground, and look at the one that runs."""

from __future__ import annotations

import json as json_format
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from node.cli.ending import run_trio
from node.cli.passphrase import passphrase
from node.cli.strategies import check_strategy
from node.cli.tables import print_table
from node.config import LOCAL, Config, load_bench, load_shop, load_trade
from node.errors import ExitCode, UserError

if TYPE_CHECKING:
    from node.executors import Trade
    from node.setup import Setup
    from p2p.settings import Settings

log = logging.getLogger("lilypad.node")

END = 15.0
"""Seconds at most from the wish to end to the end of the process."""
ROLES = ("provider", "mediator", "client")


@dataclass(frozen=True, slots=True)
class Start:
    """What the user typed."""

    roles: str
    offer: Path | None
    strategy: str | None
    fee: int
    stake: int
    listen: str
    announce: str | None
    bootstrap: tuple[str, ...]
    http: str
    executors: str | None
    json: bool
    relays: tuple[str, ...] = ()
    serve_relay: bool = False
    lan: bool = False
    dht: bool = True
    watch: tuple[Path, ...] = ()


def start(config: Config, wish: Start) -> None:
    """Run a peer until it is told to end."""
    roles = _roles(wish.roles)
    _check_listen(wish.listen)
    if config.network == LOCAL:
        raise UserError(
            ExitCode.USAGE,
            "a node needs a network: the local market lives only inside `lilypad run`",
            "name one with --network and describe it in ./lilypad.toml",
        )
    network = config.load_network(config.network)
    strategy = check_strategy(wish.strategy)
    shop = load_shop(wish.offer) if "provider" in roles else None
    bench = load_bench(wish.fee, wish.stake) if "mediator" in roles else None
    trade = load_trade(wish.offer, wish.executors)
    if bench is not None and trade.executors is None:
        # A mediator re-runs whatever it is asked to, and a stranger's image is more than a program: only by request.
        bench = replace(bench, executors=("wasm",))

    from node.dishonest import read_habit
    from node.keys import load_key
    from node.logs import begin_logging
    from node.setup import Setup

    setup = Setup(
        key=load_key(config.key_file, passphrase()),
        home=config.home,
        rules=network.rules,
        access=network.access,
        batching=network.batching,
        listen=(wish.listen,),
        http=wish.http,
        bootstrap=wish.bootstrap or network.bootstrap,
        announce=(wish.announce,) if wish.announce else (),
        shop=shop,
        bench=bench,
        client="client" in roles,
        habit=read_habit(os.environ),
        strategies={} if strategy is None else dict.fromkeys(roles, strategy),
        settings=_network_settings(wish, network.relays),
        guarded=_copies(wish.watch),
    )
    begin_logging()
    run_trio(lambda: _serve(setup, trade, wish.json), lambda: None, _load)
    print("lilypad: ended; open deals go on at the next start", file=sys.stderr)


def _copies(files: tuple[Path, ...]) -> tuple[Path, ...]:
    for file in files:
        if not file.is_file():
            raise UserError(ExitCode.USAGE, f"--watch: there is no file {file}", "name a copy of a peer's state.sqlite")
    return tuple(file.absolute() for file in files)


def _network_settings(wish: Start, relays: tuple[str, ...]) -> Settings:
    from p2p.errors import NotDialable
    from p2p.places import peer_at
    from p2p.settings import Settings

    chosen = wish.relays or relays
    for relay in chosen:
        try:
            peer_at(relay)
        except NotDialable as error:
            raise UserError(ExitCode.USAGE, f"--relay: {error}", "write /ip4/…/tcp/…/p2p/…") from None
    return Settings(relays=chosen, relay=wish.serve_relay, lan=wish.lan, dht=wish.dht)


def _load() -> None:
    import node.opening  # noqa: F401


async def _serve(setup: Setup, trade: Trade, json: bool) -> None:
    from contracts.errors import ChainError
    from node.client import forget_contact, leave_contact
    from node.executors import ChoosyShop, capacities, open_executors, prepare_containers
    from node.opening import open_peer
    from node.repeatability import unrepeatable

    watchdog = threading.Timer(END, _give_up)
    watchdog.daemon = True
    runs = setup.shop is not None or setup.bench is not None
    # a client that names executors can check results by itself
    trade = trade if runs or trade.executors else replace(trade, executors=())
    async with open_executors(trade, os.cpu_count() or 1) as executors:
        ready = await prepare_containers(executors, trade.named)
        if setup.shop is not None:
            odd = await unrepeatable(executors, trade.named, ready)
            trade = replace(trade, deny=trade.deny | odd)
        if isinstance(setup.shop, ChoosyShop):
            capacity, *others = capacities(setup.shop.capacity, executors)
            shop = replace(setup.shop, capacity=capacity, others=tuple(others), trade=trade, containers=ready)
            setup = replace(setup, shop=shop)
        async with open_peer(setup, executors) as peer:
            await peer.chain.line.check()
            with suppress(ChainError):  # said again, and shown by `node status`, as soon as the chain can be asked
                await peer.purse.look()
            leave_contact(setup.home, peer.url, peer.token)
            try:
                _introduce(await peer.status(), json)
                await _wait_for_end(peer.stop)
                watchdog.start()
            finally:
                forget_contact(setup.home)
    watchdog.cancel()


async def _wait_for_end(stop: trio.Event) -> None:
    """Until somebody says stop; a second signal is taken less gently."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, stop)
        await stop.wait()
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stop: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()


def _give_up() -> None:
    log.error("this node did not end within %g s, so its process does; all that it must remember is on disk", END)
    os._exit(0)


def _introduce(status: dict[str, Any], json: bool) -> None:
    if json:
        print(json_format.dumps(status), flush=True)
        return
    print(f"peer {status['peer']}\naddress {status['address']}\nroles {', '.join(status['roles'])}")
    print("\n".join(f"listening on {place}" for place in status["addresses"]))
    print(f"http {status['http']}\nready", flush=True)


def status(config: Config, json: bool) -> None:
    """Who this node is, whom it knows, what it has."""
    found = _status(config)
    if json:
        print(json_format.dumps(found, indent=2))
        return
    for name in ("peer", "address", "http"):
        print(f"{name:10} {found[name]}")
    print(f"{'roles':10} {', '.join(found['roles'])}")
    print(f"{'peers':10} {len(found['peers'])}")
    money = found["money"]
    print(
        f"{'money':10} "
        + (
            money["error"]
            if "error" in money
            else f"free {money['free']}, locked {money['locked']}, at stake {money['stake']}, outside {money['coins']}"
        )
    )
    for words in found["warnings"]:
        print(f"{'warning':10} {words}")
    for deal, words in found["claims"].items():
        print(f"{'claim':10} deal {deal}: {words}")


def peers(config: Config, json: bool) -> None:
    """Who is connected and how; and, for people, what is known of how others reach this node."""
    status = _status(config)
    found = status["peers"]
    if json:
        print(json_format.dumps(found, indent=2))
        return
    columns = ("peer", "address", "direction", "through", "ip")
    print_table([name.upper() for name in columns], [[peer[name] for name in columns] for peer in found])
    print("\n" + "\n".join(status["network"]["sentences"]))


def stop(config: Config) -> None:
    """End the running node."""
    from node.client import need_node

    async def tell() -> None:
        async with need_node(config.home) as client:
            await client.post("/api/v1/stop")

    run_trio(tell)


def _status(config: Config) -> dict[str, Any]:
    from node.client import need_node

    async def ask() -> dict[str, Any]:
        async with need_node(config.home) as client:
            found: dict[str, Any] = await client.get("/api/v1/status")
            return found

    return run_trio(ask)


def _check_listen(place: str) -> None:
    from multiaddr import Multiaddr

    try:
        Multiaddr(place)
    except Exception as error:  # the parser raises whatever the text makes it raise
        raise UserError(
            ExitCode.USAGE, f"--listen {place} is no multiaddr: {error}", "write /ip4/0.0.0.0/tcp/4001"
        ) from None


def _roles(text: str) -> list[str]:
    roles = [role.strip() for role in text.split(",") if role.strip()]
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise UserError(ExitCode.USAGE, f"unknown role '{', '.join(unknown)}'", f"choose from {', '.join(ROLES)}")
    return roles
