"""One question to several endpoints at once, without waiting for those that hang."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from contracts.errors import ChainError

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 1.0
"""Seconds that the slower ones still get once enough have answered."""


async def ask_all(
    whom: Sequence[T], question: Callable[[T], Awaitable[R]], enough: int, patience: float = PATIENCE
) -> list[R | ChainError | None]:
    """Answers in the order of ``whom``; an error where one failed, None where one was still silent at the end."""
    answers: list[R | ChainError | None] = [None] * len(whom)
    done = 0

    async def one(place: int) -> None:
        nonlocal done
        try:
            answers[place] = await question(whom[place])
        except ChainError as error:
            answers[place] = error
            return
        done += 1
        if done == enough:
            nursery.cancel_scope.deadline = trio.current_time() + patience

    async with trio.open_nursery() as nursery:
        for place in range(len(whom)):
            nursery.start_soon(one, place)
    return answers
