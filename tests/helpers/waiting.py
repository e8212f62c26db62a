"""Waiting in a trio test until something is true that no event tells of."""

from __future__ import annotations

from collections.abc import Callable

import trio


async def until(what: Callable[[], object], within: float = 15.0) -> None:
    """Poll until it is true; raises `trio.TooSlowError` after so many seconds."""
    with trio.fail_after(within):
        while not what():  # noqa: ASYNC110  (that is the point)
            await trio.sleep(0.01)
