"""A folder that one process has for what its runs write, and the removal of those whose process was killed."""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from modules.owner import is_orphan, owner

log = logging.getLogger(__name__)

_OWNER: Final = "owner"
_MARK_BYTES: Final = 1024


@asynccontextmanager
async def scratch_folder(kind: str, parent: Path | None = None) -> AsyncIterator[Path]:
    """``lilypad-KIND-…`` below ``parent``, else below the system's folder for temporary files; gone afterwards.

    Removes first what processes of this machine left there when they were killed. Other machines may share the folder.
    """
    folder = await trio.to_thread.run_sync(_make, kind, parent or Path(tempfile.gettempdir()))
    try:
        yield folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(remove_tree, folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder that a program wrote in: it may be nested deeper than Python's own way can go down."""
    done = subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)
    if done.returncode:
        log.error("what a run wrote can't be removed: %s", done.stderr.decode(errors="replace")[:400])


def _make(kind: str, parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for other in parent.glob(f"lilypad-{kind}-*"):
        if _is_left(other):
            remove_tree(other)
    folder = Path(tempfile.mkdtemp(prefix=f"lilypad-{kind}-", dir=parent))
    (folder / _OWNER).write_text(owner())
    return folder


def _is_left(folder: Path) -> bool:
    """Whether its owner is gone. The parent may be everybody's: another user's folder proves nothing."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return False
        with (folder / _OWNER).open("rb") as file:
            return is_orphan(file.read(_MARK_BYTES).decode(errors="replace"))
    except OSError:
        return False
