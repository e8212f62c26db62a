"""The lock of a data folder: one process at a time works in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from node.errors import ExitCode, UserError

LOCK = "lock"


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Keep a second process off a data folder: two nodes with one key would sign against each other.

    Makes the folder where there is none. Raises `UserError` where another process works in it. The system lets go of
    the lock when its holder dies, however that happens.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _take(handle, fcntl.LOCK_EX):
            raise UserError(
                ExitCode.USAGE,
                f"another lilypad process works in {home}",
                "wait for it, stop it with `lilypad node stop`, or set LILYPAD_HOME to another folder",
            )
        yield
    finally:
        os.close(handle)


def is_taken(home: Path) -> bool:
    """Whether a process works in this data folder now."""
    try:
        handle = os.open(home / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _take(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _take(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
