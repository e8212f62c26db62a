"""The tasks of a node, so that none of them ends it: what goes on for ever is begun again, what fails once is told.

::

    node ─┬─ keep: chain, timers, events, sender     fails ──► log, wait (1 s, doubled up to a minute), begin again
          └─ start_soon: one message, one call, one run   fails ──► log; its deal's timers take care of the rest

A state that can't be written is the exception: whoever goes on without it breaks its word after the next restart, so
that ends the node.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import trio

log = logging.getLogger("lilypad.node")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
GOOD_FOR = 60.0
"""A part that lasted this many seconds begins again after the first pause."""


class Tasks:
    """Where the parts of one node live; ends with its nursery."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.failures: Counter[str] = Counter()
        """How often each part failed, for the metrics."""

    def keep(self, name: str, part: Callable[[], Awaitable[Any]]) -> None:
        """Run a part for as long as the node lives."""
        self._nursery.start_soon(self._for_ever, name, part)

    def start_soon(self, task: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
        """Run something once."""
        self._nursery.start_soon(self._once, task, arguments)

    def failed(self, name: str) -> None:
        """Note the exception that is being handled."""
        self.failures[name] += 1
        log.exception("%s failed", name)

    async def _for_ever(self, name: str, part: Callable[[], Awaitable[Any]]) -> None:
        pause = FIRST_PAUSE
        while True:
            began = trio.current_time()
            try:
                await part()
            except sqlite3.Error:
                raise
            except Exception:
                self.failed(name)
            else:
                return
            if trio.current_time() - began > GOOD_FOR:
                pause = FIRST_PAUSE
            await trio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _once(self, task: Callable[..., Awaitable[Any]], arguments: tuple[Any, ...]) -> None:
        try:
            await task(*arguments)
        except sqlite3.Error:
            raise
        except Exception:
            self.failed(getattr(task, "__qualname__", "a task"))
