"""``lilypad doctor``: every check, its findings as a list, and the exit code of the first problem."""

from __future__ import annotations

import contextlib
import json as json_format
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from node.cli.ending import run_trio
from node.config import LOCAL, Config
from node.errors import UserError

if TYPE_CHECKING:
    from node.doctor.finding import Check, Finding

_MARKS = {"ok": ("ok", 32), "warning": ("warning", 33), "problem": ("PROBLEM", 31)}


def checks() -> Iterator[Check]:
    """All checks, in the order in which their findings are shown; a new one is added here."""
    from node.doctor.folder import check_folder
    from node.doctor.machine import check_machine
    from node.doctor.market import check_market
    from node.doctor.network import check_network

    yield check_machine
    yield check_folder
    yield check_market
    yield check_network


def doctor(config: Config, json: bool) -> None:
    """Look at everything; ends the process with the first problem's code."""
    from node.doctor.finding import Grade

    findings = run_trio(lambda: _examine(config))
    problems = [finding for finding in findings if finding.grade is Grade.PROBLEM]
    if json:
        listed = [{"about": it.about, "grade": it.grade.value, "what": it.what, "mend": it.mend} for it in findings]
        print(json_format.dumps({"healthy": not problems, "findings": listed}, indent=2))
    else:
        for finding in findings:
            _show(finding)
    if problems:
        raise typer.Exit(problems[0].code)


async def _examine(config: Config) -> list[Finding]:
    from node.client import running_node
    from node.doctor.finding import Patient, problem

    network, findings = None, []
    if config.network != LOCAL:
        try:
            network = config.load_network(config.network)
        except UserError as error:
            findings.append(problem("network", error.what, error.mend, error.code))
    async with contextlib.AsyncExitStack() as stack:
        node, status = running_node(config.home), None
        if node is not None:
            await stack.enter_async_context(node)
            with contextlib.suppress(UserError):
                status = await node.get("/api/v1/status")
        patient = Patient(config, network, node, status)
        for check in checks():
            findings.extend(await check(patient))
    return findings


def _show(finding: Finding) -> None:
    mark, colour = _MARKS[finding.grade.value]
    mark = mark.ljust(8)
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\033[{colour}m{mark}\033[0m"
    print(f"{mark} {finding.about:12} {finding.what}")
    if finding.mend:
        print(f"{'':8} → {finding.mend}")
