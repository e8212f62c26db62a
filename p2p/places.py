"""Multiaddrs, as far as this host dials them: ``/ip4|ip6|dns*/…/tcp/…/p2p/ID``, or that of a relay and
``/p2p-circuit/p2p/ID`` after it."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import suppress
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Network, ip_address

from multiaddr import Multiaddr

from p2p.errors import NotDialable, NotTheirs
from p2p.events import Peer
from protocol.errors import PeerFault
from protocol.identity import address_of_peer


class Scope(IntEnum):
    """From how far away an address means the same thing."""

    MACHINE = 0
    NETWORK = 1
    INTERNET = 2


_LONGEST = 256
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")


def peer_at(place: str) -> Peer:
    """Whoever lives at a multiaddr, by its own ``/p2p`` part; raises `NotDialable`."""
    if len(place) > _LONGEST:
        raise NotDialable("an address of more than 256 characters")
    parts = place.split("/")
    if parts[7:9] == ["p2p-circuit", "p2p"] and len(parts) == 10:
        peer_at(relay_of(place))
        return peer_at("/".join([*parts[:6], parts[9]]))
    if len(parts) != 7 or parts[0] or parts[1] not in _HOSTS or parts[3] != "tcp" or parts[5] != "p2p":
        raise NotDialable(f"{place!r} is not /ip4/…/tcp/…/p2p/…")
    try:
        Multiaddr(place)
        return Peer(parts[6], address_of_peer(parts[6]))
    except PeerFault as fault:
        raise NotDialable(f"{place!r}: {fault}") from fault
    except Exception as error:  # the parser raises whatever the text makes it raise
        raise NotDialable(f"{place!r} is not a multiaddr") from error


def relay_of(place: str) -> str:
    """The relay's own multiaddr in ``/…/p2p/RELAY/p2p-circuit/p2p/ID``; empty for a place that is dialled directly."""
    relay, circuit, _ = place.partition("/p2p-circuit/")
    return relay if circuit else ""


def places_of(address: bytes, places: Iterable[str]) -> tuple[str, ...]:
    """The same multiaddrs, all proven to name ``address``; raises `NotDialable` or `NotTheirs`."""
    found = tuple(places)
    for place in found:
        if peer_at(place).address != address:
            raise NotTheirs(f"{place!r} is not the place of 0x{address.hex()}")
    return found


def reachable(listening: Iterable[str], announced: Iterable[str], peer_id: str) -> tuple[str, ...]:
    """What to tell others: what was announced, otherwise where we listen, wildcards spelled out."""
    chosen = list(announced)
    if not chosen:
        for place in listening:
            bare = place.split("/p2p/")[0]
            for wildcard, own in (("/ip4/0.0.0.0/", _own_ips(socket.AF_INET)), ("/ip6/::/", _own_ips(socket.AF_INET6))):
                if bare.startswith(wildcard):
                    chosen += [bare.replace(wildcard.split("/")[2], ip, 1) for ip in own]
                    break
            else:
                chosen.append(bare)
    return tuple(f"{place}/p2p/{peer_id}" for place in dict.fromkeys(chosen))


def network_of(ip: str) -> str:
    """What counts as one place on the network: an IPv4 address, or the 64-bit IPv6 network that one customer owns."""
    try:
        parsed = ip_address(ip.split("%")[0])
    except ValueError:
        return ip
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, 64), strict=False))


def scope_of_ip(ip: str) -> Scope | None:
    """How far this IP reaches; None for a name."""
    try:
        parsed = ip_address(ip.split("%")[0])
    except ValueError:
        return None
    if parsed.is_loopback:
        return Scope.MACHINE
    return Scope.NETWORK if parsed.is_private or parsed.is_link_local else Scope.INTERNET


def scope_of_place(place: str) -> Scope | None:
    """The same for a multiaddr."""
    parts = place.split("/")
    return scope_of_ip(parts[2]) if len(parts) > 2 else None


def tcp_place(raw: bytes) -> str:
    """A binary multiaddr of an IP and TCP as text, without what follows; empty for any other bytes."""
    with suppress(Exception):  # the parser raises whatever the bytes make it raise
        parts = str(Multiaddr(raw)).split("/")
        if len(raw) <= 128 and len(parts) >= 5 and parts[1] in ("ip4", "ip6") and parts[3] == "tcp":
            return "/".join(parts[:5])
    return ""


def fits(place: str, near: Scope | None) -> bool:
    """Whether a place means the same to us and to whoever is that near: nobody far away may aim us at our own net."""
    scope = scope_of_place(place)
    return scope is None or near is None or scope >= near


def _own_ips(family: socket.AddressFamily) -> list[str]:
    loopback, elsewhere = ("127.0.0.1", "192.0.2.1") if family == socket.AF_INET else ("::1", "2001:db8::1")
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # sends nothing; the kernel only picks the interface
            return [str(probe.getsockname()[0]), loopback]
    except OSError:
        return [loopback]
