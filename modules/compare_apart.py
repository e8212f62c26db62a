"""Compares two results in a process of its own, since what reads a stranger's files may crash, hang or eat memory.

::

    compare_apart ──mode, tolerance, two folders──► compare_child ──{"at": path}…──► {"same"} | {"differs"} | {"cannot"}
                                                        │ over its memory or its processor time, or crashed
                                                        └──► a difference in the file that it was at
                                                        │ could not be started, was killed, or the machine is too slow
                                                        └──► CannotCompare
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import trio

from modules.compare import CannotCompare, Comparison, Different, Result, Same
from modules.manifest import Verification

DEADLINE: Final = 1200.0
"""Seconds. What a file makes long must end by the processor time of `modules.compare_child`, on a busy machine too."""
_TAIL: Final = 256 * 1024
"""Bytes kept of what it says: more than its last two lines can have."""
_HOUSE: Final = Path(__file__).resolve().parents[1]


async def compare_apart(verification: Verification, mine: Result, theirs: Result) -> Comparison:
    """As `modules.compare.compare`, but whatever the files do is a difference; ended when cancelled.

    Raises `CannotCompare` for what is this machine's fault.
    """
    if mine.cid == theirs.cid:
        return Same()
    if mine.folder is None or theirs.folder is None:
        return Different(())
    words = (verification.compare, repr(verification.tolerance), str(mine.folder), str(theirs.folder))
    with trio.move_on_after(DEADLINE):
        return _verdict(*await _answer(words))
    raise CannotCompare(f"this machine took longer than {DEADLINE:g} s to compare")


async def _answer(words: tuple[str, ...]) -> tuple[bytes, int]:
    """The last of what the process says, and its exit code."""
    # where this process has found its libraries, the other must find them too
    environment = {name: os.environ[name] for name in ("HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    places = [str(_HOUSE), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-P", "-m", "modules.compare_child", *words]
    try:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "PYTHONPATH": os.pathsep.join(places)},
            start_new_session=True,
        )
    except OSError as error:
        raise CannotCompare(f"the process that compares can't be started: {error}") from None
    assert process.stdout is not None
    said = b""
    try:
        async for chunk in process.stdout:
            said = (said + chunk)[-_TAIL:]
        return said, await process.wait()
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


def _verdict(said: bytes, code: int) -> Comparison:
    lines = said.decode(errors="replace").splitlines()
    match _document(lines[-1]) if lines else {}:
        case {"same": True}:
            return Same()
        case {"differs": [*paths], "why": str(why)}:
            return Different(tuple(map(str, paths)), why)
        case {"cannot": str(why)}:
            raise CannotCompare(why)
        case {"at": str(path)} if code != -signal.SIGKILL:  # which the system sends where its own memory is short
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return Different((path,), f"{path}: ended the process that read it ({how})")
        case _:
            raise CannotCompare(f"the process that compares has ended without an answer ({code})")


def _document(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
