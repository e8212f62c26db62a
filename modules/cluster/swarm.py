"""Docker Swarm: each run is a service of one task, and Swarm says on which machine.

A service can't say all that a container can: neither "no network" nor "no new privileges". So each machine's daemon
must say it for all of its containers, and every machine is tried at the start: one whose containers see more than
``lo``, or may gain privileges, ends it.

Bodies are those of ``POST /services/create`` in the Docker Engine API, version 1.41.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from modules.cluster.machine import NOWHERE, Machine
from modules.cluster.spreading import engines, spread
from modules.docker.ending import KILLED, Ending
from modules.docker.engine import Engine, EngineFault, engine_faults
from modules.docker.executor import DockerExecutor, open_launched
from modules.docker.hardening import Wanted, container
from modules.docker.images import Image, ImagePolicy, look
from modules.docker.launching import too_large
from modules.docker.owner import OWNER_LABEL, labels
from modules.docker.prepare import Prepared
from modules.executor import MIB, Limits, Reason, Task
from modules.gpus.pool import Gpu, GpuPool
from modules.gpus.probe import NVIDIA, parse_nvidia
from modules.owner import is_orphan
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.3
QUEUE_SECONDS: Final = 300.0
"""For Swarm to find a machine: longer than it takes unless somebody else uses the machines, too."""
GONE_SECONDS: Final = 60.0
PROBE_SECONDS: Final = 60.0
GPU_KIND: Final = "gpu"
"""What GPUs are called in the daemons' ``node-generic-resources``."""
_ENDED: Final = frozenset({"complete", "failed", "rejected", "orphaned", "shutdown", "remove"})
_ALONE: Final = "grep -c : /proc/net/dev; grep NoNewPrivs /proc/self/status; grep Seccomp: /proc/self/status"
_T = TypeVar("_T")


