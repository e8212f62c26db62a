"""Keeping several asynchronous contexts open side by side, each entered and left in a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import trio

Value = TypeVar("Value")


async def enter(nursery: trio.Nursery, context: AbstractAsyncContextManager[Value]) -> Value:
    """Enter a context in a task of the nursery; it is left when the nursery is cancelled."""
    value: Value = await nursery.start(_hold, context)
    return value


async def enter_all(nursery: trio.Nursery, contexts: Sequence[AbstractAsyncContextManager[Any]]) -> list[Any]:
    """Enter contexts at the same time; their values in order."""
    values: list[Any] = [None] * len(contexts)

    async def one(number: int, context: AbstractAsyncContextManager[Any]) -> None:
        values[number] = await enter(nursery, context)

    async with trio.open_nursery() as entering:
        for number, context in enumerate(contexts):
            entering.start_soon(one, number, context)
    return values


async def _hold(context: AbstractAsyncContextManager[Any], *, task_status: Any) -> None:
    async with context as value:
        task_status.started(value)
        await trio.sleep_forever()
