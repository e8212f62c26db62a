"""What a host looks like from outside: the address that others see it at, and whether they can dial it back.

    identify:  them ── "I see you at /ip4/203.0.113.7/tcp/4001; I live at …; I speak …"
    dial back: us ── "do I live at these places?" ──> them ── dial the place at the IP that we come from ── yes or no

Both are the libp2p specifications' (identify, AutoNAT v1), so any implementation may be asked. One peer's word is one
peer's word: it is counted, and nothing changes because of it but what we tell our user, and where a hole is punched.
For others we dial only the IP that they come from, which is theirs to have dialled, and not often.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

import trio
from libp2p.host.autonat.pb.autonat_pb2 import Message
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from p2p.errors import Unreachable
from p2p.events import Peer
from p2p.places import network_of, tcp_place
from p2p.rates import Bucket, Limiter
from p2p.settings import Settings
from protocol.errors import PeerFault

AUTONAT = "/libp2p/autonat/1.0.0"
_MOST_PLACES = 8
_WITHIN = 10.0
_TOGETHER = 64
"""Peers that may wait to be asked who they are."""
_WITNESSES = 32
"""Peers whose word is remembered."""


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    peer_id: str
    addrs: tuple[str, ...]

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    async def prove(self, peer: Peer, place: str) -> None:
        """That we can dial that peer there, on a connection of its own; raises `Unreachable`."""

    def remote_ip(self, address: bytes) -> str | None:
        """The IP at the other end of a connection; empty through a relay."""

    def learn(self, address: bytes, addrs: list[str]) -> None:
        """Note where a peer may live."""

    def vouch(self, peer: Peer, place: str) -> None:
        """Note that a peer says from the IP of this place that it lives there."""

    def peers(self) -> tuple[Peer, ...]:
        """Whoever is connected."""


class Outside:
    """Asks new peers how they see us, and some of them to dial us; answers both."""

    def __init__(self, lines: Lines, rng: random.Random) -> None:
        self._lines = lines
        self._settings = lines.settings
        self._rng = rng
        self._seen: OrderedDict[bytes, str] = OrderedDict()
        self.reached_by: OrderedDict[bytes, bool] = OrderedDict()
        """Peers that were asked to dial us, and whether they got through."""
        self._able: OrderedDict[bytes, Peer] = OrderedDict()
        self._say, self._hear = trio.open_memory_channel[Peer](_TOGETHER)
        self._asked_by = Limiter(lines.settings.dial_backs_each)
        self._dials = Bucket(lines.settings.dial_backs, 0.0)

    def seen_at(self) -> tuple[str, ...]:
        """Multiaddrs (without ``/p2p``) at which others see us, the most often seen first."""
        places = list(self._seen.values())
        return tuple(sorted(dict.fromkeys(places), key=places.count, reverse=True))

    # -- asking -------------------------------------------------------------------------------------------------------

    def met(self, peer: Peer) -> None:
        """Somebody is connected: ask who they are when there is time."""
        with suppress(trio.WouldBlock):
            self._say.send_nowait(peer)

    async def ask_for_ever(self) -> None:
        """One peer after another, as they come."""
        async for peer in self._hear:
            with trio.move_on_after(_WITHIN), suppress(PeerFault):
                await self._identify(peer)

    async def _identify(self, peer: Peer) -> None:
        stream = await self._lines.open_stream(peer.address, IDENTIFY, dial=False)
        told = await _conversation(stream, None, Identify)
        ip = self._lines.remote_ip(peer.address)
        if seen := tcp_place(told.observed_addr):
            _remember(self._seen, peer.address, seen)
        for raw in told.listen_addrs[:_MOST_PLACES]:
            place = f"{tcp_place(raw)}/p2p/{peer.id}"
            if ip and place.split("/")[2:3] == [ip]:
                with suppress(PeerFault):
                    self._lines.learn(peer.address, [place])
                    self._lines.vouch(peer, place)
                break
        if AUTONAT in told.protocols[:256]:
            _remember(self._able, peer.address, peer)

    async def ask_to_be_dialled_for_ever(self) -> None:
        """Ask a few peers, one after another, now and then."""
        while True:
            await trio.sleep(self._settings.dial_back_every / 20 if not self.reached_by else 0)
            connected = {peer.address for peer in self._lines.peers()}
            able = [peer for address, peer in self._able.items() if address in connected]
            for peer in self._rng.sample(able, min(3, len(able))):
                with trio.move_on_after(_WITHIN), suppress(PeerFault):
                    await self.ask_to_be_dialled(peer)
            if self.reached_by:
                await trio.sleep(self._settings.dial_back_every * (0.5 + self._rng.random()))

    async def ask_to_be_dialled(self, peer: Peer) -> bool | None:
        """Whether this peer can dial us; None if it would not try. Raises `Unreachable` if it does not answer."""
        stream = await self._lines.open_stream(peer.address, AUTONAT, dial=False)
        places = [Multiaddr(place.split("/p2p/")[0]).to_bytes() for place in self._own_places()]
        question = Message(type=Message.DIAL)
        question.dial.peer.id = ID.from_base58(self._lines.peer_id).to_bytes()
        question.dial.peer.addrs.extend(places)
        answer = (await _conversation(stream, question, Message)).dialResponse.status
        if answer not in (Message.OK, Message.E_DIAL_ERROR):
            return None
        _remember(self.reached_by, peer.address, answer == Message.OK)
        return bool(answer == Message.OK)

    def _own_places(self) -> list[str]:
        """Where we listen, and the same ports at the IPs that others see: a router may forward them."""
        ports = dict.fromkeys(place.split("/")[4] for place in self._lines.addrs)
        outside = [f"/{'/'.join(place.split('/')[1:3])}/tcp/{port}" for place in self.seen_at()[:2] for port in ports]
        return list(dict.fromkeys([*outside, *self._lines.addrs]))[:_MOST_PLACES]

    # -- answering ----------------------------------------------------------------------------------------------------

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """Dial one peer back, if it is its turn; the rest of the specification's server is not needed."""
        try:
            with trio.move_on_after(_WITHIN + 2):
                with trio.fail_after(5):
                    question = await read_delimited_msg(stream, Message)
                status = await self._dial_back(question, peer)
                answer = Message(type=Message.DIAL_RESPONSE)
                answer.dialResponse.status = status
                await write_delimited_msg(stream, answer)
        except Exception:  # whatever the library makes of a stranger's stream; it only loses that
            pass
        finally:
            await _close(stream)

    async def _dial_back(self, question: Any, peer: Peer) -> Any:
        ip, now = self._lines.remote_ip(peer.address), trio.current_time()
        if question.type != Message.DIAL or question.dial.peer.id not in (b"", ID.from_base58(peer.id).to_bytes()):
            return Message.E_BAD_REQUEST
        # through a relay we do not know where it is
        if not ip or not self._asked_by.take(network_of(ip), 1, now) or not self._dials.take(1, now):
            return Message.E_DIAL_REFUSED
        places = list(_at(ip, map(tcp_place, question.dial.peer.addrs[:_MOST_PLACES])))[:2]
        if not places:
            return Message.E_DIAL_REFUSED
        for place in places:
            with suppress(Unreachable), trio.move_on_after(_WITHIN / 2):
                await self._lines.prove(peer, f"{place}/p2p/{peer.id}")
                return Message.OK
        return Message.E_DIAL_ERROR


async def _conversation(stream: Any, question: Any, kind: Any) -> Any:
    """Say one thing, hear one thing of at most 64 KiB. Raises `Unreachable`."""
    try:
        if question is not None:
            await write_delimited_msg(stream, question)
        return await read_delimited_msg(stream, kind)
    except Exception as error:  # whatever the library makes of a stranger's answer
        raise Unreachable(b"", f"no answer: {error!r}") from error
    finally:
        await _close(stream)


async def _close(stream: Any) -> None:
    with trio.CancelScope(shield=True), trio.move_on_after(1.0), suppress(Exception):
        await stream.close()


def _at(ip: str, places: Iterable[str]) -> Iterable[str]:
    return (place for place in dict.fromkeys(places) if place and place.split("/")[2] == ip)


def _remember(words: OrderedDict[bytes, Any], address: bytes, word: Any) -> None:
    words[address] = word
    words.move_to_end(address)
    while len(words) > _WITNESSES:
        words.popitem(last=False)
