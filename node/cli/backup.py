"""``lilypad node backup`` and ``restore``: the data folder as one file.

The state is copied by SQLite itself, so the copy is one moment's whether a node runs or not. Blocks never change and
are copied after the state that names them, so none is missing.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from node.cli.progress import Progress
from node.config import Config
from node.errors import ExitCode, UserError
from node.lock import only_one

STATE = "state.sqlite"
_SMALL = ("key.json", "ports.json", "metrics-token")
_CONTENT = ("blocks", "private", "results")
_UNFINISHED = "partial"
"""In a folder of blocks: what is being written at this moment."""
_UNPACKING = "restoring"
_MARK = "lilypad-backup"
_FORMAT = b"1\n"


def backup(config: Config, file: Path, content: bool) -> None:
    """Write the folder to a file that only its owner can read."""
    home = config.home
    if not config.key_file.exists():
        raise UserError(ExitCode.USAGE, f"there is no key in {home}", "name the data folder with --home")
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(ExitCode.USAGE, f"{file} exists already", "name a new file") from None
    try:
        with os.fdopen(handle, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
            mark = tarfile.TarInfo(_MARK)
            mark.size = len(_FORMAT)
            tar.addfile(mark, io.BytesIO(_FORMAT))
            _add_state(tar, home / STATE)
            for name in (*_SMALL, *(_CONTENT if content else ())):
                _add(tar, home / name, name)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    Progress(quiet=False).say(f"{file}: {file.stat().st_size:,} bytes; whoever has it and the passphrase has the money")


def restore(config: Config, file: Path) -> None:
    """Unpack a back-up into a data folder that has no key yet."""
    home = config.home
    with only_one(home):
        there = [name for name in (*_SMALL, STATE, *_CONTENT) if (home / name).exists()]
        if there:
            raise UserError(
                ExitCode.USAGE, f"{home} has {', '.join(there)} already", "name an empty folder with --home"
            )
        unpacked = home / _UNPACKING
        shutil.rmtree(unpacked, ignore_errors=True)
        try:
            with tarfile.open(file) as tar:
                first = tar.next()
                if first is None or first.name != _MARK:
                    raise UserError(ExitCode.USAGE, f"{file} is no back-up", "give what `lilypad node backup` wrote")
                known = {*_SMALL, STATE, *_CONTENT}
                wanted = [each for each in tar.getmembers() if each.name.split("/")[0] in known]
                tar.extractall(unpacked, wanted, filter="data")
            if not (unpacked / config.key_file.name).is_file():
                raise UserError(ExitCode.USAGE, f"{file} has no key in it", "take another copy")
            (unpacked / config.key_file.name).chmod(0o600)
            # the key comes last: without it this is no data folder yet, and may be restored to again
            for name in sorted((each.name for each in unpacked.iterdir()), key=config.key_file.name.__eq__):
                (unpacked / name).rename(home / name)
        except (tarfile.TarError, OSError) as error:
            raise UserError(ExitCode.USAGE, f"{file} can't be restored: {error}", "take another copy") from None
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    Progress(quiet=False).say(
        f"restored to {home}. Deals made after the back-up are not in it: let no second node run with this key"
    )


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """A file, or all that lies in a folder but links; a node at work may remove some of it meanwhile."""
    if path.is_symlink():
        return
    if path.is_dir():
        for each in sorted(path.iterdir()):
            if each.name != _UNFINISHED:
                _add(tar, each, f"{name}/{each.name}")
        return
    with contextlib.suppress(FileNotFoundError):
        tar.add(path, name, recursive=False)


def _add_state(tar: tarfile.TarFile, path: Path) -> None:
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="lilypad-backup-") as folder:
        copy = Path(folder) / STATE
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        tar.add(copy, STATE)
