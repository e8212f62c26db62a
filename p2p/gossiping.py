"""Gossip in and out of a host: what its owner says, what is worth hearing, and what waits until its body is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from p2p import bodies
from p2p.errors import BrokenGossip, FrameTooLong, UnknownName
from p2p.events import Heard, HostEvent
from p2p.machinery import Machinery
from p2p.settings import Settings
from p2p.statistics import Counters
from protocol.errors import PeerFault
from protocol.identity import address_of_peer

Validate = Callable[[str, bytes], bool]
"""Topic and data of a gossip message: may it be heard and passed on? Must be quick; an exception counts as no."""


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters
    machinery: Machinery

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def heard(self, topic: str, data: bytes) -> None:
        """A body that nobody knew yet."""


def wire_topics(topics: Sequence[str]) -> tuple[str, ...]:
    """The topics of our owner, and for each the one where ids are told."""
    return (*topics, *(topic + bodies.IDS for topic in topics))


class Gossip:
    """What one host says and hears."""

    def __init__(
        self, lines: Lines, topics: Sequence[str], validate: Validate, say: trio.MemorySendChannel[HostEvent]
    ) -> None:
        self._settings = lines.settings
        self._counters = lines.counters
        self._pubsub = lines.machinery.pubsub
        self._topics = frozenset(topics)
        self._validate = validate
        self._say = say
        self.bodies = bodies.Bodies(lines, validate, self._pubsub.publish)
        for topic in wire_topics(topics):
            self._pubsub.set_topic_validator(topic, self._judge, False)

    async def publish(self, topic: str, data: bytes) -> None:
        """As `Host.publish`."""
        if topic not in self._topics:
            raise UnknownName(topic)
        if len(data) > self._settings.gossip_cap:
            raise FrameTooLong(f"{len(data)} bytes, where {self._settings.gossip_cap} are allowed")
        self._counters.gossip_out += 1
        if self.bodies.worth_an_id(data, len(self._pubsub.peer_topics.get(topic, ()))):
            self.bodies.offer(topic, data)
            await trio.lowlevel.checkpoint()
        else:
            await self._pubsub.publish(topic, data)

    def gossiped(self, topic: str, data: bytes, publisher: bytes) -> None:
        """A message of somebody else: a body, or ids whose bodies we hold by now."""
        self.bodies.met(publisher)
        if topic in self._topics:
            self.bodies.keep(topic, data)
            self.heard(topic, data)

    def takes_time(self, topic: str) -> bool:
        """Ids do: their bodies are pulled first."""
        return topic not in self._topics

    async def settle(self, forwarder: Any, topic: str, data: bytes) -> bool:
        """Hold the bodies that these ids tell of."""
        if not bodies.well_formed(data):
            raise BrokenGossip("an announcement that is no list of ids")
        address = address_of_peer(str(forwarder))
        return await self.bodies.holds_all(forwarder, address, topic.removesuffix(bodies.IDS), data)

    def heard(self, topic: str, data: bytes) -> None:
        """Pass gossip on to our owner, unless the queue is nearly full: frames can't be lost, gossip can."""
        if self._say.statistics().current_buffer_used >= self._settings.event_queue * 3 // 4:
            self._counters.gossip_late += 1
            return
        try:
            self._say.send_nowait(Heard(topic, data))
        except (trio.WouldBlock, trio.BrokenResourceError, trio.ClosedResourceError):
            self._counters.gossip_late += 1
        else:
            self._counters.gossip_in += 1

    def _judge(self, forwarder: Any, message: Any) -> bool:
        # our own messages come here too; whoever publishes has judged them
        topic = message.topicIDs[0]
        if forwarder == self._pubsub.my_id or self.takes_time(topic):
            return True
        return self._validate(topic, message.data)
