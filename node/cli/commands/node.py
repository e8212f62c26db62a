"""``lilypad node``: a peer of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Home, Json, Network, do

node = typer.Typer(help="Run and look at a peer node.", no_args_is_help=True)


@node.command("start")
def node_start(
    role: Annotated[
        str, typer.Option(help="Any of provider, mediator, client, joined by commas.", envvar="LILYPAD_ROLE")
    ] = "client",
    offer: Annotated[
        Path | None, typer.Option(help="offer.toml: what a provider sells.", envvar="LILYPAD_OFFER", show_default=False)
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Who haggles for this node, see `lilypad strategy ls`.", envvar="LILYPAD_STRATEGY", show_default=False
        ),
    ] = None,
    fee: Annotated[
        int, typer.Option(help="What a mediator takes for a re-run, in base units.", envvar="LILYPAD_FEE")
    ] = 0,
    stake: Annotated[
        int,
        typer.Option(
            help="What a mediator has at stake on juries at least, in base units, out of its vault money.",
            envvar="LILYPAD_STAKE",
        ),
    ] = 0,
    listen: Annotated[
        str, typer.Option(help="Multiaddr to listen on.", envvar="LILYPAD_LISTEN")
    ] = "/ip4/127.0.0.1/tcp/0",
    announce: Annotated[
        str | None, typer.Option(help="Multiaddr to give out instead.", envvar="LILYPAD_ANNOUNCE", show_default=False)
    ] = None,
    bootstrap: Annotated[
        list[str] | None, typer.Option(help="Multiaddr of a first peer; may be given again.", show_default=False)
    ] = None,
    relay: Annotated[
        list[str] | None,
        typer.Option(help="Multiaddr of a relay that keeps a place for us; may be given again.", show_default=False),
    ] = None,
    serve_relay: Annotated[bool, typer.Option("--serve-relay", help="Be a relay for others, within limits.")] = False,
    lan: Annotated[bool, typer.Option("--lan", help="Find peers on the local network, and be found there.")] = False,
    dht: Annotated[bool, typer.Option(help="Take part in the market's DHT.")] = True,
    http: Annotated[str, typer.Option(help="Address of the HTTP server.", envvar="LILYPAD_HTTP")] = "127.0.0.1:0",
    executors: Annotated[
        str | None,
        typer.Option(
            help="Of wasm, docker: what to run jobs on [all that work].", envvar="LILYPAD_EXECUTORS", show_default=False
        ),
    ] = None,
    watch: Annotated[
        list[Path] | None,
        typer.Option(
            "--watch", metavar="FILE", help="Be the watchtower of the peer with this state.sqlite (or a copy); again."
        ),
    ] = None,
    network: Network = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Start a peer in the foreground; ^C ends it, its open deals go on at the next start."""
    from node.cli.node import Start, start

    wish = Start(
        role,
        offer,
        strategy,
        fee,
        stake,
        listen,
        announce,
        tuple(bootstrap or ()),
        http,
        executors,
        json,
        tuple(relay or ()),
        serve_relay,
        lan,
        dht,
        tuple(watch or ()),
    )
    do(start, home, network, wish)


@node.command("status")
def node_status(home: Home = None, json: Json = False) -> None:
    """Who this node is, whom it knows, what it has."""
    from node.cli.node import status

    do(status, home, None, json)


@node.command("peers")
def node_peers(home: Home = None, json: Json = False) -> None:
    """Who is connected and how, and how others reach this node."""
    from node.cli.node import peers

    do(peers, home, None, json)


@node.command("stop")
def node_stop(home: Home = None) -> None:
    """End the running node; its open deals go on at the next start."""
    from node.cli.node import stop

    do(stop, home, None)


@node.command("backup")
def node_backup(
    file: Annotated[Path, typer.Argument(help="Where to: a new tar file.")],
    content: Annotated[bool, typer.Option(help="With the blocks that others may still fetch, and the results.")] = True,
    home: Home = None,
) -> None:
    """Copy the data folder into one file, also while the node runs."""
    from node.cli.backup import backup

    do(backup, home, None, file, content)


@node.command("restore")
def node_restore(file: Annotated[Path, typer.Argument(help="What `node backup` wrote.")], home: Home = None) -> None:
    """Make the data folder out of a back-up; never over one that is there."""
    from node.cli.backup import restore

    do(restore, home, None, file)
