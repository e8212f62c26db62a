"""``lilypad run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Home, Json, JsonLines, Network, do


def run(
    module: Annotated[str, typer.Argument(help="name:version of the catalogue, a folder, git+URL@REF#DIR, or a CID.")],
    text: Annotated[str | None, typer.Argument(help="Fills the module's primary input.", show_default=False)] = None,
    value: Annotated[list[str] | None, typer.Option("-i", "--input", metavar="NAME=VALUE", help="An input.")] = None,
    input_file: Annotated[
        list[str] | None, typer.Option("--input-file", metavar="NAME=PATH", help="A file or folder as input.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    max_price: Annotated[
        str | None, typer.Option("--max-price", metavar="N", help="The most to pay for the job, in base units.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Who haggles: a name or reference, see `lilypad strategy ls`.")
    ] = None,
    check: Annotated[
        float | None, typer.Option(help="Chance that a mediator re-runs it [local: 1, else 0.1].", show_default=False)
    ] = None,
    per: Annotated[
        list[str] | None,
        typer.Option(
            "--per", metavar="UNIT", help="Price it by job, gigafuel, second or gib only; may be given again."
        ),
    ] = None,
    isolation: Annotated[
        str | None, typer.Option(metavar="CLASS", help="The least class of isolation to run it under.")
    ] = None,
    check_by: Annotated[
        str, typer.Option(metavar="WHO", help="Who re-runs it: mediators, self, or anybody (mediators first).")
    ] = "anybody",
    private: Annotated[
        bool, typer.Option("--private", help="Seal inputs and result: only the parties and their jurors read them.")
    ] = False,
    mediator: Annotated[
        list[str] | None,
        typer.Option("--mediator", metavar="ADDRESS", help="A mediator to trust [any]; may be given again."),
    ] = None,
    wishes: Annotated[
        list[str] | None,
        typer.Option(
            "--wish",
            metavar="ISSUE=WORST..BEST:WORTH",
            help="Haggle about start, delivery, checks, check_payer, rp_stake, jc_stake, jurors or fee; repeatable.",
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Give up after this long.")] = 600.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is on offer.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and leave it to the node.")] = False,
    chain: Annotated[
        str | None,
        typer.Option(help="The local market's chain: py-evm, anvil, or auto (LILYPAD_CHAIN).", show_default=False),
    ] = None,
    network: Network = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Run a module on somebody's machine: find, haggle, lock, run, verify, pay.

    Uses the running node of the data folder; without one and without a configured network, a whole market on this
    machine is started for the run.
    """
    from node.cli.run import Wish, run_job

    wish = Wish(
        module=module,
        text=text,
        values=value or [],
        files=input_file or [],
        output=output,
        max_price=max_price,
        strategy=strategy,
        check=check,
        per=per or [],
        isolation=isolation,
        check_by=check_by,
        mediators=mediator or [],
        wishes=wishes or [],
        private=private,
        timeout=timeout,
        dry_run=dry_run,
        detach=detach,
        chain=chain,
        json=json,
        json_lines=json_lines,
    )
    do(run_job, home, network, wish)
