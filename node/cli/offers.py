"""``lilypad offers``: what a running node has heard on offer, now or as it changes."""

from __future__ import annotations

import json as json_format
import time
from typing import Any

from node.cli.ending import run_trio
from node.cli.progress import short
from node.cli.tables import print_event, print_offers
from node.config import Config

LOOK = 1.0
"""Seconds between two looks at the node's order book."""

Book = dict[tuple[str, str], dict[str, Any]]
"""By kind and peer: what each offers, without the time that it still stands."""


def ls(config: Config, json: bool) -> None:
    """What is on offer now."""
    from node.client import need_node

    async def ask() -> Any:
        async with need_node(config.home) as client:
            return await client.get("/api/v1/offers")

    found = run_trio(ask)
    if json:
        print(json_format.dumps(found, indent=2))
    else:
        print_offers(found)


def watch(config: Config, json_lines: bool) -> None:
    """What comes, changes and goes, until interrupted."""
    import trio

    from node.client import need_node

    async def go() -> None:
        before: Book = {}
        async with need_node(config.home) as client:
            while True:
                now = _book(await client.get("/api/v1/offers"))
                for event, offer in _changes(before, now):
                    _show(event, offer, json_lines)
                before = now
                await trio.sleep(LOOK)

    run_trio(go)


def _book(offers: list[dict[str, Any]]) -> Book:
    return {
        (offer["kind"], offer["peer"]): {key: value for key, value in offer.items() if key != "expires_in"}
        for offer in offers
    }


def _changes(before: Book, now: Book) -> list[tuple[str, dict[str, Any]]]:
    changes = [("gone", offer) for name, offer in before.items() if name not in now]
    for name, offer in now.items():
        if name not in before:
            changes.append(("offered", offer))
        elif before[name] != offer:
            changes.append(("changed", offer))
    return changes


def _show(event: str, offer: dict[str, Any], json_lines: bool) -> None:
    if json_lines:
        print_event({"event": event, "at": time.time(), "offer": offer})
        return
    if offer["kind"] == "provider":
        price = ", ".join(f"{price['amount']} a {price['unit']}" for price in offer["prices"])
    else:
        price = f"{offer['fee']} a re-run"
    print(f"{time.strftime('%H:%M:%S')}  {event:8} {offer['kind']:8} {short(offer['peer'])}  {price}", flush=True)
