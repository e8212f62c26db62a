"""Keeps what fails in one task of the library from ending the others."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from p2p.statistics import Counters

log = logging.getLogger("p2p")


async def quietly(closing: Callable[[], Awaitable[None]]) -> None:
    with suppress(Exception):
        await closing()


def guard_tasks(manager: Any, counters: Counters) -> None:
    original = manager.run_task

    def run_task(task: Callable[..., Awaitable[None]], *args: Any, **options: Any) -> None:
        @functools.wraps(task)
        async def guarded(*inner: Any) -> None:
            try:
                await task(*inner)
            except Exception as error:
                counters.faults += 1
                log.debug("task %r failed: %r", task, error)

        # the manager treats the end of a daemon as a failure, so those have guards of their own
        original(task if options.get("daemon") else guarded, *args, **options)

    manager.run_task = run_task
