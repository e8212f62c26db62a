"""``lilypad node backup`` and ``restore``: the data folder as one file.

The state is copied by SQLite itself, so the copy is one moment's whether a node runs or not. Blocks never change and
are copied after the state that names them, so none is missing.
"""

from __future__ import annotations

import io
import os
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
_SMALL = ("key.json", "ports.json")
_CONTENT = ("blocks", "results")
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
                if (home / name).exists():
                    tar.add(home / name, name)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    Progress(quiet=False).say(f"{file}: {file.stat().st_size:,} bytes; whoever has it and the passphrase has the money")


def restore(config: Config, file: Path) -> None:
    """Unpack a back-up into a data folder that has no key yet."""
    home = config.home
    with only_one(home):
        there = [name for name in (*_SMALL, STATE) if (home / name).exists()]
        if there:
            raise UserError(
                ExitCode.USAGE, f"{home} has {', '.join(there)} already", "name an empty folder with --home"
            )
        try:
            with tarfile.open(file) as tar:
                first = tar.next()
                if first is None or first.name != _MARK:
                    raise UserError(ExitCode.USAGE, f"{file} is no back-up", "give what `lilypad node backup` wrote")
                known = {*_SMALL, STATE, *_CONTENT}
                wanted = [each for each in tar.getmembers() if each.name.split("/")[0] in known]
                tar.extractall(home, wanted, filter="data")
        except tarfile.TarError as error:
            raise UserError(ExitCode.USAGE, f"{file} can't be read: {error}", "take another copy") from None
        config.key_file.chmod(0o600)
    Progress(quiet=False).say(
        f"restored to {home}. Deals made after the back-up are not in it: let no second node run with this key"
    )


def _add_state(tar: tarfile.TarFile, path: Path) -> None:
    if not path.exists():
        return
    with tempfile.TemporaryDirectory(prefix="lilypad-backup-") as folder:
        copy = Path(folder) / STATE
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        tar.add(copy, STATE)
