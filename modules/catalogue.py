"""Finds a module by the name people type: ``name:version`` of the catalogue that ships here, or a folder's path."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modules.errors import UnknownModule, did_you_mean
from modules.manifest import NAME, VERSION
from modules.manifest_parser import FILE_NAME
from modules.module import Module, load

SHIPPED: Final = Path(__file__).parent / "shipped"


def references() -> list[str]:
    """Every ``name:version`` of the catalogue, in order."""
    found = []
    for manifest in SHIPPED.glob(f"*/{FILE_NAME}"):
        # The version is what follows the last "-v": a name may hold dashes of its own, and so may a version.
        name, _, version = manifest.parent.name.partition("-v")
        found.append(f"{name}:v{version}")
    return sorted(found)


def find(reference: str) -> Module:
    """Load the module called ``reference``. Raises `UnknownModule` with the nearest names, or `ManifestError`."""
    name, colon, version = reference.partition(":")
    if colon and NAME.fullmatch(name) and VERSION.fullmatch(version):
        folder = SHIPPED / f"{name}-{version}"
        if (folder / FILE_NAME).is_file():
            return load(folder)
        raise _unknown(reference)
    folder = Path(reference)
    if reference and (_looks_like_a_path(reference) or folder.is_dir()):
        if folder.name == FILE_NAME:
            folder = folder.parent
        if not (folder / FILE_NAME).is_file():
            raise UnknownModule(f"no module at '{reference}': there is no {FILE_NAME} in it")
        return load(folder)
    raise _unknown(reference)


def _looks_like_a_path(reference: str) -> bool:
    return "/" in reference or reference.startswith(".")


def _unknown(reference: str) -> UnknownModule:
    known = references()
    # A bare or wrong version is the commonest slip, so the name alone is tried when the whole finds nothing near.
    name = reference.partition(":")[0]
    same_name = [each for each in known if each.partition(":")[0] == name]
    hint = f", did you mean {same_name[-1]}?" if same_name else did_you_mean(reference, known)
    return UnknownModule(f"unknown module '{reference}'{hint or ';'} `lilypad modules ls` lists them")