class Swarm:
    """A `modules.docker.launching.Launcher`; `open_swarm` makes it."""

    isolation: Final = Isolation.CONTAINER

    def __init__(self, engine: Engine, machines: Sequence[Machine], others: Sequence[Engine] = ()) -> None:
        self.engine = engine
        self._others = tuple(others)
        self.machines = tuple(machines)
        self.gpus = GpuPool([gpu for machine in machines for gpu in machine.gpus])

    @property
    def profile(self) -> str:
        return f"docker/swarm/{self.engine.machine}"

    async def have(self, image: Image) -> None:
        """Copy it to the other machines' engines, as far as they were named; see `Launcher.have`."""
        await _thread(lambda: spread(image, self.engine, self._others))

    async def contain(self, image: Image, prepared: Prepared, task: Task) -> Ending:
        """Run one task of one service; see `modules.docker.launching.Launcher.contain`."""
        needs = task.module.manifest.resources
        if not any(machine.could_run(needs) for machine in self.machines):
            return Ending(0, "could_not_start", NOWHERE)
        docker = task.module.manifest.docker
        pinned = docker.image if docker is not None else None
        hardened = container(prepared.wanted(image, labels(task.job), needs.cpu, (), None))
        places = self._constraints(needs.gpus, needs.vram_mib, needs.gpu)
        body = service(hardened, f"lilypad-{secrets.token_hex(8)}", pinned or image.id, needs.gpus, places)
        try:
            name: str = await _thread(lambda: self._create(body))
        except EngineFault as fault:
            return Ending(0, "could_not_start", str(fault))
        try:
            return await self._attend(name, prepared, task)
        except EngineFault as fault:
            return Ending(0, "executor_died", str(fault))
        finally:
            with trio.CancelScope(shield=True):
                await self._put_away(name)

    def _constraints(self, gpus: int, vram_mib: int, name: str) -> list[str]:
        """Swarm counts GPUs and knows no more of them: machines with others than these are excluded."""
        if not gpus:
            return []
        fitting = {gpu.id for gpu in self.gpus.fitting(vram_mib, name)}
        others = [machine for machine in self.machines if any(gpu.id not in fitting for gpu in machine.gpus)]
        return [f"node.id!={machine.name}" for machine in others]

    async def _attend(self, name: str, prepared: Prepared, task: Task) -> Ending:
        limits = task.limits
        ending: Ending | None = None
        since = trio.current_time()

        def stop(reason: Reason, detail: str) -> None:
            nonlocal ending
            ending = ending or Ending(0, reason, detail, 1000 * (trio.current_time() - since))
            nursery.cancel_scope.cancel()

        async def watch() -> None:
            stop("output_too_large", await too_large(prepared))

        async def expire() -> None:
            await trio.sleep(limits.seconds)
            stop("out_of_time", f"it ran for {limits.seconds:g} s")

        async def listen() -> None:
            """Hear the output while it comes; what is kept is read once more at the end, as a whole."""
            heard = {"stdout": 0, "stderr": 0}
            while True:
                said = await _thread(lambda: self._logs(name, limits.stream_bytes))
                for stream, data in said.items():
                    if len(data) > limits.stream_bytes:
                        stop("output_too_large", f"a stream has more than {limits.stream_bytes} bytes")
                    if task.listener is not None and len(data) > heard[stream]:
                        task.listener("stdout" if stream == "stdout" else "stderr", data[heard[stream] :])
                    heard[stream] = len(data)
                await trio.sleep(max(1.0, sum(heard.values()) / MIB))  # a large log is read less often

        running = False
        async with trio.open_nursery() as nursery:
            while ending is None:
                found = await _thread(lambda: self._task(name))
                state = found.get("State", "new")
                if state in _ENDED:
                    ending = _judge(found, 1000 * (trio.current_time() - since))
                    nursery.cancel_scope.cancel()
                elif state == "running" and not running:
                    running, since = True, trio.current_time()
                    if task.begun is not None:
                        task.begun()
                    for each in (watch, expire, listen):
                        nursery.start_soon(each)
                elif not running and trio.current_time() - since > QUEUE_SECONDS:
                    stop("could_not_start", f"Swarm finds no machine for it: {found.get('Err') or state}")
                await trio.sleep(POLL_SECONDS)
        assert ending is not None
        said = await _thread(lambda: self._logs(name, limits.stream_bytes))
        for stream, data in said.items():
            (prepared.outbox / stream).write_bytes(data[: limits.stream_bytes])
            if len(data) > limits.stream_bytes and ending.reason is None:
                ending = Ending(0, "output_too_large", f"a stream has more than {limits.stream_bytes} bytes")
        return ending

    async def _put_away(self, name: str) -> None:
        """Remove the service and wait until no machine runs anything of it any more."""
        try:
            await _thread(lambda: self._remove(name))
            with trio.move_on_after(GONE_SECONDS) as overdue:
                while await _thread(lambda: self._alive(name)):  # noqa: ASYNC110  (nobody tells)
                    await trio.sleep(POLL_SECONDS)
            if overdue.cancelled_caught:
                log.warning("a machine of the swarm does not say that it ended %s", name)
        except EngineFault as fault:
            log.warning("%s; the next start of a node will try again", fault)

    # --- calls to the manager, which block ---------------------------------------------------------------------------

    def _create(self, body: Mapping[str, Any]) -> str:
        api = self.engine.api
        with engine_faults("the service can't be created"):
            answer = api._post_json(api._url("/services/create"), data=dict(body))
            return str(api._result(answer, True)["ID"])

    def _task(self, name: str) -> dict[str, Any]:
        """The status of the service's only task; empty where there is none."""
        with engine_faults("the swarm's tasks can't be listed"):
            found = [each for each in self.engine.api.tasks() if each.get("ServiceID") == name]
        return dict(found[0]["Status"]) if found else {}

    def _alive(self, name: str) -> bool:
        return self._task(name).get("State", "remove") not in _ENDED

    def _logs(self, name: str, most: int) -> dict[str, bytes]:
        """Both streams so far, up to a little more than ``most`` bytes of each."""
        api = self.engine.api
        said = {"stdout": bytearray(), "stderr": bytearray()}
        with engine_faults("the service's output can't be had"):
            answer = api._get(
                api._url("/services/{0}/logs", name), params={"stdout": 1, "stderr": 1}, stream=True, timeout=60
            )
            try:
                api._raise_for_status(answer)
                while len(head := answer.raw.read(8)) == 8:
                    data = answer.raw.read(int.from_bytes(head[4:], "big"))
                    stream = said["stdout" if head[0] == 1 else "stderr"]
                    stream += data
                    if len(stream) > most:
                        break  # that is more than it may say; the rest of it concerns nobody
            finally:
                answer.close()
        return {stream: bytes(data) for stream, data in said.items()}

    def _remove(self, name: str) -> None:
        from docker.errors import NotFound

        with engine_faults("the service can't be removed"):
            try:
                self.engine.api.remove_service(name)
            except NotFound:
                return

    # --- the start ---------------------------------------------------------------------------------------------------

    def sweep(self) -> int:
        """Remove services of nodes that were killed; returns how many."""
        with engine_faults("services can't be listed"):
            found = self.engine.api.services(filters={"label": OWNER_LABEL})
        orphans = [each for each in found if is_orphan(each["Spec"]["Labels"].get(OWNER_LABEL, ""))]
        for each in orphans:
            self._remove(each["ID"])
        return len(orphans)

    def look_at(self, node: Mapping[str, Any], image: str, place: Path) -> Machine:
        """Try one machine; raises `EngineFault` where its containers are not walled in."""
        has = node["Description"]["Resources"]
        who = node["Description"].get("Hostname", node["ID"])
        self._check_walls(self._ask(node["ID"], image, ("sh", "-c", _ALONE), place), who)
        ids = [
            each["NamedResourceSpec"]["Value"]
            for each in has.get("GenericResources") or ()
            if each.get("NamedResourceSpec", {}).get("Kind") == GPU_KIND
        ]
        found: list[Gpu] = []
        if ids:
            # Given all of them, a container's tool lists them: so they are there, and Swarm's names are the maker's.
            try:
                listed = parse_nvidia(self._ask(node["ID"], image, NVIDIA, place, gpus=len(ids)))
            except EngineFault as fault:
                log.warning("%s", fault)
                listed = []
            found = [gpu for gpu in listed if gpu.id in ids]
            if len(found) < len(ids):
                missing = sorted(set(ids) - {gpu.id for gpu in found})
                log.warning("%s: not offered, since no tool lists them: %s", who, ", ".join(missing))
        return Machine(node["ID"], has["NanoCPUs"] / 1e9, has["MemoryBytes"] // MIB, 1 << 40, tuple(found))

    def _check_walls(self, said: str, who: str) -> None:
        if said.split() != ["1", "NoNewPrivs:", "1", "Seccomp:", "2"]:
            raise EngineFault(
                f"containers on the swarm's machine {who} are not walled in ({' '.join(said.split())[:200]}): its "
                'daemon needs "bridge": "none" and "no-new-privileges": true in its daemon.json, and seccomp'
            )

    def _ask(self, node: str, image: str, command: Sequence[str], place: Path, gpus: int = 0) -> str:
        """What a command says on stdout on that machine."""
        limits = Limits(0, 64 * MIB, MIB, MIB, 1, PROBE_SECONDS)
        wanted = Wanted(image, tuple(command), {}, place, place, labels("probe"), limits, 0.1)
        body = service(container(wanted), f"lilypad-{secrets.token_hex(8)}", image, gpus, [f"node.id=={node}"])
        name = self._create(body)
        try:
            status: dict[str, Any] = {}
            until = time.monotonic() + PROBE_SECONDS
            while time.monotonic() < until and (status := self._task(name)).get("State") not in _ENDED:
                time.sleep(POLL_SECONDS)
            if status.get("State") != "complete":
                why = status.get("Err") or status.get("Message") or "no answer"
                raise EngineFault(f"the swarm's machine {node} can't be tried: {command[0]}: {why}")
            return self._logs(name, MIB)["stdout"].decode(errors="replace")
        finally:
            self._remove(name)


def service(
    hardened: Mapping[str, Any], name: str, image: str, gpus: int, constraints: Sequence[str]
) -> dict[str, Any]:
    """A service of one task out of a hardened container's body: whatever of it a service can say."""
    host = hardened["HostConfig"]
    resources = {"NanoCPUs": host["NanoCpus"], "MemoryBytes": host["Memory"]}
    kinds = [{"DiscreteResourceSpec": {"Kind": GPU_KIND, "Value": gpus}}] if gpus else []
    spec = {
        "Image": image,
        "Args": hardened.get("Cmd", []),
        "Env": hardened["Env"],
        "User": hardened["User"],
        "Hostname": hardened["Hostname"],
        "Labels": hardened["Labels"],
        "ReadOnly": host["ReadonlyRootfs"],
        "CapabilityDrop": host["CapDrop"],
        "Init": host["Init"],
        "Mounts": host["Mounts"],
        "Ulimits": host["Ulimits"],
        "DNSConfig": {"Nameservers": host["Dns"], "Search": host["DnsSearch"]},
        "StopSignal": hardened["StopSignal"],
        "Healthcheck": hardened["Healthcheck"],
    }
    return {
        "Name": name,
        "Labels": hardened["Labels"],
        "TaskTemplate": {
            "ContainerSpec": spec,
            "Resources": {
                "Limits": {**resources, "Pids": host["PidsLimit"]},
                "Reservations": {**resources, "GenericResources": kinds},
            },
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": list(constraints)},
            "Networks": [],
            # A service's output is had from its log only. It is bounded, and gone with the service.
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "64m", "max-file": "1"}},
        },
        # Not a "replicated job": an engine of version 20.10 lets its tasks run on when it is removed.
        "Mode": {"Replicated": {"Replicas": 1}},
    }


