"""What goes wrong in a simulated world, and when: links, cuts, crashes, clocks, the chain; drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from protocol.identity import Address


@dataclass(frozen=True, slots=True)
class Links:
    """How messages travel between peers. Probabilities in [0, 1], times in seconds."""

    latency: float = 0.03
    """The shortest; most take up to three times as long."""
    loss: float = 0.0
    duplicate: float = 0.0
    tail: float = 0.0
    """The share of messages that are late by up to `LONGEST_TAIL`, and so overtaken by later ones."""
    gossip_reach: float = 1.0
    """How probably a peer hears what somebody publishes."""
    fetch_failure: float = 0.0


LONGEST_TAIL = 20.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Some peers can't reach the others for a while."""

    begin: float
    end: float
    kind: str
    """``both`` ways, ``out`` (theirs don't get out), ``in`` (nothing gets in), or ``gossip`` (only that is cut)."""
    side: frozenset[Address]

    def blocks(self, now: float, sender: Address, receiver: Address, gossip: bool) -> bool:
        """Whether a message sent now is lost."""
        if not self.begin <= now < self.end or (sender in self.side) == (receiver in self.side):
            return False
        match self.kind:
            case "both":
                return True
            case "gossip":
                return gossip
            case "out":
                return sender in self.side
            case _:
                return receiver in self.side


@dataclass(frozen=True, slots=True)
class Crash:
    """A peer stops, and comes back with what it had saved."""

    peer: Address
    begin: float
    end: float
    mid_batch: bool
    """Not at the moment itself, but between two effects of the next batch that has any."""


@dataclass(frozen=True, slots=True)
class Offline:
    """A peer can't reach the chain for a while: its calls wait, and it sees nothing."""

    peer: Address
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Chain:
    """The pace of the chain, in seconds and blocks."""

    block_time: float = 2.0
    confirmations: int = 2
    """How deep a block lies when peers take its word; a reorg is never that deep."""
    slowest_pool: float = 1.0
    """How long a transaction may wait until it can be mined."""
    reorgs: tuple[tuple[float, int], ...] = ()
    """Moments, and how many blocks are replaced."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How far an agent's clock is off the chain's."""

    offset: float = 0.0
    drift: float = 0.0

    def read(self, now: float, since: float) -> float:
        """What the agent's clock shows."""
        return now + self.offset + (now - since) * self.drift

    def moment(self, shown: float, since: float) -> float:
        """When the agent's clock shows this."""
        moment = since + (shown - self.offset - since) / (1 + self.drift)
        while self.read(moment, since) < shown:  # rounding must not wake anybody early
            moment += 1e-6
        return moment


EXACT = Clock()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that goes wrong in one run."""

    links: Links = Links()
    cuts: tuple[Cut, ...] = ()
    crashes: tuple[Crash, ...] = ()
    offline: tuple[Offline, ...] = ()
    chain: Chain = Chain()
    healed: float = 0.0
    """From this moment on, links are perfect."""

    def outage(self, who: Address, begin: float, end: float) -> float:
        """For how many seconds of this time somebody was down, cut off or without the chain."""
        spans = [(crash.begin, crash.end + 5.0) for crash in self.crashes if crash.peer == who]
        spans += [(gap.begin, gap.end) for gap in self.offline if gap.peer == who]
        spans += [(cut.begin, cut.end) for cut in self.cuts if cut.kind != "gossip" and who in cut.side]
        return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in spans)

    def replaced(self, begin: float, end: float) -> float:
        """How many seconds' blocks reorganisations took back in this time; those taken back twice count twice."""
        return sum(depth * self.chain.block_time for moment, depth in self.chain.reorgs if begin <= moment <= end)


def draw(rng: Random, peers: list[Address], start: float, heal_after: float, *, restless: bool = False) -> Plan:
    """A plan of faults for these peers; about one run in eight has none. Restless peers crash all the time."""
    healed = start + heal_after
    if rng.random() < 0.125 and not restless:
        return Plan(healed=start)
    links = Links(
        latency=rng.uniform(0.005, 0.08),
        loss=rng.choice((0.0, 0.01, 0.05)),
        duplicate=rng.choice((0.0, 0.02, 0.1)),
        tail=rng.choice((0.0, 0.02, 0.05)),
        gossip_reach=rng.choice((1.0, 0.9, 0.6)),
        fetch_failure=rng.choice((0.0, 0.1, 0.3)),
    )
    cuts, crashes, offline, reorgs = [], [], [], []
    for _ in range(rng.choice((0, 0, 1, 2))):
        begin = start + rng.uniform(0.05, 0.8) * heal_after
        end = min(healed, begin + rng.uniform(3, 90))
        side = frozenset(rng.sample(peers, rng.randint(1, max(1, len(peers) // 2))))
        cuts.append(Cut(begin, end, rng.choice(("both", "out", "in", "gossip")), side))
    for peer in peers:
        for _ in range(10 if restless else rng.choice((0, 0, 0, 1, 2))):
            begin = start + rng.uniform(0.02, 0.9) * heal_after
            if restless:
                crashes.append(Crash(peer, begin, begin + rng.uniform(0.1, 3), mid_batch=True))
                continue
            end = min(healed, begin + rng.choice((rng.uniform(0.1, 5), rng.uniform(5, 120))))
            crashes.append(Crash(peer, begin, end, rng.random() < 0.6))
        if rng.random() < 0.2:
            begin = start + rng.uniform(0.05, 0.8) * heal_after
            offline.append(Offline(peer, begin, min(healed, begin + rng.uniform(2, 120))))
    confirmations = rng.choice((1, 2, 4))
    for _ in range(rng.choice((0, 1, 4)) if confirmations > 1 else 0):
        moment = start + rng.uniform(0.02, 0.95) * heal_after
        reorgs.append((moment, rng.randint(1, confirmations - 1)))
    chain = Chain(rng.choice((0.5, 2.0, 5.0)), confirmations, rng.choice((0.2, 1.0, 4.0)), tuple(sorted(reorgs)))
    return Plan(links, tuple(cuts), tuple(crashes), tuple(offline), chain, healed)
