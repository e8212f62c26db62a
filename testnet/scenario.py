"""A scenario file: who takes part, what they are asked to do, and what goes wrong when.

The same file runs on a testnet of real peers and in the simulator. TOML; every key is optional::

    [peers]                       # how many, and how many of the providers or mediators cheat
    providers = 6
    clients = 3
    mediators = 3
    liars = 1
    lazy_mediators = 1
    double_bookers = 1
    late = 0
    strategy = "micro"            # who haggles, for everybody

    [load]
    jobs = 30
    rate = 1.0                    # jobs a second
    module = "cowsay:v0.1"
    worth = [1000, 3000]          # what a job is worth to who asks for it: drawn from here, base units
    check = 1.0                   # chance that a mediator re-runs a result

    [rules]                       # of the network, as in lilypad.toml
    grace = 30

    [[faults]]                    # seconds from the load's beginning
    at = 5
    fault = "partition"
    a = ["provider-1"]
    b = ["client-1", "mediator-1"]
    for = 10
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from node.errors import ExitCode, UserError
from protocol.rules import Rules
from testnet.faults import Fault, parse_fault, words_of

MOST_PEERS = 200
T = TypeVar("T")

TESTNET_RULES: Mapping[str, int] = {
    "lock_within": 30,
    "transfer": 30,
    "grace": 40,  # a claim that a reorganisation drops must still be in time when it is mined again
    "answer": 30,
    "judge": 60,
    "claim": 120,
    "fee": 20,
    "juror_stake": 1000,
}
"""Shorter windows than the default, so that disputes end while somebody looks on."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Who takes part."""

    providers: int = 3
    clients: int = 1
    mediators: int = 3
    liars: int = 0
    """Of the providers: they sign results that they made up."""
    double_bookers: int = 0
    """Of the providers: they sell one machine several times."""
    late: int = 0
    """Of the providers: they deliver after the deadline."""
    lazy_mediators: int = 0
    """Of the mediators: they run nothing when they judge, and copy another's vote."""
    strategy: str = ""
    """Who haggles for everybody; empty: the default."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients are asked to do."""

    jobs: int = 10
    rate: float = 1.0
    """Jobs a second, all clients together."""
    module: str = "cowsay:v0.1"
    worth: tuple[int, int] = (1500, 3000)
    """The least and the most that a job is worth to its client, and so the most that it pays; base units."""
    check: float = 1.0
    """Chance that a result is re-run by a mediator."""
    seed: int = 1
    """Of what is drawn."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A fault and its moment."""

    at: float
    """Seconds from the load's beginning."""
    fault: Fault


@dataclass(frozen=True, slots=True)
class Scenario:
    """All of it."""

    peers: Peers = Peers()
    load: Load = Load()
    rules: Mapping[str, int] = field(default_factory=lambda: dict(TESTNET_RULES))
    faults: tuple[Timed, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read a file; raises `UserError` for whatever is wrong with it."""
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise _bad(f"there is no file {path}", "check the path") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _bad(f"{path} can't be read: {error}", "mend the file") from None
    _only(table, {"peers", "load", "rules", "faults"}, str(path))
    rules = {**TESTNET_RULES, **_section(table, "rules")}
    known = {each.name for each in fields(Rules)} - {"domain"}
    if not set(rules) <= known or not all(_is_count(value) for value in rules.values()):
        raise _bad("[rules] has keys that no network has, or values that are no whole numbers", "see running-a-node.md")
    listed = table.get("faults", [])
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise _bad("faults is a list of tables", "write [[faults]]")
    timed = tuple(sorted((_timed(entry) for entry in listed), key=lambda it: it.at))
    load = _section(table, "load")
    if isinstance(load.get("worth"), list):
        load = {**load, "worth": tuple(load["worth"])}
    return check_scenario(Scenario(_of(Peers, _section(table, "peers")), _of(Load, load), rules, timed))


def check_scenario(scenario: Scenario) -> Scenario:
    """The scenario, if it can be played; raises `UserError`."""
    peers, load = scenario.peers, scenario.load
    counts = {each.name: getattr(peers, each.name) for each in fields(Peers) if each.name != "strategy"}
    for name, count in counts.items():
        if not 0 <= count <= MOST_PEERS:
            raise _bad(f"{name} is {count}", f"give a number from 0 to {MOST_PEERS}")
    if peers.clients < 1 or peers.providers < 1:
        raise _bad("a market needs a client and a provider at least", "raise --clients or --providers")
    if peers.providers + peers.clients + peers.mediators > MOST_PEERS:
        raise _bad("that is more peers than one machine holds", f"stay below {MOST_PEERS} in all")
    if peers.liars + peers.double_bookers + peers.late > peers.providers:
        raise _bad("there are more cheats than providers", "raise --providers")
    if peers.lazy_mediators > peers.mediators:
        raise _bad("there are more lazy mediators than mediators", "raise --mediators")
    low, high = load.worth
    if not 1 <= load.jobs <= 100_000 or not 0 < load.rate <= 1000 or not 0 < low <= high < 2**64:
        raise _bad(f"[load] {load} is out of range", "jobs from 1, rate above 0, worth = [least, most]")
    if not 0 <= load.check <= 1:
        raise _bad(f"check is {load.check}, no chance", "give a number from 0 to 1")
    return scenario


def as_table(scenario: Scenario) -> dict[str, Any]:
    """As JSON, with each fault as one would type it."""
    return {
        "peers": asdict(scenario.peers),
        "load": {**asdict(scenario.load), "worth": list(scenario.load.worth)},
        "rules": dict(scenario.rules),
        "faults": [{"at": timed.at, "fault": words_of(timed.fault)} for timed in scenario.faults],
    }


def _timed(entry: Mapping[str, Any]) -> Timed:
    at = entry.get("at", 0)
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 1e6:
        raise _bad(f"at = {at!r} is no moment", "give seconds from the load's beginning")
    return Timed(float(at), parse_fault({key: value for key, value in entry.items() if key != "at"}))


def _of(kind: type[T], table: Mapping[str, Any]) -> T:
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    _only(table, set(known), kind.__name__.lower())
    for name, value in table.items():
        wanted = getattr(kind(), name)
        fits = (
            (_is_count(value) and isinstance(wanted, int))
            or (isinstance(wanted, float) and isinstance(value, int | float) and not isinstance(value, bool))
            or (isinstance(wanted, str) and isinstance(value, str))
            or (
                isinstance(wanted, tuple)
                and isinstance(value, tuple)
                and len(value) == 2
                and all(map(_is_count, value))
            )
        )
        if not fits:
            raise _bad(f"{name} = {value!r} does not fit", f"write it like {name} = {_toml(wanted)}")
    return kind(**table)


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)


def _section(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = table.get(name, {})
    if not isinstance(section, dict):
        raise _bad(f"{name} is a table", f"write [{name}]")
    return section


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise _bad(f"{where}: unknown keys {', '.join(unknown)}", f"known are {', '.join(sorted(known))}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _bad(what: str, mend: str) -> UserError:
    return UserError(ExitCode.USAGE, what, mend)
