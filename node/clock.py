"""The chain's clock, as well as a node can know it: deadlines are judged by block times, not by this machine's."""

from __future__ import annotations

import time

SAME = 1.0
"""Seconds by which a clock may differ from the chain's without being put right."""


class Clock:
    """The machine's time as it was at the start, ticking steadily, put forward when the chain is ahead of it.

    A chain that is behind (blocks are seconds apart) is not followed: its next block will carry about this time. Only
    before a node lives by it is the clock put back, see `ChainLink.ask_the_time`. What the machine's clock does later,
    when somebody sets it, changes nothing here.
    """

    def __init__(self) -> None:
        self._at_zero = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds of Unix time."""
        return time.monotonic() + self._at_zero

    def saw_block(self, timestamp: int) -> float:
        """Learn a block's time; by how many seconds the clock had to jump, 0 where it did not."""
        ahead = timestamp - self.now()
        if ahead <= SAME:
            return 0.0
        self._at_zero += ahead
        return ahead

    def put_back(self, timestamp: int) -> None:
        """Take the time of a block that is new at this moment."""
        self._at_zero += min(0.0, timestamp - self.now())
