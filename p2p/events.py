"""What a host tells its owner, as values: something was heard, a frame arrived, somebody came or left."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, proven by the Noise handshake."""

    id: str
    """Base58 peer id of a secp256k1 key."""
    address: bytes
    """20-byte chain address of the same key."""


@dataclass(frozen=True, slots=True)
class Line:
    """One connection with a peer."""

    peer: Peer
    inbound: bool
    """Whether the peer dialled us."""
    ip: str
    """The IP at the other end; empty through a relay."""
    relay_ip: str
    """That of the relay, or empty."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Gossip from somebody else: signed by its sender, past our validator, not heard before."""

    topic: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Got:
    """One whole frame arrived on a stream that either side opened."""

    peer: Peer
    protocol: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """The first connection with a peer stands."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The last connection with a peer is gone."""

    peer: Peer


HostEvent = Heard | Got | PeerJoined | PeerLeft
