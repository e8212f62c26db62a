"""Gets a module out of somebody's git repository: its files only, and nothing of the repository runs here.

``git+URL@REF#SUBDIR``; the reference and the folder may be left out. There is never a work tree: one commit is fetched
into an empty bare repository and read out as an archive, so no hook, filter, submodule or link has a chance.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from modules.catalogue import GIT
from modules.errors import ModuleFault
from modules.folders import MAX_DEPTH
from modules.module import MAX_BUILD_BYTES

FETCH_SECONDS: Final = 300.0
MAX_REPOSITORY_BYTES: Final = 512 << 20
"""Of one file that git writes; a pack is one file."""
MAX_FILES: Final = 10_000
_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
_URL: Final = re.compile(r"(https|ssh)://[A-Za-z0-9\[][^\s\x00-\x1f]*")


class GitFault(ModuleFault):
    """A reference that can't be understood, or a repository that does not give what it names."""


@dataclass(frozen=True, slots=True)
class GitReference:
    """Where a module lies."""

    url: str
    """``https://…``, ``ssh://…``, or the absolute path of a repository on this machine."""
    ref: str
    """A branch, a tag or a commit's full hash; ``HEAD`` where none was named."""
    folder: str
    """Inside the repository; empty for its root."""

    @property
    def local(self) -> bool:
        """Whether the repository is on this machine."""
        return self.url.startswith("/")


def parse_reference(text: str) -> GitReference:
    """Read ``git+URL@REF#SUBDIR``. Raises `GitFault`."""
    rest, _, folder = text.removeprefix(GIT).partition("#")
    at = rest.rfind("@")
    # The "@" of ssh://git@host/… comes before the path and is none of ours.
    named = at > 0 and at > rest.find("/", rest.find("://") + 3 if "://" in rest else 0)
    url, ref = (rest[:at], rest[at + 1 :]) if named else (rest, "HEAD")
    if not _REF.fullmatch(ref) or ".." in ref:
        raise GitFault(f'"{ref}" is no branch, tag or commit')
    inner = PurePosixPath(folder)
    if inner.is_absolute() or ".." in inner.parts or "\\" in folder or "\0" in folder or folder.startswith("-"):
        raise GitFault(f'"{folder}" is no folder inside a repository')
    if "://" not in url:
        if not url.startswith((".", "/")):
            raise GitFault(f'"{url}" is neither an address nor a path; write git+https://… or git+./…')
        url = str(Path(url).resolve())
    elif not _URL.fullmatch(url):
        raise GitFault(f'"{url}" is no address to fetch from; use https:// or ssh://')
    return GitReference(url, ref, "" if folder in ("", ".") else str(inner))


def fetch_git(reference: GitReference, cache: Path) -> Path:
    """The module's folder, as the commit has it; kept in ``cache``. Blocks. Raises `GitFault`."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".git-") as scratch:
        place = Path(scratch)
        bare = place / "bare.git"
        _git(place, reference, "init", "--quiet", "--bare", "--template=", str(bare))
        _git(bare, reference, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules",
             "--no-auto-gc", "--", reference.url, reference.ref)  # fmt: skip
        commit = _git(bare, reference, "rev-parse", "--verify", "FETCH_HEAD^{commit}").decode().strip()
        key = hashlib.sha256("\0".join((reference.url, commit, reference.folder)).encode()).hexdigest()
        kept = cache / f"git-{key}"
        if kept.is_dir():
            return kept
        tree = f"{commit}:{reference.folder}" if reference.folder else commit
        # Into a file, whose size is bounded: a few small trees that name each other make an archive without end.
        archive = place / "archive.tar"
        _git(bare, reference, "archive", "--format=tar", f"--output={archive}", tree)
        _unpack(archive, place / "files")
        try:
            (place / "files").rename(kept)
        except OSError:  # somebody else was quicker
            if not kept.is_dir():
                raise
    return kept


def _git(at: Path, reference: GitReference, *arguments: str) -> bytes:
    git = shutil.which("git")
    if git is None:
        raise GitFault("git is not installed, and this module lies in a repository; install it")
    settings = {
        "core.hooksPath": "/dev/null",
        "core.fsmonitor": "false",
        "core.attributesFile": "/dev/null",
        "submodule.recurse": "false",
        "fetch.fsckObjects": "true",
        "protocol.allow": "never",
        "protocol.https.allow": "always",
        "protocol.ssh.allow": "always",
        "protocol.file.allow": "always" if reference.local else "never",
        "http.followRedirects": "false",
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "30",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(at),  # no one's own settings, helpers or keys
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "SSH_AUTH_SOCK": os.environ.get("SSH_AUTH_SOCK", ""),
    }
    try:
        done = subprocess.run(
            [git, *options, *arguments],
            cwd=at,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=FETCH_SECONDS,
            check=False,
            preexec_fn=_bound,
        )
    except subprocess.TimeoutExpired:
        raise GitFault(f"{reference.url} took longer than {FETCH_SECONDS:g} s") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[:400]
        raise GitFault(f"{reference.url} does not give {reference.ref}{_in(reference)}: {said}")
    return done.stdout


def _bound() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_REPOSITORY_BYTES, MAX_REPOSITORY_BYTES))


def _in(reference: GitReference) -> str:
    return f" #{reference.folder}" if reference.folder else ""


def _unpack(archive: Path, folder: Path) -> None:
    """Write the plain files of an archive that git made of a stranger's tree. Raises `GitFault` for anything else."""
    folder.mkdir()
    left, files = MAX_BUILD_BYTES, 0
    with tarfile.open(archive) as members:
        for member in members:
            path = PurePosixPath(member.name)
            files += 1
            if member.isdir():
                continue
            if not member.isreg():
                raise GitFault(f'"{member.name}" in the repository is no plain file; a module has no others')
            left -= member.size
            if path.is_absolute() or ".." in path.parts or len(path.parts) > MAX_DEPTH:
                raise GitFault(f'"{member.name}" is no path inside a module')
            if left < 0 or files > MAX_FILES:
                raise GitFault(f"the module has more than {MAX_BUILD_BYTES} bytes or {MAX_FILES} files")
            data = members.extractfile(member)
            assert data is not None
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.read())
