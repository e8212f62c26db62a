"""The real driver (Noise, yamux, gossip, redial) in virtual time over memory: one seed, one trace.

``python tests/p2p/test_determinism.py SEED`` prints the digest of one run. This file alone knows trio's private names.
A collection of garbage in the middle would end generators in tasks of their own, which the scheduler's chance notices:
with it off, a peer that dies and comes back leaves one trace too.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing
from libp2p.abc import IListener, ITransport
from libp2p.connection_types import ConnectionType
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.tools.anyio_service.trio_tasks import BaseTask

from p2p.events import Got, Heard, PeerJoined, PeerLeft
from p2p.host import Host, open_host
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"
EPOCH = 1_700_000_000.0


class _Line(ReadWriteCloser):
    """One end of a connection; every write takes a few milliseconds on the way."""

    def __init__(self, half: trio.StapledStream, ip: str, rng: random.Random) -> None:
        self._half = half
        self._rng = rng
        self._ip = ip
        # what the corrections look for below a connection: something to close, and to ask for the other end
        self.stream = SimpleNamespace(socket=SimpleNamespace(getpeername=lambda: (ip, 1), close=self._sever))
        self._lock = trio.Lock()

    def _sever(self) -> None:
        for part in (self._half.send_stream, self._half.receive_stream):
            part.close()

    async def write(self, data: bytes) -> None:
        async with self._lock:
            await trio.sleep(0.001 + self._rng.random() * 0.004)
            try:
                await self._half.send_all(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionClosedError("cut", transport="memory") from error

    async def read(self, n: int | None = None) -> bytes:
        try:
            return bytes(await self._half.receive_some(n))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""

    async def close(self) -> None:
        self._sever()

    def get_remote_address(self) -> tuple[str, int]:
        return (self._ip, 1)

    def get_transport_addresses(self) -> list[Any]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


class _Net:
    """Who listens where."""

    def __init__(self, seed: int, nursery: trio.Nursery) -> None:
        self._seed = seed
        self._lines = 0
        self.nursery = nursery
        self.listeners: dict[str, Callable[[Any], Awaitable[None]]] = {}

    def delays(self) -> random.Random:
        """Chance of its own for each line: how one dies (in the order of a set) must not reach the others."""
        self._lines += 1
        return random.Random(self._seed * 1_000_000 + self._lines)


class _Memory(ITransport):
    """A transport of the library's kind."""

    def __init__(self, net: _Net) -> None:
        self._net = net

    async def dial(self, maddr: Any) -> RawConnection:
        where = str(maddr).split("/p2p/")[0]
        await trio.sleep(0.002)
        if where not in self._net.listeners:
            raise ConnectionClosedError("nobody listens there", transport="memory")
        near, far = trio.testing.memory_stream_pair()
        self._net.nursery.start_soon(self._net.listeners[where], _Line(far, "10.0.0.99", self._net.delays()))
        return RawConnection(_Line(near, where.split("/")[2], self._net.delays()), True)

    def create_listener(self, handler_function: Any) -> IListener:
        return _Listener(self._net, handler_function)

    def can_dial(self, maddr: Any) -> bool:
        return True

    def can_listen(self, maddr: Any) -> bool:
        return True

    def protocols(self) -> list[str]:
        return ["ip4", "tcp"]


class _Listener(IListener):
    def __init__(self, net: _Net, handler: Any) -> None:
        self._net = net
        self._handler = handler
        self._where: Any = None

    async def listen(self, maddr: Any) -> bool:
        self._where = maddr
        self._net.listeners[str(maddr)] = self._handler
        return True

    def get_addrs(self) -> tuple[Any, ...]:
        return (self._where,)

    async def close(self) -> None:
        self._net.listeners.pop(str(self._where), None)


@asynccontextmanager
async def _peer(net: _Net, number: int, trace: list[str], bootstrap: tuple[str, ...] = ()):
    async with (
        open_host(
            bytes([number]) * 32,
            listen=[f"/ip4/10.0.0.{number}/tcp/4001"],
            protocols=[TALK],
            topics=[OFFERS],
            validate=lambda topic, data: not data.startswith(b"rude"),
            bootstrap=bootstrap,
            settings=Settings(wanted_peers=3, announce_bytes=500),
            transport=_Memory(net),
        ) as host,
        trio.open_nursery() as nursery,
    ):

        async def note() -> None:
            async for event in host.events:
                match event:
                    case Heard(_, data):
                        what = f"heard {data[:12]!r}"
                    case Got(peer, _, frame):
                        what = f"got {frame!r} from {peer.id[-6:]}"
                        if frame.startswith(b"ask"):
                            await host.send(peer.address, TALK, b"answer " + frame)
                    case PeerJoined(peer) | PeerLeft(peer):
                        what = f"{type(event).__name__} {peer.id[-6:]}"
                trace.append(f"{trio.current_time():.6f} {number} {what}")

        nursery.start_soon(note)
        yield host
        nursery.cancel_scope.cancel()


