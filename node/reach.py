"""How a node and its peers reach each other, as facts for its user; see `p2p.reachability`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from p2p.events import Line
from p2p.host import Host
from protocol.identity import show


def describe_peers(host: Host) -> list[dict[str, Any]]:
    """Everybody who is connected, once: who dialled, from or to which IP, and whether a relay carries the bytes."""
    return one_each(host.lines())


def one_each(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Connections by peer: two that dialled each other at once keep both, and a direct one carries the bytes."""
    found: dict[str, dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: bool(line.relay_ip)):
        direction = "in" if line.inbound else "out"
        peer = found.setdefault(
            line.peer.id,
            {
                "peer": line.peer.id,
                "address": show(line.peer.address),
                "direction": direction,
                "through": f"relay at {line.relay_ip}" if line.relay_ip else "direct",
                "ip": line.ip,
            },
        )
        if direction != peer["direction"]:
            peer["direction"] = "both"
    return list(found.values())


def describe_reach(host: Host) -> dict[str, Any]:
    """What is known about how others reach this node; null where it is not known."""
    view = host.reachability()
    return {
        "sentences": [*view.sentences(), *view.finders()],
        "listening": list(view.listening),
        "widest": view.widest.name.lower() if view.widest is not None else None,
        "dialled_from": sorted(scope.name.lower() for scope in view.dialled_from),
        "seen_at": list(view.seen_at),
        "behind_router": view.behind_router,
        "dialable": view.dialable,
        "asked_to_dial": view.asked,
        "dialled_back": view.reached,
        "relays_wanted": view.relays_wanted,
        "relayed": list(view.relayed),
        "punched": view.punched,
        "punches_failed": view.punches_failed,
        "dht": {"on": view.dht, "table": view.dht_peers, "answered": view.dht_answered},
        "lan": {"state": view.lan.value, "found": view.lan_found},
        "relay": host.settings.relay,
        "bans": host.statistics().bans,
    }
