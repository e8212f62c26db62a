"""``lilypad jobs`` and ``lilypad dispute``: what became of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.commands.common import Home, Json, JsonLines, do

jobs = typer.Typer(help="The jobs of a running node.", no_args_is_help=True)
dispute = typer.Typer(help="How a dispute was decided.", no_args_is_help=True)


@jobs.command("ls")
def jobs_ls(home: Home = None, json: Json = False) -> None:
    """All jobs, newest first."""
    from node.cli.jobs import ls

    do(ls, home, None, json)


@jobs.command("show")
def jobs_show(
    job: str,
    record: Annotated[
        Path | None,
        typer.Option(help="Write its dispute's record here, for anybody to check.", show_default=False),
    ] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """A job's story so far."""
    from node.cli.jobs import show

    do(show, home, None, job, json, record)


@jobs.command("logs")
def jobs_logs(
    job: str,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on to the job's end.")] = False,
    home: Home = None,
    json_lines: JsonLines = False,
) -> None:
    """All that happened to a job, event by event, with the moment of each."""
    from node.cli.jobs import logs

    do(logs, home, None, job, follow, json_lines)


@jobs.command("explain")
def jobs_explain(job: str, home: Home = None, json: Json = False) -> None:
    """Why this provider, or why none: who was asked, who said no to what, and when."""
    from node.cli.jobs import explain

    do(explain, home, None, job, json)


@jobs.command("get")
def jobs_get(
    job: str,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Wait for a job's end and fetch its result."""
    from node.cli.run import get_job

    do(get_job, home, None, job, output, json, json_lines)


@jobs.command("resume")
def jobs_resume(
    job: str,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to put the result directory.")] = None,
    home: Home = None,
    json: Json = False,
    json_lines: JsonLines = False,
) -> None:
    """Follow a job again, after ^C or from elsewhere, and fetch its result; the same as `get`."""
    from node.cli.run import get_job

    do(get_job, home, None, job, output, json, json_lines)


@jobs.command("cancel")
def jobs_cancel(job: str, home: Home = None) -> None:
    """Drop a job that has no deal yet."""
    from node.cli.jobs import cancel

    do(cancel, home, None, job)


@dispute.command("verify")
def dispute_verify(
    file: Annotated[Path, typer.Argument(help="What `lilypad jobs show ID --record FILE` wrote.")], json: Json = False
) -> None:
    """Check a finished dispute from its record, offline: signatures, seed and draw, commitments, votes, ruling."""
    from node.cli.dispute import verify

    do(verify, None, None, file, json)
