"""Hosts to test with: honest ones of ours, and strangers made of the unmended library."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from libp2p import new_host
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from content.blocks import Blocks
from p2p.events import Got, Heard, HostEvent
from p2p.host import Host, open_host
from p2p.settings import Settings

TALK = "/lilypad/negotiate/1"
DEAL = "/lilypad/deal/1"
OFFERS = "/lilypad/1/resource-offers"
LOOPBACK = "/ip4/127.0.0.1/tcp/0"

_seeds = itertools.count(1)


@dataclass
class Honest:
    """One of our hosts and everything it was told so far."""

    host: Host
    said: list[HostEvent]

    @property
    def frames(self) -> list[bytes]:
        return [event.frame for event in self.said if isinstance(event, Got)]

    @property
    def heard(self) -> list[bytes]:
        return [event.data for event in self.said if isinstance(event, Heard)]


OpenHonest = Callable[..., AbstractAsyncContextManager[Honest]]


@asynccontextmanager
async def _honest(
    *,
    seed: int | None = None,
    listen: str | None = LOOPBACK,
    validate: Callable[[str, bytes], bool] = lambda topic, data: True,
    bootstrap: tuple[str, ...] = (),
    settings: Settings | None = None,
    consume: bool = True,
    blocks: Blocks | None = None,
) -> AsyncIterator[Honest]:
    secret = (next(_seeds) if seed is None else seed).to_bytes(32, "big")
    async with open_host(
        secret,
        listen=[listen] if listen else [],
        protocols=[TALK, DEAL],
        topics=[OFFERS],
        validate=validate,
        bootstrap=bootstrap,
        settings=settings,
        blocks=blocks,
    ) as host:
        honest = Honest(host, [])

        async def take_events() -> None:
            async for event in host.events:
                honest.said.append(event)

        async with trio.open_nursery() as nursery:
            if consume:
                nursery.start_soon(take_events)
            yield honest
            nursery.cancel_scope.cancel()


class _TrackedTCP(TCP):
    """The unmended library leaves sockets open when it is cut off; we close them for it."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[trio.SocketStream] = []

    async def dial(self, maddr: Multiaddr) -> Any:
        connection = await super().dial(maddr)
        self.streams.append(connection.stream.stream)
        return connection


@asynccontextmanager
async def _stranger(**options: Any) -> AsyncIterator[Any]:
    """An unmended libp2p host: whatever it does is a stranger's doing."""
    keys = create_new_key_pair(next(_seeds).to_bytes(32, "big"))
    options.setdefault("sec_opt", {NOISE: Noise(keys, noise_privkey=create_noise_key_pair().private_key)})
    calm = ConnectionConfig(min_connections=0, low_watermark=0, high_watermark=900, max_connections=1000)
    tcp = _TrackedTCP()
    host = new_host(key_pair=keys, connection_config=calm, transports=[tcp], **options)
    async with host.run([]):
        try:
            yield host
        finally:
            for stream in tcp.streams:
                stream.socket.close()


async def _meet(stranger: Any, host: Host) -> None:
    with trio.fail_after(20):
        await stranger.connect(info_from_p2p_addr(Multiaddr(host.addrs[0])))


async def _until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  (conditions are counters of many parts)
            await trio.sleep(0.01)


async def _still_serves(victim: Honest) -> None:
    """A newcomer connects, talks both ways and gossips both ways with ``victim``."""
    async with _honest() as newcomer:
        await newcomer.host.connect(victim.host.addrs[0])
        await newcomer.host.send(victim.host.address, TALK, b"are you there?")
        await _until(lambda: b"are you there?" in victim.frames)
        await victim.host.send(newcomer.host.address, TALK, b"yes")
        await _until(lambda: b"yes" in newcomer.frames)
        mine, yours = newcomer.host.address, victim.host.address
        with trio.fail_after(20):
            while mine not in victim.heard or yours + mine not in newcomer.heard:
                await newcomer.host.publish(OFFERS, mine)
                await victim.host.publish(OFFERS, yours + mine)
                await trio.sleep(0.1)


@pytest.fixture
def honest() -> OpenHonest:
    return _honest


@pytest.fixture
def stranger() -> Callable[..., AbstractAsyncContextManager[Any]]:
    return _stranger


@pytest.fixture
def meet() -> Callable[[Any, Host], Awaitable[None]]:
    return _meet


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    return _until


@pytest.fixture
def still_serves() -> Callable[[Honest], Awaitable[None]]:
    return _still_serves
