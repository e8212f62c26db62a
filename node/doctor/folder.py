"""The data folder: its owner, its key, its state."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from node.doctor.finding import Finding, Patient, problem, warning, well
from node.errors import ExitCode, UserError, state_mend


async def check_folder(patient: Patient) -> Iterable[Finding]:
    """Key and state on disk, without opening the key."""
    home = patient.config.home
    if not home.exists():
        if patient.network is None:
            return [well("data folder", f"{home} is made at the first run")]
        return [problem("data folder", f"there is no {home}", "make a key with `lilypad wallet new`")]
    return [*_folder(home), *_key(patient), *_state(home / "state.sqlite")]


def _folder(home: Path) -> Iterator[Finding]:
    if stat.S_IMODE(home.stat().st_mode) & 0o077:
        yield warning("data folder", f"others on this machine can look into {home}", f"chmod 700 {home}")
    else:
        yield well("data folder", str(home))


def _key(patient: Patient) -> Iterator[Finding]:
    from node.keys import address_in

    try:
        address = address_in(patient.config.key_file)
    except UserError as error:
        if patient.network is not None or patient.config.key_file.exists():
            yield problem("key", error.what, error.mend, ExitCode.FUNDS_OR_KEY)
        return
    if address is None:
        yield problem("key", "the key file names no address", "restore it from your copy", ExitCode.FUNDS_OR_KEY)
    else:
        yield well("key", f"0x{address.hex()}; keep a copy (`lilypad node backup`)")


def _state(path: Path) -> Iterator[Finding]:
    from node.migrations import SCHEMA_VERSION

    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            (version,) = store.execute("PRAGMA user_version").fetchone()
            (sound,) = store.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        yield problem("state", f"{path} can't be read: {error}", state_mend(error))
        return
    if sound != "ok":
        yield problem("state", f"{path} is damaged: {sound}", "restore the folder from a back-up")
    elif version > SCHEMA_VERSION:
        yield problem("state", f"{path} was written by a newer version", "install that version again")
    else:
        yield well("state", f"sound, schema {version}")
