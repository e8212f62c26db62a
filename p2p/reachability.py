"""What a host can honestly say about whether others reach it."""

from __future__ import annotations

from dataclasses import dataclass

from p2p.places import Scope


@dataclass(frozen=True, slots=True)
class Reachability:
    """Facts, each seen and none inferred: being listened on does not make an address reachable."""

    listening: tuple[str, ...]
    """Multiaddrs that we give out."""
    dialled_from: frozenset[Scope]
    """From how far away somebody has dialled us since the host was opened."""
    relayed: tuple[str, ...] = ()
    """Multiaddrs through relays that hold a place for us at this moment."""

    def sentence(self) -> str:
        """The same for people."""
        through = f"; reachable through {len(self.relayed)} relay(s)" if self.relayed else ""
        return self._direct() + through

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
