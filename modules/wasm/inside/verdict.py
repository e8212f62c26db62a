"""What a worker is asked to run, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Request:
    """What to run, and within what; the fields are those of `modules.executor.Limits` and `Task`."""

    args: list[str]
    stdin: str | None
    """The name of the input that the program reads on its standard input."""
    seed: bytes
    fuel: int
    memory_bytes: int
    disk_bytes: int
    stream_bytes: int
    files: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended: ``reason`` is empty when the program did, by its own will."""

    reason: str
    detail: str
    exit_code: int
    fuel: int
    milliseconds: float
