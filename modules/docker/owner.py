"""Labels that say whose a container is, and the removal of those whose node is gone."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from modules.docker.engine import Engine, EngineFault, engine_faults
from modules.owner import is_orphan, owner

log = logging.getLogger(__name__)

JOB_LABEL: Final = "lilypad.job"
OWNER_LABEL: Final = "lilypad.owner"
"""Of the node's process: see `modules.owner.owner`."""


def labels(job: str) -> dict[str, str]:
    """What a container of ours is marked with."""
    return {JOB_LABEL: job[:64], OWNER_LABEL: owner()}


def sweep(engine: Engine) -> int:
    """Remove containers that a node left behind when it was killed; return how many. Raises `EngineFault`."""
    removed = 0
    with engine_faults("containers can't be listed"):
        found = engine.api.containers(all=True, filters={"label": OWNER_LABEL})
    for each in found:
        if not is_orphan((each.get("Labels") or {}).get(OWNER_LABEL, "")):
            continue
        try:
            remove(engine, each["Id"])
        except EngineFault as fault:
            log.warning("a container that was left behind can't be removed: %s", fault)
        else:
            removed += 1
    return removed


def remove(engine: Engine, container: str) -> None:
    """End a container and remove it with all that it made. One that is gone is no fault. Raises `EngineFault`."""
    from docker.errors import NotFound

    with engine_faults("the container can't be removed"), contextlib.suppress(NotFound):
        engine.api.remove_container(container, v=True, force=True)
