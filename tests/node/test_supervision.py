"""A failing part begins again, a failing task is told, and neither ends anything else."""

from __future__ import annotations

import sqlite3
from itertools import pairwise

import pytest
import trio
import trio.testing

from node.supervision import FIRST_PAUSE, Tasks


async def test_a_part_that_fails_begins_again_after_longer_and_longer_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives: list[float] = []

    async def part() -> None:
        lives.append(trio.current_time())
        if len(lives) < 4:
            raise ValueError("sick")

    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery)
        tasks.keep("the part", part)
    pauses = [after - before for before, after in pairwise(lives)]
    assert pauses == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert tasks.failures == {"the part": 3}


async def test_a_task_that_fails_ends_nobody_else(autojump_clock: trio.testing.MockClock) -> None:
    done = trio.Event()

    async def sick(what: str) -> None:
        raise KeyError(what)

    async def well() -> None:
        await trio.sleep(1)
        done.set()

    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery)
        tasks.start_soon(sick, "it")
        tasks.start_soon(well)
    assert done.is_set()
    assert sum(tasks.failures.values()) == 1


async def test_a_state_that_cannot_be_written_ends_the_node() -> None:
    async def part() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.RaisesGroup(sqlite3.OperationalError):
        async with trio.open_nursery() as nursery:
            Tasks(nursery).keep("the part", part)


async def test_being_cancelled_is_no_failure() -> None:
    async with trio.open_nursery() as nursery:
        tasks = Tasks(nursery)
        tasks.keep("the part", trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not tasks.failures
