"""Plain tables on stdout, and lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from node.cli.progress import printable, short


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns as wide as they need, two blanks apart."""
    texts = [[printable(cell) for cell in row] for row in (heads, *rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    for row in texts:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_event(event: dict[str, Any]) -> None:
    """One event as one line of JSON, at once: somebody may be following."""
    print(json.dumps(event), flush=True)


def print_offers(offers: Sequence[dict[str, Any]]) -> None:
    """What is on offer."""
    rows = []
    for offer in offers:
        if offer["kind"] == "provider":
            price = ", ".join(f"{p['amount']}/{p['unit']}" for p in offer["prices"])
            gpus = ", ".join(f"{g['count']} x {g['name']} {g['vram_mib']} MiB" for g in offer["gpus"]) or "no gpu"
            size = f"{offer['cpu']:g} cpu, {offer['memory_mib']} MiB, {gpus}"
        else:
            price, size = f"{offer['fee']}/re-run", ""
        runs = ", ".join(offer["executors"])
        rows.append((offer["kind"], short(offer["peer"]), price, runs, size, f"{offer['expires_in']} s"))
    print_table(("WHAT", "PEER", "ASKS", "RUNS", "MACHINE", "EXPIRES"), rows)
