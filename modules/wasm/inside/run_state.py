"""Everything that belongs to one run and that host calls change: arguments, clock, random stream, tree, descriptors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from modules.wasm.inside.descriptors import Descriptors
from modules.wasm.inside.tree import Tree

CLOCK_START: Final = 1_577_836_800_000_000_000
"""What the real-time clock shows first: 2020-01-01T00:00:00Z, in nanoseconds."""
CLOCK_TICK: Final = 1_000
"""Nanoseconds that pass with each look at a clock, so that a loop that waits for time to pass ends."""


class Exited(Exception):
    """The program called ``proc_exit``."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class TimeIsUp(Exception):
    """The wall clock's limit passed during a host call."""


class RandomStream:
    """Bytes that follow from a seed alone: SHAKE-256 of the seed and a counter, one block a call."""

    def __init__(self, seed: bytes) -> None:
        self._seed = hashlib.sha256(b"lilypad random" + seed).digest()
        self._calls = 0

    def take(self, size: int) -> bytes:
        block = hashlib.shake_256(self._seed + self._calls.to_bytes(8, "little")).digest(size)
        self._calls += 1
        return block


@dataclass(slots=True)
class RunState:
    """One run; made anew for each, so that nothing passes from one program to the next."""

    args: list[bytes]
    random: RandomStream
    tree: Tree
    descriptors: Descriptors
    elapsed: int = 0
    """Nanoseconds of virtual time since the start."""
    time_is_up: bool = False
    """Set by the watch thread; host calls look at it, since the engine can't interrupt them."""
