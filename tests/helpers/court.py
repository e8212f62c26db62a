"""A town of separate processes in which every kind of cheat lives, and what each row of the outcome table leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.keys import new_key
from protocol.identity import show
from tests.helpers.network import DEPOSIT, Network, Node, open_network
from tests.helpers.processes import Ended, wait_until
from tests.helpers.programs import program, write_module

FEE, STAKE, JUROR_STAKE, CHECK_FEE = 50, 500_000, 1_000, 7
PAY = 900
TIMEOUT = 5
RULES = (
    "lock_within = 20\ntransfer = 10\ngrace = 30\nanswer = 20\njudge = 60\nclaim = 90\n"
    f"fee = {FEE}\njuror_stake = {JUROR_STAKE}\ncheck_fee = {CHECK_FEE}"
)
"""Windows as short as a loaded machine bears; a test that has to wait one out moves the chain's clock."""
STEP, PACE = 2, 0.4
"""Seconds of the chain's clock that pass in this many of ours while a test is in a hurry, on top of these."""

JUDGES = ("judge_a", "judge_b", "judge_c")


@dataclass(frozen=True)
class Resident:
    """One node: its roles, and how it cheats in them."""

    roles: str
    habits: str = ""
    wishes: str = ""
    """What a provider writes below its prices."""


HONEST = {**dict.fromkeys(JUDGES, Resident("mediator")), "client": Resident("client"), "fair": Resident("provider")}
"""In every town."""


@dataclass
class Town:
    """Who lives there, and the modules that only one provider each sells."""

    network: Network
    modules: Mapping[str, Path]
    before: dict[str, int] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Node:
        return self.network.nodes[name]

    def wealth(self, name: str) -> int:
        """All that somebody has in the vault: free, locked, and at stake."""
        money = self[name].api("/api/v1/status")["money"]
        return sum(int(money[part]) for part in ("free", "locked", "stake"))

    def locked(self, name: str) -> int:
        """What somebody has locked."""
        return self[name].money()["locked"]

    def note(self) -> None:
        """Remember what everybody has."""
        self.before = {name: self.wealth(name) for name in self.network.nodes}

    def gains(self) -> dict[str, int]:
        """What each has won or lost since, who won or lost nothing left out."""
        found = {name: self.wealth(name) - before for name, before in self.before.items()}
        return {name: gain for name, gain in found.items() if gain}

    def order(self, provider: str, pool: tuple[str, ...], *more: object) -> tuple[object, ...]:
        """What to type to have a job done by this provider, judged by these mediators."""
        mediators = [word for name in pool for word in ("--mediator", show(self[name].address))]
        return ("run", self.modules[provider], *mediators, "--check", "1", *more)

    def run(
        self, provider: str, pool: tuple[str, ...] = JUDGES, by: str = "client", *more: object, hurry: bool = False
    ) -> Ended:
        """`lilypad run --json` to its end."""
        order = self.order(provider, pool, "--json", "--timeout", "300", *more)
        with self.hurrying() if hurry else no_hurry():
            return self[by].lilypad(*order, timeout=150)

    def detach(self, provider: str, pool: tuple[str, ...] = JUDGES, by: str = "client") -> str:
        """`lilypad run --detach`; the job's id."""
        return self[by].lilypad(*self.order(provider, pool, "--detach")).out.split()[0]

    @contextmanager
    def hurrying(self) -> Iterator[None]:
        """Let the chain's clock run ahead meanwhile."""
        done = threading.Event()

        def drive() -> None:
            while not done.wait(PACE):
                self.network.chain.pass_time(STEP)

        driver = threading.Thread(target=drive)
        driver.start()
        try:
            yield
        finally:
            done.set()
            driver.join()

    def settle(self, *names: str, within: float = 60.0) -> None:
        """Wait until these have nothing locked any more."""
        for name in names:
            wait_until(lambda n=name: self.locked(n) == 0, within, f"{name} still has money locked")

    def disputed(self, job: str, by: str = "client", within: float = 120.0) -> None:
        """Let time run until a job is before the vault; a jury then gets the time that it has."""
        with self.hurrying():
            wait_until(lambda: self[by].job(job).get("dispute"), within, "no dispute was opened")

    def ruled(self, job: str, by: str = "client", within: float = 90.0) -> dict[str, Any]:
        """Wait for the final ruling over a job; its dispute."""

        def final() -> dict[str, Any] | None:
            dispute: dict[str, Any] | None = self[by].job(job).get("dispute")
            return dispute if dispute and dispute["final"] else None

        found: dict[str, Any] = wait_until(final, within, "no ruling came")
        return found


@contextmanager
def no_hurry() -> Iterator[None]:
    """Time passes as it does."""
    yield


@contextmanager
def open_town(folder: Path, others: Mapping[str, Resident], rules: str = RULES) -> Iterator[Town]:
    """The honest residents and these; every provider sells one module that nobody else sells."""
    residents = {**HONEST, **others}
    arguments: dict[str, tuple[object, ...]] = {}
    modules = {}
    keys = {name: new_key() for name in residents}
    judges = [show(keys[name].address) for name, resident in residents.items() if "mediator" in resident.roles]
    # so that each story may name some of them
    trusted = f"mediators = {json.dumps(judges)}\n"
    for name, resident in residents.items():
        if "provider" in resident.roles:
            modules[name] = write_module(folder / "modules" / name, program("say"), f"timeout_s = {TIMEOUT}", name=name)
            offer = folder / f"{name}.toml"
            prices = f'[[prices]]\nmodule = "{modules[name]}"\nfloor = {PAY}\nask = {PAY}\n'
            offer.write_text(trusted + prices + resident.wishes)
            arguments[name] = ("--offer", offer)
        if "mediator" in resident.roles:
            arguments[name] = (*arguments.get(name, ()), "--stake", STAKE)
        arguments[name] = (*arguments.get(name, ()), "--executors", "wasm")
    roles = {name: resident.roles for name, resident in residents.items()}
    environment = {name: {"LILYPAD_DISHONEST": resident.habits} for name, resident in residents.items()}
    with open_network(
        folder, roles, rules, hub="client", arguments=arguments, environment=environment, keys=keys
    ) as network:
        town = Town(network, modules)
        for name, resident in residents.items():
            if "mediator" in resident.roles:
                wait_until(lambda n=name: town[n].money()["free"] == DEPOSIT - STAKE, 60, f"{name} did not join")
        yield town
