"""``lilypad dispute``: check how a dispute was decided, from its record alone."""

from __future__ import annotations

import json as json_format
from pathlib import Path

import typer

from node.config import Config
from node.errors import ExitCode, UserError


def verify(_: Config, file: Path, json: bool) -> None:
    """Check every step of a record; ends with 6 where one does not hold."""
    from node.records import read
    from protocol.record import findings
    from protocol.signing import recover_address

    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(ExitCode.USAGE, f"{file} can't be read: {error}", "check the path") from None
    found = findings(read(text), recover_address)
    holds = all(finding.holds for finding in found)
    if json:
        rows = [{"holds": finding.holds, "what": finding.what} for finding in found]
        print(json_format.dumps({"holds": holds, "findings": rows}, indent=2))
    else:
        for finding in found:
            print(f"{'ok ' if finding.holds else 'NOT'}  {finding.what}")
        print(f"{len(found)} checks: {'all hold' if holds else 'this record does not hold'}")
    if not holds:
        raise typer.Exit(ExitCode.NOT_VERIFIED)
