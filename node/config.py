"""Configuration: flag, then ``LILYPAD_*`` variable, then ``./lilypad.toml``, then the user's own ``lilypad.toml``."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from agents.mediator import Bench
from agents.shop import Sheet, Shop
from contracts.batching import Policy
from contracts.profile import ChainAccess
from modules.docker.images import ImagePolicy
from node.chain_config import batching, chain_access, check_depth
from node.cluster_config import read_cluster
from node.executors import ChoosyShop, Trade, digest_of, module_of, parse_executors
from node.mandate import parse_mandate
from node.parsing import bad, integer, parse_address, table_of, texts
from protocol.eip712 import Domain
from protocol.job import Capacity
from protocol.prices import PARTS
from protocol.rules import PERCENT, Rules

_NETWORK_KEYS = {"rpc", "vault", "token", "chain_id", "bootstrap", "relays", "rules", "quorum", "chain", "batching"}
AUTO = "auto"
CHAIN_KINDS = (AUTO, "py-evm", "anvil")
"""Of a local market; ``auto`` takes anvil where it is found."""
LOCAL = "local"
"""The network that exists when nothing is configured: a market on this machine, for one run."""
FILE_NAME = "lilypad.toml"


@dataclass(frozen=True, slots=True)
class Network:
    """Where a market's chain and first peers are."""

    name: str
    access: ChainAccess
    rules: Rules
    bootstrap: tuple[str, ...]
    batching: Policy | None = None
    relays: tuple[str, ...] = ()
    """Multiaddrs of relays for whoever can't be dialled."""


@dataclass(frozen=True, slots=True)
class Config:
    """What was configured, flags aside."""

    home: Path
    network: str
    tables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mandate(self) -> Mapping[str, Any]:
        """``[mandate]``: what this user wants of every deal, unless the command line says otherwise."""
        table = table_of(self.tables.get("mandate", {}), "mandate")
        _only(table, {"per", "isolation", "mediators", "wishes", "max_price", "check"}, None)
        return table

    @property
    def key_file(self) -> Path:
        return self.home / "key.json"

    def chain_kind(self, flag: str | None = None) -> str:
        """What the local market's chain is made of; raises `UserError`."""
        kind = str(flag or os.environ.get("LILYPAD_CHAIN") or self.tables.get("chain") or AUTO)
        if kind not in CHAIN_KINDS:
            raise bad(f"chain '{kind}' is unknown", f"choose from {', '.join(CHAIN_KINDS)}")
        return kind

    def load_network(self, name: str) -> Network:
        """A network's definition; raises `UserError` where there is none."""
        networks = table_of(self.tables.get("networks", {}), "networks")
        table = {**table_of(networks.get(name, {}), f"networks.{name}"), **_from_environment()}
        if "rpc" not in table or "vault" not in table:
            known = ", ".join(sorted(networks)) or "none"
            raise bad(
                f"network '{name}' has no rpc and vault (configured networks: {known})",
                f"add [networks.{name}] with rpc, vault, chain_id and bootstrap to ./{FILE_NAME}",
            )
        rules = table_of(table.get("rules", {}), f"networks.{name}.rules")
        unknown = set(rules) - {each.name for each in fields(Rules)} | ({"domain"} & set(rules))
        if unknown:
            raise bad(f"[networks.{name}.rules] has unknown keys: {', '.join(sorted(unknown))}", "remove them")
        unknown = set(table) - _NETWORK_KEYS
        if unknown:
            raise bad(
                f"[networks.{name}] has unknown keys: {', '.join(sorted(unknown))}",
                f"known are {', '.join(sorted(_NETWORK_KEYS))}",
            )
        domain = Domain(integer(table.get("chain_id", 1337), "chain_id"), parse_address(str(table["vault"]), "vault"))
        numbers = Rules(domain, **{key: integer(value, key) for key, value in rules.items()})
        if numbers.check_payer > PERCENT:
            raise bad(
                f"[networks.{name}.rules] check_payer is {numbers.check_payer}", "it is a share in percent: 0 to 100"
            )
        access = chain_access(table, domain.chain_id, f"networks.{name}")
        check_depth(access.profile, numbers)
        bootstrap = texts(table.get("bootstrap", []), "bootstrap")
        relays = texts(table.get("relays", []), "relays")
        batch = batching(table.get("batching"), f"networks.{name}.batching")
        return Network(name, access, numbers, bootstrap, batch, relays)