def _judge(status: Mapping[str, Any], milliseconds: float) -> Ending:
    state, code = status["State"], (status.get("ContainerStatus") or {}).get("ExitCode")
    why = str(status.get("Err") or status.get("Message") or "")[:400]
    if state == "complete":
        return Ending(0, milliseconds=milliseconds)
    if state == "failed" and code:
        if code == KILLED:
            return Ending(code, "out_of_memory", "it was killed, as is who wants too much memory", milliseconds)
        return Ending(int(code), milliseconds=milliseconds)
    if state in ("failed", "rejected"):
        return Ending(0, "could_not_start", why)
    return Ending(0, "executor_died", f"its machine is {state}: {why}", milliseconds)


@asynccontextmanager
async def open_swarm(
    *,
    scratch: Path,
    policy: ImagePolicy = ImagePolicy(),  # noqa: B008  (frozen)
    url: str | None = None,
    others: Sequence[str] = (),
) -> AsyncIterator[DockerExecutor]:
    """Open the executor on the swarm whose manager answers at ``url`` (else ``DOCKER_HOST``, else this machine's).

    Every machine must see ``scratch`` under the same path, and have the images: those pinned by digest it pulls itself,
    those that are built here are copied to the engines at ``others``. Raises `EngineFault`.
    """

    @asynccontextmanager
    async def make(engine: Engine, folder: Path) -> AsyncIterator[Swarm]:
        with engines(others) as found:
            yield await _thread(lambda: _look_around(engine, policy, folder, found))

    async with open_launched(make, scratch=scratch, policy=policy, url=url) as executor:
        yield executor


def _look_around(engine: Engine, policy: ImagePolicy, folder: Path, others: Sequence[Engine]) -> Swarm:
    with engine_faults("this engine manages no swarm; `docker swarm init` makes it"):
        nodes = engine.api.nodes()
    swarm = Swarm(engine, ())
    if swept := swarm.sweep():
        log.warning("removed %d services that an earlier node left behind", swept)
    image = look(engine, policy.base)
    if image is None:
        raise EngineFault(f"machines can't be tried without the image {policy.base}; modules/images/make-base makes it")
    spread(image, engine, others)
    ready = [
        node
        for node in nodes
        if node.get("Status", {}).get("State") == "ready" and node["Spec"]["Availability"] == "active"
    ]
    if not ready:
        raise EngineFault("no machine of the swarm is ready")
    return Swarm(engine, [swarm.look_at(node, image.id, folder) for node in ready], others)


async def _thread(do: Callable[[], _T]) -> _T:
    return await trio.to_thread.run_sync(do)
