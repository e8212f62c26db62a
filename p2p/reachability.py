"""What a host can honestly say about whether others reach it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from p2p.places import Scope, scope_of_place


class Lan(Enum):
    """Whether peers on the local network find each other by multicast DNS."""

    OFF = "off"
    ON = "on"
    FAILED = "no network to speak on"


@dataclass(slots=True)
class LanView:
    """How that goes, now."""

    state: Lan = Lan.OFF
    found: int = 0
    """Services of others that were noticed."""


@dataclass(frozen=True, slots=True)
class Reachability:
    """Facts, each seen and none inferred: being listened on does not make an address reachable."""

    listening: tuple[str, ...]
    """Multiaddrs that we give out."""
    dialled_from: frozenset[Scope]
    """From how far away somebody has dialled us since the host was opened."""
    relayed: tuple[str, ...] = ()
    """Multiaddrs through relays that hold a place for us at this moment."""
    seen_at: tuple[str, ...] = ()
    """Multiaddrs (without ``/p2p``) at which peers see us, by their own word."""
    asked: int = 0
    """Peers that were asked to dial us back."""
    reached: int = 0
    """Those of them that got through."""
    relays_wanted: int = 0
    """Relays that our owner named."""
    punched: int = 0
    """Direct connections made through routers on both sides, after a relay had introduced us."""
    punches_failed: int = 0
    dht: bool = False
    """Whether we take part in the DHT."""
    dht_peers: int = 0
    """Peers of our table: each was dialled and answered."""
    dht_answered: int = 0
    """Peers that answered in the last lookup."""
    lan: Lan = Lan.OFF
    lan_found: int = 0
    """Services of other peers that were noticed on the local network."""

    @property
    def behind_router(self) -> bool | None:
        """Whether others see us at an IP that is not ours; None if nobody has said."""
        if not self.seen_at:
            return None
        own = {place.split("/")[2] for place in self.listening}
        return not any(place.split("/")[2] in own for place in self.seen_at)

    @property
    def dialable(self) -> bool | None:
        """Whether peers that were asked to dial us got through; None if none was asked yet."""
        return self.reached > 0 if self.asked else None

    def sentence(self) -> str:
        """The same for people."""
        return "; ".join(self.sentences())

    def sentences(self) -> list[str]:
        """One for each fact."""
        found = [self._direct()]
        if self.asked:
            found.append(f"{self.reached} of {self.asked} peers asked could dial it")
        if self.behind_router:
            found.append(f"behind a router: seen at {self.seen_at[0]}")
        if self.relays_wanted or self.relayed:
            found.append(
                f"reachable through {len(self.relayed)} relay(s) of {max(self.relays_wanted, len(self.relayed))}"
            )
        if self.punched or self.punches_failed:
            found.append(f"{self.punched} holes punched, {self.punches_failed} failed")
        return found

    def finders(self) -> list[str]:
        """How others are found, for people."""
        dht = f"{self.dht_peers} peers in the table, {self.dht_answered} answered last" if self.dht else "off"
        lan = f"{self.lan.value}, {self.lan_found} found" if self.lan is Lan.ON else self.lan.value
        return [f"DHT: {dht}", f"local network: {lan}"]

    def _direct(self) -> str:
        if not self.listening:
            return "does not listen: others can't dial this node"
        seen = max(self.dialled_from, default=None)
        match seen:
            case None:
                return "listens; nobody has dialled this node yet"
            case Scope.MACHINE:
                return "listens; dialled from this machine only so far"
            case Scope.NETWORK:
                return "listens; dialled from the local network, not from the internet so far"
            case Scope.INTERNET:
                return "listens; dialled from the internet"

    @property
    def widest(self) -> Scope | None:
        """How far the places reach that we give out; None if there are none."""
        return max((scope for place in self.listening if (scope := scope_of_place(place)) is not None), default=None)
