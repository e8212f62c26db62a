"""A plugin's process as the node sees it: questions in, answers out, and a talk that walks away when none comes.

::

    (none) ──question──► STARTING ──ready──► IDLE ──questions──► ASKED ──answers in time──► IDLE
                            │ not in time, refused                  │ late, garbage, ended
                            └──────────────► DOWN ◄─────────────────┘   (each talk asked about walks away)
                                              └─ after a pause that doubles with each failure ──► STARTING

Questions that have gathered while the plugin thought go to it together, so `counter_all` sees every open talk that
waits for it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from agents.consultation import Garbage, answer_from, lesson_document, view_document
from agents.strategy import Answer, Lesson, View, Walk
from modules.bounded_json import loads
from modules.wasm.child import Child
from node.errors import ExitCode, UserError
from node.strategies.finding import Command, PythonClass
from node.strategies.walls import command

log = logging.getLogger("lilypad.strategies")

STARTS_WITHIN = 30.0
"""Seconds for the process to load the plugin; large libraries take long on a busy machine."""
ANSWERS_WITHIN = 1.0
"""Seconds for one question; a batch has as many times that as it has questions, up to `MOST_BATCH`."""
MOST_BATCH = 64
MOST_WAITING = 512
"""Questions kept for a slow plugin; the talks of those beyond walk away at once."""
MOST_LINE = 512 * 1024
PAUSE = 1.0
LONGEST_PAUSE = 60.0
FAILED = Walk("the strategy failed", final=True)

FAULTS = (trio.TooSlowError, OSError, ValueError, RecursionError, Garbage, trio.BrokenResourceError)
"""What a plugin can make an exchange with it end in."""


class PluginFault(Exception):
    """The plugin did not start, did not answer in time, or answered nonsense."""


@dataclass(slots=True)
class _Question:
    view: View
    answer: Callable[[Answer], None]


class Worker:
    """One plugin in its own process, started at the first question and again after each failure."""

    def __init__(self, plugin: PythonClass | Command) -> None:
        self.plugin = plugin
        self.failures = 0
        self._waiting: list[_Question | Lesson] = []
        self._changed = trio.Event()
        self._process: Child | None = None
        self._rest = b""
        self._down_until = float("-inf")

    def ask(self, view: View, answer: Callable[[Answer], None]) -> None:
        """Have a talk decided; the answer comes later, and always comes."""
        if len(self._waiting) >= MOST_WAITING:
            answer(FAILED)
            return
        self._waiting.append(_Question(view, answer))
        self._changed.set()

    def inform(self, lesson: Lesson) -> None:
        """Let it learn; a plugin that is down misses it."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(lesson)
            self._changed.set()

    async def decide(self, view: View) -> Answer:
        """One question by itself, for tests and benchmarks; raises `PluginFault` instead of walking."""
        return (await self._exchange([view]))[0]

    async def start(self) -> None:
        """Load the plugin now. Raises `PluginFault`."""
        if self._process is None:
            await self._start()

    async def run(self) -> None:
        """Answer questions until cancelled."""
        try:
            while True:
                if not self._waiting:
                    self._changed = trio.Event()
                    await self._changed.wait()
                await self._take_turn()
        finally:
            await self._kill()

    async def _take_turn(self) -> None:
        batch: list[_Question] = []
        while self._waiting and len(batch) < MOST_BATCH:
            if not isinstance(self._waiting[0], _Question):
                if batch:
                    break
                await self._teach(self._waiting.pop(0))  # type: ignore[arg-type]  # narrowed above
                continue
            batch.append(self._waiting.pop(0))  # type: ignore[arg-type]  # narrowed above
        if not batch:
            return
        try:
            answers = await self._exchange([question.view for question in batch])
        except PluginFault as fault:
            log.warning("the strategy %s failed, so its talks end: %s", self.plugin.reference, fault)
            answers = [FAILED] * len(batch)
        for question, answer in zip(batch, answers, strict=True):
            question.answer(answer)

    async def _teach(self, lesson: Lesson) -> None:
        if self._process is None:
            return
        try:
            with trio.fail_after(ANSWERS_WITHIN):
                await self._say(lesson_document(lesson))
        except FAULTS as error:
            await self._fail(error)

    async def _exchange(self, views: list[View]) -> list[Answer]:
        if self._process is None:
            if trio.current_time() < self._down_until:
                raise PluginFault("it failed a moment ago")
            await self._start()
        try:
            with trio.fail_after(ANSWERS_WITHIN * len(views)):
                documents = await self._ask_all([view_document(view) for view in views])
            answers = [answer_from(document, view) for document, view in zip(documents, views, strict=True)]
        except FAULTS as error:
            raise await self._fail(error) from error
        self.failures = 0
        return answers

    async def _ask_all(self, questions: list[dict[str, Any]]) -> list[Any]:
        if isinstance(self.plugin, Command):  # one line for each, so that a few lines of any language will do
            return [await self._ask_one(question) for question in questions]
        found = await self._round_trip({"views": questions})
        answers = found.get("answers") if isinstance(found, dict) else None
        if not isinstance(answers, list) or len(answers) != len(questions):
            raise Garbage("as many answers as questions are wanted")
        return answers

    async def _ask_one(self, question: dict[str, Any]) -> Any:
        return await self._round_trip({"view": question})

    async def _round_trip(self, document: dict[str, Any]) -> Any:
        await self._say(document)
        return await self._hear()

    async def _start(self) -> None:
        self._rest = b""
        try:
            with trio.fail_after(STARTS_WITHIN):
                with Path(os.devnull).open("wb") as nowhere:  # noqa: ASYNC230  (never blocks)
                    self._process = Child(command(self.plugin), nowhere)
                if isinstance(self.plugin, PythonClass):
                    _check_greeting(await self._hear())
        except FAULTS as error:
            raise await self._fail(error) from error

    async def _say(self, document: dict[str, Any]) -> None:
        assert self._process is not None
        await self._process.stdin.send_all(json.dumps(document).encode() + b"\n")

    async def _hear(self) -> Any:
        assert self._process is not None
        while b"\n" not in self._rest:
            if len(self._rest) > MOST_LINE:
                raise Garbage("a line without an end")
            more = await self._process.stdout.receive_some(65536)
            if not more:
                raise Garbage("its process ended")
            self._rest += bytes(more)
        line, _, self._rest = self._rest.partition(b"\n")
        return loads(line.decode())

    async def _fail(self, error: Exception) -> PluginFault:
        await self._kill()
        self.failures += 1
        self._down_until = trio.current_time() + min(LONGEST_PAUSE, PAUSE * 2 ** min(self.failures, 10))
        why = "no answer in time" if isinstance(error, trio.TooSlowError) else str(error) or type(error).__name__
        return PluginFault(why)

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()


def _check_greeting(hello: Any) -> None:
    if not isinstance(hello, dict) or hello.get("ready") is not True:
        raise Garbage(str(hello.get("reason", "not ready")) if isinstance(hello, dict) else "no greeting")


@contextlib.asynccontextmanager
async def open_worker(plugin: PythonClass | Command) -> AsyncIterator[Worker]:
    """A plugin that has been loaded once, so that what can't be loaded is said at once: raises `UserError`."""
    worker = Worker(plugin)
    try:
        await worker.start()
    except PluginFault as fault:
        raise UserError(
            ExitCode.USAGE, f"the strategy '{plugin.reference}' can't be used: {fault}", "see docs/strategies.md"
        ) from None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        yield worker
        nursery.cancel_scope.cancel()
