"""Which places of the library the corrections mend, and what they looked like: so that a new release tells which
corrections to look at again. A place that is as it was still has its fault; one that changed may have lost it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from operator import attrgetter
from typing import Any

FINGERPRINTS = {
    "libp2p.host.basic_host:BasicHost._push_identify_to_all_peers": "b646c752b6ee",
    "libp2p.host.basic_host:BasicHost._schedule_identify": "d24ee6400132",
    "libp2p.host.basic_host:BasicHost._swarm_stream_handler": "cec985884b1b",
    "libp2p.host.basic_host:BasicHost.get_addrs": "9d79f88eb0d4",
    "libp2p.io.trio:TrioTCPStream.get_remote_address": "2238d30600e5",
    "libp2p.io.utils:read_exactly": "ae12723eff6b",
    "libp2p.network.connection.swarm_connection:SwarmConn": "5b5613ad6d19",
    "libp2p.network.swarm:Swarm._handle_inbound_connection": "0800fdf9770e",
    "libp2p.network.swarm:Swarm._schedule_prune": "e66d78b78e19",
    "libp2p.network.swarm:Swarm.add_conn": "d469d71b3ed1",
    "libp2p.network.swarm:Swarm.close": "886afd61179c",
    "libp2p.network.swarm:Swarm.dial_peer": "da3b538ccaea",
    "libp2p.network.swarm:Swarm.notify_disconnected": "2d0650609e08",
    "libp2p.network.swarm:Swarm.run": "15ac9440b4fe",
    "libp2p.peer.peerstore:env_to_send_in_RPC": "9fea9d702c18",
    "libp2p.pubsub.gossipsub:GossipSub.__init__": "aa2c7451de9a",
    "libp2p.pubsub.gossipsub:GossipSub._get_peers_to_send": "1d2d334126ca",
    "libp2p.pubsub.gossipsub:GossipSub._handle_dropped_rpc": "c81733f1db84",
    "libp2p.pubsub.gossipsub:GossipSub.handle_iwant": "cae61a447ac5",
    "libp2p.pubsub.gossipsub:GossipSub.handle_rpc": "bb6f7311e295",
    "libp2p.pubsub.gossipsub:GossipSub.heartbeat": "5e68bdb5a65b",
    "libp2p.pubsub.gossipsub:GossipSub.send_rpc": "9829bb1473a2",
    "libp2p.pubsub.pubsub:Pubsub.__init__": "fc7e7f95ffc4",
    "libp2p.pubsub.pubsub:Pubsub._handle_dead_peer": "10026d998d30",
    "libp2p.pubsub.pubsub:Pubsub.continuously_read_stream": "ac0c4ad87ca3",
    "libp2p.pubsub.pubsub:Pubsub.handle_sending_messages": "4eb0b978f9c4",
    "libp2p.pubsub.pubsub:Pubsub.notify_subscriptions": "2fb1385e4bbf",
    "libp2p.pubsub.pubsub:Pubsub.push_msg": "1531483ab4d7",
    "libp2p.pubsub.pubsub:Pubsub.run": "98a3e7ada7e7",
    "libp2p.pubsub.pubsub:Pubsub.stream_handler": "4be06aba2f44",
    "libp2p.pubsub.rpc_queue:RpcQueue": "f816055e5c2b",
    "libp2p.pubsub.validators:signature_validator": "4ef201cd300c",
    "libp2p.stream_muxer.muxer_multistream:MuxerMultistream.new_conn": "91d21f40f524",
    "libp2p.stream_muxer.yamux.yamux:Yamux._finalize_stream_locked": "95b60e924211",
    "libp2p.stream_muxer.yamux.yamux:Yamux._write_frame": "16ff969cdd0d",
    "libp2p.stream_muxer.yamux.yamux:Yamux.accept_stream": "167dcb5e0531",
    "libp2p.stream_muxer.yamux.yamux:Yamux.handle_incoming": "ad15ff6943fe",
    "libp2p.stream_muxer.yamux.yamux:Yamux.open_stream": "f3e0ef79ec21",
    "libp2p.stream_muxer.yamux.yamux:Yamux.read_stream": "d07c99299384",
    "libp2p.stream_muxer.yamux.yamux:YamuxStream._auto_tune_and_send_window_update": "6ebcbd822fe7",
    "libp2p.stream_muxer.yamux.yamux:YamuxStream.read": "ca585f2199fd",
    "libp2p.stream_muxer.yamux.yamux:YamuxStream.write": "d87f74dfb53a",
    "libp2p.tools.anyio_service.trio_manager:TrioManager": "130fd7d7c407",
    "libp2p.transport.tcp.tcp:_open_reuseport_listeners": "81455b078b46",
}
"""``module:name`` of each mended function to the head of its source's SHA-256, in `release.RELEASE`."""


def fingerprint(place: str) -> str:
    """Of what is installed; empty where there is no such function any more."""
    module, _, name = place.partition(":")
    try:
        found: Any = attrgetter(name)(import_module(module))
        return sha256(inspect.getsource(found).encode()).hexdigest()[:12]
    except (ImportError, AttributeError, OSError, TypeError):
        return ""


def changed() -> Iterator[str]:
    """The places that are not what they were, each with how."""
    for place, expected in FINGERPRINTS.items():
        if (found := fingerprint(place)) != expected:
            yield place if found else f"{place} (gone)"
