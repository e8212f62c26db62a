"""Makes a result directory out of what a run left in its outbox, trusting nothing it finds there."""

from __future__ import annotations

import shutil
from pathlib import Path

from modules import folders
from modules.executor import Limits

SLACK_FILES = 16


def collect(outbox: Path, result: Path, exit_code: int, limits: Limits) -> int:
    """Copy ``stdout``, ``stderr`` and ``outputs/`` to ``result``, write ``exit_code``; return the bytes of it all.

    What the run didn't leave is made empty, so that a result is complete whatever happened. Raises `FolderFault` for
    more than the limits allow, for links and devices. A WASM worker lets no program make those, a container does.
    """
    result.mkdir(parents=True)
    bounds = folders.Bounds(limits.files + SLACK_FILES, limits.disk_bytes)
    for name in ("stdout", "stderr"):
        if _is_plain(outbox / name):
            folders.copy(outbox / name, result / name, bounds)
        else:
            (result / name).touch()
    if (outbox / "outputs").is_dir() and not (outbox / "outputs").is_symlink():
        folders.copy(outbox / "outputs", result / "outputs", bounds)
    else:
        (result / "outputs").mkdir()
    (result / "exit_code").write_text(f"{exit_code}\n")
    return sum(entry.size for entry in folders.walk(result))


def start_over(result: Path, exit_code: int) -> int:
    """Replace whatever lies at ``result`` by an empty result with this exit code; return its bytes."""
    shutil.rmtree(result, ignore_errors=True)
    return collect(result / "nothing", result, exit_code, Limits(0, 0, 0, 0, 0, 0.0))


def keep_streams(outbox: Path, result: Path, exit_code: int, limits: Limits) -> int:
    """Like `collect`, for a run whose ``outputs/`` can't be taken: what the program said is kept, its files are not."""
    shutil.rmtree(result, ignore_errors=True)
    (outbox / "outputs").rename(outbox / "refused")
    try:
        return collect(outbox, result, exit_code, limits)
    except folders.FolderFault:
        return start_over(result, exit_code)


def sweep(folder: Path) -> None:
    """Remove all that is in ``folder``; links are removed, not followed."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
