"""Several Docker engines behind one executor: each run goes to one where it fits, and keeps its place there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from modules.cluster.machine import Machine
from modules.docker.executor import DockerExecutor, open_docker
from modules.docker.images import ImagePolicy
from modules.errors import ModuleFault
from modules.executor import Outcome, Task
from modules.gpus.pool import GpuPool
from modules.manifest import Resources
from modules.module import Module
from protocol.isolation import Isolation


@dataclass(slots=True)
class Place:
    """One engine, and what runs on it now."""

    machine: Machine
    executor: DockerExecutor
    taken: list[Resources] = field(default_factory=list)

    def fits(self, need: Resources) -> bool:
        """Whether a run could start here at once."""
        free = self.executor.gpus.free(need.vram_mib, need.gpu)
        return self.machine.has_room(need, self.taken) and len(free) >= need.gpus


class SeveralEngines:
    """A `modules.executor.Executor`; `open_several` makes it."""

    name: Final = "docker"

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = tuple(places)
        self._changed = trio.Condition()

    @property
    def machines(self) -> tuple[Machine, ...]:
        """What it runs on."""
        return tuple(place.machine for place in self._places)

    @property
    def gpus(self) -> GpuPool:
        """All GPUs, to be looked at; each engine lends its own."""
        return GpuPool([gpu for machine in self.machines for gpu in machine.gpus])

    @property
    def policy(self) -> ImagePolicy:
        """What all of them do to get images."""
        return self._places[0].executor.policy

    @property
    def isolation(self) -> Isolation:
        return min(place.executor.isolation for place in self._places)

    @property
    def profile(self) -> str:
        profiles = sorted({place.executor.profile for place in self._places})
        return " or ".join(profiles)

    def serves(self, module: Module) -> bool:
        """Whether one of them has the GPUs that a module asks for."""
        return any(place.executor.serves(module) for place in self._places)

    async def missing_base(self, module: Module) -> str | None:
        """The base of the module's image that one of them lacks."""
        for place in self._places:
            if (missing := await place.executor.missing_base(module)) is not None:
                return missing
        return None

    async def has_image(self, module: Module) -> bool:
        """Whether all of them have the module's image."""
        return all([await place.executor.has_image(module) for place in self._places])

    async def prepare(self, module: Module) -> str:
        """Have the image on every engine; raises `ModuleFault` where one can't get it."""
        said: dict[str, str] = {}
        faults: list[ModuleFault] = []

        async def one(place: Place) -> None:
            try:
                said[place.machine.name] = await place.executor.prepare(module)
            except ModuleFault as fault:
                faults.append(ModuleFault(f"{place.machine.name}: {fault}"))

        async with trio.open_nursery() as nursery:
            for place in self._places:
                nursery.start_soon(one, place)
        if faults:
            raise faults[0]
        return "; ".join(f"{name}: {text}" for name, text in sorted(said.items()))

    async def run(self, task: Task) -> Outcome:
        """Run ``task`` on the fullest engine that has room for it; waits for one if none has."""
        need = task.module.manifest.resources
        async with self._changed:
            while (place := self._choose(need)) is None:
                await self._changed.wait()
            place.taken.append(need)
        try:
            return await place.executor.run(task)
        finally:
            with trio.CancelScope(shield=True):
                async with self._changed:
                    place.taken.remove(need)
                    self._changed.notify_all()

    def _choose(self, need: Resources) -> Place | None:
        able = [place for place in self._places if place.machine.could_run(need)]
        if not able:
            return self._places[0]  # it fits none: whichever it is will say so
        room = [place for place in able if place.fits(need)]
        # The fullest first, and machines without GPUs before those with: large jobs find a whole machine then.
        return min(room, key=lambda place: (len(place.machine.gpus), -len(place.taken)), default=None)


@asynccontextmanager
async def open_several(
    machines: Sequence[tuple[str, Machine]],
    *,
    scratch: Path | None = None,
    policy: ImagePolicy = ImagePolicy(),  # noqa: B008  (frozen)
) -> AsyncIterator[SeveralEngines]:
    """Open the executor on engines, each given by its URL and what may be used of its machine.

    All of them must see ``scratch`` under the same path, such as a folder that the network shares. Raises
    `EngineFault` where one does not answer: what can't be reached can't be sold.
    """
    async with AsyncExitStack() as stack:
        places = []
        for url, offered in machines:
            executor = await stack.enter_async_context(open_docker(scratch=scratch, policy=policy, url=url))
            engine = executor.engine
            found = Machine(offered.name, engine.cpus, engine.memory_bytes >> 20, offered.disk_mib)
            places.append(Place(replace(offered.at_most(found), gpus=executor.gpus.gpus), executor))
        yield SeveralEngines(places)
