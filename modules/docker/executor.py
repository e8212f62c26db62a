"""The docker executor: one hardened container for each run, removed whatever happens."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import trio

from modules.cluster.machine import Machine
from modules.collecting import collect, keep_streams, start_over
from modules.docker.ending import Ending
from modules.docker.engine import SAFER_RUNTIME, Engine, find_engine
from modules.docker.images import Image, ImagePolicy, ensure, is_built, look
from modules.docker.launching import Launcher, OneEngine
from modules.docker.owner import sweep
from modules.docker.prepare import Prepared, prepare
from modules.docker.trying import look_for_gpus, safer_runtime
from modules.errors import InputError, ModuleFault
from modules.executor import BY_CHANCE, Failed, Finished, Outcome, Reason, Task
from modules.folders import FolderFault, FolderTooLarge
from modules.gpus.claims import claimed
from modules.gpus.pool import GpuPool
from modules.module import Module
from modules.scratch import remove_tree, scratch_folder
from protocol.errors import Misuse
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

_THREADS: Final = 64
_T = TypeVar("_T")


class DockerExecutor:
    """A `modules.executor.Executor`; `open_docker` makes it."""

    name: Final = "docker"

    def __init__(self, engine: Engine, scratch: Path, policy: ImagePolicy, launcher: Launcher) -> None:
        self.engine = engine
        """The one that has the images."""
        self.policy = policy
        self.launcher = launcher
        self._scratch = scratch
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._images = trio.Lock()

    @property
    def isolation(self) -> Isolation:
        return self.launcher.isolation

    @property
    def profile(self) -> str:
        return self.launcher.profile

    @property
    def gpus(self) -> GpuPool:
        """The GPUs that jobs may be given here."""
        return self.launcher.gpus

    @property
    def machines(self) -> tuple[Machine, ...]:
        """See `modules.docker.launching.Launcher.machines`."""
        return self.launcher.machines

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
                await self._thread(lambda: remove_tree(place))

    async def _run_in(self, place: Path, task: Task, image: Image) -> Outcome:
        try:
            prepared = await self._thread(lambda: prepare(task, place))
        except (InputError, FolderFault) as fault:
            return await self._fail(task, "bad_inputs", str(fault))
        ending = await self.launcher.contain(image, prepared, task)
        return await self._thread(lambda: self._collect(task, prepared, image, ending))

    def _collect(self, task: Task, prepared: Prepared, image: Image, ending: Ending) -> Outcome:
        """Make the result directory out of what the container, which is gone, left."""
        profile = f"{self.profile}/{image.id}"
        take = collect if ending.reason != "output_too_large" else keep_streams
        try:
            size = take(prepared.outbox, task.output, ending.code, task.limits)
        except (FolderFault, OSError) as fault:
            if ending.reason not in BY_CHANCE:
                reason: Reason = "output_too_large" if isinstance(fault, FolderTooLarge) else "bad_output"
                ending = Ending(0, reason, f"/outputs {fault}", ending.milliseconds)
            size = keep_streams(prepared.outbox, task.output, ending.code, task.limits)
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
                image = await self._abandonable(lambda: ensure(self.engine, module, self.policy, stop))
                await self.launcher.have(image)
                return image
            finally:
                stop.set()

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
    async with _engine(url) as engine, scratch_folder("docker", scratch) as folder:
        swept = await trio.to_thread.run_sync(lambda: sweep(engine))
        if swept:
            log.warning("removed %d containers that an earlier node left behind", swept)
        if runtime is None and SAFER_RUNTIME in engine.runtimes:
            runtime = await trio.to_thread.run_sync(lambda: safer_runtime(engine, policy, folder))
        with contextlib.ExitStack() as stack:
            if gpus is None:
                found = await trio.to_thread.run_sync(lambda: look_for_gpus(engine, policy, folder, url))
                gpus = GpuPool(stack.enter_context(claimed(found)))
            yield DockerExecutor(engine, folder, policy, OneEngine(engine, gpus, runtime))


@asynccontextmanager
async def open_launched(
    make: Callable[[Engine, Path], AbstractAsyncContextManager[Launcher]],
    *,
    scratch: Path,
    policy: ImagePolicy = ImagePolicy(),  # noqa: B008  (frozen)
    url: str | None = None,
) -> AsyncIterator[DockerExecutor]:
    """The executor where images are an engine's business, and where they run is that of a launcher.

    ``make`` opens the launcher; it is given the engine and a folder of this node's own below ``scratch``, which all
    machines must see under the same path. Raises `EngineFault`, and what ``make`` raises.
    """
    async with _engine(url) as engine, scratch_folder("docker", scratch) as folder, make(engine, folder) as launcher:
        yield DockerExecutor(engine, folder, policy, launcher)


@asynccontextmanager
async def _engine(url: str | None) -> AsyncIterator[Engine]:
    engine = await trio.to_thread.run_sync(lambda: find_engine(url))
    try:
        yield engine
    finally:
        engine.close()
