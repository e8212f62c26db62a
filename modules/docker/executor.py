"""The docker executor: one hardened container for each run, removed whatever happens."""

from __future__ import annotations

import logging
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from modules import folders
from modules.collecting import collect, keep_streams, start_over
from modules.docker.engine import SAFER_RUNTIME, Engine, EngineFault, engine_faults, find_engine
from modules.docker.hardening import Wanted, container
from modules.docker.images import Image, ImagePolicy, ensure, is_built, look
from modules.docker.owner import labels, remove, sweep
from modules.docker.prepare import Prepared, prepare
from modules.docker.streams import Streams
from modules.errors import InputError, ModuleFault
from modules.executor import EXIT_CODES, MIB, Failed, Finished, Limits, Outcome, Reason, Task
from modules.folders import FolderFault, FolderTooLarge
from modules.gpus.pool import GpuPool, NoGpus
from modules.gpus.probe import probe
from modules.module import Module
from protocol.errors import Misuse
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 0.2
START_SECONDS: Final = 60.0
"""For the engine to start a container, on top of the run itself."""
DRAIN_SECONDS: Final = 10.0
KILLED: Final = 137
_THREADS: Final = 64
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Ending:
    """How a container ended: by itself (no reason), or not."""

    exit_code: int
    reason: Reason | None = None
    detail: str = ""
    milliseconds: float = 0.0


