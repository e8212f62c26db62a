"""A network of separate processes: a dev chain and `lilypad node start` for every peer."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, TypeVar

import httpx

from node.keys import Key, new_key
from protocol.identity import show
from tests.helpers.processes import PASSPHRASE, ROOT, Ended, User, end_process, in_space, wait_until

T = TypeVar("T")
COINS = 10**21
DEPOSIT = 10**9
CHEAP_SCRYPT = 1 << 10


class Chain:
    """A dev chain process."""

    def __init__(
        self, fund: Mapping[bytes, int], deposits: Mapping[bytes, int], space: str = "", host: str = "127.0.0.1"
    ) -> None:
        command = [*in_space(space), sys.executable, "-m", "contracts.devchain"]
        command += ["--host", host, "--port", "0", "--vault"]
        command += [f"--fund={show(who)}={amount}" for who, amount in fund.items()]
        command += [f"--deposit={show(who)}={amount}" for who, amount in deposits.items()]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.url: str = told["url"]
        self.vault: str = told["vault"]
        self.chain_id: int = told["chain_id"]
        self.front = self.url
        """Where nodes ask; an endpoint with habits of its own may stand in front."""

    def call(self, method: str, *parameters: Any) -> Any:
        """One JSON-RPC call."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = httpx.post(self.url, json=body, timeout=30, trust_env=False).json()
        assert "error" not in answer, answer
        return answer["result"]

    @contextmanager
    def behind(self, kind: str) -> Iterator[IO[str]]:
        """Put an odd endpoint in front for nodes that are configured meanwhile; the file has what it was forbidden."""
        with tempfile.TemporaryFile("w+") as log:
            command = [sys.executable, "-m", "tests.helpers.odd_chain", self.url, "--kind", kind]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT
            )
            try:
                assert process.stdout is not None
                self.front = json.loads(process.stdout.readline())["url"]
                yield log
            finally:
                self.front = self.url
                end_process(process)

    def pass_time(self, seconds: int) -> None:
        """Let the chain's clock jump."""
        self.call("evm_increaseTime", seconds)
        self.call("evm_mine")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass
