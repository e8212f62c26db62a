"""A testnet of containers on a private network, as a compose file says: one container a peer, and one for the chain.

The compose file is the truth: `docker compose` starts and ends what it describes, and whoever likes can keep it.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from contracts.anvil import find_anvil
from node.errors import ExitCode, UserError
from testnet.compose import CHAIN_IP_END, FILE, compose, container
from testnet.engine import Engine, command
from testnet.layout import PASSPHRASE
from testnet.plan import CHAIN, Plan
from testnet.wire import clear, shape

SUBNETS = "10.213.{}.0/24"
FREEZES = 5
"""How often a container is asked to stand still: the kernel gives up where one of its processes just begins or ends."""
OWNER = 10001
"""The user that the image runs as, where this command is root's; otherwise peers run as whoever gave it."""


class Containers(Engine):
    """One container a peer."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def start_chain(self) -> None:
        self._write()
        self._own()
        self._compose("up", "-d", "--no-build", CHAIN)

    def rpc(self) -> str:
        return f"http://{self.plan.subnet.rpartition('.')[0]}.{CHAIN_IP_END}:8545"

    def start(self, names: Sequence[str]) -> None:
        self._own()
        self._compose("up", "-d", "--no-build", "--no-recreate", *names)

    def states(self) -> dict[str, str]:
        label = f"label=lilypad.testnet={self.plan.name}"
        told = command(["docker", "ps", "-a", "--filter", label, "--format", "{{.Names}} {{.State}}"])
        found = dict(line.split() for line in told.splitlines())
        names = [*(member.name for member in self.plan.members), CHAIN]
        states = {name: found.get(container(self.plan, name), "gone") for name in names}
        return {name: state if state in ("running", "paused") else "gone" for name, state in states.items()}

    def kill(self, name: str) -> None:
        command(["docker", "kill", container(self.plan, name)])
        command(["docker", "wait", container(self.plan, name)])

    def pause(self, name: str) -> None:
        for left in reversed(range(FREEZES)):
            try:
                command(["docker", "pause", container(self.plan, name)])
            except UserError as error:
                if not left or "freeze" not in error.what:
                    raise
            else:
                return

    def resume(self, name: str) -> None:
        command(["docker", "unpause", container(self.plan, name)])

    def logs(self, name: str, follow: bool) -> list[str]:
        return ["docker", "logs", *(["-f"] if follow else []), container(self.plan, name)]

    def shell(self, name: str) -> tuple[list[str], dict[str, str]]:
        terminal = ["-t"] if sys.stdin.isatty() else []
        return ["docker", "exec", "-i", *terminal, container(self.plan, name), "sh"], {}

    def network(self, rules: dict[str, Any]) -> None:
        shape(self.plan, rules, [name for name, state in self.states().items() if state != "gone"])

    def down(self) -> None:
        clear(self.plan)
        if (self.plan.folder / FILE).exists():
            self._compose("down", "--timeout", "10")

    # ---

    def _write(self) -> None:
        anvil = ""
        if self.plan.chain == "anvil":
            found = find_anvil()
            if found is None:
                raise UserError(
                    ExitCode.USAGE,
                    "anvil is not installed",
                    "npm install --prefix DIR @foundry-rs/anvil, and set LILYPAD_ANVIL=DIR; or --chain py-evm",
                )
            anvil = str(found.resolve())
        (self.plan.folder / FILE).write_text(compose(self.plan, owner(), anvil))
        (self.plan.folder / "passphrase").write_text(PASSPHRASE + "\n")

    def _own(self) -> None:
        """What root laid out belongs to whom the containers run as."""
        if os.getuid() != 0:
            return
        for place in (self.plan.folder / "peers", self.plan.folder / "chain"):
            for path in (place, *place.rglob("*")):
                os.chown(path, OWNER, OWNER, follow_symlinks=False)
        os.chown(self.plan.folder / "passphrase", OWNER, OWNER)

    def _compose(self, *words: str) -> None:
        tool = ["docker", "compose"] if _has_plugin() else ["docker-compose"]
        if tool == ["docker-compose"] and not shutil.which("docker-compose"):
            raise UserError(
                ExitCode.USAGE,
                "neither `docker compose` nor docker-compose is on this machine",
                "install the compose plugin (Debian: apt-get install docker-compose), or use --processes",
            )
        file = str(self.plan.folder / FILE)
        command([*tool, "-p", self.plan.name, "-f", file, *words], within=300.0)


def owner() -> str:
    """The user of the peers' processes, as compose writes it."""
    return f"{OWNER}:{OWNER}" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"


def choose_subnet() -> str:
    """A private network that no container network here uses; raises `UserError`."""
    command(["docker", "version", "--format", "{{.Server.Version}}"])
    names = command(["docker", "network", "ls", "-q"]).split()
    told = json.loads(command(["docker", "network", "inspect", *names])) if names else []
    taken = [
        ipaddress.ip_network(part["Subnet"])
        for network in told
        for part in (network.get("IPAM") or {}).get("Config") or []
        if "Subnet" in part
    ]
    for number in range(256):
        wanted = ipaddress.ip_network(SUBNETS.format(number))
        if not any(wanted.overlaps(other) for other in taken if other.version == 4):
            return str(wanted)
    raise UserError(ExitCode.USAGE, "every private network is taken", "docker network prune")


def need_image(image: str) -> None:
    """Raises `UserError` where the image is not there."""
    try:
        command(["docker", "image", "inspect", image])
    except UserError as error:
        raise UserError(
            ExitCode.USAGE, f"the image {image} is not there ({error.what[-120:]})", "make it with docker/build"
        ) from None


def _has_plugin() -> bool:
    try:
        command(["docker", "compose", "version"])
    except UserError:
        return False
    return True
