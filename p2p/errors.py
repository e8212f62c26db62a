"""What can go wrong between two peers, told apart by whose fault it is."""

from __future__ import annotations

from protocol.errors import Misuse, PeerFault


class Unreachable(PeerFault):
    """Nobody answered in time at any address we know, or the answer was no; carries the 20-byte address."""

    def __init__(self, address: bytes, why: str) -> None:
        super().__init__(f"0x{address.hex()} can't be reached: {why}")
        self.address = address
        self.why = why


class NotTheirs(PeerFault):
    """Somebody gave out an address where, by its own peer id, somebody else lives."""


class NotDialable(PeerFault):
    """A multiaddr that this host can't dial: not TCP, no peer id, or not a multiaddr at all."""


class BrokenFrame(PeerFault):
    """A frame that is longer than agreed, or that stopped halfway."""


class SlowFrame(BrokenFrame):
    """A frame that began and did not end in time; the network may be at fault."""


class BrokenGossip(PeerFault):
    """Gossip that can't be decoded, proven, or that the validator turned down."""


class TooFast(PeerFault):
    """More streams, messages or bytes in a second than anybody may send."""


class FrameTooLong(Misuse):
    """We tried to send more than one frame or one gossip message may hold."""


class UnknownName(Misuse):
    """We used a protocol or a topic that the host was not opened with."""


class CantListen(Misuse):
    """None of the multiaddrs to listen on could be opened: taken, not ours, or not TCP."""


class WrongLibrary(Misuse):
    """Another release of the library than the one whose faults are mended here."""
