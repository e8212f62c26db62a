"""How long the network layer takes, beside py-libp2p as it comes and beside plain TCP, in the same run.

``python benchmarks/p2p.py [--peers 5,10,25,50] [--rate 10] [--seconds 6]`` prints three tables. Every row is a
process of its own (our corrections replace names of the library when they are imported), and the rows of one table run
one after another on the same machine. Gossip: all peers of a row live in one process and so on one core, each connected
to at most six others; somebody publishes a message of 600 bytes ``rate`` times a second. *CPU a delivery* is the CPU
time of that process divided by the messages that arrived at applications; a message counts as lost when nothing came
for six seconds. With more than ten peers the library is loaded less long. The last tables say what a peer sends in a
minute with bodies in the gossip and with ids in it; every message is a new one, which is the dearest case for ids.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])  # this file's own name is that of a package

import trio  # noqa: E402

TALK = "/lilypad/negotiate/1"
OFFERS = "/lilypad/1/resource-offers"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"
LINKS = 6
BODY = 600
SILENCE = 6.0
"""Seconds without an arrival, after which the rest counts as lost."""
GOALS = {"connect": 50.0, "rtt": 2.0}
"""Milliseconds."""


@dataclass
class Node:
    """What the gossip load needs of a peer, whatever it is made of."""

    publish: Callable[[bytes], Awaitable[None]]
    meet: Callable[[Node], Awaitable[None]]
    heard: dict[bytes, float]
    rest: Any = None


# -- latency ----------------------------------------------------------------------------------------------------------


async def time_tcp(rounds: int) -> dict[str, list[float]]:
    """Connect and round trip over plain TCP with a 4-byte length."""
    found: dict[str, list[float]] = {"connect": [], "open": [], "rtt": []}

    async def echo(stream: trio.SocketStream) -> None:
        while chunk := await stream.receive_some(65536):
            await stream.send_all(chunk)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        for _ in range(20):
            began = time.perf_counter()
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            found["connect"].append(time.perf_counter() - began)
            await stream.aclose()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            for _ in range(rounds):
                began, got = time.perf_counter(), 0
                await stream.send_all(bytes(204))
                while got < 204:
                    got += len(await stream.receive_some(65536))
                found["rtt"].append(time.perf_counter() - began)
        nursery.cancel_scope.cancel()
    return found


async def time_library(rounds: int) -> dict[str, list[float]]:
    """The same with py-libp2p's ``new_host()`` as it comes."""
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from multiaddr import Multiaddr

    found: dict[str, list[float]] = {"connect": [], "open": [], "rtt": []}

    async def echo(stream: Any) -> None:
        while chunk := await stream.read(65536):
            await stream.write(chunk)

    async with library_host() as server:
        server.set_stream_handler(TALK, echo)
        where = info_from_p2p_addr(Multiaddr(f"{server.get_addrs()[0]}"))
        for _ in range(10):
            async with library_host() as client:
                began = time.perf_counter()
                await client.connect(where)
                found["connect"].append(time.perf_counter() - began)
                began = time.perf_counter()
                stream = await client.new_stream(where.peer_id, [TALK])
                found["open"].append(time.perf_counter() - began)
                for _ in range(rounds // 10):
                    began, got = time.perf_counter(), 0
                    await stream.write(bytes(204))
                    while got < 204:
                        got += len(await stream.read(65536))
                    found["rtt"].append(time.perf_counter() - began)
                await stream.close()
    return found


async def time_ours(rounds: int) -> dict[str, list[float]]:
    """The same with our host; *open* is the first frame on a new talk, answered."""
    from p2p.events import Got

    found: dict[str, list[float]] = {"connect": [], "open": [], "rtt": []}
    async with our_host() as server, trio.open_nursery() as nursery:

        async def echo() -> None:
            async for event in server.events:
                if isinstance(event, Got):
                    await server.send(event.peer.address, TALK, event.frame)

        nursery.start_soon(echo)
        for _ in range(10):
            async with our_host() as client:
                began = time.perf_counter()
                await client.connect(server.addrs[0])
                found["connect"].append(time.perf_counter() - began)
                for number in range(rounds // 10 + 1):
                    began = time.perf_counter()
                    await client.send(server.address, TALK, bytes(200))
                    while not isinstance(await client.events.receive(), Got):
                        pass
                    found["rtt" if number else "open"].append(time.perf_counter() - began)
        nursery.cancel_scope.cancel()
    return found


# -- gossip -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def library_host() -> AsyncIterator[Any]:
    """py-libp2p's host as it comes."""
    from libp2p import new_host
    from multiaddr import Multiaddr

    host = new_host()
    async with host.run([Multiaddr(LOOPBACK)]):
        yield host


@asynccontextmanager
async def library_node() -> AsyncIterator[Node]:
    """py-libp2p's gossip as it comes, but for what would keep it from delivering at all: a heartbeat of 120 s (here
    1 s) and a spam guard of ten messages a second that drops without a word (here off).
    """
    from libp2p.peer.peerinfo import info_from_p2p_addr
    from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, PROTOCOL_ID_V12, GossipSub
    from libp2p.pubsub.pubsub import Pubsub
    from libp2p.tools.anyio_service import background_trio_service
    from multiaddr import Multiaddr

    heard: dict[bytes, float] = {}
    async with library_host() as host:
        router = GossipSub(
            [PROTOCOL_ID_V12, PROTOCOL_ID_V11, PROTOCOL_ID],
            6,
            4,
            12,
            heartbeat_interval=1,
            spam_protection_enabled=False,
        )
        pubsub = Pubsub(host, router, strict_signing=True)
        async with background_trio_service(router), background_trio_service(pubsub):
            await pubsub.wait_until_ready()
            topic = await pubsub.subscribe(OFFERS)

            async def listen() -> None:
                while True:
                    message = await topic.get()
                    if message.from_id != host.get_id().to_bytes():
                        heard[bytes(message.data[:16])] = time.perf_counter()

            async def meet(other: Node) -> None:
                await host.connect(info_from_p2p_addr(Multiaddr(str(other.rest.get_addrs()[0]))))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                yield Node(lambda data: pubsub.publish(OFFERS, data), meet, heard, host)
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def our_host(**options: Any) -> AsyncIterator[Any]:
    """Our host with a fresh key."""
    from p2p.host import open_host
    from p2p.settings import Settings

    settings = replace(Settings(wanted_peers=0, dht=False, outside=False), **options)
    async with open_host(
        os.urandom(32),
        listen=[LOOPBACK],
        protocols=[TALK],
        topics=[OFFERS],
        validate=lambda topic, data: True,
        settings=settings,
    ) as host:
        yield host


@asynccontextmanager
async def our_node(**options: Any) -> AsyncIterator[Node]:
    """Our host as a gossiping peer."""
    from p2p.events import Heard

    heard: dict[bytes, float] = {}
    async with our_host(**options) as host, trio.open_nursery() as nursery:

        async def listen() -> None:
            async for event in host.events:
                if isinstance(event, Heard):
                    heard[event.data[:16]] = time.perf_counter()

        async def meet(other: Node) -> None:
            await host.connect(other.rest.addrs[0])

        nursery.start_soon(listen)
        yield Node(lambda data: host.publish(OFFERS, data), meet, heard, host)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def tcp_node() -> AsyncIterator[Node]:
    """Flooding over plain TCP: each new message goes to every neighbour; nothing is signed, checked or encrypted."""
    heard: dict[bytes, float] = {}
    known: set[bytes] = set()
    streams: list[trio.SocketStream] = []

    async def tell(data: bytes, but: trio.SocketStream | None) -> None:
        known.add(data[:16])
        for stream in streams:
            if stream is not but:
                await stream.send_all(data)

    async def listen(stream: trio.SocketStream) -> None:
        streams.append(stream)
        buffer = b""
        while chunk := await stream.receive_some(65536):
            buffer += chunk
            while len(buffer) >= BODY:
                data, buffer = buffer[:BODY], buffer[BODY:]
                if data[:16] not in known:
                    heard[data[:16]] = time.perf_counter()
                    await tell(data, stream)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, listen, 0)
        port = listeners[0].socket.getsockname()[1]

        async def meet(other: Node) -> None:
            nursery.start_soon(listen, await trio.open_tcp_stream("127.0.0.1", other.rest))

        async def publish(data: bytes) -> None:
            await tell(data, None)

        yield Node(publish, meet, heard, port)
        nursery.cancel_scope.cancel()


NODES: dict[str, Callable[[], Any]] = {
    "tcp": tcp_node,
    "library": library_node,
    "ours": our_node,
    "bodies": partial(our_node, announce_peers=10_000, announce_bytes=1_000_000),
    "ids": partial(our_node, announce_peers=0),
}


async def gossip(variant: str, peers: int, rate: float, seconds: float, size: int) -> dict[str, float]:
    """Load ``peers`` nodes in this process; milliseconds, shares and bytes."""
    rng = random.Random(peers)
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(NODES[variant]()) for _ in range(peers)]
        for number, node in enumerate(nodes):
            for other in rng.sample(nodes[:number], min(LINKS // 2, number)):
                await node.meet(other)
        await trio.sleep(3)
        published: dict[bytes, tuple[int, float]] = {}
        cpu, began = time.process_time(), trio.current_time()
        sent = Counting.sent
        for number in range(int(rate * seconds)):
            await trio.sleep_until(began + number / rate)
            data = os.urandom(size)
            author = number % peers
            published[data[:16]] = (author, time.perf_counter())
            await nodes[author].publish(data)
        # until all is there, or nothing more comes: what is late on a busy machine is no loss
        arrived, last = 0, trio.current_time()
        while arrived < len(published) * (peers - 1) and trio.current_time() - last < SILENCE:
            await trio.sleep(0.05)
            if (now := sum(len(node.heard) for node in nodes)) > arrived:
                arrived, last = now, trio.current_time()
        cpu = time.process_time() - cpu
        sent = Counting.sent - sent
        waits = sorted(
            node.heard[key] - at for key, (_, at) in published.items() for node in nodes if key in node.heard
        )
        figures = {
            "peers": peers,
            "arrived": len(waits) / (len(published) * (peers - 1)),
            "p50": median(waits) * 1000,
            "p99": quantiles(waits, n=100)[98] * 1000,
            "cpu": cpu / len(waits) * 1000,
            "bytes": sent / peers / seconds * 60,
        }
        sys.stdout.write(json.dumps(figures))
        sys.stdout.flush()
        os._exit(0)  # some of these take long to say goodbye, which nobody measures here


class Counting:
    """Counts what is sent on any socket of this process."""

    sent = 0

    @classmethod
    def install(cls) -> None:
        """Wrap trio's ``send_all``; the same price for every variant."""
        original = trio.SocketStream.send_all

        async def send_all(stream: trio.SocketStream, data: bytes) -> None:
            cls.sent += len(data)
            await original(stream, data)

        trio.SocketStream.send_all = send_all  # type: ignore[assignment, method-assign]


# -- the tables -------------------------------------------------------------------------------------------------------


def child(*arguments: str) -> Any:
    """One measurement in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, __file__, "--child", *arguments], capture_output=True, text=True, timeout=600, check=False
        )
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def print_latency(rounds: int) -> None:
    """The first table."""
    rows = {name: child("latency", name, str(rounds)) for name in ("tcp", "library", "ours")}
    print("| milliseconds, p50 / p99 | plain TCP | py-libp2p as it comes | ours | ours : py-libp2p | goal |")
    print("|---|---|---|---|---|---|")
    for what in ("connect", "open", "rtt"):
        cells = []
        for row in rows.values():
            values = sorted(row[what]) if row else []
            cells.append(
                f"{median(values) * 1000:.2f} / {values[int(len(values) * 0.99)] * 1000:.2f}" if values else "-"
            )
        ratio = median(rows["ours"][what]) / median(rows["library"][what])
        goal = f"<= {GOALS[what]:.0f}" if what in GOALS else ""
        print(f"| {what} | {' | '.join(cells)} | {ratio:.2f} | {goal} |")
    print()


def print_gossip(counts: Sequence[int], rate: float, seconds: float, variants: Sequence[str], size: int) -> None:
    """The second table, and the third."""
    print(f"{rate:g} messages a second of {size} bytes, {seconds:g} s, one process:\n")
    print("| peers | what | arrived | p50 ms | p99 ms | CPU ms a delivery | : py-libp2p | kB a peer and minute |")
    print("|---|---|---|---|---|---|---|---|")
    for peers in counts:
        beside = None
        for variant in variants:
            # the library needs minutes for what many peers say in six seconds
            share = min(1.0, 10 / peers) if variant == "library" else 1.0
            row = child("gossip", variant, str(peers), str(rate), str(seconds * share), str(size))
            if row is None:
                print(f"| {peers} | {variant} | did not end | | | | | |")
                continue
            if variant == "library":
                beside = row["cpu"]
            ratio = f"{row['cpu'] / beside:.2f}" if beside else ""
            print(
                f"| {peers} | {variant} | {row['arrived']:.3f} | {row['p50']:.0f} | {row['p99']:.0f} "
                f"| {row['cpu']:.2f} | {ratio} | {row['bytes'] / 1000:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="5,10,25,50")
    parser.add_argument("--rate", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--variants", default="tcp,library,ours")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--size", type=int, default=BODY)
    parser.add_argument("--no-ids", action="store_true")
    parser.add_argument("--child", nargs="+")
    given = parser.parse_args()
    match given.child:
        case None:
            if not given.no_latency:
                print_latency(500)
            counts = [int(each) for each in given.peers.split(",")]
            print_gossip(counts, given.rate, given.seconds, given.variants.split(","), given.size)
            if not given.no_ids:
                print("\nThe same peers, with bodies in the gossip and with ids in it (bodies pulled once):\n")
                for size in (600, 4000):
                    print_gossip(counts[-2:-1] or counts, given.rate / 10, given.seconds, ("bodies", "ids"), size)
                    print()
        case ["latency", name, rounds]:
            timers = {"tcp": time_tcp, "library": time_library, "ours": time_ours}
            found = trio.run(timers[name], int(rounds))
            sys.stdout.write(json.dumps(found))
        case ["gossip", variant, peers, rate, seconds, size]:
            Counting.install()
            trio.run(gossip, variant, int(peers), float(rate), float(seconds), int(size))


if __name__ == "__main__":
    main()
