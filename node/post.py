"""The post office of a node: seals what its agents say, opens what others say, keeps each conversation in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import trio

from agents.effects import CastOwn
from agents.events import Event, Got, Heard, Unreached
from node.directory import Directory
from node.keyring import Keyring
from node.keys import Key
from node.supervision import Tasks
from p2p import events as net
from p2p.errors import Unreachable
from p2p.host import Host
from protocol.eip712 import Domain
from protocol.errors import NotSigned, PeerFault
from protocol.identity import Address
from protocol.judging import own_vote
from protocol.messages import Gossip, Message, Opener, Serving, content_named, protocol_of
from protocol.offers import topic_of
from protocol.signing import seal, unseal
from protocol.vault_calls import CastVotes

WAITING = 128
"""Messages that may wait for one peer and protocol; beyond that they count as not delivered."""
IDLE = 60.0
"""Seconds after which a lane without mail is closed."""
FAULT_POINTS = 1.0
"""What one bad message costs a peer's standing."""
_REMEMBERED = 512


class Ear:
    """Decides what gossip is worth passing on, and remembers what it has opened until the node hears it."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._opened: OrderedDict[bytes, Gossip] = OrderedDict()

    def validate(self, topic: str, data: bytes) -> bool:
        """Whether these bytes are an offer for this topic, signed by its author."""
        try:
            offer = self._open(data)
        except PeerFault:
            return False
        if topic_of(offer) != topic:
            return False
        self._opened[data] = offer
        while len(self._opened) > _REMEMBERED:
            self._opened.popitem(last=False)
        return True

    def take(self, data: bytes) -> Gossip:
        """The offer in data that passed `validate`."""
        known = self._opened.pop(data, None)
        return known if known is not None else self._open(data)

    def _open(self, data: bytes) -> Gossip:
        unsealed = unseal(data, self._domain)
        offer = unsealed.message
        if not isinstance(offer, Gossip) or unsealed.author != offer.author:
            raise NotSigned("an offer that its author did not sign")
        return offer


class Post:
    """Messages out and in."""

    def __init__(
        self,
        host: Host,
        ear: Ear,
        domain: Domain,
        key: Key,
        directory: Directory,
        keyring: Keyring,
        tasks: Tasks,
    ) -> None:
        self.gateway = 0
        """Our own HTTP port, filled in where a message names it."""
        self._host = host
        self._ear = ear
        self._domain = domain
        self._key = key
        self._directory = directory
        self._keyring = keyring
        self._tasks = tasks
        self._telling = 0
        self._lanes: dict[tuple[Address, str], trio.MemorySendChannel[tuple[Message, bytes]]] = {}

    def send(self, to: Address, message: Message, failed: Callable[[Event], None]) -> None:
        """Hand a message over, after all earlier ones to the same peer by the same protocol."""
        named = content_named(message, self._domain)
        if named is not None:
            self.share(to, *named, failed)
        lane_name = (to, protocol_of(message))
        frame = self._seal(message)
        lane = self._lanes.get(lane_name)
        if lane is None:
            lane, mail = trio.open_memory_channel[tuple[Message, bytes]](WAITING)
            self._lanes[lane_name] = lane
            self._tasks.start_soon(self._carry, lane_name, mail, failed)
        try:
            lane.send_nowait((message, frame))
        except trio.WouldBlock:
            failed(Unreached(to, message))

    def share(self, to: Address, deal: bytes, cid: str, failed: Callable[[Event], None]) -> None:
        """Send what opens this content, where it is private and ours to pass on."""
        peer_id = self._directory.peer_id(to)
        opener = self._keyring.opener(deal, cid, peer_id) if peer_id is not None else None
        if opener is not None:
            self.send(to, opener, failed)

    def publish(self, offer: Gossip) -> None:
        """Tell everybody."""
        self._tasks.start_soon(self._tell, topic_of(offer), self._seal(offer))

    async def wait_until_said(self) -> None:
        """Until nothing waits to be told or handed over."""
        while self._telling or any(lane.statistics().current_buffer_used for lane in self._lanes.values()):  # noqa: ASYNC110  for a moment, at the end
            await trio.sleep(0.02)

    def open(self, event: net.HostEvent) -> Event | None:
        """What a network event says to the agents; None where it says nothing, or is somebody's fault."""
        match event:
            case net.Heard(_, data):
                return self._heard(data)
            case net.Got(peer, _, frame):
                return self._got(peer, frame)
            case net.PeerJoined(peer):
                self._directory.met(peer)
                return None
            case net.PeerLeft():
                return None

    def own_vote(self, wish: CastOwn) -> CastVotes:
        """Our vote as a call of the vault, signed."""
        return own_vote(wish.deal, wish.pool, wish.seat, wish.vote, self._domain, self._key.sign)

    def _seal(self, message: Message | Gossip) -> bytes:
        if isinstance(message, Serving):
            message = replace(message, gateway=self.gateway)
        return seal(message, self._domain, self._key.sign)

    async def _tell(self, topic: str, data: bytes) -> None:
        self._telling += 1
        try:
            await self._host.publish(topic, data)
        finally:
            self._telling -= 1

    async def _carry(
        self,
        lane_name: tuple[Address, str],
        mail: trio.MemoryReceiveChannel[tuple[Message, bytes]],
        failed: Callable[[Event], None],
    ) -> None:
        to, protocol = lane_name
        while True:
            with trio.move_on_after(IDLE) as idle:
                message, frame = await mail.receive()
            if idle.cancelled_caught:
                del self._lanes[lane_name]
                return
            try:
                await self._host.send(to, protocol, frame)
            except Unreachable:
                failed(Unreached(to, message))

    def _heard(self, data: bytes) -> Heard | None:
        try:
            offer = self._ear.take(data)
        except PeerFault:
            return None
        addresses = getattr(offer, "addresses", ())
        if addresses:
            try:
                self._host.learn(offer.author, addresses)
            except PeerFault:
                return None  # an offer that can't be answered is no offer
            self._directory.learn(offer.author, addresses)
        return Heard(offer)

    def _got(self, peer: net.Peer, frame: bytes) -> Got | None:
        try:
            unsealed = unseal(frame, self._domain)
            message = unsealed.message
            if isinstance(message, Gossip):
                raise NotSigned("an offer does not belong on a stream")
            if unsealed.author not in (None, peer.address):
                raise NotSigned("a message signed by somebody else than its sender")
        except PeerFault as fault:
            self._blame(peer, fault)
            return None
        self._directory.met(peer)
        if isinstance(message, Opener):
            self._opens(peer, message)
            return None
        return Got(Address(peer.address), message)

    def _opens(self, peer: net.Peer, message: Opener) -> None:
        try:
            self._keyring.heard(Address(peer.address), message)
        except PeerFault as fault:
            self._blame(peer, fault)

    def _blame(self, peer: net.Peer, fault: PeerFault) -> None:
        self._host.blame(peer.id, fault, FAULT_POINTS)
