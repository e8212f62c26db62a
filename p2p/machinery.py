"""Puts the corrected libp2p classes together into one running node, and takes it apart quickly."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import trio
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStore
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from p2p.corrections import names as _names  # noqa: F401  (replaces names of the library)
from p2p.corrections.connections import CorrectedHost, CorrectedSwarm
from p2p.corrections.gossip import CorrectedPubsub, CorrectedRouter
from p2p.corrections.watch import Watch
from p2p.errors import CantListen


@dataclass(frozen=True, slots=True)
class Machinery:
    """The parts of one libp2p node."""

    peer_id: str
    swarm: CorrectedSwarm
    host: CorrectedHost
    router: CorrectedRouter
    pubsub: CorrectedPubsub


def build(secret: bytes, topics: Sequence[str], watch: Watch, counter: int, transport: Any | None = None) -> Machinery:
    """A node for a 32-byte secret. Nothing runs yet. ``counter`` is the first gossip number: nanoseconds since 1970."""
    settings = watch.settings
    keys = create_new_key_pair(secret)
    peer_id = ID.from_pubkey(keys.public_key)
    store = PeerStore()
    store.add_key_pair(peer_id, keys)
    # what the library offers by default includes plaintext
    security = {NOISE: Noise(keys, noise_privkey=create_noise_key_pair().private_key)}
    swarm = CorrectedSwarm(
        peer_id,
        store,
        TransportUpgrader(security, {YAMUX: Yamux}, negotiate_timeout=5),
        [transport or TCP()],
        retry_config=RetryConfig(max_retries=0),
        connection_config=ConnectionConfig(
            min_connections=0,
            low_watermark=0,
            high_watermark=0,  # above zero, the auto-connector tries to dial whomever it has heard of
            max_connections=settings.connections,
            max_connections_per_peer=settings.connections_per_peer + 1,
            inbound_upgrade_timeout=settings.handshake_within,
            outbound_upgrade_timeout=settings.handshake_within,
            inbound_stream_protocol_negotiation_timeout=5,
            outbound_stream_protocol_negotiation_timeout=5,
        ),
        watch=watch,
    )
    host = CorrectedHost(swarm)
    router = CorrectedRouter(watch, topics)
    pubsub = CorrectedPubsub(host, router, watch, topics, counter)
    return Machinery(str(peer_id), swarm, host, router, pubsub)


async def run(
    machinery: Machinery,
    listen: Sequence[str],
    topics: Sequence[str],
    stop: trio.Event,
    close_within: float,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the node until ``stop`` is set, then leave within about ``close_within`` seconds.

    Shielded from cancellation, because the library leaks its listeners when it is cancelled: whoever starts this must
    set ``stop`` in the end.
    """
    swarm = machinery.swarm
    with trio.CancelScope(shield=True) as scope:
        try:
            async with machinery.host.run([]):
                if any(map(_taken, listen)):
                    raise CantListen(f"somebody listens on {', '.join(listen)} already")
                if listen and not await swarm.listen(*map(Multiaddr, listen)):
                    raise CantListen(f"can't listen on {', '.join(listen)}")
                async with (
                    background_trio_service(machinery.router),
                    background_trio_service(machinery.pubsub),
                ):
                    with trio.fail_after(5):
                        await machinery.pubsub.wait_until_ready()
                        for topic in topics:
                            await machinery.pubsub.subscribe(topic)
                    task_status.started()
                    await stop.wait()
                    scope.deadline = trio.current_time() + 2 * close_within
                    await swarm.close_all(close_within)
        finally:
            for listener in list(swarm.listeners.values()):
                with trio.move_on_after(close_within):
                    await listener.close()


def _taken(place: str) -> bool:
    """Whether somebody listens there. The library shares ports (SO_REUSEPORT, for holes to be punched from them), so
    that a second node would take half of the first one's connections and never know.
    """
    parts = place.split("/")
    if len(parts) < 5 or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp" or parts[4] == "0":
        return False
    family = socket.AF_INET if parts[1] == "ip4" else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((parts[2], int(parts[4])))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
