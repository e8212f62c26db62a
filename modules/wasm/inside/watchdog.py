"""Calls when a run's time is up: one thread for all runs of a worker, which a run that ends in time never wakes.

Starting and ending a thread for each run costs more than running a small program does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchdog:
    """A clock that barks, at most once a run and never after the run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._bark: Callable[[], None] | None = None
        self._wakes = float("inf")
        """When the thread looks again by itself."""
        threading.Thread(target=self._watch, daemon=True).start()

    @contextmanager
    def watching(self, seconds: float, bark: Callable[[], None]) -> Iterator[None]:
        """Call ``bark`` from another thread if the block lasts longer."""
        with self._changed:
            self._deadline, self._bark = time.monotonic() + seconds, bark
            if self._deadline < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._deadline = self._bark = None

    def _watch(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                if self._bark is not None and self._deadline is not None and now >= self._deadline:
                    bark, self._bark = self._bark, None
                    bark()
                waiting = self._deadline is not None and self._bark is not None
                self._wakes = self._deadline if waiting and self._deadline is not None else float("inf")
                # A deadline that passed by without its run is a wake for nothing; the next one is later as a rule.
                self._changed.wait(None if self._wakes == float("inf") else max(0.0, self._wakes - now))
