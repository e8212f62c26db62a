"""Which modules have been seen not to repeat themselves: those can't be sold as ``exact``.

`lilypad modules check` notes what it finds, and a provider checks the containers that it is to sell and that nobody has
checked yet. WASM programs repeat by construction; one that was seen not to is noted all the same.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from modules.errors import ModuleFault
from modules.executor import Executor
from modules.module import Module
from node.config import user_cache_folder

log = logging.getLogger(__name__)

TIMES = 2
"""Runs of a check at a node's start."""


def _place(digest: str) -> Path:
    return user_cache_folder() / "repeatability" / (digest.removeprefix("sha256:")[:64] + ".json")


def note(digest: str, *, repeats: bool) -> None:
    """Remember what a check has found."""
    place = _place(digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({"module": digest, "repeats": repeats}))


def known(digest: str) -> bool | None:
    """Whether a module repeats itself, as its manifest compares; None where nobody has looked."""
    try:
        found = json.loads(_place(digest).read_text())
    except (OSError, ValueError):
        return None
    return bool(found.get("repeats")) if isinstance(found, dict) else None


async def unrepeatable(executors: Mapping[str, Executor], modules: Sequence[Module], ready: frozenset[str]) -> set[str]:
    """Digests of those of these modules that are to be compared to the byte and don't repeat themselves.

    Containers whose image is ready and that run without inputs are tried where nothing is known of them.
    """
    found: set[str] = set()
    for module in modules:
        if module.manifest.verification.compare != "exact":
            continue
        repeats = known(module.digest)
        if repeats is None and module.digest in ready:
            repeats = await _try(executors, module)
        if repeats is False:
            log.warning("%s is not offered: it is compared to the byte and does not repeat", module.manifest.reference)
            found.add(module.digest)
    return found


async def _try(executors: Mapping[str, Executor], module: Module) -> bool | None:
    from modules.checking import check
    from modules.compare import CannotCompare
    from modules.inputs import bind

    executor = executors.get(module.manifest.executor)
    if executor is None or any(declared.required for declared in module.manifest.inputs.values()):
        return None
    try:
        bound = bind(module.manifest, None, {}, {})
        with tempfile.TemporaryDirectory(prefix="lilypad-check-") as folder:
            verdict = await check(executor, module, bound, Path(folder), TIMES)
    except (ModuleFault, CannotCompare):
        return None
    if verdict.failed:
        return None  # says nothing of a module that wants other inputs
    note(module.digest, repeats=verdict.agrees)
    return verdict.agrees
