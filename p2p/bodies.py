"""Gossip that carries ids: a topic says what there is to hear, and everybody pulls each body once from who told them.

    publisher:  publish(topic, body) ── many bodies, one message of ids on "<topic>/ids" ──>
    neighbour:  ids I don't hold? ── ask the forwarder over /lilypad/offers/1 ── all there and valid? ── pass the ids on

Ids are passed on only by those who hold the bodies, so whoever tells of an id can be asked for it. One who gives
something else is to blame; one who gives nothing is not asked for a while. In a small network, and for small bodies,
the body itself is the message; see `Settings`.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, Protocol

import trio

from p2p.errors import BrokenFrame, BrokenGossip, TooFast, Unreachable
from p2p.events import Peer
from p2p.frames import Ended, FrameStream
from p2p.rates import Limiter
from p2p.settings import Settings
from p2p.statistics import Counters
from p2p.trust import points_for
from protocol.errors import PeerFault

PROTOCOL = "/lilypad/offers/1"
"""Request: a frame of ids. Answer: for each of them, in this order, a frame with the body, or an empty one."""
IDS = "/ids"
ID_SIZE = 20
"""Bytes: the head of a body's SHA-256. Long enough against a second body for a known id."""
IDS_A_MESSAGE = 64
_ASKED_AT_ONCE = 32
"""Bodies in one question: not so many that a slow line can't bring them in time."""
_FIRST_SILENCE = 1.0
_LONGEST_SILENCE = 60.0
"""Seconds for which a peer that told of bodies and gave none is not asked again: twice as long each time. The first is
short: a machine that was busy for a moment is not to miss what its neighbours still tell of.
"""
_CROWD = 1024
"""Publishers that are told apart when a network's size is guessed."""


class Lines(Protocol):
    """What this module asks of the host it serves."""

    settings: Settings
    counters: Counters

    async def open_stream(self, to: bytes, protocol: str, *, dial: bool) -> Any:
        """A new stream to a peer; raises `Unreachable`."""

    def blame(self, peer_id: Any, fault: PeerFault, points: float) -> None:
        """A peer did something that it must not."""

    def heard(self, topic: str, data: bytes) -> None:
        """A body that nobody knew yet."""


@dataclass(slots=True)
class _Body:
    topic: str
    data: bytes
    until: float


@dataclass(frozen=True, slots=True)
class _Silence:
    times: int
    until: float
    """Trio's clock; until then nothing that this peer tells of is asked for."""


class Store:
    """Bodies by id, bounded in bytes and in time; the longest unused goes first."""

    def __init__(self, room: int, life: float) -> None:
        self._room = room
        self._life = life
        self._held = 0
        self._bodies: OrderedDict[bytes, _Body] = OrderedDict()

    def put(self, topic: str, data: bytes) -> bytes:
        """Keep a body; gives its id."""
        key, now = id_of(data), trio.current_time()
        known = self._bodies.get(key)
        if known is None:
            self._bodies[key] = _Body(topic, data, now + self._life)
            self._held += len(data)
        else:
            known.until = now + self._life
        self._bodies.move_to_end(key)
        while self._held > self._room or next(iter(self._bodies.values())).until <= now:
            _, gone = self._bodies.popitem(last=False)
            self._held -= len(gone.data)
        return key

    def get(self, key: bytes, *, refresh: bool = False) -> bytes | None:
        """The body, unless it is unknown or too old; ``refresh``: somebody said it anew, so that it lives on."""
        body = self._bodies.get(key)
        if body is None or body.until <= trio.current_time():
            return None
        if refresh:
            body.until = trio.current_time() + self._life
            self._bodies.move_to_end(key)
        return body.data

    def __len__(self) -> int:
        return len(self._bodies)


