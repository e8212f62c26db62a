"""Homes behind routers of their own, on an internet of network namespaces: made with ``ip`` and ``iptables``."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

WAN = "45.67.8"
"""Addresses that count as public; nothing leaves the namespaces."""


class Internet:
    """A switch, public machines on it, and homes whose router keeps out what was not asked for."""

    def __init__(self) -> None:
        self._name = f"lpn{os.getpid() % 100000}"
        self._spaces: list[str] = []
        self._ports = 0
        self._switch = self._space("s")
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")

    def public(self, number: int) -> str:
        """A machine with an address of its own: the name of its namespace."""
        space = self._space(f"p{number}")
        self._plug(space, f"{WAN}.{number}/24")
        return space

    def home(self, number: int, *, symmetric: bool = False) -> str:
        """A machine behind a router at ``WAN.number``: 10.number.0.2 in a namespace of its own."""
        router, space = self._space(f"r{number}"), self._space(f"h{number}")
        self._plug(router, f"{WAN}.{number}/24")
        ip("-n", router, "link", "add", "lan", "type", "veth", "peer", "name", "net", "netns", space)
        for where, link, address in ((router, "lan", 1), (space, "net", 2)):
            ip("-n", where, "addr", "add", f"10.{number}.0.{address}/24", "dev", link)
            ip("-n", where, "link", "set", link, "up")
        ip("-n", space, "route", "add", "default", "via", f"10.{number}.0.1")
        run(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        # a symmetric router gives each conversation an outside port of its own
        how = ("MASQUERADE", "--random-fully") if symmetric else ("MASQUERADE",)
        run(router, "iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "wan", "-j", *how)
        for chain in ("INPUT", "FORWARD"):
            asked_for = ("-m", "conntrack", "--ctstate", "ESTABLISHED,RELATED", "-j", "ACCEPT")
            run(router, "iptables", "-A", chain, "-i", "wan", *asked_for)
            run(router, "iptables", "-A", chain, "-i", "wan", "-j", "DROP")
        return space

    def _space(self, suffix: str) -> str:
        name = f"{self._name}{suffix}"
        ip("netns", "add", name)
        self._spaces.append(name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    def _plug(self, space: str, address: str) -> None:
        self._ports += 1
        port = f"port{self._ports}"
        ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "wan", "netns", space)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        ip("-n", space, "addr", "add", address, "dev", "wan")
        ip("-n", space, "link", "set", "wan", "up")

    def close(self) -> None:
        """Leave nothing behind."""
        for name in self._spaces:
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


@contextmanager
def internet() -> Iterator[Internet]:
    """One, for as long as the block lasts."""
    made = Internet()
    try:
        yield made
    finally:
        made.close()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def run(space: str, *command: str) -> None:
    ip("netns", "exec", space, *command)
