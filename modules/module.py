"""A module: its manifest and the few files it names, in a folder that may have come from anywhere."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from modules import folders
from modules.canonical import pack
from modules.errors import ManifestError
from modules.manifest import Manifest, digest
from modules.manifest_parser import FILE_NAME, parse_file

MAX_PROGRAM_BYTES: Final = 64 * 1024 * 1024
MAX_BUILD_BYTES: Final = 256 * 1024 * 1024
COMPILED: Final = "__pycache__"


@dataclass(frozen=True, slots=True)
class Module:
    """A folder whose manifest was read and whose programs were hashed."""

    folder: Path
    manifest: Manifest
    digest: str
    """``"sha256:…"``, which a deal signs; see `modules.manifest.digest`."""
    build_digest: str = ""
    """``"sha256:…"`` of the folder that the image is built from, where one is built."""
    shared: Mapping[str, Path] = field(default_factory=dict)
    """Files that count as if they lay in the folder, where an image is built from it, by their path there."""

    def files(self) -> dict[str, Path]:
        """What travels, by its path in the folder. Nothing else there concerns anybody."""
        own = (FILE_NAME, *self.manifest.program_files())
        files = {path: self.folder / path for path in own} | _build_files(self.folder, self.manifest, self.shared)
        return dict(sorted(files.items()))

    def build_files(self) -> dict[str, Path]:
        """What an image is built from, each file by its path in the build folder."""
        docker = self.manifest.docker
        if docker is None or docker.build is None:
            return {}
        start = 0 if docker.build == "." else len(docker.build) + 1
        files = _build_files(self.folder, self.manifest, self.shared)
        return {path[start:]: place for path, place in files.items()}

    def copy_to(self, destination: Path) -> None:
        """Lay a clean copy of what travels out in ``destination``, which must not exist yet."""
        destination.mkdir(parents=True)
        for path, place in self.files().items():
            target = destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            folders.copy(place, target)


def load(folder: Path, shared: Mapping[str, Path] | None = None) -> Module:
    """Read the module in ``folder``, which may be hostile. Raises `ManifestError`.

    ``shared`` are files of ours that lie elsewhere and count as if they were in it, by their path there.
    """
    if _is_link(folder / FILE_NAME):
        raise ManifestError(str(folder / FILE_NAME), 0, "is a symbolic link; put the file itself there")
    manifest = parse_file(folder / FILE_NAME)
    digests = {path: _file_digest(folder, path) for path in manifest.program_files()}
    built = ""
    if manifest.docker is not None and manifest.docker.build is not None:
        built = digests[manifest.docker.build] = _build_digest(folder, manifest, shared or {})
    return Module(folder, manifest, digest(manifest, digests), built, shared or {})


def _file_digest(folder: Path, path: str) -> str:
    where = str(folder / FILE_NAME)
    at = folder
    for part in path.split("/"):
        at = at / part
        if _is_link(at):
            raise ManifestError(where, 0, f'program "{path}" leads through a symbolic link; put the file itself there')
    try:
        with at.open("rb") as file:
            if not stat.S_ISREG(at.stat().st_mode):
                raise ManifestError(where, 0, f'program "{path}" is not a plain file')
            data = file.read(MAX_PROGRAM_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise ManifestError(where, 0, f'program "{path}" can\'t be read ({reason}); build it first') from None
    if len(data) > MAX_PROGRAM_BYTES:
        raise ManifestError(where, 0, f'program "{path}" is larger than {MAX_PROGRAM_BYTES} bytes')
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _build_digest(folder: Path, manifest: Manifest, shared: Mapping[str, Path]) -> str:
    """A digest over the names and contents of the folder that an image is built from."""
    files = {
        path: _file_digest(place.parent, place.name) if path in shared else _file_digest(folder, path)
        for path, place in _build_files(folder, manifest, shared).items()
    }
    return "sha256:" + hashlib.sha256(pack(files)).hexdigest()


def _build_files(folder: Path, manifest: Manifest, shared: Mapping[str, Path]) -> dict[str, Path]:
    """The files of the build folder, by their path in the module's."""
    if manifest.docker is None or manifest.docker.build is None:
        return {}
    inner = manifest.docker.build
    prefix = "" if inner == "." else inner + "/"
    try:
        entries = list(folders.walk(folder / inner, folders.Bounds(10_000, MAX_BUILD_BYTES)))
    except (OSError, folders.FolderFault) as error:
        raise ManifestError(str(folder / FILE_NAME), 0, f'build folder "{inner}": {error}') from None
    # The manifest is hashed in its parsed form; its comments must not change the image's digest.
    # Nor must what Python leaves beside a program that was looked at: an installer compiles the catalogue's, too.
    plain = [each.path for each in entries if each.kind == "file" and COMPILED not in each.path.split("/")]
    paths = [prefix + path for path in plain if prefix + path != FILE_NAME]
    files = {path: folder / path for path in paths} | dict(shared)
    return dict(sorted(files.items()))


def _is_link(path: Path) -> bool:
    try:
        return path.is_symlink()
    except (OSError, ValueError):
        return False
