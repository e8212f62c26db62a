"""``lilypad dispute``: check how a dispute was decided, from its record alone."""

from __future__ import annotations

import json as json_format
from pathlib import Path

import typer

from node.cli.progress import printable
from node.config import Config
from node.errors import ExitCode, UserError
from protocol.errors import PeerFault


def verify(_: Config, file: Path, json: bool) -> None:
    """Check every step of a record; ends with 6 where one does not hold."""
    from node.records import read_file
    from protocol.record import findings
    from protocol.signing import recover_address

    try:
        found = findings(read_file(file), recover_address)
    except PeerFault as fault:
        raise UserError(ExitCode.USAGE, f"this is no record of a dispute: {fault}"[:300], "check the file") from None
    holds = all(finding.holds for finding in found)
    open_ones = sum(not finding.shown for finding in found)
    if json:
        rows = [{"holds": finding.holds, "shown": finding.shown, "what": finding.what} for finding in found]
        print(json_format.dumps({"holds": holds, "shown": not open_ones, "findings": rows}, indent=2))
    else:
        for finding in found:
            mark = "NOT" if not finding.holds else "ok " if finding.shown else "?  "
            print(f"{mark}  {printable(finding.what)}")
        rest = f", but {open_ones} of them (?) no record can show, only the chain" if open_ones else ""
        print(f"{len(found)} checks: {f'all hold{rest}' if holds else 'this record does not hold'}")
    if not holds:
        raise typer.Exit(ExitCode.NOT_VERIFIED)
