"""The worker process: says what it is, then runs one program after the other until its pipe closes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import BinaryIO, Final

from modules.wasm.inside import frames
from modules.wasm.inside.verdict import Request, Verdict

OPEN_FILES: Final = 512
STACK_BYTES: Final = 16 * 1024 * 1024
"""Far above what the engine lets a program use, so that recursion ends by the engine's rule and not by a crash."""


def main(inbox: str, outbox: str, data_bytes: str, file_bytes: str) -> None:
    """Serve requests on stdin with verdicts on stdout. The numbers bound this process's memory and files."""
    _limit(int(data_bytes), int(file_bytes))
    # The engine loads under the limits, so that they also hold for what it sets up.
    from modules.wasm.inside.engine import Engine
    from modules.wasm.inside.runner import run

    requests, verdicts = sys.stdin.buffer, sys.stdout.buffer
    engine = Engine()
    _send(verdicts, {"type": "ready"})
    while (message := _receive(requests)) is not None:
        verdict = run(engine, Request(**message), Path(inbox), Path(outbox))  # type: ignore[arg-type]  # ours
        _send(verdicts, _as_message(verdict))


def _limit(data_bytes: int, file_bytes: int) -> None:
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, data_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_STACK, STACK_BYTES),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (allowed, allowed))


def _receive(requests: BinaryIO) -> dict[str, object] | None:
    header = requests.read(frames.HEADER_BYTES)
    if not header:
        return None
    return frames.decode(requests.read(frames.body_size(header)))


def _send(verdicts: BinaryIO, message: dict[str, object]) -> None:
    verdicts.write(frames.encode(message))
    verdicts.flush()


def _as_message(verdict: Verdict) -> dict[str, object]:
    return {
        "type": "done",
        "reason": verdict.reason,
        "detail": verdict.detail,
        "exit_code": verdict.exit_code,
        "fuel": verdict.fuel,
        "milliseconds": verdict.milliseconds,
    }