class Bodies:
    """Announces our bodies, pulls those of others, and serves both."""

    def __init__(
        self,
        lines: Lines,
        validate: Callable[[str, bytes], bool],
        say: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        settings = lines.settings
        self._lines = lines
        self._settings = settings
        self._validate = validate
        self._say = say
        self._own = Store(settings.bodies_room, settings.body_life)  # strangers' bodies can't push these out
        self._others = Store(settings.bodies_room, settings.body_life)
        self._waiting: dict[str, dict[bytes, None]] = defaultdict(dict)
        self._more = trio.Event()
        self._pulling: dict[bytes, trio.Event] = {}
        self._asking: dict[bytes, _Asker] = {}
        self._silent: dict[bytes, _Silence] = {}
        self._crowd: OrderedDict[bytes, float] = OrderedDict()
        self._ids_in = Limiter(settings.ids_in)
        self._bytes_out = Limiter(settings.bodies_out)

    # -- publishing -----------------------------------------------------------------------------------------------

    def worth_an_id(self, data: bytes, listeners: int) -> bool:
        """Whether to announce this body instead of sending it to everybody."""
        large = len(data) > self._settings.announce_bytes
        return large or max(listeners, self._publishers()) > self._settings.announce_peers

    def offer(self, topic: str, data: bytes) -> None:
        """Announce a body shortly, together with others."""
        self._waiting[topic][self._own.put(topic, data)] = None
        self._more.set()

    async def announce_for_ever(self) -> None:
        """Say what is on offer, several ids a message."""
        while True:
            await self._more.wait()
            await trio.sleep(self._settings.announce_within)
            self._more = trio.Event()
            waiting, self._waiting = self._waiting, defaultdict(dict)
            for topic, keys in waiting.items():
                ids = list(keys)
                for start in range(0, len(ids), IDS_A_MESSAGE):
                    self._lines.counters.ids_out += len(ids[start : start + IDS_A_MESSAGE])
                    await self._say(topic + IDS, b"".join(ids[start : start + IDS_A_MESSAGE]))

    # -- hearing --------------------------------------------------------------------------------------------------

    def met(self, publisher: bytes) -> None:
        """Somebody published something; that is how we know how many there are."""
        now = trio.current_time()
        self._crowd[publisher] = now
        self._crowd.move_to_end(publisher)
        while len(self._crowd) > _CROWD or next(iter(self._crowd.values())) < now - self._settings.remember_for:
            self._crowd.popitem(last=False)

    def keep(self, topic: str, data: bytes) -> None:
        """A body came as gossip: now it needs no pulling."""
        self._others.put(topic, data)

    async def holds_all(self, forwarder: Any, address: bytes, topic: str, data: bytes) -> bool:
        """Whether we hold every body that ``data`` on ``<topic>/ids`` tells of, after asking the forwarder for what was
        missing. Each body is asked for once at a time, whoever tells of it.
        """
        if self._is_silent(address):
            return False
        ids = list(dict.fromkeys(data[start : start + ID_SIZE] for start in range(0, len(data), ID_SIZE)))
        if not self._ids_in.take(address, len(ids), trio.current_time()):
            self._lines.counters.gossip_too_fast += 1
            self._lines.blame(forwarder, TooFast("ids"), 0.1)
            return False
        for _ in range(2):  # once more, if somebody else was asked first and could not give it
            missing = [key for key in ids if self._get(key, refresh=True) is None]
            ours = [key for key in missing if key not in self._pulling]
            others = [self._pulling[key] for key in missing if key in self._pulling]
            if ours:
                await self._pull(forwarder, address, topic, ours)
            for event in others:
                with trio.move_on_after(2 * self._settings.pull_within):
                    await event.wait()
            if not others:
                break
        return all(self._get(key) is not None for key in ids)

    async def _pull(self, forwarder: Any, address: bytes, topic: str, ids: list[bytes]) -> None:
        """Ask one peer, who is asked one question at a time: whose turn it is asks for what waits behind it, too."""
        for key in ids:
            self._pulling[key] = trio.Event()
        asker = self._asking.get(address) or self._asking.setdefault(address, _Asker(self._lines, address))
        asker.wanted.update(dict.fromkeys(ids, topic))
        try:
            async with asker.turn:
                # once it gave nothing, what waited behind that is not asked for
                while not self._is_silent(address) and any(key in asker.wanted for key in ids):
                    await self._ask(asker, forwarder, address)
        finally:
            for key in ids:
                asker.wanted.pop(key, None)
                self._pulling.pop(key).set()

    async def _ask(self, asker: _Asker, forwarder: Any, address: bytes) -> None:
        wanted = asker.next()
        try:
            with trio.move_on_after(self._settings.pull_within) as slow:
                bodies = await asker.ask(list(wanted))
                for (key, topic), body in zip(wanted.items(), bodies, strict=True):
                    if body:
                        self._take(topic, key, body)
                if all(bodies):
                    self._silent.pop(address, None)
                else:
                    self._gave_nothing(address)
            if slow.cancelled_caught:
                self._asking.pop(address, None)
                self._gave_nothing(address)
        except (Ended, Unreachable):
            self._asking.pop(address, None)  # the line broke: nobody's fault
        except PeerFault as fault:
            self._lines.counters.gossip_broken += 1
            self._lines.blame(forwarder, fault, 2.0)

    def _is_silent(self, address: bytes) -> bool:
        return address in self._silent and trio.current_time() < self._silent[address].until

    def _gave_nothing(self, address: bytes) -> None:
        """Not blamed: a network that parted looks the same, and whoever floods a peer can push out what it had. But it
        costs the peer its hearing, for longer each time.
        """
        times = self._silent[address].times + 1 if address in self._silent else 1
        wait = min(_FIRST_SILENCE * 2.0 ** min(times - 1, 16), _LONGEST_SILENCE)
        self._silent[address] = _Silence(times, trio.current_time() + wait)

    def _take(self, topic: str, key: bytes, body: bytes) -> None:
        if id_of(body) != key:
            raise BrokenGossip("told of one body and gave another")
        if len(body) > self._settings.gossip_cap or not self._validate(topic, body):
            raise BrokenGossip("told of a body that is not worth passing on")
        self._lines.counters.bodies_in += 1
        self._others.put(topic, body)
        self._lines.heard(topic, body)

    # -- serving --------------------------------------------------------------------------------------------------

    async def accepted(self, stream: Any, peer: Peer) -> None:
        """Answer one neighbour's requests until its stream ends."""
        frames = FrameStream(stream, self._settings)
        try:
            while True:
                for key in _ids_in(await frames.read()):
                    body = self._get(key) or b""
                    wait = self._bytes_out.borrow(peer.address, len(body) + ID_SIZE, trio.current_time())
                    await trio.sleep(wait)
                    with trio.fail_after(self._settings.send_within):
                        await frames.write(body)
                    self._lines.counters.bodies_out += bool(body)
        except PeerFault as fault:
            frames.broken = True
            self._lines.blame(peer.id, fault, points_for(fault))
        except (Ended, trio.TooSlowError):
            pass
        finally:
            await frames.close()

    def forget(self, address: bytes) -> None:
        """A peer left."""
        self._asking.pop(address, None)
        self._silent.pop(address, None)

    def _get(self, key: bytes, *, refresh: bool = False) -> bytes | None:
        return self._own.get(key) or self._others.get(key, refresh=refresh)

    def _publishers(self) -> int:
        return len(self._crowd)


class _Asker:
    """Our stream to one neighbour; one request at a time, for whoever holds ``turn``."""

    def __init__(self, lines: Lines, address: bytes) -> None:
        self._lines = lines
        self._address = address
        self.turn = trio.Lock()
        self.wanted: dict[bytes, str] = {}
        """Ids that wait to be asked for, and on which topic they were told."""
        self._frames: FrameStream | None = None

    def next(self) -> dict[bytes, str]:
        """The first ids that wait, which wait no longer."""
        return {key: self.wanted.pop(key) for key in list(islice(self.wanted, _ASKED_AT_ONCE))}

    async def ask(self, ids: list[bytes]) -> list[bytes]:
        """The bodies, empty where there is none. Raises `Unreachable`, `Ended`, `BrokenFrame`."""
        if self._frames is None:
            stream = await self._lines.open_stream(self._address, PROTOCOL, dial=False)
            self._frames = FrameStream(stream, self._lines.settings)
        frames, whole = self._frames, False
        try:
            await frames.write(b"".join(ids))
            bodies = [await frames.read() for _ in ids]
            whole = True
            return bodies
        finally:
            if not whole:  # the next request would get this one's answers
                self._frames = None
                with trio.CancelScope(shield=True):
                    await frames.reset()


def id_of(body: bytes) -> bytes:
    """What a body is announced by."""
    return sha256(body).digest()[:ID_SIZE]


def well_formed(data: bytes) -> bool:
    """Whether these may be ids."""
    return 0 < len(data) <= IDS_A_MESSAGE * ID_SIZE and len(data) % ID_SIZE == 0


def _ids_in(request: bytes) -> Iterable[bytes]:
    if not well_formed(request):
        raise BrokenFrame("a request that is no list of ids")
    return [request[start : start + ID_SIZE] for start in range(0, len(request), ID_SIZE)]
