"""How much work comparing two results may be: counted in bytes and pixels, so that every machine stops at the same."""

from __future__ import annotations

from modules.errors import ResultFault


class Budget:
    """What is left of a comparison's work; time would do as well, but not be the same on two machines."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, amount: int) -> None:
        """Raises `ResultFault` where that is more than what is left."""
        self._left -= amount
        if self._left < 0:
            raise ResultFault("is more than one comparison goes through")
