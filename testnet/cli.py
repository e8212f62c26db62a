"""The ``lilypad`` command with all that it can do: the node's commands, and `testnet`'s, which stand on those."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.commands.common import Json

testnet = typer.Typer(
    help="Networks of many peers on this machine, to try, load, break and measure.", no_args_is_help=True
)

Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="The testnet's folder [LILYPAD_TESTNET, or ./lilypad-testnet].", show_default=False),
]


def main() -> None:
    """Run the command line."""
    import sys

    try:
        from node.cli.app import app, run_app

        app.add_typer(testnet, name="testnet")
        run_app()
    except KeyboardInterrupt:  # before any command had begun
        print("lilypad: interrupted", file=sys.stderr)
        sys.exit(130)


@testnet.command("up")
def up(
    providers: Annotated[int | None, typer.Option(help="Peers that sell [3].", show_default=False)] = None,
    clients: Annotated[int | None, typer.Option(help="Peers that buy [1].", show_default=False)] = None,
    mediators: Annotated[int | None, typer.Option(help="Peers that judge [3].", show_default=False)] = None,
    liars: Annotated[int | None, typer.Option(help="Providers that make results up [0].", show_default=False)] = None,
    double_bookers: Annotated[
        int | None, typer.Option(help="Providers that sell one machine several times [0].", show_default=False)
    ] = None,
    late: Annotated[int | None, typer.Option(help="Providers that deliver too late [0].", show_default=False)] = None,
    lazy_mediators: Annotated[
        int | None, typer.Option(help="Mediators that copy others' votes [0].", show_default=False)
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="Who haggles, for everybody.", show_default=False)] = None,
    scenario: Annotated[
        Path | None, typer.Option(help="A scenario file: peers, rules, load and faults.", show_default=False)
    ] = None,
    chain: Annotated[str, typer.Option(help="py-evm or anvil.")] = "py-evm",
    processes: Annotated[bool, typer.Option("--processes", help="Processes instead of containers.")] = False,
    image: Annotated[str, typer.Option(help="The containers' image (LILYPAD_IMAGE).", envvar="LILYPAD_IMAGE")] = "",
    folder: Folder = None,
) -> None:
    """Start a network: one container a peer and a chain, funded, connected and ready."""
    from testnet.commands import begin

    peers = {
        "providers": providers,
        "clients": clients,
        "mediators": mediators,
        "liars": liars,
        "double_bookers": double_bookers,
        "late": late,
        "lazy_mediators": lazy_mediators,
        "strategy": strategy,
    }
    given = {key: value for key, value in peers.items() if value is not None}
    _do(begin, folder, scenario, given, chain, processes, image)


@testnet.command("ps")
def ps(folder: Folder = None, json: Json = False) -> None:
    """Who is there, and how each is doing."""
    from testnet.commands import ps as show

    _do(show, folder, json)


@testnet.command("logs")
def logs(
    peer: Annotated[str, typer.Argument(help="A peer's name, or chain.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on.")] = False,
    folder: Folder = None,
) -> None:
    """A peer's log: lines of JSON."""
    from testnet.commands import logs as show

    _do(show, folder, peer, follow)


@testnet.command("shell")
def shell(peer: str, folder: Folder = None) -> None:
    """A shell where `lilypad` speaks for this peer."""
    from testnet.commands import shell as open_shell

    _do(open_shell, folder, peer)


@testnet.command("run", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run(
    context: typer.Context,
    client: Annotated[str, typer.Option("--client", help="Which client asks.")] = "client-1",
    folder: Folder = None,
) -> None:
    """Run a module from a client: all that follows is as in `lilypad run`."""
    from testnet.commands import run as run_job

    _do(run_job, folder, client, list(context.args))


@testnet.command("load")
def load(
    jobs: Annotated[int | None, typer.Option(help="How many [the scenario's, or 10].", show_default=False)] = None,
    rate: Annotated[
        float | None, typer.Option(help="Jobs a second [the scenario's, or 1].", show_default=False)
    ] = None,
    within: Annotated[float, typer.Option(help="Seconds for the last job to end.")] = 900.0,
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Ask the clients for many jobs, have the scenario's faults happen, and wait until all jobs have ended."""
    from testnet.commands import load as play

    _do(play, folder, jobs, rate, within, json)


@testnet.command("fault")
def fault(words: Annotated[list[str], typer.Argument(metavar="FAULT...")], folder: Folder = None) -> None:
    """Break something, or mend it.

    partition A B | delay 200ms | loss 5% | heal | kill PEER | pause PEER | resume PEER | clock +1h [PEER] | reorg 3

    A and B are peers' names joined by commas; `for 10s` behind a fault takes it back by itself.
    """
    from testnet.commands import fault as inflict

    _do(inflict, folder, words)


@testnet.command("restart")
def restart(
    peers: Annotated[
        list[str] | None, typer.Argument(help="Names; all of them by default.", show_default=False)
    ] = None,
    folder: Folder = None,
) -> None:
    """Kill peers, all at once, and start them again."""
    from testnet.commands import restart as again

    _do(again, folder, peers or [])


@testnet.command("trace")
def trace(
    deal: Annotated[str, typer.Argument(help="A deal's id, or its beginning.")],
    folder: Folder = None,
    json: Json = False,
) -> None:
    """One deal across all its peers, step by step."""
    from testnet.commands import trace as follow

    _do(follow, folder, deal, json)


@testnet.command("report")
def report(
    simulate: Annotated[bool, typer.Option(help="Play the same scenario in the simulator, to stand beside it.")] = True,
    folder: Folder = None,
    json: Json = False,
) -> None:
    """What happened, as report.json and report.html in the testnet's folder, and in short here."""
    from testnet.commands import report as write

    _do(write, folder, simulate, json)


@testnet.command("down")
def down(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the folder where it is.")] = False, folder: Folder = None
) -> None:
    """End everybody, and remove the folder."""
    from testnet.commands import down as end

    _do(end, folder, keep)


def _do(command: Any, folder: Path | None, *arguments: Any) -> None:
    from node.cli.ending import fail
    from node.errors import UserError
    from testnet.plan import default_folder

    try:
        command((folder or default_folder()).resolve(), *arguments)
    except (UserError, KeyboardInterrupt, OSError) as error:
        fail(error)
