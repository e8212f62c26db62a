"""Slurm: each run is a batch job that runs one hardened container on whatever machine Slurm gives it.

The container is the same in every flag as on an engine of one's own (`modules.docker.hardening`); Slurm decides where
and when, counts cores, memory and GPUs, and ends what outstays its time. Needed on each machine: a Docker engine that
the node's user may reach, Python, the image, and the folder for the runs' files under the same path.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from modules.bounded_json import loads
from modules.cluster.machine import NOWHERE, Machine
from modules.cluster.spreading import engines, spread
from modules.docker.ending import Ending, judge
from modules.docker.engine import Engine, EngineFault
from modules.docker.executor import DockerExecutor, open_launched
from modules.docker.hardening import container
from modules.docker.images import Image, ImagePolicy
from modules.docker.launching import too_large
from modules.docker.owner import labels
from modules.docker.prepare import Prepared
from modules.executor import MIB, Reason, Task
from modules.gpus.pool import Gpu, GpuPool
from modules.gpus.probe import NVIDIA, parse_nvidia
from modules.owner import is_orphan, owner
from protocol.isolation import Isolation

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
QUEUE_SECONDS: Final = 3600.0
"""For Slurm to start a job: its machines may be somebody else's, too."""
GRACE_SECONDS: Final = 120.0
"""On top of a run's own time, for the engine and for files to arrive; then Slurm itself ends the job."""
COMMAND_SECONDS: Final = 30.0
PROBE_SECONDS: Final = 60.0
GONE_SECONDS: Final = 60.0
NODE_SIDE: Final = Path(__file__).with_name("node_side.py")
MARK: Final = "lilypad:"
"""Begins the comment of our jobs; the owner follows (`modules.owner`)."""
_ALIVE: Final = frozenset({"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "REQUEUED"})
_T = TypeVar("_T")


class SlurmFault(EngineFault):
    """Slurm is not there, does not answer, or refuses."""


class Slurm:
    """A `modules.docker.launching.Launcher`; `open_slurm` makes it."""

    isolation: Final = Isolation.CONTAINER

    def __init__(
        self,
        engine: Engine,
        machines: Sequence[Machine],
        *,
        partition: str = "",
        socket: str = "/var/run/docker.sock",
        others: Sequence[Engine] = (),
    ) -> None:
        self.engine = engine
        self.machines = tuple(machines)
        self.gpus = GpuPool([gpu for machine in machines for gpu in machine.gpus])
        self._partition = partition
        self._socket = socket
        self._others = tuple(others)

    @property
    def profile(self) -> str:
        return f"docker/slurm/{self.engine.machine}"

    async def have(self, image: Image) -> None:
        """Copy it to the other machines' engines, as far as they were named; see `Launcher.have`."""
        await _thread(lambda: spread(image, self.engine, self._others))

    async def contain(self, image: Image, prepared: Prepared, task: Task) -> Ending:
        """Run one batch job; see `modules.docker.launching.Launcher.contain`."""
        folder = prepared.outbox.parent
        needs = task.module.manifest.resources
        if not any(machine.could_run(needs) for machine in self.machines):
            return Ending(0, "could_not_start", NOWHERE)
        hardened = container(prepared.wanted(image, labels(task.job), needs.cpu, (), None))
        wish = {
            "name": f"lilypad-{secrets.token_hex(8)}",
            "body": hardened,
            "socket": self._socket,
            "seconds": task.limits.seconds,
            "stream_bytes": task.limits.stream_bytes,
            "gpus": needs.gpus,
        }
        await _thread(lambda: _lay_out(folder, wish))
        try:
            job = await _thread(lambda: self._submit(folder, task))
        except SlurmFault as fault:
            return Ending(0, "could_not_start", str(fault))
        if task.begun is not None:  # Slurm has it now, whenever it begins
            task.begun()
        try:
            return await self._attend(job, folder, prepared, task)
        except SlurmFault as fault:
            return Ending(0, "executor_died", str(fault))
        finally:
            with trio.CancelScope(shield=True):
                await self._put_away(job)

    def _submit(self, folder: Path, task: Task) -> str:
        needs = task.module.manifest.resources
        minutes = math.ceil((task.limits.seconds + GRACE_SECONDS) / 60)
        command = ["sbatch", "--parsable", "--no-requeue", "--export=NONE", f"--comment={MARK}{owner()}"]
        command += [f"--job-name=lilypad-{task.job[:16]}", f"--output={folder / 'slurm.log'}", f"--chdir={folder}"]
        command += ["--nodes=1", "--ntasks=1", f"--cpus-per-task={math.ceil(needs.cpu)}"]
        command += [f"--mem={needs.memory_mib}M", f"--time={minutes}"]
        if self._partition:
            command.append(f"--partition={self._partition}")
        if needs.gpus:
            command.append(f"--gres=gpu:{needs.gpus}")
            fitting = {gpu.id for gpu in self.gpus.fitting(needs.vram_mib, needs.gpu)}
            # Slurm counts GPUs and knows their type at most: machines with others than fit are excluded.
            others = [machine.name for machine in self.machines if any(gpu.id not in fitting for gpu in machine.gpus)]
            command += [f"--exclude={','.join(others)}"] if others else []
        # By exec, so that Slurm's signals reach it: it ends its container with itself.
        script = f"#!/bin/sh\nexec python3 {shlex.quote(str(folder / NODE_SIDE.name))} {shlex.quote(str(folder))}\n"
        job = _slurm(*command, stdin=script).strip().partition(";")[0]
        if not job.isdecimal():
            raise SlurmFault(f"sbatch answers {job[:200]!r}, which is no job")
        return job

    async def _attend(self, job: str, folder: Path, prepared: Prepared, task: Task) -> Ending:
        ending: Ending | None = None
        since = trio.current_time()

        def stop(reason: Reason, detail: str) -> None:
            nonlocal ending
            ending = ending or Ending(0, reason, detail, 1000 * (trio.current_time() - since))
            nursery.cancel_scope.cancel()

        async def watch() -> None:
            stop("output_too_large", await too_large(prepared))

        async def listen() -> None:
            heard = {"stdout": 0, "stderr": 0}
            while True:
                for name in heard:
                    data = await _thread(lambda name=name: _from(prepared.outbox / name, heard[name]))  # type: ignore[misc]
                    heard[name] += len(data)
                    if data and task.listener is not None:
                        task.listener("stdout" if name == "stdout" else "stderr", data)
                await trio.sleep(POLL_SECONDS)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            nursery.start_soon(listen)
            while ending is None:
                told = await _thread(lambda: _ending(folder, task))
                state = await _thread(lambda: _state(job)) if told is None else ""
                if told is None and state not in _ALIVE:
                    # It may have written its last word between both looks.
                    told = await _thread(lambda: _ending(folder, task)) or _lost(folder, state)
                if told is None and state == "PENDING" and trio.current_time() - since > QUEUE_SECONDS:
                    told = Ending(0, "could_not_start", f"Slurm did not start it within {QUEUE_SECONDS:g} s")
                if told is not None:
                    ending = ending or told
                    await trio.sleep(POLL_SECONDS)  # what was said last is heard, too
                    nursery.cancel_scope.cancel()
                await trio.sleep(POLL_SECONDS)
        assert ending is not None
        return ending

    async def _put_away(self, job: str) -> None:
        """Cancel the job if it still runs, and wait until its machine says that nothing of it is left."""
        try:
            if await _thread(lambda: _state(job)) in _ALIVE:
                await _thread(lambda: _slurm("scancel", "--full", job))
            with trio.move_on_after(GONE_SECONDS) as overdue:
                while await _thread(lambda: _state(job)) in _ALIVE:  # noqa: ASYNC110  (nobody tells)
                    await trio.sleep(POLL_SECONDS)
            if overdue.cancelled_caught:
                log.warning("Slurm's job %s does not end", job)
        except SlurmFault as fault:
            log.warning("Slurm's job %s may still run: %s; the next start of a node will try again", job, fault)


def sweep() -> int:
    """Cancel jobs of nodes that were killed; returns how many. Raises `SlurmFault`."""
    orphans = []
    for line in _slurm("squeue", "--noheader", "--format=%i %k").splitlines():
        job, _, comment = line.strip().partition(" ")
        if comment.startswith(MARK) and is_orphan(comment.removeprefix(MARK)):
            orphans.append(job)
    if orphans:
        _slurm("scancel", "--full", *orphans)
    return len(orphans)


def look_around(partition: str = "") -> list[Machine]:
    """The machines that Slurm has up, with the GPUs that the maker's tool lists there. Raises `SlurmFault`."""
    chosen = [f"--partition={partition}"] if partition else []
    said = _slurm("sinfo", "--noheader", "--Node", "--format=%N|%c|%m|%G|%t", *chosen)
    machines = {}
    for line in said.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 5 or fields[4].rstrip("*~#!%$@^-") not in ("idle", "mix", "alloc", "comp"):
            continue
        name, cores, memory, resources, _ = fields
        gpus = _probe(name, count_of_gpus(resources), chosen)
        machines[name] = Machine(name, float(cores.rstrip("+")), int(memory.rstrip("+")), 1 << 40, tuple(gpus))
    if not machines:
        raise SlurmFault("Slurm has no machine that is up; see `sinfo`")
    return list(machines.values())


def count_of_gpus(resources: str) -> int:
    """From Slurm's generic resources, such as ``gpu:a100:4(S:0-1),gpu:t4:2``; see gres.conf(5)."""
    plain = re.sub(r"\([^)]*\)", "", resources)
    found = 0
    for each in plain.split(","):
        parts = each.split(":")
        if parts[0] == "gpu":
            found += int(parts[-1]) if parts[-1].isdecimal() else 1
    return found


def _probe(machine: str, count: int, chosen: Sequence[str]) -> list[Gpu]:
    if not count:
        return []
    try:
        said = _slurm("srun", *chosen, f"--nodelist={machine}", f"--gres=gpu:{count}", "--immediate=30", *NVIDIA)
    except SlurmFault as fault:
        log.warning("no GPUs of %s are offered, since no tool lists them: %s", machine, fault)
        return []
    return parse_nvidia(said)


def _lay_out(folder: Path, wish: dict[str, Any]) -> None:
    shutil.copy(NODE_SIDE, folder / NODE_SIDE.name)
    (folder / "container.json").write_text(json.dumps(wish))


def _ending(folder: Path, task: Task) -> Ending | None:
    """What the machine wrote, if it has; its word is ours, but the file system between us is not."""
    try:
        told = loads((folder / "ending.json").read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return Ending(0, "executor_died", "what its machine wrote can't be read")
    if not isinstance(told, dict):
        return Ending(0, "executor_died", "what its machine wrote can't be read")
    if told.get("broken") == "time":
        return Ending(0, "out_of_time", f"it ran for {task.limits.seconds:g} s", 1000 * task.limits.seconds)
    if told.get("broken") == "output":
        return Ending(0, "output_too_large", f"a stream has more than {task.limits.stream_bytes} bytes")
    if told.get("refused"):
        return Ending(0, "could_not_start", " ".join(str(told["refused"]).split())[:400])
    state, code = told.get("state"), told.get("code")
    if not isinstance(state, dict) or not isinstance(code, int):
        return Ending(0, "executor_died", "what its machine wrote can't be read")
    return judge(code, state)


def _lost(folder: Path, state: str) -> Ending:
    try:
        said = (folder / "slurm.log").read_text(errors="replace").strip().splitlines()[-1:]
    except OSError:
        said = []
    return Ending(0, "executor_died", f"Slurm ended its job ({state or 'unknown'}) {' '.join(said)[:300]}".strip())


def _state(job: str) -> str:
    """As Slurm calls it; empty once it has forgotten the job."""
    try:
        said = _slurm("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}")
    except SlurmFault as fault:
        if "Invalid job id" in str(fault):
            return ""
        raise
    return said.strip()


def _from(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(MIB)
    except OSError:
        return b""


def _slurm(*command: str, stdin: str = "") -> str:
    """What a command of Slurm says; raises `SlurmFault` with its own words."""
    try:
        done = subprocess.run(
            command, input=stdin.encode(), capture_output=True, timeout=COMMAND_SECONDS + PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmFault(f"{command[0]} can't be run: {error}") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[:400]
        raise SlurmFault(f"{command[0]} refuses: {said or f'exit code {done.returncode}'}")
    return done.stdout.decode(errors="replace")


@asynccontextmanager
async def open_slurm(
    *,
    scratch: Path,
    policy: ImagePolicy = ImagePolicy(),  # noqa: B008  (frozen)
    url: str | None = None,
    partition: str = "",
    socket: str = "/var/run/docker.sock",
    others: Sequence[str] = (),
) -> AsyncIterator[DockerExecutor]:
    """Open the executor on the cluster that this machine's Slurm commands reach.

    The engine at ``url`` makes images; those are copied to the engines at ``others``. ``socket`` is where each
    machine's own engine listens. Raises `EngineFault`.
    """

    @asynccontextmanager
    async def make(engine: Engine, folder: Path) -> AsyncIterator[Slurm]:
        if swept := await _thread(sweep):
            log.warning("cancelled %d jobs that an earlier node left behind", swept)
        machines = await _thread(lambda: look_around(partition))
        with engines(others) as found:
            yield Slurm(engine, machines, partition=partition, socket=socket, others=found)

    async with open_launched(make, scratch=scratch, policy=policy, url=url) as executor:
        yield executor


async def _thread(do: Callable[[], _T]) -> _T:
    return await trio.to_thread.run_sync(do)
