"""Makes a result directory out of what a run left in its outbox, trusting nothing it finds there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from content.adding import MAX_DIRECTORY_BLOCK, add_path
from content.blocks import MemoryBlocks
from content.cid import Cid, Codec
from content.errors import CannotAdd, TooMuch
from content.limits import Limits as ContentLimits
from modules import folders
from modules.executor import Limits

SLACK_FILES = 16
MOST_LEVELS = 60
"""Of a result: what content allows, without the layers of a big file, which only whoever reads it counts."""
_LINK_BYTES = 56
"""The most that an entry of a directory's block takes beside its name."""


class TooManyNames(folders.FolderTooLarge):
    """Outputs that no CID can be given: more names in one directory, or deeper ones, than content has room for."""


def collect(outbox: Path, result: Path, exit_code: int, limits: Limits) -> int:
    """Copy ``stdout``, ``stderr`` and ``outputs/`` to ``result``, write ``exit_code``; return the bytes of it all.

    What the run didn't leave is made empty, so that a result is complete whatever happened. Raises `FolderFault` for
    more than the limits allow, for links and devices. A WASM worker lets no program make those, a container does.
    Raises `TooManyNames` for what could not be published: everybody's run must end there in the same way.
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
    _try_names(result)
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


def _try_names(result: Path) -> None:
    deepest, longest = 0, 0
    for folder, inner, names in os.walk(result):
        deepest = max(deepest, len(Path(folder).relative_to(result).parts))
        longest = max(longest, sum(len(os.fsencode(name)) + _LINK_BYTES for name in (*inner, *names)))
    if deepest + 2 <= MOST_LEVELS and longest + _LINK_BYTES <= MAX_DIRECTORY_BLOCK:
        return  # surely few enough, and nothing need be hashed to find out
    try:
        add_path(result, _Nowhere(), ContentLimits(max_depth=MOST_LEVELS))
    except (CannotAdd, TooMuch) as fault:
        raise TooManyNames(f"can't be published: {str(fault).removeprefix(str(result))}") from None


class _Nowhere(MemoryBlocks):
    """Names blocks and keeps none."""

    def add(self, codec: Codec, block: bytes) -> Cid:
        """See `Blocks`."""
        return Cid.of(codec, block)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