class DockerExecutor:
    """A `modules.executor.Executor`; `open_docker` makes it."""

    name: Final = "docker"

    def __init__(self, engine: Engine, scratch: Path, policy: ImagePolicy, gpus: GpuPool, runtime: str | None) -> None:
        self.engine = engine
        self.policy = policy
        self.gpus = gpus
        self._scratch = scratch
        self._runtime = runtime
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._images = trio.Lock()

    @property
    def isolation(self) -> Isolation:
        return Isolation.USER_KERNEL if self._runtime == SAFER_RUNTIME else Isolation.CONTAINER

    @property
    def profile(self) -> str:
        return f"docker/{self._runtime or 'runc'}/{self.engine.machine}"

    async def prepare(self, module: Module) -> str:
        """Pull or build the image; see `modules.executor.Executor.prepare`."""
        return f"image {(await self._image(module)).id}"

    def serves(self, module: Module) -> bool:
        """Whether the GPUs are here that a module asks for."""
        needs = module.manifest.resources
        return len(self.gpus.fitting(needs.vram_mib, needs.gpu)) >= needs.gpus

    async def missing_base(self, module: Module) -> str | None:
        """The base that the module's image is built on, where it is not here; else building it would pull another."""
        for base in self.policy.bases(module).values():
            if await self._thread(partial(look, self.engine, base)) is None:
                return base
        return None

    async def has_image(self, module: Module) -> bool:
        """Whether the image of a module that is built from its folder is here already."""
        return await self._thread(lambda: is_built(self.engine, module, self.policy))

    async def run(self, task: Task) -> Outcome:
        """Run ``task``; see `modules.executor.Executor.run`. Getting its image first doesn't count as its time."""
        if task.output.exists():
            raise Misuse(f"the result directory of job {task.job} exists already")
        try:
            image = await self._image(task.module)
        except ModuleFault as fault:
            return await self._fail(task, "could_not_start", str(fault))
        place = Path(await self._thread(lambda: tempfile.mkdtemp(prefix="docker-", dir=self._scratch)))
        try:
            return await self._run_in(place, task, image)
        except OSError as error:
            return await self._fail(task, "executor_died", f"the run's files can't be handled: {error}")
        except BaseException:
            shutil.rmtree(task.output, ignore_errors=True)
            raise
        finally:
            with trio.CancelScope(shield=True):
                await self._thread(lambda: _remove_tree(place))

    async def _run_in(self, place: Path, task: Task, image: Image) -> Outcome:
        try:
            prepared = await self._thread(lambda: prepare(task, place))
        except (InputError, FolderFault) as fault:
            return await self._fail(task, "bad_inputs", str(fault))
        needs = task.module.manifest.resources
        try:
            with self.gpus.borrow(needs.gpus, needs.vram_mib, needs.gpu) as gpus:
                wanted = prepared.wanted(image, labels(task.job), needs.cpu, gpus, self._runtime)
                ending = await self._contain(container(wanted), prepared, task)
        except NoGpus as fault:
            return await self._fail(task, "could_not_start", str(fault))
        return await self._thread(lambda: self._collect(task, prepared, image, ending))

    async def _contain(self, body: dict[str, Any], prepared: Prepared, task: Task) -> _Ending:
        """Create, start, watch and remove one container."""
        # Named beforehand: a container whose creation was answered too late can still be removed.
        name = f"lilypad-{secrets.token_hex(8)}"
        most = task.limits.stream_bytes
        try:
            await self._call("the container can't be created", lambda api: api.create_container_from_config(body, name))
            streams = await self._thread(lambda: Streams(self.engine, name, prepared.outbox, most))
            return await self._attend(name, streams, prepared, task)
        except EngineFault as fault:
            return _Ending(0, "could_not_start", str(fault))
        finally:
            with trio.CancelScope(shield=True):
                await self._put_away(name)

    async def _attend(self, name: str, streams: Streams, prepared: Prepared, task: Task) -> _Ending:
        """Start the container and stay with it until it ends or breaks a limit."""
        ending: _Ending | None = None
        started = False
        limits, began, read_all = task.limits, trio.current_time(), trio.Event()
        async with trio.open_nursery() as nursery:

            def stop(reason: Reason, detail: str) -> None:
                nonlocal ending
                ending = ending or _Ending(0, reason, detail, 1000 * (trio.current_time() - began))
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
                while await self._thread(measure) <= limits.disk_bytes:  # noqa: ASYNC110  (nobody tells when it grows)
                    await trio.sleep(WATCH_SECONDS)
                stop("output_too_large", f"/outputs has more than {limits.disk_bytes} bytes or {limits.files} files")

            async def expire() -> None:
                await trio.sleep(limits.seconds)
                stop("out_of_time", f"it ran for {limits.seconds:g} s")

            def measure() -> float:
                return folders.blocks(prepared.outputs, 2 * limits.files)

            try:
                nursery.start_soon(read)
                await self._call("the container can't be started", lambda api: api.start(name))
                started = True
                nursery.start_soon(watch)
                nursery.start_soon(expire)
                code = await self._wait(name, limits)
                # What it said last may still be on its way, and may be too much.
                with trio.move_on_after(DRAIN_SECONDS):
                    await read_all.wait()
                found = await self._call("the container can't be looked at", lambda api: api.inspect_container(name))
                ending = ending or _judge(code, found["State"])
            except EngineFault as fault:
                # Caught here: out of the nursery it would come as a group.
                ending = ending or _Ending(0, "executor_died" if started else "could_not_start", str(fault))
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

    def _collect(self, task: Task, prepared: Prepared, image: Image, ending: _Ending) -> Outcome:
        """Make the result directory out of what the container, which is gone, left."""
        profile = f"{self.profile}/{image.id}"
        take = collect if ending.reason != "output_too_large" else keep_streams
        try:
            size = take(prepared.outbox, task.output, ending_code(ending), task.limits)
        except (FolderFault, OSError) as fault:
            reason: Reason = "output_too_large" if isinstance(fault, FolderTooLarge) else "bad_output"
            ending = _Ending(0, reason, f"/outputs {fault}", ending.milliseconds)
            size = keep_streams(prepared.outbox, task.output, ending_code(ending), task.limits)
        if ending.reason is None:
            return Finished(ending.exit_code, 0, profile, ending.milliseconds, size)
        return Failed(ending.reason, ending.detail, 0, profile, ending.milliseconds, size)

    async def _fail(self, task: Task, reason: Reason, detail: str) -> Failed:
        """Leave an empty but complete result."""
        failed = Failed(reason, detail, 0, self.profile, 0.0, 0)
        await self._thread(lambda: start_over(task.output, failed.exit_code))
        return failed

    async def _image(self, module: Module) -> Image:
        """The module's image; one at a time, or ten jobs would build the same image ten times."""
        stop = threading.Event()
        async with self._images:
            try:
                return await self._abandonable(lambda: ensure(self.engine, module, self.policy, stop))
            finally:
                stop.set()

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