def load_config(home: Path | None = None, network: str | None = None) -> Config:
    """Put the sources together; raises `UserError` for a file that can't be read."""
    tables: dict[str, Any] = {}
    for path in (user_config_folder() / FILE_NAME, Path(FILE_NAME)):
        tables = _merged(tables, _read_toml(path))
    chosen_home = home or _path(os.environ.get("LILYPAD_HOME")) or _path(tables.get("home")) or user_data_folder()
    chosen = network or os.environ.get("LILYPAD_NETWORK") or tables.get("network") or LOCAL
    return Config(chosen_home.expanduser(), str(chosen), tables)


def user_config_folder() -> Path:
    """Where this platform keeps a user's configuration."""
    from platformdirs import user_config_path

    return user_config_path("lilypad")


def user_data_folder() -> Path:
    """Where this platform keeps a user's data."""
    from platformdirs import user_data_path

    return user_data_path("lilypad")


def user_cache_folder() -> Path:
    """Where this platform keeps what can be fetched again."""
    from platformdirs import user_cache_path

    return user_cache_path("lilypad")


def load_shop(path: Path | None) -> Shop:
    """What a provider sells, from ``offer.toml``; without a file, a modest part of this machine at a default price."""
    table = _read_offer(path)
    prices = table.get("prices", [{"module": "*", "unit": "job", "floor": 800, "ask": 1500}])
    if not isinstance(prices, list) or not prices:
        raise bad(f"{path}: prices is a list of tables", "write [[prices]]")
    sheets = tuple(_sheet(entry, path) for entry in prices)
    twice = [sheet for sheet in sheets if sum((it.module, it.unit) == (sheet.module, sheet.unit) for it in sheets) > 1]
    if twice:
        raise bad(f"{path}: two prices for {twice[0].module} by the {twice[0].unit}", "leave one of them")
    wishes = parse_mandate({"wishes": table.get("wishes", {})}).wishes
    mediators = tuple(parse_address(text, "mediators") for text in texts(table.get("mediators", []), "mediators"))
    capacity = _capacity(table.get("capacity", {}), path)
    return ChoosyShop(capacity, (), (), sheets, mediators, wishes=wishes, trade=load_trade(path))


def load_trade(path: Path | None, executors: str | None = None) -> Trade:
    """What ``offer.toml`` says of executors and modules; ``executors`` (names joined by commas) wins over it."""
    table = _read_offer(path)
    listed = texts(table["executors"], "executors") if "executors" in table else None
    names = executors if executors is not None else (None if listed is None else ",".join(listed))
    modules, docker = table.get("modules", {}), table.get("docker", {})
    for part, known in ((modules, {"allow", "deny"}), (docker, {"pull", "build", "build_network", "base", "ai_base"})):
        if not isinstance(part, dict):
            raise bad(f"{path}: modules and docker are tables", "write [modules] and [docker]")
        _only(part, known, path)
    cluster = read_cluster(table, path)
    if cluster is not None:
        names = names or "docker"
        if names != "docker":
            raise bad(
                f"{path}: a node with a cluster sells containers only",
                'write executors = ["docker"], and run another node for WASM',
            )
    folder = path.parent if path is not None else None
    allow, deny = (texts(modules.get(key, []), f"modules.{key}") for key in ("allow", "deny"))
    named = [module_of(name, folder) for name in allow]
    return Trade(
        executors=parse_executors(names),
        allow=tuple(digest_of(name, folder) for name in allow) if "allow" in modules else None,
        named=tuple(module for module in named if module is not None),
        deny=frozenset(digest_of(name, folder) for name in deny),
        images=_image_policy(docker, path),
        cluster=cluster,
    )


