"""One deal across all its peers: every step that any of them logged about it or about its talk, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from node.errors import ExitCode, UserError
from testnet.plan import Plan

LEAST = 6
"""Hex digits that name a deal at least."""


def trace(plan: Plan, logs: Iterable[tuple[str, Iterable[str]]], wanted: str) -> list[dict[str, Any]]:
    """All steps of the deal whose id begins like this; ``logs`` are everybody's names and lines. Raises `UserError`."""
    prefix = wanted.removeprefix("0x").lower()
    if len(prefix) < LEAST or any(digit not in "0123456789abcdef" for digit in prefix):
        raise UserError(ExitCode.USAGE, f"'{wanted}' is no deal", "give 0x and the first digits of its id")
    steps = [{**step, "on": name} for name, lines in logs for step in _steps(lines)]
    deals = {step["deal"] for step in steps if step.get("deal", "").startswith(prefix)}
    if len(deals) != 1:
        found = f"{len(deals)} deals begin" if deals else "no deal begins"
        mend = "`lilypad testnet logs CLIENT` names each deal that a client agreed on"
        raise UserError(ExitCode.USAGE, f"{found} with {wanted}", mend)
    deal = deals.pop()
    talks = {step["talk"] for step in steps if step.get("deal") == deal and "talk" in step}
    names = {member.address.lower(): member.name for member in plan.members}
    about = [step for step in steps if step.get("deal") == deal or step.get("talk") in talks]
    return [
        {
            "at": step["at"],
            "on": step["on"],
            "role": step["role"],
            "what": step["what"],
            **({"peer": names.get(step["peer"].lower(), step["peer"])} if "peer" in step else {}),
        }
        for step in sorted(about, key=lambda it: float(it["at"]))
    ]


def show_trace(steps: list[dict[str, Any]]) -> Iterator[str]:
    """Lines for people."""
    began = float(steps[0]["at"]) if steps else 0.0
    for step in steps:
        other = f"  ({step['peer']})" if "peer" in step else ""
        yield f"{float(step['at']) - began:9.3f} s  {step['on']:12} {step['what']}{other}"


def _steps(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if "what" in found:
                yield found
