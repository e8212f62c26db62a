"""The counters of a host as Prometheus reads them (text exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from p2p.statistics import Histogram, Statistics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_GAUGES = {
    "peers": "Peers connected now.",
    "connections": "Connections open now.",
    "streams": "Talks open now.",
    "known_peers": "Peers in the book.",
    "bans": "Bans that stand now.",
    "half_open": "Connections whose handshake is not done.",
    "dht_peers": "Peers of our table of the DHT.",
    "relays": "Relays that hold a place for us.",
    "relay_places": "Peers that we hold a place for as their relay.",
    "relay_circuits": "Connections of others that run through us now.",
}
_COUNTERS = {
    "relay_bytes": "Bytes that we carried for others as their relay.",
    "gossip_in": "Gossip heard.",
    "gossip_out": "Gossip published.",
    "gossip_late": "Gossip dropped because the node was busy.",
    "gossip_too_fast": "Gossip dropped because a neighbour sent too much.",
    "gossip_broken": "Gossip refused.",
    "gossip_unsent": "Gossip that a slow neighbour never got.",
    "ids_out": "Bodies announced by id.",
    "bodies_in": "Bodies pulled.",
    "bodies_out": "Bodies given to whoever asked.",
    "frames_in": "Frames received in talks.",
    "frames_out": "Frames sent in talks.",
    "bytes_in": "Bytes of frames received.",
    "bytes_out": "Bytes of frames sent.",
    "frames_broken": "Frames that broke the rules.",
    "faults": "Exceptions of a stranger's making.",
    "refused": "Connections and streams turned away.",
    "dials": "Connections tried.",
    "dials_failed": "Peers that could not be reached.",
    "punched": "Relayed connections that became direct ones.",
    "punches_failed": "Relayed connections that stayed what they were.",
    "dht_lookups": "Walks through the DHT.",
    "dht_answers": "Questions of others to the DHT that we answered.",
}


def render(statistics: Statistics, answers: Histogram) -> str:
    """Everything, one metric after another; each name starts with ``lilypad_p2p_``."""
    return "\n".join([*_numbers(statistics), *_histogram("talk_answer_seconds", answers)]) + "\n"


def _numbers(statistics: Statistics) -> Iterator[str]:
    for field in fields(statistics):
        value = getattr(statistics, field.name)
        if (what := _GAUGES.get(field.name)) is not None:
            yield from _one(field.name, "gauge", what, value)
        else:
            yield from _one(f"{field.name}_total", "counter", _COUNTERS[field.name], value)


def _one(name: str, kind: str, what: str, value: int) -> Iterator[str]:
    yield f"# HELP lilypad_p2p_{name} {what}"
    yield f"# TYPE lilypad_p2p_{name} {kind}"
    yield f"lilypad_p2p_{name} {value}"


def _histogram(name: str, histogram: Histogram) -> Iterator[str]:
    yield f"# HELP lilypad_p2p_{name} From the first frame of a talk to the first one that answers it."
    yield f"# TYPE lilypad_p2p_{name} histogram"
    for bound, count in histogram.cumulative():
        yield f'lilypad_p2p_{name}_bucket{{le="{bound}"}} {count}'
    yield f"lilypad_p2p_{name}_sum {histogram.total:.6f}"
    yield f"lilypad_p2p_{name}_count {histogram.count}"
