"""How much of somebody else's content we are willing to handle, and the account that keeps to it."""

from __future__ import annotations

from dataclasses import dataclass

from content.errors import TooMuch


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on one operation over one DAG; each holds alone."""

    max_bytes: int = 1 << 36
    """Bytes of content. A block that is linked twice counts twice wherever it is written twice."""
    max_blocks: int = 1 << 18
    """Blocks visited, so that a small DAG can't cost days by linking one tiny block again and again."""
    max_entries: int = 100_000
    """Names in directories, all directories together."""
    max_depth: int = 64
    """Blocks on the longest way from the root down: directories, and layers of a big file."""


class Budget:
    """What is left of some limits while an operation goes on."""

    __slots__ = ("blocks", "bytes", "entries", "limits")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.bytes = limits.max_bytes
        self.blocks = limits.max_blocks
        self.entries = limits.max_entries

    def spend_bytes(self, count: int) -> None:
        """Take `count` bytes of content from the account, or raise `TooMuch`."""
        self.bytes -= count
        if self.bytes < 0:
            raise TooMuch(f"more than {self.limits.max_bytes} bytes of content")

    def spend_block(self) -> None:
        """Take one visit of a block, or raise `TooMuch`."""
        self.blocks -= 1
        if self.blocks < 0:
            raise TooMuch(f"more than {self.limits.max_blocks} blocks")

    def spend_entries(self, count: int) -> None:
        """Take `count` names in a directory, or raise `TooMuch`."""
        self.entries -= count
        if self.entries < 0:
            raise TooMuch(f"more than {self.limits.max_entries} names in directories")

    def check_depth(self, depth: int) -> None:
        """Raise `TooMuch` if the way from the root, `depth` blocks long, is too long."""
        if depth > self.limits.max_depth:
            raise TooMuch(f"deeper than {self.limits.max_depth} levels")
