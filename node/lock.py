"""The lock of a data folder: one process at a time works in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from node.errors import ExitCode, UserError
from protocol.identity import Address

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


@contextlib.contextmanager
def only_one_sender(chain_id: int, who: Address) -> Iterator[None]:
    """Keep a second process of this machine from sending with one key, also out of a copy of its data folder.

    Each would give out the same nonces. Raises `UserError`. The name is a socket of the kernel, which
    leaves no file behind and is free again when its holder dies; systems other than Linux have none and go without.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(f"\0lilypad-sender-{chain_id}-{who.hex()}")
        except OSError:
            raise UserError(
                ExitCode.USAGE,
                f"another lilypad process on this machine uses the key of 0x{who.hex()}",
                "stop it (`lilypad node stop`), or use a key of its own for each data folder",
            ) from None
        yield


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
