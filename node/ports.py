"""A node that may choose its own ports chooses the same ones again, so that partners find it after a restart.

A deal names the port from which the other side fetches; it must still be right when the node comes back.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Sequence
from pathlib import Path

FILE = "ports.json"
_MOST_BYTES = 1000


class Ports:
    """The ports that a data folder's node used last, by what they are for."""

    def __init__(self, home: Path) -> None:
        self._file = home / FILE
        self._ports: dict[str, int] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found = json.loads(self._file.read_bytes()[:_MOST_BYTES])
            self._ports = {str(key): value for key, value in found.items() if isinstance(value, int)}

    def http(self, address: str) -> str:
        """``host:0`` with the port used last, if it is free."""
        host, _, port = address.rpartition(":")
        return f"{host}:{self._choose('http', host.strip('[]'))}" if port == "0" else address

    def listen(self, place: str) -> str:
        """A multiaddr with TCP port 0 with the port used last, if it is free."""
        parts = place.split("/")
        if len(parts) == 5 and parts[1] in ("ip4", "ip6") and parts[3:] == ["tcp", "0"]:
            parts[4] = str(self._choose("listen", parts[2]))
        return "/".join(parts)

    def remember(self, http: int, places: Sequence[str]) -> None:
        """Choose these the next time: the HTTP port and that of the first multiaddr."""
        now = {"http": http, "listen": int(places[0].split("/")[4]) if places else 0}
        if now != self._ports:
            temporary = self._file.with_suffix(".new")
            temporary.write_text(json.dumps(now))
            temporary.replace(self._file)

    def _choose(self, use: str, host: str) -> int:
        port = self._ports.get(use, 0)
        return port if 0 < port < 65536 and _is_free(host, port) else 0


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # as servers do: a connection of the node's former life that still closes is no obstacle
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