class Node(User):
    """One peer: its folder, and its process while it runs."""

    key: Key | None = None
    process: subprocess.Popen[str] | None = None
    port: int = 0
    told: tuple[str, ...] = ()
    """What it printed at its last start."""

    def begin(self, *arguments: object) -> None:
        """Start `lilypad node start` and wait until it is ready; its stderr goes to a file."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        log = (self.folder / "log").open("a")
        listen = ("--listen", f"/ip4/127.0.0.1/tcp/{self.port}") if self.port else ()
        self.process = self.start("node", "start", *listen, *arguments, stderr=log)
        log.close()
        self.told = _wait_for_line(self.process, "ready", 120.0, self.log)

    @property
    def listening(self) -> str:
        """The multiaddr that it printed."""
        found = next(line for line in self.told if "/p2p/" in line)
        return found[found.index("/ip4") :]

    @property
    def address(self) -> bytes:
        """Who it is on the chain."""
        assert self.key is not None
        return self.key.address

    @property
    def peer(self) -> str:
        """The peer id that it printed."""
        return self.told[0].removeprefix("peer ")

    def log(self) -> str:
        """What the node wrote on stderr so far."""
        return (self.folder / "log").read_text()

    @property
    def place(self) -> str:
        """Its multiaddr."""
        assert self.key is not None
        return f"/ip4/127.0.0.1/tcp/{self.port}/p2p/{self.key.peer_id}"

    def api(self, path: str, method: str = "GET") -> Any:
        """Ask the running node, as the command line does."""
        contact = json.loads((self.home / "node.json").read_text())
        headers = {"Authorization": f"Bearer {contact['token']}"}
        answer = httpx.request(method, contact["url"] + path, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code < 400, answer.text
        return answer.json()

    def job(self, job: str) -> dict[str, Any]:
        """A job's document as it stands."""
        found: dict[str, Any] = self.api(f"/api/v1/jobs/{job}")
        return found

    def stories(self) -> list[dict[str, Any]]:
        """All jobs."""
        found: list[dict[str, Any]] = self.api("/api/v1/jobs")
        return found

    def money(self) -> dict[str, int]:
        """Free and locked in the vault."""
        found = self.api("/api/v1/status")["money"]
        return {name: int(found[name]) for name in ("free", "locked")}

    def events(self, job: str) -> dict[str, dict[str, Any]]:
        """The latest of each kind of a job's events, read from the disk: also of a node that is dead."""
        with closing(sqlite3.connect(f"file:{self.home / 'state.sqlite'}?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT event FROM job_events WHERE job = ? ORDER BY number", (job,)).fetchall()
        found = [json.loads(row[0]) for row in rows]
        return {event["event"]: event for event in found}

    def kill(self) -> None:
        """`kill -9`."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def end(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and self.process.poll() is None:
            end_process(self.process)


@dataclass
class Network:
    """Everybody."""

    folder: Path
    chain: Chain
    nodes: dict[str, Node]
    forbidden: IO[str] | None = None
    """What an odd endpoint was asked for and should not have been."""

    def total(self) -> int:
        """All money in the vault that belongs to somebody here."""
        return sum(sum(node.money().values()) for node in self.nodes.values())

    def run(self, *arguments: object, by: str = "client", timeout: float = 60.0) -> Ended:
        """`lilypad run` by the client."""
        return self.nodes[by].lilypad("run", *arguments, timeout=timeout)


def money_report(network: Network) -> dict[str, tuple[int, int]]:
    """Free and locked money of everybody."""
    return {name: (money["free"], money["locked"]) for name, node in network.nodes.items() if (money := node.money())}


def configuration(chain: Chain, bootstrap: tuple[str, ...] = (), rules: str = "") -> str:
    """A lilypad.toml."""
    return (
        f'network = "devnet"\n[networks.devnet]\nrpc = "{chain.front}"\nvault = "{chain.vault}"\n'
        f"chain_id = {chain.chain_id}\nbootstrap = {json.dumps(list(bootstrap))}\n[networks.devnet.rules]\n{rules}\n"
    )


def save_cheap_key(key: Key, path: Path) -> None:
    """A key file whose passphrase takes next to no time to try: tests open it often."""
    import eth_keyfile

    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = eth_keyfile.create_keyfile_json(key.secret, PASSPHRASE.encode(), kdf="scrypt", iterations=CHEAP_SCRYPT)
    path.write_text(json.dumps(content))
    path.chmod(0o600)


@contextmanager
def open_network(
    folder: Path,
    roles: Mapping[str, str],
    rules: str = "",
    hub: str = "",
    arguments: Mapping[str, tuple[object, ...]] = MappingProxyType({}),
    environment: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    front: str = "",
    keys: Mapping[str, Key] = MappingProxyType({}),
) -> Iterator[Network]:
    """Start a chain and a node for each name, which says its roles; all are there and have heard each other.

    Everybody is told where everybody else is, or with a ``hub`` only where that one is. Some may be started with more
    arguments, in another environment, or with a key that is known beforehand.
    """
    keys = {name: keys.get(name) or new_key() for name in roles}
    addresses = [key.address for key in keys.values()]
    chain = Chain(dict.fromkeys(addresses, COINS), dict.fromkeys(addresses, DEPOSIT))
    nodes: dict[str, Node] = {}
    standing = ExitStack()
    try:
        forbidden = standing.enter_context(chain.behind(front)) if front else None
        for name, key in keys.items():
            node = nodes[name] = Node(folder / name, environment.get(name, {}), key=key, port=_free_port())
            save_cheap_key(key, node.home / "key.json")
        everybody = tuple(node.place for node in nodes.values())
        for node in nodes.values():
            meet = (nodes[hub].place,) if hub else everybody
            others = tuple(place for place in meet if place != node.place)
            (node.here / "lilypad.toml").write_text(configuration(chain, others, rules))
        begins = [partial(nodes[name].begin, "--role", role, *arguments.get(name, ())) for name, role in roles.items()]
        side_by_side(begins)
        network = Network(folder, chain, nodes, forbidden)
        providers = sum("provider" in role for role in roles.values())
        mediators = sum("mediator" in role for role in roles.values())
        for name, role in roles.items():
            if "client" in role:
                others = providers - ("provider" in role), mediators - ("mediator" in role)
                wait_until(lambda n=nodes[name], o=others: _heard(n, *o), 60, "the offers were not heard")
        yield network
    finally:
        for node in nodes.values():
            node.end()
        standing.close()
        chain.end()


def _heard(node: Node, providers: int, mediators: int) -> bool:
    kinds = [offer["kind"] for offer in node.api("/api/v1/offers")]
    return kinds.count("provider") >= providers and kinds.count("mediator") >= mediators


def side_by_side(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run tasks at the same time; what they give, in order."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        return [future.result() for future in [pool.submit(task) for task in tasks]]


def _wait_for_line(
    process: subprocess.Popen[str], wanted: str, within: float, log: Callable[[], str]
) -> tuple[str, ...]:
    assert process.stdout is not None
    said: list[str] = []
    watchdog = threading.Timer(within, process.kill)
    watchdog.start()
    try:
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if said[-1] == wanted:
                return tuple(said)
    finally:
        watchdog.cancel()
    raise AssertionError(f"the node did not start: {said}\n{log()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
