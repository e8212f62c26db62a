"""Tries an engine at the start: whether gVisor works there, and which GPUs its containers see."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from modules.docker.engine import DEFAULT_URL, SAFER_RUNTIME, Engine, EngineFault, engine_faults
from modules.docker.hardening import Wanted, container
from modules.docker.images import ImagePolicy, look
from modules.docker.owner import labels, remove
from modules.executor import MIB, Limits
from modules.gpus.pool import Gpu
from modules.gpus.probe import NVIDIA, parse_nvidia, probe

log = logging.getLogger(__name__)

SECONDS: Final = 30


def safer_runtime(engine: Engine, policy: ImagePolicy, place: Path) -> str | None:
    """gVisor's, if it runs a container here: that an engine was told of a runtime doesn't mean that it works."""
    if look(engine, policy.base) is None:
        log.warning("gVisor is there but can't be tried without the image %s, so it is not used", policy.base)
        return None
    try:
        _ask(engine, policy.base, ("true",), place, runtime=SAFER_RUNTIME)
    except EngineFault as fault:
        log.warning("gVisor does not work here, so it is not used: %s", fault)
        return None
    return SAFER_RUNTIME


def look_for_gpus(engine: Engine, policy: ImagePolicy, place: Path, url: str | None) -> list[Gpu]:
    """The GPUs that containers of this engine can be given; nothing is believed that no tool has listed.

    Of an engine that is named by ``url`` its own machine is asked, from inside a container: it need not be this one.
    """
    url = url or os.environ.get("DOCKER_HOST")
    if url in (None, DEFAULT_URL):
        return probe(engine.runtimes)
    if "nvidia" not in engine.runtimes:
        return []
    if look(engine, policy.base) is None:
        log.warning("GPUs behind %s can't be probed without the image %s, so they are not offered", url, policy.base)
        return []
    try:
        # Its runtime lays the driver's tools into containers that are given devices, whatever their image.
        return parse_nvidia(_ask(engine, policy.base, NVIDIA, place, all_gpus=True))
    except EngineFault as fault:
        log.warning("no GPUs are offered behind %s: %s", url, fault)
        return []


def _ask(
    engine: Engine,
    image: str,
    command: Sequence[str],
    place: Path,
    *,
    runtime: str | None = None,
    all_gpus: bool = False,
) -> str:
    """What a command says on stdout in a hardened container. Raises `EngineFault` where it fails."""
    found = look(engine, image)
    assert found is not None
    limits = Limits(0, 256 * MIB, MIB, MIB, 1, float(SECONDS))
    env = {"NVIDIA_DRIVER_CAPABILITIES": "utility"} if all_gpus else {}
    body = container(Wanted(found.id, tuple(command), env, place, place, labels("probe"), limits, 1.0, runtime=runtime))
    # Gone through the engine, whose log of a few lines can't fill anything.
    body["HostConfig"]["LogConfig"] = {"Type": "json-file", "Config": {"max-size": "1m"}}
    if all_gpus:
        body["HostConfig"]["DeviceRequests"] = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
    name = f"lilypad-{secrets.token_hex(8)}"
    try:
        with engine_faults(f"{command[0]} can't be run in a container"):
            engine.api.create_container_from_config(body, name)
            engine.api.start(name)
            code = engine.api.wait(name, timeout=SECONDS)["StatusCode"]
            said = engine.api.logs(name, stdout=True, stderr=False)[:MIB]
    finally:
        remove(engine, name)
    if code != 0:
        raise EngineFault(f"{command[0]} ended with {code} in a container")
    return bytes(said).decode(errors="replace")