async def _story(seed: int, trace: list[str]) -> None:
    """Six peers meet, gossip and talk; a connection is cut, one peer dies and comes back, time passes."""
    async with trio.open_nursery() as nursery:
        net = _Net(seed, nursery)
        async with AsyncExitStack() as stack:
            hosts: list[Host] = []
            for number in range(1, 6):
                known = tuple(host.addrs[0] for host in hosts[-1:])
                hosts.append(await stack.enter_async_context(_peer(net, number, trace, known)))
            async with _peer(net, 6, trace, (hosts[0].addrs[0],)) as mortal:
                await trio.sleep(5)
                for number, host in enumerate([*hosts, mortal]):
                    await host.publish(OFFERS, b"offer %d" % number)
                    await host.publish(OFFERS, b"long  %d" % number + bytes(1000))
                await hosts[0].send(hosts[1].address, TALK, b"ask 1")
                hosts[2].machinery.swarm.get_connections()[0].muxed_conn.sever()
                await trio.sleep(2)
            await trio.sleep(8)
            # its second life: the same key at the same place, and numbers of messages that go on from the clock
            async with _peer(net, 6, trace, (hosts[0].addrs[0],)) as again:
                await trio.sleep(5)
                for number, host in enumerate([*hosts, again]):
                    await host.publish(OFFERS, b"later %d" % number)
                    await host.publish(OFFERS, b"Long  %d" % number + bytes(1000))
                await again.send(hosts[0].address, TALK, b"ask 2")
                await trio.sleep(10)
            await hosts[4].publish(OFFERS, b"rude")
            await trio.sleep(10)
        nursery.cancel_scope.cancel()


def run(seed: int) -> list[str]:
    """One run; its trace."""
    from trio._core import _run as scheduler

    before = (scheduler._ALLOW_DETERMINISTIC_SCHEDULING, scheduler._r.getstate(), random.getstate())
    clocks, hashing = (time.time, time.time_ns), (ID.__hash__, NetStream.__hash__, BaseTask.__hash__)
    numbers = itertools.count()
    trace: list[str] = []
    gc.collect()
    gc.disable()  # collected generators are ended in tasks of their own, which the scheduler's chance would notice
    try:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True
        scheduler._r.seed(seed)
        random.seed(seed)
        clock = trio.testing.MockClock(autojump_threshold=0)
        time.time = lambda: EPOCH + clock.current_time()  # the library keeps its back-offs by the wall clock
        time.time_ns = lambda: int((EPOCH + clock.current_time()) * 1e9)
        ID.__hash__ = lambda self: int.from_bytes(self.to_bytes()[-8:], "big")  # it keeps peers in sets
        NetStream.__hash__ = lambda self: self.muxed_stream.stream_id  # and streams, by where they lie in memory
        # and a service's tasks, which it cancels in the order of that set: they are numbered as they enter it
        BaseTask.__hash__ = lambda self: self.__dict__.setdefault("number", next(numbers))
        trio.run(_story, seed, trace, clock=clock)
    finally:
        gc.enable()
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before[0]
        scheduler._r.setstate(before[1])
        random.setstate(before[2])
        time.time, time.time_ns = clocks
        ID.__hash__, NetStream.__hash__, BaseTask.__hash__ = hashing
    start = float(trace[0].split()[0])
    return [f"{float(line.split()[0]) - start:.6f} {line.split(' ', 1)[1]}" for line in trace]


def digest(trace: list[str]) -> str:
    return sha256("\n".join(trace).encode()).hexdigest()


def test_one_seed_gives_one_trace_here_and_in_another_process_and_another_seed_another():
    first = run(1)
    assert run(1) == first
    assert run(2) != first
    assert sum(" heard " in line for line in first) == 2 * 6 * 10
    assert any("got b'answer ask 1'" in line for line in first)
    assert any("got b'answer ask 2'" in line for line in first)
    assert any(" PeerLeft " in line for line in first)
    assert not any("rude" in line for line in first)
    elsewhere = subprocess.run(
        [sys.executable, __file__, "1"],
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == digest(first)


if __name__ == "__main__":
    found = run(int(sys.argv[1]))
    if len(sys.argv) > 2:
        print("\n".join(found))
    print(digest(found))
