"""Which peer id belongs to which address: agents know addresses, people and the network know peer ids."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from p2p.events import Peer
from protocol.errors import PeerFault
from protocol.identity import Address, PeerId, address_of_peer, show

MOST_PEERS = 20_000


class Directory:
    """Peer ids by address; what was used longest ago is forgotten first."""

    def __init__(self) -> None:
        self._ids: OrderedDict[Address, PeerId] = OrderedDict()
        self._places: dict[Address, tuple[str, ...]] = {}

    def met(self, peer: Peer) -> None:
        """A proven peer."""
        self._note(Address(peer.address), PeerId(peer.id))

    def learn(self, address: Address, places: Sequence[str]) -> None:
        """Multiaddrs that an author signed; each ends in its peer id."""
        for place in places:
            peer_id = PeerId(place.rpartition("/p2p/")[2])
            try:
                if address_of_peer(peer_id) == address:
                    self._note(address, peer_id)
                    self._places[address] = tuple(places)
            except PeerFault:
                continue

    def places(self, address: Address) -> tuple[str, ...]:
        """The multiaddrs that it signed last; empty where it never did."""
        return self._places.get(address, ())

    def everybody(self) -> dict[Address, tuple[str, ...]]:
        """All whose places are known."""
        return dict(self._places)

    def peer_id(self, address: Address) -> PeerId | None:
        """The peer id that was seen with an address."""
        return self._ids.get(address)

    def name(self, address: Address) -> str:
        """The peer id if it is known, else the address in hex."""
        return self._ids.get(address) or show(address)

    def _note(self, address: Address, peer_id: PeerId) -> None:
        self._ids[address] = peer_id
        self._ids.move_to_end(address)
        if len(self._ids) > MOST_PEERS:
            forgotten, _ = self._ids.popitem(last=False)
            self._places.pop(forgotten, None)
