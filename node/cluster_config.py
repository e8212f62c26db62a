"""Reads ``[cluster]`` of an ``offer.toml``: the machines of a provider that has more than one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.errors import ExitCode, UserError

if TYPE_CHECKING:
    from modules.cluster.opening import Cluster

_KEYS: Final = {
    "engines": {"kind", "folder", "machines"},
    "swarm": {"kind", "folder", "manager", "engines"},
    "slurm": {"kind", "folder", "manager", "engines", "partition", "socket"},
}


def read_cluster(table: Mapping[str, Any], path: Path | None) -> Cluster | None:
    """The cluster that the file names, if it does; raises `UserError`."""
    part = table.get("cluster")
    if part is None:
        return None
    if not isinstance(part, dict) or part.get("kind") not in _KEYS:
        raise _bad(path, "[cluster] needs a kind", 'write kind = "engines", "swarm" or "slurm"')
    kind = part["kind"]
    if unknown := sorted(set(part) - _KEYS[kind]):
        raise _bad(
            path, f"[cluster] has unknown keys: {', '.join(unknown)}", f"known are {', '.join(sorted(_KEYS[kind]))}"
        )
    from modules.cluster.opening import Cluster

    return Cluster(
        kind=kind,
        folder=_folder(part.get("folder"), path),
        machines=_machines(part.get("machines", []), path) if kind == "engines" else (),
        manager=_text(part, "manager", path) or None,
        engines=tuple(_url(each, path) for each in _list(part.get("engines", []), "engines", path)),
        partition=_text(part, "partition", path),
        socket=_text(part, "socket", path) or "/var/run/docker.sock",
    )


def _machines(listed: Any, path: Path | None) -> tuple[Any, ...]:
    from modules.cluster.machine import Machine

    found = []
    for each in _list(listed, "machines", path):
        if not isinstance(each, dict) or set(each) - {"url", "name", "cpu", "memory_mib", "disk_mib"}:
            raise _bad(path, "a machine has url, name, cpu, memory_mib and disk_mib", "write [[cluster.machines]]")
        url = _url(each.get("url"), path)
        numbers = {key: each.get(key, 1 << 40) for key in ("cpu", "memory_mib", "disk_mib")}
        for key, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise _bad(path, f"{key} = {value!r} of {url} is no number above 0", f"write {key} = 4")
        machine = Machine(
            str(each.get("name", url)), float(numbers["cpu"]), int(numbers["memory_mib"]), int(numbers["disk_mib"])
        )
        found.append((url, machine))
    if not found:
        raise _bad(path, "[cluster] has no machines", 'add [[cluster.machines]] with url = "ssh://USER@HOST"')
    if len({url for url, _ in found}) < len(found):
        raise _bad(path, "[cluster] names one engine twice", "remove one of them")
    return tuple(found)


def _folder(value: Any, path: Path | None) -> Path:
    if not isinstance(value, str) or not Path(value).is_dir() or not Path(value).is_absolute():
        raise _bad(
            path,
            f"[cluster] folder = {value!r} is no folder",
            "name one, from / on, that every machine sees under the same path, such as a network share",
        )
    return Path(value)


def _url(value: Any, path: Path | None) -> str:
    if not isinstance(value, str) or not value.startswith(("unix://", "ssh://", "tcp://", "https://")):
        raise _bad(path, f"{value!r} is no address of a Docker engine", 'write "ssh://USER@HOST" or "unix:///SOCKET"')
    return value


def _text(part: Mapping[str, Any], key: str, path: Path | None) -> str:
    value = part.get(key, "")
    if not isinstance(value, str):
        raise _bad(path, f"[cluster] {key} is a text", f'write {key} = "…"')
    return _url(value, path) if key == "manager" and value else value


def _list(value: Any, key: str, path: Path | None) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(path, f"[cluster] {key} is a list", f"write {key} = […]")
    return value


def _bad(path: Path | None, what: str, mend: str) -> UserError:
    return UserError(ExitCode.USAGE, f"{path}: {what}", mend)
