"""What the corrected classes ask of, and tell, the host that owns them."""

from __future__ import annotations

from typing import Any, Protocol

from p2p.settings import Settings
from p2p.statistics import Counters
from protocol.errors import PeerFault


class Watch(Protocol):
    """What the corrected classes ask of, and tell, the host that owns them; nothing here may raise."""

    settings: Settings
    counters: Counters

    def admits_ip(self, ip: str) -> bool:
        """Whether a new connection from this IP may begin its handshake."""

    def admits_peer(self, peer_id: Any, ip: str) -> bool:
        """Whether a proven peer may stay connected."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def gossiped(self, topic: str, data: bytes, publisher: bytes) -> None:
        """A valid message of somebody else; ``publisher``: the bytes of the peer id that signed it."""

    def takes_time(self, topic: str) -> bool:
        """Whether messages on this topic are to be settled before they are passed on."""

    async def settle(self, forwarder: Any, topic: str, data: bytes) -> bool:
        """Whether everything that a message needs is here now, and it may be passed on."""
