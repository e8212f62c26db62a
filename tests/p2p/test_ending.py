"""A host ends when it is told to, whatever it is doing at that moment."""

from __future__ import annotations

import itertools

import trio
import trio.lowlevel

from tests.p2p.conftest import OpenHonest


async def test_a_host_ends_at_any_step_of_its_start(honest: OpenHonest) -> None:
    for steps in itertools.count():
        began = False

        async def start(scope: trio.CancelScope) -> None:
            nonlocal began
            with scope:
                async with honest():
                    began = True
                    await trio.sleep_forever()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(start, scope)
                for _ in range(steps):
                    await trio.lowlevel.checkpoint()
                whole = began
                scope.cancel()
        if whole:
            break
    assert steps > 5
