"""Has containers run: the interface behind which an engine, a swarm or a batch system stands; here the engine."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

import trio

from modules import folders
from modules.cluster.machine import Machine
from modules.docker.ending import Ending, judge
from modules.docker.engine import SAFER_RUNTIME, Engine, EngineFault, engine_faults
from modules.docker.hardening import container
from modules.docker.images import Image
from modules.docker.owner import labels, remove
from modules.docker.prepare import Prepared
from modules.docker.streams import Streams
from modules.executor import Limits, Reason, Task
from modules.gpus.pool import GpuPool, NoGpus
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 0.2
START_SECONDS: Final = 60.0
"""For the engine to start a container, on top of the run itself."""
DRAIN_SECONDS: Final = 10.0
_THREADS: Final = 64
_T = TypeVar("_T")


class Launcher(Protocol):
    """A place where containers run."""

    @property
    def isolation(self) -> Isolation: ...

    @property
    def profile(self) -> str:
        """What results depend on, beside the image."""

    @property
    def gpus(self) -> GpuPool:
        """The GPUs there; lending them may be somebody else's business."""

    @property
    def machines(self) -> tuple[Machine, ...]:
        """The machines that somebody else spreads runs over; none where it is one, whose owner knows it."""

    async def have(self, image: Image) -> None:
        """Have an image, which one engine has, wherever it may run; raises `EngineFault`."""

    async def contain(self, image: Image, prepared: Prepared, task: Task) -> Ending:
        """Run one container to its end and leave ``stdout``, ``stderr`` and ``outputs`` in ``prepared.outbox``.

        Nothing of it is left there afterwards, also when this is cancelled.
        """


async def too_large(prepared: Prepared) -> str:
    """Wait until a run leaves more than it may, and say so."""
    limits = prepared.limits

    def measure() -> float:
        return folders.blocks(prepared.outputs, 2 * limits.files)

    while await trio.to_thread.run_sync(measure) <= limits.disk_bytes:  # noqa: ASYNC110  (nobody tells when it grows)
        await trio.sleep(WATCH_SECONDS)
    return f"/outputs has more than {limits.disk_bytes} bytes or {limits.files} files"


class OneEngine:
    """Containers on the engine that also has the images."""

    machines: Final[tuple[Machine, ...]] = ()

    def __init__(self, engine: Engine, gpus: GpuPool, runtime: str | None) -> None:
        self.engine = engine
        self.gpus = gpus
        self._runtime = runtime
        self._limiter = trio.CapacityLimiter(_THREADS)

    @property
    def isolation(self) -> Isolation:
        return Isolation.USER_KERNEL if self._runtime == SAFER_RUNTIME else Isolation.CONTAINER

    @property
    def profile(self) -> str:
        return f"docker/{self._runtime or 'runc'}/{self.engine.machine}"

    async def have(self, image: Image) -> None:
        """It is there: containers run where images are."""

    async def contain(self, image: Image, prepared: Prepared, task: Task) -> Ending:
        """See `Launcher.contain`."""
        needs = task.module.manifest.resources
        try:
            with self.gpus.borrow(needs.gpus, needs.vram_mib, needs.gpu) as gpus:
                wanted = prepared.wanted(image, labels(task.job), needs.cpu, gpus, self._runtime)
                return await self._contain(container(wanted), prepared, task)
        except NoGpus as fault:
            return Ending(0, "could_not_start", str(fault))

    async def _contain(self, body: dict[str, Any], prepared: Prepared, task: Task) -> Ending:
        """Create, start, watch and remove one container."""
        # Named beforehand: a container whose creation was answered too late can still be removed.
        name = f"lilypad-{secrets.token_hex(8)}"
        most = task.limits.stream_bytes
        try:
            await self._call("the container can't be created", lambda api: api.create_container_from_config(body, name))
            streams = await self._thread(lambda: Streams(self.engine, name, prepared.outbox, most))
            return await self._attend(name, streams, prepared, task)
        except EngineFault as fault:
            return Ending(0, "could_not_start", str(fault))
        finally:
            with trio.CancelScope(shield=True):
                await self._put_away(name)

    async def _attend(self, name: str, streams: Streams, prepared: Prepared, task: Task) -> Ending:
        """Start the container and stay with it until it ends or breaks a limit."""
        ending: Ending | None = None
        started = False
        limits, began, read_all = task.limits, trio.current_time(), trio.Event()
        async with trio.open_nursery() as nursery:

            def stop(reason: Reason, detail: str) -> None:
                nonlocal ending
                ending = ending or Ending(0, reason, detail, 1000 * (trio.current_time() - began))
                nursery.cancel_scope.cancel()

            async def read() -> None:
                # Not abandoned: it ends when the container is gone, which the way out of here sees to.
                try:
                    await self._thread(lambda: streams.pump(task.listener, flooded))
                except OSError as error:
                    stop("executor_died", f"its output can't be written down: {error}")
                finally:
                    read_all.set()

            def flooded() -> None:
                stop("output_too_large", f"a stream has more than {limits.stream_bytes} bytes")

            async def watch() -> None:
                stop("output_too_large", await too_large(prepared))

            async def expire() -> None:
                await trio.sleep(limits.seconds)
                stop("out_of_time", f"it ran for {limits.seconds:g} s")

            try:
                nursery.start_soon(read)
                await self._call("the container can't be started", lambda api: api.start(name))
                started = True
                if task.begun is not None:
                    task.begun()
                nursery.start_soon(watch)
                nursery.start_soon(expire)
                code = await self._wait(name, limits)
                # What it said last may still be on its way, and may be too much.
                with trio.move_on_after(DRAIN_SECONDS):
                    await read_all.wait()
                found = await self._call("the container can't be looked at", lambda api: api.inspect_container(name))
                told = judge(code, found["State"])
                if told.milliseconds == 0.0:  # an engine that is busy says when it began, and not yet when it ended
                    told = replace(told, milliseconds=1000 * (trio.current_time() - began))
                ending = ending or told
            except EngineFault as fault:
                # Caught here: out of the nursery it would come as a group.
                ending = ending or Ending(0, "executor_died" if started else "could_not_start", str(fault))
            finally:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await self._put_away(name)
                    with trio.move_on_after(DRAIN_SECONDS):
                        await read_all.wait()
                    await self._thread(streams.close)
        assert ending is not None
        return ending

    async def _wait(self, name: str, limits: Limits) -> int:
        """The exit code, once there is one. When it is cancelled its thread ends with the container."""

        def wait() -> int:
            with engine_faults("the container can't be waited for"):
                return int(self.engine.api.wait(name, timeout=limits.seconds + START_SECONDS)["StatusCode"])

        return await self._abandonable(wait)

    async def _put_away(self, name: str) -> None:
        try:
            await self._thread(lambda: remove(self.engine, name))
        except EngineFault as fault:
            log.warning("%s; the next start of a node will try again", fault)

    async def _call(self, doing: str, call: Callable[[Any], _T]) -> _T:
        """One call to the engine, in a thread; it is short, so it is waited for even when cancelled."""

        def make() -> _T:
            with engine_faults(doing):
                return call(self.engine.api)

        return await self._thread(make)

    async def _abandonable(self, do: Callable[[], _T]) -> _T:
        # An old package of type stubs comes with a dependency and hides trio's own types.
        return await trio.to_thread.run_sync(do, abandon_on_cancel=True, limiter=self._limiter)  # type: ignore[call-arg]

    async def _thread(self, do: Callable[[], _T]) -> _T:
        return await trio.to_thread.run_sync(do, limiter=self._limiter)
