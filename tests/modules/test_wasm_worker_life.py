"""What happens to workers that have nothing to do for a while."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
import trio

from modules.executor import Finished, Task
from modules.wasm.pool import open_pool


async def test_idle_workers_outlive_the_threads_that_come_and_go(
    cowsay: Callable[[str], Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    # trio's helper threads end after ten idle seconds; waiting for that here would only be slow
    monkeypatch.setattr("trio._core._thread_cache.IDLE_TIMEOUT", 0.4)
    async with open_pool(1) as pool:
        await trio.sleep(1.2)
        assert isinstance(await pool.run(cowsay("still here")), Finished)
        assert pool.statistics().replaced == 0


async def test_a_worker_that_died_in_its_sleep_is_replaced_before_the_next_run(cowsay: Callable[[str], Task]) -> None:
    async with open_pool(1) as pool:
        (worker,) = pool._workers
        os.kill(worker.pid, signal.SIGKILL)
        await trio.sleep(0.1)
        assert isinstance(await pool.run(cowsay("hello")), Finished)
        assert pool.statistics().replaced == 1
