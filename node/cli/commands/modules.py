"""``lilypad modules``: what can be run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Json, do

modules = typer.Typer(help="What can be run.", no_args_is_help=True)


@modules.command("ls")
def modules_ls(json: Json = False) -> None:
    """The catalogue."""
    from node.cli.modules import ls

    do(ls, None, None, json)


@modules.command("show")
def modules_show(module: str, json: Json = False) -> None:
    """What a module takes, needs and is called by."""
    from node.cli.modules import show

    do(show, None, None, module, json)


@modules.command("new")
def modules_new(
    name: Annotated[str, typer.Argument(help="What it is to be called.")],
    executor: Annotated[str, typer.Option(help="wasm or docker.")] = "wasm",
    folder: Annotated[Path | None, typer.Option(help="Where [./NAME].", show_default=False)] = None,
) -> None:
    """Make a module that works, to be changed into your own."""
    from node.cli.module_tools import new

    do(new, None, None, name, executor, folder)


@modules.command("build")
def modules_build(
    module: Annotated[str, typer.Argument(help="As in `lilypad run`.")],
    network: Annotated[
        bool, typer.Option("--network", help="Let the commands of its Dockerfile use the network.")
    ] = False,
    json: Json = False,
) -> None:
    """Have at hand what a module runs: build or pull its image; compile a WASM module of your own by its build.sh."""
    from node.cli.module_tools import build

    do(build, None, None, module, network, json)


@modules.command("check")
def modules_check(
    module: Annotated[str, typer.Argument(help="As in `lilypad run`.")],
    text: Annotated[str | None, typer.Argument(help="Fills the module's primary input.", show_default=False)] = None,
    value: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input.")] = None,
    input_file: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="NAME=PATH", help="A file or folder as input.")
    ] = None,
    times: Annotated[int, typer.Option(help="How often it is run.", min=2, max=20)] = 3,
    json: Json = False,
) -> None:
    """Run a module several times on this machine and say whether it repeats itself, as verification needs."""
    from node.cli.module_tools import check

    do(check, None, None, module, text, value or [], input_file or [], times, json)
