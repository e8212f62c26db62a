"""From what a user typed to what a market understands: a module and its inputs as DAGs, and the job that names them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from content.adding import add_path
from content.blocks import Blocks, FileBlocks
from content.cid import Cid
from modules import inputs
from modules.catalogue import find
from modules.errors import ModuleFault
from modules.module import Module, load
from node.config import user_cache_folder
from node.errors import ExitCode, UserError
from node.modules_by_cid import looks_like_cid, module_by_cid
from node.workshop import job_resources
from protocol.errors import PeerFault
from protocol.isolation import rank


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is ready to be handed to a node."""

    module: Module
    module_cid: Cid
    inputs_cid: Cid
    blocks: Blocks
    isolation: str = ""
    """The least class of isolation that the provider may run it under."""

    @property
    def about(self) -> dict[str, Any]:
        """What the job's document says of its module."""
        manifest = self.module.manifest
        named = {"name": manifest.name, "version": manifest.version, "digest": self.module.digest}
        return {"module": named, "compare": manifest.verification.compare}

    @property
    def units(self) -> tuple[str, ...]:
        """What its module may be priced by."""
        return self.module.manifest.pricing.units

    def job(self, inputs: Cid) -> dict[str, Any]:
        """The job as the node's API takes it, on inputs by the CID under which others know them.

        The seed follows from what is run, so the same job repeats itself; a private one, whose box is new, does not.
        """
        manifest = self.module.manifest
        needs = job_resources(self.module)
        seed = hashlib.sha256(f"{self.module.digest} {inputs}".encode()).hexdigest()
        return {
            "module": self.module.digest,
            "module_cid": str(self.module_cid),
            "inputs_cid": str(inputs),
            "executor": manifest.executor,
            "resources": {name: getattr(needs, name) for name in needs.__slots__},
            "compare": manifest.verification.compare,
            "seed": seed,
            "isolation": self.isolation,
        }


def find_module(reference: str, home: Path | None = None) -> Module:
    """The module that a user names; ``home`` is the data folder of the node that may have it. Raises `UserError`."""
    cache = user_cache_folder() / "modules"
    try:
        if looks_like_cid(reference):
            return load(module_by_cid(reference, cache, home or cache))
        return find(reference, cache)
    except ModuleFault as fault:
        raise UserError(ExitCode.USAGE, str(fault)) from None


def bind_inputs(
    module: Module, text: str | None, values: Mapping[str, str], files: Mapping[str, Path]
) -> inputs.BoundInputs:
    """What the user gave, fitted to the module's inputs; raises `UserError`."""
    try:
        return inputs.bind(module.manifest, text, values, files)
    except ModuleFault as fault:
        raise UserError(ExitCode.USAGE, str(fault)) from None


def prepare(module: Module, bound: inputs.BoundInputs, folder: Path, isolation: str = "") -> Prepared:
    """Lay module and inputs out as DAGs in blocks below ``folder``; raises `UserError`.

    The stricter of the module's class of isolation and the user's is demanded.
    """
    blocks = FileBlocks(folder / "blocks")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        try:
            module.copy_to(Path(scratch) / "module")
            inputs.write(bound, Path(scratch) / "inputs")
            return Prepared(
                module,
                add_path(Path(scratch) / "module", blocks),
                add_path(Path(scratch) / "inputs", blocks),
                blocks,
                max(module.manifest.resources.isolation, isolation, key=rank),
            )
        except PeerFault as fault:
            raise UserError(ExitCode.USAGE, str(fault)) from None


def parse_pairs(pairs: list[str], option: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping; raises `UserError`."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(ExitCode.USAGE, f"{option} '{pair}' is not NAME=VALUE", f"write {option} NAME=VALUE")
        if name in found:
            raise UserError(ExitCode.USAGE, f"{option} gives '{name}' twice", "give it once")
        found[name] = value
    return found
