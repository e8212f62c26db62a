"""The ``lilypad`` command: its families of commands, put together."""

from __future__ import annotations

import signal

import typer

from node.cli.commands.jobs import dispute, jobs
from node.cli.commands.market import doctor, offers
from node.cli.commands.modules import modules
from node.cli.commands.node import node
from node.cli.commands.run import run
from node.cli.commands.strategy import strategy
from node.cli.commands.wallet import wallet

app = typer.Typer(
    name="lilypad",
    help="A peer-to-peer market for compute: agents haggle, results are verified, a vault keeps everyone honest.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.command()(doctor)
for group, name in (
    (node, "node"),
    (wallet, "wallet"),
    (modules, "modules"),
    (jobs, "jobs"),
    (dispute, "dispute"),
    (offers, "offers"),
    (strategy, "strategy"),
):
    app.add_typer(group, name=name)


def run_app() -> None:
    """Run the command line."""
    # a service manager ends us by SIGTERM: take it like ^C, so that everything is put away
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app()
