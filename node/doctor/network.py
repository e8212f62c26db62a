"""The network: whether others reach this node, and by which ways it finds them; only what was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from node.doctor.finding import Finding, Patient, warning, well


async def check_network(patient: Patient) -> Iterable[Finding]:
    """What the running node knows of itself."""
    if patient.status is None:
        return []  # that no node answers has been said
    view = patient.status["network"]
    return [*_reach(view), *_relays(view), *_finders(view)]


def _reach(view: dict[str, Any]) -> Iterator[Finding]:
    asked = f"{view['dialled_back']} of {view['asked_to_dial']} peers that were asked could dial this node"
    where = f", seen at {view['seen_at'][0]}" if view["seen_at"] else ""
    if not view["listening"]:
        yield warning("reach", "it does not listen, so nobody can dial it", "node start --listen /ip4/0.0.0.0/tcp/4001")
    elif view["dialable"]:
        yield well("reach", f"dialable: {asked}{where}")
    elif view["dialable"] is None and view["dialled_from"]:
        yield well("reach", f"somebody on the {_far(view['dialled_from'])} has dialled it; nobody was asked to yet")
    elif view["dialable"] is None:
        yield warning("reach", "not known: nobody has dialled it or was asked to yet", "wait a minute and look again")
    elif view["relayed"]:
        yield well("reach", f"not dialable ({asked}{where}), but a relay holds a place for it")
    elif view["behind_router"]:
        mend = "forward the port in the router and --announce it, or name a relay with --relay"
        yield warning("reach", f"behind a router that lets nobody in: {asked}{where}", mend)
    else:
        mend = "open the port in the firewall, or name a relay with --relay"
        yield warning("reach", f"not dialable: {asked}{where}", mend)
    if view["widest"] == "machine":
        yield warning(
            "addresses", "it gives out addresses of this machine only", "node start --listen /ip4/0.0.0.0/tcp/4001"
        )


def _far(scopes: list[str]) -> str:
    return {"internet": "internet", "network": "local network"}.get(next(iter(scopes)), "same machine")


def _relays(view: dict[str, Any]) -> Iterator[Finding]:
    held, wanted = len(view["relayed"]), view["relays_wanted"]
    if held < wanted:
        yield warning(
            "relays", f"{held} of {wanted} relays hold a place for it", "check that the relays run, with --serve-relay"
        )
    elif wanted:
        yield well("relays", f"all {wanted} hold a place for it")
    if view["punched"] or view["punches_failed"]:
        yield well("holes", f"{view['punched']} punched, {view['punches_failed']} stayed relayed")
    if view["relay"]:
        yield well("relaying", "it carries bytes for others, within limits")


def _finders(view: dict[str, Any]) -> Iterator[Finding]:
    dht, lan = view["dht"], view["lan"]
    if not dht["on"]:
        yield well("dht", "off: peers are found by bootstrap addresses and by asking neighbours")
    elif dht["table"]:
        yield well("dht", f"works: {dht['table']} peers in its table, {dht['answered']} answered the last question")
    else:
        yield warning("dht", "nobody whom it could dial takes part", "connect to a peer that can be dialled")
    if lan["state"] == "on":
        yield well("lan", f"mDNS is on, {lan['found']} others were noticed")
    elif lan["state"] == "off":
        yield well("lan", "mDNS is off (node start --lan turns it on)")
    else:
        yield warning("lan", f"mDNS: {lan['state']}", "check that a network is up that can be multicast on")
