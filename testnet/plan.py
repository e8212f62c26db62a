"""What one testnet is: its peers and where each is, its chain, its scenario; kept in ``testnet.json`` of its folder."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from node.errors import ExitCode, UserError
from testnet.scenario import Scenario

FILE = "testnet.json"
CHAIN = "chain"
"""The name of the chain's own process or container."""
NEIGHBOURS = 3
"""How many others each peer is told of: nobody is told of everybody, and nobody is everybody's first peer."""
SLOTS = 2
"""Jobs that one provider holds at a time."""
FLOORS = (600, 1400)
"""The cheapest and the dearest provider's floor, base units a job."""


@dataclass(frozen=True, slots=True)
class Member:
    """One peer."""

    name: str
    role: str
    """provider, client or mediator."""
    kind: str = "honest"
    """How it cheats, as `node.dishonest` names it."""
    address: str = ""
    """0x and 40 hex digits."""
    peer_id: str = ""
    ip: str = "127.0.0.1"
    port: int = 0
    """Of libp2p."""
    http: int = 0
    """Of its HTTP server, on 127.0.0.1 of this machine."""
    floor: int = 0
    """Of a provider: what it will not go below, base units a job."""

    @property
    def honest(self) -> bool:
        return self.kind == "honest"

    @property
    def place(self) -> str:
        """Its multiaddr."""
        return f"/ip4/{self.ip}/tcp/{self.port}/p2p/{self.peer_id}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One testnet."""

    folder: Path
    name: str
    engine: Literal["processes", "containers"]
    chain: Literal["anvil", "py-evm"]
    members: tuple[Member, ...]
    scenario: Mapping[str, Any] = field(default_factory=dict)
    """As JSON, for whoever reads the file; `lilypad testnet load` plays it."""
    subnet: str = ""
    """Of the containers."""
    image: str = ""
    chain_port: int = 0
    """On 127.0.0.1 of this machine."""
    vault: str = ""
    chain_id: int = 1337
    reorg: str = ""
    """The chain's method that replaces blocks."""

    @property
    def rpc(self) -> str:
        """The chain, from this machine."""
        return f"http://127.0.0.1:{self.chain_port}"

    def home(self, name: str) -> Path:
        """A peer's data folder."""
        return self.folder / "peers" / name

    def member(self, name: str) -> Member:
        """Raises `UserError` for a name that nobody has."""
        for member in self.members:
            if member.name == name:
                return member
        names = ", ".join(member.name for member in self.members)
        raise UserError(ExitCode.USAGE, f"there is no peer '{name}'", f"choose from {names}")

    def of(self, role: str) -> tuple[Member, ...]:
        """All with this role."""
        return tuple(member for member in self.members if member.role == role)

    def neighbours(self, member: Member) -> tuple[Member, ...]:
        """Those whom a peer is told of at first: the next ones in a ring."""
        at = self.members.index(member)
        ring = self.members[at + 1 :] + self.members[:at]
        return ring[:NEIGHBOURS]

    def save(self) -> None:
        """Write it down."""
        path = self.folder / FILE
        content = asdict(self) | {"folder": str(self.folder)}
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(path)


def load_plan(folder: Path) -> Plan:
    """The testnet of a folder; raises `UserError` where there is none."""
    try:
        found = json.loads((folder / FILE).read_text())
        members = tuple(Member(**member) for member in found.pop("members"))
        return Plan(**{**found, "folder": folder.resolve(), "members": members})
    except FileNotFoundError:
        raise UserError(
            ExitCode.USAGE, f"there is no testnet in {folder}", "start one with `lilypad testnet up`"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(ExitCode.USAGE, f"{folder / FILE} can't be read: {error!r}", "remove the folder") from None


def draw_members(scenario: Scenario) -> tuple[Member, ...]:
    """Everybody by name, with the cheats last of their role."""
    peers = scenario.peers
    cheats = ["liar"] * peers.liars + ["double-booker"] * peers.double_bookers + ["late"] * peers.late
    providers = _kinds(peers.providers, cheats)
    mediators = _kinds(peers.mediators, ["copier"] * peers.lazy_mediators)
    low, high = FLOORS
    step = (high - low) / max(1, peers.providers - 1)
    return (
        *(Member(f"client-{i}", "client") for i in range(1, peers.clients + 1)),
        *(
            Member(f"provider-{i}", "provider", kind, floor=round(low + step * (i - 1)))
            for i, kind in enumerate(providers, 1)
        ),
        *(Member(f"mediator-{i}", "mediator", kind) for i, kind in enumerate(mediators, 1)),
    )


def with_ports(members: tuple[Member, ...]) -> tuple[tuple[Member, ...], int]:
    """Free ports of this machine for processes: each peer's two, and one for the chain."""
    ports = free_ports(2 * len(members) + 1)
    return tuple(replace(member, port=next(ports), http=next(ports)) for member in members), next(ports)


def with_addresses(members: tuple[Member, ...], subnet: str) -> tuple[tuple[Member, ...], int]:
    """Addresses of a private network for containers, and free ports of this machine for their HTTP servers."""
    ports = free_ports(len(members) + 1)
    base = subnet.rpartition(".")[0]
    placed = (
        replace(member, ip=f"{base}.{10 + number}", port=4001, http=next(ports))
        for number, member in enumerate(members)
    )
    return tuple(placed), next(ports)


def free_ports(count: int) -> Iterator[int]:
    """Different ports of the loopback that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        yield from [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def default_folder() -> Path:
    """``LILYPAD_TESTNET``, else a folder below the current one."""
    return Path(os.environ.get("LILYPAD_TESTNET") or "lilypad-testnet")


def _kinds(count: int, cheats: list[str]) -> list[str]:
    return ["honest"] * (count - len(cheats)) + cheats
