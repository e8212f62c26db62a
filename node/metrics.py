"""What a node counts of itself, beside its network layer, as Prometheus reads it: process, jobs, state, queue.

Names that start with ``process_`` are the ones that Prometheus' own clients use.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import trio

from node.store import Store

SCRAPE_TOKEN = "metrics-token"
"""In the data folder; for Prometheus' ``credentials_file``."""
_BEGAN = time.time()
_PAGE = resource.getpagesize()


def render(store: Store, roles: Mapping[str, object], home: Path, failures: Mapping[str, int]) -> str:
    """Everything, one metric after another; ``failures`` are the node's own, by part."""
    lines = [*_process(), *_node(home), *_jobs(store), *_records(store, roles)]
    lines += _one("lilypad_failures_total", "counter", "Parts of this node that failed.", sum(failures.values()))
    return "\n".join(lines) + "\n"


def scrape_token(home: Path) -> str:
    """What a scraper shows instead of the user's token: it lasts over restarts, and opens nothing but the metrics."""
    path = home / SCRAPE_TOKEN
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().strip()
    token = secrets.token_urlsafe(32)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return token


def _process() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield from _one(
        "process_cpu_seconds_total", "counter", "CPU time of this process.", usage.ru_utime + usage.ru_stime
    )
    yield from _one("process_start_time_seconds", "gauge", "When this process began, Unix time.", _BEGAN)
    resident = _resident()
    if resident is not None:
        yield from _one("process_resident_memory_bytes", "gauge", "Memory that lies in RAM.", resident)
    try:
        files = len(os.listdir("/proc/self/fd")) - 1  # one is this look's own
    except OSError:
        return
    yield from _one("process_open_fds", "gauge", "Open files and sockets.", files)


def _resident() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None


def _node(home: Path) -> Iterator[str]:
    tasks = trio.lowlevel.current_statistics().tasks_living
    yield from _one("lilypad_tasks", "gauge", "Tasks of this node.", tasks)
    size = sum(file.stat().st_size for file in home.glob("state.sqlite*"))
    yield from _one("lilypad_state_bytes", "gauge", "Size of the state on disk, with what is still in its log.", size)
    yield from _one(
        "lilypad_disk_free_bytes", "gauge", "Room where the data folder lies.", shutil.disk_usage(home).free
    )


def _jobs(store: Store) -> Iterator[str]:
    yield "# HELP lilypad_jobs Jobs that this node's user asked for and that it remembers, by how they ended."
    yield "# TYPE lilypad_jobs gauge"
    for outcome, count in sorted(store.count_jobs().items()):
        yield f'lilypad_jobs{{outcome="{outcome}"}} {count}'


def _records(store: Store, roles: Mapping[str, object]) -> Iterator[str]:
    yield "# HELP lilypad_records What the agents must not forget, by role and kind."
    yield "# TYPE lilypad_records gauge"
    for role in roles:
        for kind, count in store.count_records(role).items():
            yield f'lilypad_records{{role="{role}",kind="{kind}"}} {count}'


def _one(name: str, kind: str, what: str, value: float) -> Iterator[str]:
    yield f"# HELP {name} {what}"
    yield f"# TYPE {name} {kind}"
    yield f"{name} {value}"
