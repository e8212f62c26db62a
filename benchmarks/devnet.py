"""A market of separate processes on this machine, for benchmarks: a chain, providers, a mediator and a client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LILYPAD = str(Path(sys.executable).parent / "lilypad")
PASSPHRASE = "benchmark"
COINS = 10**21
DEPOSIT = 10**12


@dataclass(frozen=True)
class Devnet:
    """Where the client's node works, and the environment in which commands find it."""

    home: Path
    environment: dict[str, str]

    def lilypad(self, *arguments: str) -> dict[str, Any]:
        """Run a command beside the client's node and read its JSON."""
        done = subprocess.run([LILYPAD, *arguments], env=self.environment, capture_output=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def devnet(providers: int = 3) -> Iterator[Devnet]:
    """Start it, wait until everybody is ready, end it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lilypad-benchmark-")))
        base = {**os.environ, "LILYPAD_PASSPHRASE": PASSPHRASE, "LILYPAD_NETWORK": "devnet"}
        names = ["client", *(f"provider{number}" for number in range(providers)), "mediator"]
        addresses = {name: _new_key(base, folder / name) for name in names}
        chain = _start_chain(stack, list(addresses.values()))
        base |= {"LILYPAD_RPC": chain["url"], "LILYPAD_VAULT": chain["vault"], "LILYPAD_CHAIN_ID": "1337"}
        client = _start_node(stack, base, folder / "client", "client")
        base["LILYPAD_BOOTSTRAP"] = client["addresses"][0]
        for name in names[1:]:
            _start_node(stack, base, folder / name, name.rstrip("0123456789"))
        network = Devnet(folder / "client", {**base, "LILYPAD_HOME": str(folder / "client")})
        while len(network.lilypad("offers", "ls", "--json")) < len(names) - 1:
            pass
        yield network


def _new_key(base: dict[str, str], home: Path) -> str:
    command = [LILYPAD, "wallet", "new", "--home", str(home)]
    printed = subprocess.run(command, env=base, capture_output=True, check=True, text=True).stdout
    return printed.split()[1]


def _start_chain(stack: ExitStack, addresses: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "contracts.devchain", "--port", "0", "--vault"]
    command += [f"--fund={address}={COINS}" for address in addresses]
    command += [f"--deposit={address}={DEPOSIT}" for address in addresses]
    return _started(stack, command, dict(os.environ))


def _start_node(stack: ExitStack, base: dict[str, str], home: Path, role: str) -> dict[str, Any]:
    command = [LILYPAD, "node", "start", "--json", "--home", str(home), "--role", role]
    return _started(stack, command, base)


def _started(stack: ExitStack, command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found
