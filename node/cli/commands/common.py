"""Options that many commands share, and how a command is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from node.errors import UserError

Home = Annotated[Path | None, typer.Option("--home", help="Data folder (LILYPAD_HOME).", show_default=False)]
Network = Annotated[str | None, typer.Option("--network", help="Network (LILYPAD_NETWORK).", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
JsonLines = Annotated[bool, typer.Option("--json-lines", help="Print each event as a line of JSON, as it happens.")]


def do(command: Any, home: Path | None, network: str | None, *arguments: Any) -> None:
    """Carry a command out with the configuration as its first argument; ends the process with the right code."""
    from node.cli.ending import fail
    from node.config import load_config

    try:
        command(load_config(home, network), *arguments)
    except (UserError, KeyboardInterrupt, OSError) as error:
        fail(error)
