"""``lilypad strategy``: who haggles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Json, do

strategy = typer.Typer(help="Who haggles: find, write, test and compare strategies.", no_args_is_help=True)


@strategy.command("ls")
def strategy_ls(json: Json = False) -> None:
    """The built-in strategies, and those of installed packages."""
    from node.cli.strategy import ls

    do(ls, None, None, json)


@strategy.command("new")
def strategy_new(name: Annotated[str, typer.Argument(help="What it is to be called.")]) -> None:
    """Write a strategy that works into the current folder, to be changed into your own."""
    from node.cli.strategy import new

    do(new, None, None, name)


@strategy.command("test")
def strategy_test(
    reference: Annotated[
        str, typer.Argument(metavar="STRATEGY", help="A name, ./file.py:Class, module:Class, exec:CMD.")
    ],
    json: Json = False,
) -> None:
    """Whether a strategy keeps the rules: loads, answers in time, stays within its mandate, makes deals."""
    from node.cli.strategy import test

    do(test, None, None, reference, json)


@strategy.command("bench")
def strategy_bench(
    reference: Annotated[str, typer.Argument(metavar="STRATEGY", help="A name or reference.")],
    domains: Annotated[int, typer.Option(help="Random domains.", min=1, max=1000)] = 20,
    rounds: Annotated[int, typer.Option(help="Offers of each side.", min=2, max=200)] = 60,
    json: Json = False,
) -> None:
    """Measure a strategy against the built-in ones."""
    from node.cli.strategy import bench

    do(bench, None, None, reference, domains, rounds, json)


@strategy.command("tournament")
def strategy_tournament(
    reference: Annotated[list[str] | None, typer.Argument(metavar="[STRATEGY]...", help="[the built-in ones]")] = None,
    domains: Annotated[int, typer.Option(help="Random domains.", min=1, max=1000)] = 10,
    rounds: Annotated[int, typer.Option(help="Offers of each side.", min=2, max=200)] = 60,
    picture: Annotated[Path | None, typer.Option(help="Write an SVG of a talk between the two best.")] = None,
    json: Json = False,
) -> None:
    """Everybody against everybody, from both sides: a leaderboard with confidence intervals."""
    from node.cli.strategy import tournament

    do(tournament, None, None, reference or [], domains, rounds, picture, json)
