"""Whom we would tell others about, and whom we ask first: a Kademlia table of peers that were dialled and answered.

Nobody enters it by being talked about. Who is in stays in while it answers, so newcomers can't push out the old; and of
one public network few get in, so that somebody with many keys at one place does not fill it (libp2p spec, kad-dht;
Maymounkov and Mazières 2002, section 2.4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from libp2p.peer.id import ID

from p2p.events import Peer
from p2p.places import Scope, scope_of_place

K = 20
"""Peers in a bucket, and in an answer."""
_GIVEN_UP = 2
"""Failures in a row."""
KEY_BITS = 256


@dataclass(slots=True)
class Entry:
    """One peer of the table."""

    peer: Peer
    place: str
    """The multiaddr where it was reached."""
    failures: int = 0


def key_of(raw: bytes) -> int:
    """Where bytes (of a peer id, for instance) lie: their SHA-256, as a number. Distance is the XOR of two of these."""
    return int.from_bytes(sha256(raw).digest(), "big")


def key_of_peer(peer: Peer) -> int:
    """Where a peer lies."""
    return key_of(ID.from_base58(peer.id).to_bytes())


class Table:
    """Peers in buckets by their distance from us."""

    def __init__(self, own: int, per_network: int) -> None:
        self._own = own
        self._per_network = per_network
        self._buckets: dict[int, dict[bytes, Entry]] = defaultdict(dict)

    def answered(self, peer: Peer, place: str) -> bool:
        """Note that a peer answered at a place where it can be dialled; whether it is in the table now."""
        bucket = self._buckets[self._distance(peer)]
        if (known := bucket.get(peer.address)) is not None:
            known.place, known.failures = place, 0
            return True
        network = public_network_of(place)
        if network is not None and sum(public_network_of(e.place) == network for e in self) >= self._per_network:
            return False
        if len(bucket) >= K:
            weak = next((each for each, entry in bucket.items() if entry.failures), None)
            if weak is None:
                return False
            del bucket[weak]
        bucket[peer.address] = Entry(peer, place)
        return True

    def failed(self, peer: Peer) -> None:
        """Note that it did not answer; after two times in a row it is out."""
        bucket = self._buckets[self._distance(peer)]
        if (entry := bucket.get(peer.address)) is not None:
            entry.failures += 1
            if entry.failures >= _GIVEN_UP:
                del bucket[peer.address]

    def closest(self, key: int, count: int = K) -> list[Entry]:
        """The nearest to ``key``, nearest first."""
        return sorted(self, key=lambda entry: key_of_peer(entry.peer) ^ key)[:count]

    def _distance(self, peer: Peer) -> int:
        return (key_of_peer(peer) ^ self._own).bit_length()

    def __iter__(self) -> Iterator[Entry]:
        return (entry for bucket in self._buckets.values() for entry in bucket.values())

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))


def public_network_of(place: str) -> str | None:
    """The network of 24 (IPv6: 48) bits that a place on the internet belongs to; None for nearer places and names."""
    if scope_of_place(place) is not Scope.INTERNET:
        return None
    packed = ip_address(place.split("/")[2].split("%")[0]).packed
    return packed[:3].hex() if len(packed) == 4 else packed[:6].hex()
