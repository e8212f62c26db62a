"""A testnet while somebody works on it: brings it up, talks to its peers over HTTP, and takes it down."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import httpx

from node.errors import ExitCode, UserError
from testnet.containers import Containers, choose_subnet
from testnet.engine import Engine, side_by_side
from testnet.layout import READY_FILE, lay_out, write_networks
from testnet.plan import CHAIN, Member, Plan, draw_members, load_plan, with_addresses, with_ports
from testnet.processes import Processes
from testnet.scenario import Scenario, as_table

READY = 420.0
"""Seconds at most until every peer is there and every client has heard every offer."""
STARTS = 3
"""How often a peer that ended is started again meanwhile."""
LOOK = 0.3
"""Seconds between two looks at those that are not ready."""
ANSWERS = 30.0
"""Seconds that a peer gets to answer one request; a machine full of peers is slow."""

Say = Callable[[str], None]


class Town:
    """One testnet."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.engine: Engine = Containers(plan) if plan.engine == "containers" else Processes(plan)

    @classmethod
    def at(cls, folder: Path) -> Town:
        """The testnet of a folder; raises `UserError`."""
        return cls(load_plan(folder))

    # --- from the beginning to the end -------------------------------------------------------------------------------

    def up(self, say: Say) -> None:
        """Start everything that does not run, and wait until it can be used."""
        began = time.monotonic()
        self.engine.start_chain()
        ready = self.plan.folder / "chain" / READY_FILE
        began_chain = time.monotonic()
        while not ready.exists():
            self._need_chain()
            if time.monotonic() - began_chain > READY:
                mend = "try a smaller testnet, or when this machine has less to do"
                raise UserError(ExitCode.TIMED_OUT, f"the chain did not start within {READY:.0f} s", mend)
            time.sleep(LOOK)
        told = json.loads(ready.read_text())
        self.plan = replace(self.plan, vault=told["vault"], chain_id=told["chain_id"], reorg=told["reorg"])
        self.engine.plan = self.plan
        self.plan.save()
        write_networks(self.plan, self.engine.rpc())
        say(f"{self.plan.chain} chain with the vault {told['vault']}")
        self.engine.start([member.name for member in self.plan.members])
        self.wait_until_ready()
        say(f"{len(self.plan.members)} peers are there and know each other, after {time.monotonic() - began:.0f} s")

    def wait_until_ready(self, within: float = READY) -> None:
        """Until every peer answers, is connected, and every client has heard of everybody.

        A peer that ends meanwhile, for the chain that it asks is busy with all the others, is started again.
        """
        until = time.monotonic() + within
        left, again = list(self.plan.members), Counter[str]()
        while left:
            left = [member for member, ready in zip(left, side_by_side(self._is_ready, left), strict=True) if not ready]
            states = self.engine.states() if left else {}
            if left:
                self._need_chain(states)
            for name in [member.name for member in left if states[member.name] == "gone"]:
                again[name] += 1
                if again[name] > STARTS:
                    raise UserError(
                        ExitCode.UNREACHABLE, f"{name} ends as soon as it is started: {self._last_words(name)}"
                    )
                self.engine.start([name])
            if left and time.monotonic() > until:
                names = ", ".join(member.name for member in left)
                mend = "try a smaller testnet, or when this machine has less to do"
                raise UserError(ExitCode.TIMED_OUT, f"not ready after {within:.0f} s: {names}", mend)
            time.sleep(LOOK)

    def log_lines(self, name: str) -> list[str]:
        """All that a peer has logged."""
        done = subprocess.run(self.engine.logs(name, False), capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).splitlines()

    def _need_chain(self, states: Mapping[str, str] | None = None) -> None:
        """Raises `UserError` where the chain has ended: nobody can be ready without it."""
        if (states or self.engine.states())[CHAIN] != "gone":
            return
        said = [words for line in self.log_lines(CHAIN) if (words := line.strip(" |+-"))]  # drawn around exceptions
        why = said[-1][:300] if said else "it did not say why"
        raise UserError(
            ExitCode.UNREACHABLE,
            f"the {self.plan.chain} chain has ended: {why}",
            "`lilypad testnet down`, then `up` again; --chain anvil or py-evm takes the other one",
        )

    def _last_words(self, name: str) -> str:
        said = [line for line in self.log_lines(name) if line.startswith("lilypad: ")]
        return said[-1].removeprefix("lilypad: ") if said else "it did not say why"

    def down(self) -> None:
        """End everything; the folder stays."""
        self.engine.down()

    def _is_ready(self, member: Member) -> bool:
        try:
            if member.role != "client":
                return bool(self.get(member, "/api/v1/status")["peers"])
            offers = self.get(member, "/api/v1/offers")
        except UserError:
            return False
        heard = {offer["address"] for offer in offers}
        return {other.address for other in self.plan.members if other.role != "client"} <= heard

    # --- its peers ---------------------------------------------------------------------------------------------------

    def token(self, member: Member) -> str:
        """Whoever has it may spend the peer's money; raises `UserError` where the peer is not there."""
        try:
            return str(json.loads((self.plan.home(member.name) / "node.json").read_text())["token"])
        except (OSError, ValueError, KeyError):
            raise UserError(ExitCode.UNREACHABLE, f"{member.name} is not there", "see `lilypad testnet ps`") from None

    def url(self, member: Member) -> str:
        """Its HTTP server, from this machine."""
        return f"http://127.0.0.1:{member.http}"

    def get(self, member: Member, path: str) -> Any:
        """JSON from a peer's HTTP interface; raises `UserError`."""
        return self._answer(member, path).json()

    def text(self, member: Member, path: str) -> str:
        """Text from a peer's HTTP interface; raises `UserError`."""
        return self._answer(member, path).text

    def chain(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises `UserError`."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            answer = httpx.post(self.plan.rpc, json=body, timeout=ANSWERS, trust_env=False).json()
        except (httpx.HTTPError, ValueError) as error:
            raise UserError(ExitCode.UNREACHABLE, f"the chain does not answer: {error!r}") from None
        if "error" in answer:
            raise UserError(ExitCode.UNREACHABLE, f"the chain refused {method}: {answer['error']}")
        return answer["result"]

    def _answer(self, member: Member, path: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token(member)}"}
        try:
            answer = httpx.get(self.url(member) + path, headers=headers, timeout=ANSWERS, trust_env=False)
        except httpx.HTTPError as error:
            raise UserError(ExitCode.UNREACHABLE, f"{member.name} does not answer: {error!r}") from None
        if answer.status_code >= 400:
            raise UserError(ExitCode.UNREACHABLE, f"{member.name} refused {path}: HTTP {answer.status_code}")
        return answer


def make(
    folder: Path,
    scenario: Scenario,
    engine: Literal["processes", "containers"],
    chain: Literal["anvil", "py-evm"],
    image: str,
) -> Town:
    """Lay a new testnet out in a folder that is not there yet; raises `UserError`."""
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise UserError(
            ExitCode.USAGE,
            f"there is something in {folder} already",
            "`lilypad testnet down`, or name another --folder",
        )
    folder.mkdir(parents=True, exist_ok=True)
    members, subnet = draw_members(scenario), ""
    if engine == "containers":
        subnet = choose_subnet()
        members, port = with_addresses(members, subnet)
    else:
        members, port = with_ports(members)
    plan = Plan(
        folder,
        folder.name,
        engine,
        chain,
        members,
        scenario=as_table(scenario),
        subnet=subnet,
        image=image,
        chain_port=port,
    )
    with undone(folder):
        plan = lay_out(plan)
        plan.save()
        return Town(plan)


@contextlib.contextmanager
def undone(folder: Path) -> Iterator[None]:
    """Leave no half-made folder behind."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def node_variables(town: Town, member: Member) -> dict[str, str]:
    """The variables by which `lilypad` commands on this machine speak to that peer."""
    return {
        **os.environ,
        "LILYPAD_NODE": town.url(member),
        "LILYPAD_TOKEN": town.token(member),
        "LILYPAD_HOME": str(town.plan.folder / "outside" / member.name),
    }
