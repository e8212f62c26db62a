"""Makes a new module that works, for somebody to change into their own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from modules.errors import ModuleFault
from modules.manifest import NAME, ExecutorName
from modules.manifest_parser import FILE_NAME
from modules.module import Module, load

TEMPLATES: Final = Path(__file__).parent / "templates"


def create(name: str, executor: ExecutorName, folder: Path) -> Module:
    """Make the module ``name`` in ``folder``, which must not exist yet. Raises `ModuleFault`, `FileExistsError`."""
    if not NAME.fullmatch(name):
        raise ModuleFault(f'"{name}" is no name for a module; use lower-case letters, digits, "-" and "_"')
    folder.mkdir(parents=True)
    for source in sorted((TEMPLATES / executor).iterdir()):
        if source.is_dir():  # an installer's compiled copies
            continue
        data = source.read_bytes()
        if source.name == FILE_NAME:
            data = data.replace(b'name = "NAME"', f'name = "{name}"'.encode(), 1)
        target = folder / source.name
        target.write_bytes(data)
        if source.suffix == ".sh":
            target.chmod(0o755)
    return load(folder)
