"""The engine that containers run on: found once at the start, asked by blocking calls that are made in threads."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from modules.errors import ModuleFault

DEFAULT_URL: Final = "unix:///var/run/docker.sock"
CALL_SECONDS: Final = 60
"""For one call to the engine; those that take longer by nature say so."""
SAFER_RUNTIME: Final = "runsc"
"""gVisor: a kernel of its own in user space between the program and the host's."""


class EngineFault(ModuleFault):
    """The engine is not there, does not answer, or refuses."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that answered."""

    api: Any
    """The SDK's low-level client, whose calls block."""
    version: str
    machine: str
    """The kind of its processor, such as ``x86_64``."""
    cpus: int
    memory_bytes: int
    runtimes: frozenset[str]
    cgroup: int
    """Version of the control groups, 1 or 2."""
    security: tuple[str, ...]
    """What it says of itself, such as ``name=seccomp,profile=default``."""

    def close(self) -> None:
        """Drop the connections."""
        self.api.close()


def find_engine(url: str | None = None) -> Engine:
    """The engine at ``url``, or where the environment says (``DOCKER_HOST``), or on this machine.

    Blocks for a few seconds at most. Raises `EngineFault`, whose text says what is missing.
    """
    import docker

    with engine_faults("no Docker engine answers"):
        _knock(url or os.environ.get("DOCKER_HOST") or DEFAULT_URL)
        client = docker.from_env(timeout=5) if url is None else docker.DockerClient(base_url=url, timeout=5)
        api = client.api
        try:
            info = api.info()
        except BaseException:
            api.close()
            raise
    api.timeout = CALL_SECONDS
    if info.get("OSType") != "linux":
        api.close()
        raise EngineFault(f"the engine runs {info.get('OSType')} containers, and modules are for Linux")
    return Engine(
        api=api,
        version=str(info.get("ServerVersion", "")),
        machine=str(info.get("Architecture", "")),
        cpus=int(info.get("NCPU", 1)),
        memory_bytes=int(info.get("MemTotal", 0)),
        runtimes=frozenset(info.get("Runtimes") or {}),
        cgroup=2 if str(info.get("CgroupVersion")) == "2" else 1,
        security=tuple(info.get("SecurityOptions") or ()),
    )


def _knock(url: str) -> None:
    """Raise `OSError` where nobody listens on a socket of this machine: there the SDK forgets to close its own."""
    if url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(5)
            door.connect(url.removeprefix("unix://"))


@contextlib.contextmanager
def engine_faults(doing: str) -> Iterator[None]:
    """Turn whatever the SDK raises into an `EngineFault` of one line: the border to foreign exceptions."""
    import requests
    import urllib3
    from docker.errors import APIError, DockerException

    try:
        yield
    except APIError as error:
        raise EngineFault(f"{doing}: {_one_line(error.explanation or error)}") from None
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise EngineFault(f"{doing}: {_one_line(error)}") from None


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:400]
