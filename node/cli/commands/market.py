"""``lilypad offers`` and ``lilypad doctor``: how things are around a node, and with it."""

from __future__ import annotations

import typer

from node.cli.commands.common import Home, Json, JsonLines, Network, do

offers = typer.Typer(help="What a running node has heard on offer.", no_args_is_help=True)


@offers.command("ls")
def offers_ls(home: Home = None, json: Json = False) -> None:
    """What is on offer now."""
    from node.cli.offers import ls

    do(ls, home, None, json)


@offers.command("watch")
def offers_watch(home: Home = None, json_lines: JsonLines = False) -> None:
    """What comes on offer, changes and goes, as this node hears of it; ^C ends it."""
    from node.cli.offers import watch

    do(watch, home, None, json_lines)


def doctor(home: Home = None, network: Network = None, json: Json = False) -> None:
    """Look over machine, data folder, network and running node; say what is wrong, and what mends it."""
    from node.cli.doctor import doctor as examine

    do(examine, home, network, json)
