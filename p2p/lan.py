"""Finds peers on the local network by multicast DNS, and is found there (libp2p spec, discovery/mdns).

The library's own mDNS writes whatever it hears into its address book without a bound; so this speaks to zeroconf, which
it uses as well, in a thread. What is heard is bounded and only ever a place to
try; see `exchange`.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

import trio
from zeroconf import ServiceBrowser, ServiceInfo, ServiceStateChange, Zeroconf

from p2p.places import Scope, peer_at, scope_of_place
from p2p.rates import Bucket, Rate
from p2p.reachability import Lan, LanView
from protocol.errors import PeerFault

SERVICE = "_p2p._udp.local."
_FOUND = Rate(1, 64)
"""Services looked up: a machine on the same network may invent any number."""
_ANSWER_WITHIN = 3000
"""Milliseconds."""


class Finder(Protocol):
    """What this module asks of the host it serves."""

    peer_id: str
    addrs: tuple[str, ...]
    lan: LanView

    def learn(self, address: bytes, addrs: list[str]) -> None:
        """Note where a peer may live."""


async def find_for_ever(host: Finder, interfaces: list[str] | None = None) -> None:
    """Announce ourselves and learn of others until cancelled. Without a network to speak on it does nothing."""
    found, names = trio.open_memory_channel[str](64)
    token = trio.lowlevel.current_trio_token()
    bucket = Bucket(_FOUND, trio.current_time())

    def noticed(zeroconf: Any, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(_note, found, name)

    try:
        zero = await trio.to_thread.run_sync(partial(_open, interfaces))
    except OSError:
        host.lan.state = Lan.FAILED
        return  # no network that can be spoken to
    host.lan.state = Lan.ON
    try:
        mine = _own_service(host)
        await trio.to_thread.run_sync(zero.register_service, mine)
        await trio.to_thread.run_sync(partial(ServiceBrowser, zero, SERVICE, handlers=[noticed]))
        async for name in names:
            if name != mine.name and bucket.take(1, trio.current_time()):
                host.lan.found += 1
                info = await trio.to_thread.run_sync(partial(zero.get_service_info, SERVICE, name, _ANSWER_WITHIN))
                for place in _places(info):
                    with suppress(PeerFault):
                        host.learn(peer_at(place).address, [place])
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(zero.close)


def _open(interfaces: list[str] | None) -> Zeroconf:
    return Zeroconf() if interfaces is None else Zeroconf(interfaces=interfaces)


def _note(found: trio.MemorySendChannel[str], name: str) -> None:
    with suppress(trio.WouldBlock, trio.BrokenResourceError):
        found.send_nowait(name)


def _own_service(host: Finder) -> ServiceInfo:
    # the spec wants a random name, so that the record alone does not follow a machine from network to network
    name = secrets.token_hex(16)
    places = {f"dnsaddr{number or ''}": place for number, place in enumerate(host.addrs[:8])}
    port = int(host.addrs[0].split("/")[4]) if host.addrs else 1
    return ServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=port,
        properties=places,
        server=f"{name}.local.",
        # nobody reads these, but a service without addresses is not answered for
        parsed_addresses=sorted({place.split("/")[2] for place in host.addrs if scope_of_place(place) is not None}),
    )


def _places(info: ServiceInfo | None) -> list[str]:
    """What a service says about itself, as far as it lies on this network."""
    if info is None:
        return []
    texts = [value for key, value in info.properties.items() if key.startswith(b"dnsaddr") and value]
    places = [text.decode(errors="replace") for text in texts[:8] if len(text) < 256]
    return [place for place in places if scope_of_place(place) in (Scope.MACHINE, Scope.NETWORK)]
