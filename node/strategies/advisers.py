"""Who answers the agents' questions in this node: the built-in strategies at once, plugins when their worker has."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable

import trio

from agents.strategies.built_in import BUILT_IN
from agents.strategy import Answer, Lesson, Strategy, View, learn
from node.errors import ExitCode, UserError
from node.strategies.finding import BuiltIn, find
from node.strategies.worker import FAILED, PluginFault, Worker

log = logging.getLogger("lilypad.strategies")

LONGEST_REFERENCE = 200
"""Characters; it is saved with the job."""
MOST_PLUGINS = 8
"""Workers of one node, of all jobs together; each may use a good deal of memory."""


class Advisers:
    """All strategies that this node uses, by the name or reference that its user gave."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._built_in: dict[str, Strategy] = {}
        self._workers: dict[str, Worker] = {}

    async def add(self, reference: str) -> None:
        """Make sure that a strategy can be used. Raises `UserError` if it can't."""
        if len(reference) > LONGEST_REFERENCE:
            raise UserError(ExitCode.USAGE, "the strategy's reference is too long", "install it and use its name")
        found = find(reference)
        if isinstance(found, BuiltIn) or reference in self._workers:
            return
        if len(self._workers) >= MOST_PLUGINS:
            raise UserError(
                ExitCode.USAGE, f"this node runs {MOST_PLUGINS} plugins already", "restart it to use others"
            )
        worker = Worker(found)
        try:
            await worker.start()
        except PluginFault as fault:
            raise UserError(
                ExitCode.USAGE, f"the strategy '{reference}' can't be used: {fault}", "see docs/strategies.md"
            ) from None
        self._adopt(reference, worker)

    def consult(self, reference: str, view: View, answer: Callable[[Answer], None]) -> None:
        """Have a talk decided. The answer always comes; a strategy that fails walks away."""
        if reference in BUILT_IN:
            answer(self._at_once(reference, view))
            return
        worker = self._worker(reference)
        if worker is None:
            answer(FAILED)
        else:
            worker.ask(view, answer)

    def inform(self, reference: str, lesson: Lesson) -> None:
        """Let a strategy learn."""
        if reference in BUILT_IN:
            learn(self._one(reference), lesson)
        elif reference in self._workers:
            self._workers[reference].inform(lesson)

    def _at_once(self, name: str, view: View) -> Answer:
        try:
            return self._one(name).decide(view)
        except Exception:
            log.exception("the strategy %s failed, so its talk ends", name)
            return FAILED

    def _one(self, name: str) -> Strategy:
        if name not in self._built_in:
            self._built_in[name] = BUILT_IN[name]()
        return self._built_in[name]

    def _worker(self, reference: str) -> Worker | None:
        # a job that was saved before a restart may name a plugin that nobody has looked up since
        if reference not in self._workers and len(self._workers) < MOST_PLUGINS:
            try:
                found = find(reference)
            except UserError as error:
                log.warning("%s", error)
                return None
            assert not isinstance(found, BuiltIn)
            self._adopt(reference, Worker(found))
        return self._workers.get(reference)

    def _adopt(self, reference: str, worker: Worker) -> None:
        self._workers[reference] = worker
        self._nursery.start_soon(worker.run)


@contextlib.asynccontextmanager
async def open_advisers(references: Iterable[str]) -> AsyncIterator[Advisers]:
    """The strategies of a node while it runs. Raises `UserError` if one of these can't be used."""
    failed: UserError | None = None
    async with trio.open_nursery() as nursery:
        advisers = Advisers(nursery)
        try:
            for reference in dict.fromkeys(references):
                await advisers.add(reference)
        except UserError as error:  # raised outside, or the nursery would wrap it
            failed = error
        else:
            yield advisers
        nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed
