"""Finds a module by what people type: ``name:version`` of the catalogue, a folder's path, or ``git+URL@REF#SUBDIR``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from modules.errors import UnknownModule, did_you_mean
from modules.manifest import NAME, VERSION
from modules.manifest_parser import FILE_NAME
from modules.module import Module, load

GIT: Final = "git+"
SHIPPED: Final = Path(__file__).parent / "shipped"
ALIASES: Final = {"sdxl:v0.9-lilypad1": "sdxl:v1"}
"""Names that modules had elsewhere, and that people still type."""
_IMAGE: Final = ("setting_out.py", "drawing.py", "text_to_image.py")
_VIDEO: Final = ("setting_out.py", "drawing.py", "text_to_video.py")
_CHAT: Final = ("setting_out.py", "chat.py")
_LORA: Final = ("setting_out.py", "train_lora.py")
_REAL: Final = ("fetch_weights.py",)
SHARED: Final = {
    "sdxl:v1": (*_IMAGE, *_REAL),
    "sdxl-tiny-test:v1": (*_IMAGE, "tiny_tokenizers.py", "tiny_image_pipeline.py"),
    "video:v1": (*_VIDEO, *_REAL),
    "video-tiny-test:v1": (*_VIDEO, "tiny_tokenizers.py", "tiny_video_pipeline.py"),
    "llm:v1": (*_CHAT, *_REAL),
    "llm-small:v1": _CHAT,
    "lora:v1": (*_LORA, *_REAL),
    "lora-small:v1": _LORA,
    "lora-inference:v1": (*_CHAT, *_REAL),
    "lora-inference-small:v1": _CHAT,
}
"""The files of ``shipped/shared`` that lie in the build folders of modules: one program, written once, in several."""


def references() -> list[str]:
    """Every ``name:version`` of the catalogue, in order."""
    found = []
    for manifest in SHIPPED.glob(f"*/{FILE_NAME}"):
        # The version is what follows the first "-v" and a digit: a name may hold dashes, and so may a version.
        name, version = re.split(r"-v(?=[0-9])", manifest.parent.name, maxsplit=1)
        found.append(f"{name}:v{version}")
    return sorted(found)


def find(reference: str, cache: Path | None = None) -> Module:
    """Load the module called ``reference``; ``cache`` is where modules from repositories are kept.

    Raises `UnknownModule` with the nearest names, `ManifestError`, or `GitFault`.
    """
    if reference.startswith(GIT):
        # Imported here since few need it, and it costs a command line its start.
        from modules.git_source import fetch_git, parse_reference

        if cache is None:
            raise UnknownModule(f"'{reference}' would have to be fetched, which is not done here; give a folder")
        return load(fetch_git(parse_reference(reference), cache))
    reference = ALIASES.get(reference, reference)
    name, colon, version = reference.partition(":")
    if colon and NAME.fullmatch(name) and VERSION.fullmatch(version):
        folder = SHIPPED / f"{name}-{version}"
        if (folder / FILE_NAME).is_file():
            return load(folder, {file: SHIPPED / "shared" / file for file in SHARED.get(reference, ())})
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
