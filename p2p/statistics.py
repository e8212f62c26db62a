"""Counters of a host: what came, what went, and what was turned away and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot; every counter runs since the host was opened."""

    peers: int
    connections: int
    streams: int
    known_peers: int
    bans: int
    half_open: int
    dht_peers: int
    """Peers of our table of the DHT."""
    relays: int
    """Relays that hold a place for us."""
    relay_places: int
    """Peers that we hold a place for."""
    relay_circuits: int
    """Connections of others that run through us now."""
    relay_bytes: int
    """Bytes carried for others."""
    gossip_in: int
    gossip_out: int
    gossip_late: int
    """Gossip dropped because our owner did not read events fast enough."""
    gossip_too_fast: int
    gossip_broken: int
    gossip_unsent: int
    """Messages that a neighbour never got because too many waited for it."""
    ids_out: int
    """Bodies that we announced by their ids."""
    bodies_in: int
    """Bodies that we pulled."""
    bodies_out: int
    """Bodies that we gave to whoever asked."""
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    frames_broken: int
    faults: int
    """Exceptions of a stranger's making that would have ended the library."""
    refused: int
    """Connections and streams turned away by a limit or a ban."""
    dials: int
    dials_failed: int
    punched: int
    """Relayed connections that became direct ones."""
    punches_failed: int
    dht_lookups: int
    """Walks through the DHT."""
    dht_answers: int
    """Questions of others that we answered."""


@dataclass(slots=True)
class Counters:
    """The running side of `Statistics`."""

    gossip_in: int = 0
    gossip_out: int = 0
    gossip_late: int = 0
    gossip_too_fast: int = 0
    gossip_broken: int = 0
    gossip_unsent: int = 0
    ids_out: int = 0
    bodies_in: int = 0
    bodies_out: int = 0
    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    frames_broken: int = 0
    faults: int = 0
    refused: int = 0
    dials: int = 0
    dials_failed: int = 0
    punched: int = 0
    punches_failed: int = 0
    dht_lookups: int = 0
    dht_answers: int = 0


BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds."""


@dataclass(slots=True)
class Histogram:
    """How many waits took up to how long."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0
    """Seconds of all waits together."""

    @property
    def count(self) -> int:
        """Waits seen."""
        return sum(self.counts)

    def see(self, seconds: float) -> None:
        """Count one wait."""
        self.counts[sum(bound < seconds for bound in BOUNDS)] += 1
        self.total += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each bound, the last one infinite, with the waits that took no longer."""
        below = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            below += count
            yield bound, below