def _image_policy(table: Mapping[str, Any], path: Path | None) -> ImagePolicy:
    default = ImagePolicy()
    for key in ("pull", "build", "build_network"):
        if not isinstance(table.get(key, True), bool):
            raise bad(f"{path}: docker.{key} is true or false", f"write {key} = true")
    return ImagePolicy(
        base=str(table.get("base", default.base)),
        ai_base=str(table.get("ai_base", default.ai_base)),
        pull=table.get("pull", default.pull),
        build=table.get("build", default.build),
        build_network=table.get("build_network", default.build_network),
    )


def _read_offer(path: Path | None) -> dict[str, Any]:
    table = _read_toml(path, must_exist=True) if path is not None else {}
    _only(table, {"capacity", "prices", "mediators", "executors", "modules", "docker", "wishes", "cluster"}, path)
    return table


def load_bench(fee: int, stake: int = 0) -> Bench:
    """What a mediator can re-run: this machine, one job for each core."""
    return Bench(_capacity({}, None), (), fee, stake=stake)


def _sheet(entry: Any, path: Path | None) -> Sheet:
    if not isinstance(entry, dict):
        raise bad(f"{path}: prices is a list of tables", "write [[prices]]")
    _only(entry, {"module", "unit", "floor", "ask"}, path)
    unit = str(entry.get("unit", "job"))
    if unit not in PARTS:
        raise bad(f"{path}: nothing is priced by '{unit}'", f"units are {', '.join(PARTS)}")
    floor = integer(entry.get("floor"), "floor")
    ask = integer(entry.get("ask", 2 * floor), "ask")
    if ask < floor:
        raise bad(f"{path}: ask {ask} is below floor {floor}", "ask for at least the floor")
    module = digest_of(str(entry.get("module", "*")), path.parent if path is not None else None)
    return Sheet(module, floor, ask, unit)


def _capacity(table: Any, path: Path | None) -> Capacity:
    names = {"cpu", "memory_mib", "disk_mib", "longest_s"}
    table = table_of(table, "capacity")
    _only(table, names, path)
    return Capacity(
        cpu_millis=_millis(table.get("cpu", os.cpu_count() or 1), "cpu"),
        memory_mib=integer(table.get("memory_mib", 2048), "memory_mib"),
        disk_mib=integer(table.get("disk_mib", 4096), "disk_mib"),
        longest=integer(table.get("longest_s", 3600), "longest_s"),
        # no GPUs: nothing is offered that was not probed
    )


def _from_environment() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("rpc", "vault", "chain_id"):
        value = os.environ.get(f"LILYPAD_{name.upper()}")
        if value is not None:
            found[name] = value.split(",") if name == "rpc" and "," in value else value
    if os.environ.get("LILYPAD_BOOTSTRAP"):
        found["bootstrap"] = os.environ["LILYPAD_BOOTSTRAP"].split(",")
    return found


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _read_toml(path: Path, *, must_exist: bool = False) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        if must_exist:
            raise bad(f"there is no file {path}", "check the path") from None
        return {}
    except (OSError, ValueError) as error:  # what is no TOML, no UTF-8, or a number of thousands of digits
        raise bad(f"{path} can't be read: {error}", "mend the file") from None


def _only(table: dict[str, Any], known: set[str], path: Path | None) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise bad(f"{path}: unknown keys {', '.join(unknown)}", f"known are {', '.join(sorted(known))}")


def _millis(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise bad(f"{name}: {value!r} is no number of cores", f"write {name} = 2.0")
    return round(value * 1000)


def _path(text: Any) -> Path | None:
    return Path(str(text)) if text else None
