"""The chain's clock, as well as a node can know it: deadlines are judged by block times, not by this machine's."""

from __future__ import annotations

import time


class Clock:
    """Wall time, moved forward when the chain is ahead of it.

    A chain that is behind (blocks are seconds apart) is not followed: its next block will carry about the wall's time.
    """

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        """Seconds of Unix time."""
        return time.time() + self._ahead

    def saw_block(self, timestamp: int) -> bool:
        """Learn a block's time; True if the clock had to jump."""
        ahead = max(0.0, timestamp - time.time())
        jumped = abs(ahead - self._ahead) > 1.0
        if jumped:
            self._ahead = ahead
        return jumped
