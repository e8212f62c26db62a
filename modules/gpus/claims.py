"""Claims GPUs for one node: several nodes on a machine, or several engines, must not lend one device twice."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from modules.gpus.pool import Gpu

log = logging.getLogger(__name__)

SYSTEM_FOLDER: Final = Path("/run/lock")
"""Where this machine's processes leave locks; emptied when it starts."""


@contextlib.contextmanager
def claimed(gpus: Iterable[Gpu], folder: Path | None = None) -> Iterator[list[Gpu]]:
    """Those of the GPUs that nobody else has claimed, for as long as the block lasts; a killed node's are free."""
    place = folder or _folder()
    with contextlib.ExitStack() as stack:
        mine = []
        for gpu in gpus:
            if _lock(stack, place / f"lilypad-gpu-{gpu.id.replace('/', '-')}"):
                mine.append(gpu)
            else:
                log.warning("%s (%s) is not offered: another node or engine has it", gpu.id, gpu.name)
        yield mine


def _lock(stack: contextlib.ExitStack, path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        log.warning("%s can't be claimed: %s", path.name, error)
        return False
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folder() -> Path:
    return SYSTEM_FOLDER if os.access(SYSTEM_FOLDER, os.W_OK) else Path(tempfile.gettempdir())
