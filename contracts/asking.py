"""One question to several endpoints at once, without waiting for those that hang."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from contracts.errors import ChainError

T = TypeVar("T")
R = TypeVar("R")
PATIENCE = 1.0
"""Seconds that the slower ones still get once enough have answered alike."""


async def ask_all(
    whom: Sequence[T],
    question: Callable[[T], Awaitable[R]],
    is_enough: Callable[[Sequence[R]], bool],
    patience: float = PATIENCE,
) -> list[R | ChainError | None]:
    """Answers in the order of ``whom``; an error where one failed, None where one was still silent at the end.

    ``is_enough`` looks at what has come so far: until it is content the slower ones get all the time that a request
    has, since a lie that comes early must not leave an honest answer unheard.
    """
    answers: list[R | ChainError | None] = [None] * len(whom)
    good: list[R] = []
    was_enough = False

    async def one(place: int) -> None:
        nonlocal was_enough
        try:
            answer = await question(whom[place])
        except ChainError as error:
            answers[place] = error
            return
        answers[place] = answer
        good.append(answer)
        if not was_enough and is_enough(good):
            was_enough = True
            nursery.cancel_scope.deadline = trio.current_time() + patience

    async with trio.open_nursery() as nursery:
        for place in range(len(whom)):
            nursery.start_soon(one, place)
    return answers
