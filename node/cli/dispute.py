"""``lilypad dispute``: check how a dispute was decided, from its record alone."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from node.cli.progress import counted, printable
from node.config import Config
from node.errors import ExitCode, UserError
from protocol.errors import PeerFault

if TYPE_CHECKING:
    from protocol.record import Finding


def verify(_: Config, file: Path, json: bool) -> None:
    """Check every step of a record; ends with 6 where one does not hold."""
    from node.records import read_file
    from protocol.record import findings, hearsay
    from protocol.signing import recover_address

    try:
        record = read_file(file)
        found = [*findings(record, recover_address), *hearsay(record)]
    except PeerFault as fault:
        raise UserError(ExitCode.USAGE, f"this is no record of a dispute: {fault}"[:300], "check the file") from None
    holds = all(finding.holds for finding in found)
    open_ones = sum(not finding.shown for finding in found)
    flawed = sum(finding.flawed for finding in found)
    if json:
        rows = [{"holds": it.holds, "shown": it.shown, "flawed": it.flawed, "what": it.what} for it in found]
        told = {"holds": holds, "shown": not open_ones, "flawed_votes": flawed, "findings": rows}
        print(json_format.dumps(told, indent=2))
    else:
        for finding in found:
            print(f"{_mark(finding)}  {printable(finding.what)}")
        rest = f", but {open_ones} of them (?) no record can show, only the chain" if open_ones else ""
        if flawed:
            rest += f"; {counted(flawed, 'vote')} (!) {'rests' if flawed == 1 else 'rest'} on nothing, and counted"
        print(f"{len(found)} checks: {f'all hold{rest}' if holds else f'this record does not hold{rest}'}")
    if not holds:
        raise typer.Exit(ExitCode.NOT_VERIFIED)


def _mark(finding: Finding) -> str:
    if not finding.holds:
        return "NOT"
    if finding.flawed:
        return "!  "
    return "ok " if finding.shown else "?  "