@asynccontextmanager
async def open_docker(
    *,
    scratch: Path | None = None,
    policy: ImagePolicy = ImagePolicy(),  # noqa: B008  (frozen)
    gpus: GpuPool | None = None,
    url: str | None = None,
    runtime: str | None = None,
) -> AsyncIterator[DockerExecutor]:
    """Open the executor on the engine at ``url`` (else where ``DOCKER_HOST`` says, else this machine's).

    Removes first what nodes that were killed left in the engine. ``gpus`` are those that may be lent, by default all
    that a probe finds. ``scratch`` is a folder for the runs' files, which
    the engine must see under the same path. ``runtime`` names one of the engine's; by default gVisor's where the
    engine has it. Raises `EngineFault` where no engine answers.
    """
    engine = await trio.to_thread.run_sync(lambda: find_engine(url))
    with tempfile.TemporaryDirectory(prefix="lilypad-docker-", dir=scratch, ignore_cleanup_errors=True) as folder:
        try:
            swept = await trio.to_thread.run_sync(lambda: sweep(engine))
            if swept:
                log.warning("removed %d containers that an earlier node left behind", swept)
            if runtime is None and SAFER_RUNTIME in engine.runtimes:
                runtime = await trio.to_thread.run_sync(lambda: _safer_runtime(engine, policy, Path(folder)))
            if gpus is None:
                gpus = GpuPool(await trio.to_thread.run_sync(lambda: probe(engine.runtimes)))
            yield DockerExecutor(engine, Path(folder), policy, gpus, runtime)
        finally:
            engine.close()


def _safer_runtime(engine: Engine, policy: ImagePolicy, place: Path) -> str | None:
    """gVisor's, if it runs a container here: that an engine was told of a runtime doesn't mean that it works."""
    image = look(engine, policy.base)
    if image is None:
        log.warning("gVisor is there but can't be tried without the image %s, so it is not used", policy.base)
        return None
    limits = Limits(0, 256 * MIB, MIB, MIB, 1, 10.0)
    wanted = Wanted(image.id, ("true",), {}, place, place, labels("probe"), limits, 1.0, runtime=SAFER_RUNTIME)
    name = f"lilypad-{secrets.token_hex(8)}"
    try:
        with engine_faults("gVisor does not work here, so it is not used"):
            engine.api.create_container_from_config(container(wanted), name)
            engine.api.start(name)
            works = engine.api.wait(name)["StatusCode"] == 0
    except EngineFault as fault:
        log.warning("%s", fault)
        works = False
    finally:
        remove(engine, name)
    return SAFER_RUNTIME if works else None


def ending_code(ending: _Ending) -> int:
    """What the file ``exit_code`` says."""
    return ending.exit_code if ending.reason is None else EXIT_CODES[ending.reason]


def _judge(code: int, state: dict[str, Any]) -> _Ending:
    took = _milliseconds(state)
    if state.get("OOMKilled") and code == KILLED:
        return _Ending(code, "out_of_memory", "it was killed for want of memory", took)
    if state.get("Error"):
        return _Ending(code, "could_not_start", str(state["Error"])[:400], took)
    return _Ending(code, milliseconds=took)


def _milliseconds(state: dict[str, Any]) -> float:
    try:
        began, ended = (datetime.fromisoformat(str(state[name])) for name in ("StartedAt", "FinishedAt"))
    except (KeyError, ValueError):
        return 0.0
    return max(0.0, (ended - began).total_seconds() * 1000)


def _remove_tree(folder: Path) -> None:
    """Remove a folder that a program wrote in: it may be nested deeper than Python's own way can go down."""
    done = subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)
    if done.returncode:
        log.error("what a run wrote can't be removed: %s", done.stderr.decode(errors="replace")[:400])
