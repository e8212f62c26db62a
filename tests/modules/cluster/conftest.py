"""Clusters made of this one machine: two Docker daemons, a swarm of them, Slurm; each for a whole session."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from modules.cluster.machine import Machine
from modules.cluster.several import SeveralEngines, open_several
from modules.cluster.slurm import open_slurm
from modules.cluster.swarm import open_swarm
from modules.docker.executor import DockerExecutor
from modules.docker.images import BASE, ImagePolicy
from modules.docker.owner import OWNER_LABEL
from modules.owner import owner
from tests.helpers.daemons import Daemon, daemon, give_base, network

# Rows as nvidia-smi prints them (see test_gpus.py), with ids of their own: there is no GPU here, and a swarm asks for
# as many as its daemons were told of.
GPUS = {
    "GPU-00000001-0000-0000-0000-00000000000a": ("NVIDIA L40S", 46068),
    "GPU-00000001-0000-0000-0000-00000000000b": ("NVIDIA L40S", 46068),
    "GPU-00000002-0000-0000-0000-00000000000a": ("NVIDIA H100 80GB HBM3", 81559),
}
STAND_IN = """#!/bin/sh
# Stands in for nvidia-smi: prints a row for each device that this container was given.
for id in $(echo "${DOCKER_RESOURCE_GPU:-$NVIDIA_VISIBLE_DEVICES}" | tr , ' '); do
  case $id in
%s
  esac
done
"""


@pytest.fixture(scope="session")
def daemons(engine: str) -> Iterator[tuple[Daemon, Daemon]]:
    """Two engines, each with the base image."""
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("needs root and dockerd, to start engines of its own")
    ids = list(GPUS)
    with contextlib.ExitStack() as stack:
        found = []
        place = stack.enter_context(network())
        for number, gpus in ((1, ids[:2]), (2, ids[2:])):
            resources = [f"gpu={each}" for each in gpus]
            found.append(stack.enter_context(daemon(str(number), place, node_generic_resources=resources)))
        give_base(*found)
        yield found[0], found[1]


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """What a network share is to machines that are apart; others may pass through it, as on such a share."""
    with tempfile.TemporaryDirectory(prefix="lilypad-test-shared-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
async def several(daemons: tuple[Daemon, Daemon], shared_folder: Path) -> AsyncIterator[SeveralEngines]:
    """An executor on both engines, one run at a time on each."""
    machines = [(each.url, Machine(f"machine {n}", 1.0, 600, 4096)) for n, each in enumerate(daemons, 1)]
    async with open_several(machines, scratch=shared_folder) as executor:
        yield executor
    _nothing_is_left(*daemons)


@pytest.fixture(scope="session")
def swarm_of_two(daemons: tuple[Daemon, Daemon]) -> Iterator[tuple[Daemon, Daemon]]:
    """Both engines as one swarm, with a base image in which something answers for nvidia-smi."""
    manager, worker = daemons
    manager.docker("swarm", "init", "--listen-addr", "127.0.0.1:12377", "--advertise-addr", "127.0.0.1:12377")
    token = manager.docker("swarm", "join-token", "-q", "worker")
    worker.docker(
        "swarm", "join", "--listen-addr", "127.0.0.2:12378", "--advertise-addr", "127.0.0.2", "--token", token,
        "127.0.0.1:12377",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir="/tmp") as context:
        rows = "\n".join(f'    {id}) echo "{id}, {name}, {vram}, Disabled" ;;' for id, (name, vram) in GPUS.items())
        (Path(context) / "nvidia-smi").write_text(STAND_IN % rows)
        (Path(context) / "Dockerfile").write_text(f"FROM {BASE}\nCOPY --chown=0:0 nvidia-smi /usr/bin/\n")
        (Path(context) / "nvidia-smi").chmod(0o755)
        environment = {**os.environ, "DOCKER_BUILDKIT": "0", "DOCKER_HOST": manager.url}
        subprocess.run(
            ["docker", "build", "-q", "--network", "none", "-t", "with-gpus:test", context],
            env=environment,
            check=True,
            capture_output=True,
        )
    until = time.monotonic() + 60
    while manager.docker("node", "ls", "--format", "{{.Status}}").split() != ["Ready", "Ready"]:
        assert time.monotonic() < until
        time.sleep(0.3)
    yield daemons
    for each in (worker, manager):
        with contextlib.suppress(subprocess.CalledProcessError):
            each.docker("swarm", "leave", "--force")


@pytest.fixture
async def swarm(swarm_of_two: tuple[Daemon, Daemon], shared_folder: Path) -> AsyncIterator[DockerExecutor]:
    """An executor on the swarm."""
    manager, worker = swarm_of_two
    policy = ImagePolicy(base="with-gpus:test")
    async with open_swarm(scratch=shared_folder, policy=policy, url=manager.url, others=[worker.url]) as executor:
        yield executor
    assert manager.docker("service", "ls", "-q") == ""
    _nothing_is_left(*swarm_of_two)


def _nothing_is_left(*daemons: Daemon) -> None:
    for each in daemons:
        # A swarm's machines remove the container of a service that ended in their own time.
        until = time.monotonic() + 60
        while left := each.docker("ps", "-aq", "--filter", f"label={OWNER_LABEL}={owner()}"):
            assert time.monotonic() < until, left
            time.sleep(0.5)


SLURM = """\
ClusterName=lilypadtest
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1
MpiDefault=none
ReturnToService=2
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16917
SlurmdPort=16918
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=2000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="session")
def slurm_cluster(engine: str) -> Iterator[Path]:
    """Slurm's own daemons, with munge, on this machine; gives the folder of their files."""
    tools = ("slurmctld", "slurmd", "munged", "sbatch")
    if os.getuid() != 0 or any(shutil.which(tool) is None for tool in tools):
        pytest.skip("needs root, slurm-wlm and munge")
    folder = Path(tempfile.mkdtemp(prefix="lilypad-test-slurm-", dir="/tmp"))
    folder.chmod(0o755)  # munge refuses folders that others may write in
    for each in ("state", "spool"):
        (folder / each).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    for number in range(2):  # Slurm wants devices, whatever they are: these are /dev/null
        os.mknod(folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    host = platform.node().split(".")[0]
    (folder / "slurm.conf").write_text(SLURM.format(folder=folder, host=host, cores=os.cpu_count()))
    environment = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    munge = [f"--key-file={folder}/munge.key", f"--socket={folder}/munge.sock", f"--pid-file={folder}/munged.pid"]
    munge += [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"]
    try:
        subprocess.run(["munged", "--force", *munge], check=True, capture_output=True)
        for tool in ("slurmctld", "slurmd"):
            subprocess.run([tool], env=environment, check=True, capture_output=True)
        until = time.monotonic() + 60
        while True:
            said = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
            if said.stdout.strip() == "idle":
                break
            assert time.monotonic() < until, said.stdout + said.stderr + (folder / "slurmctld.log").read_text()[-2000:]
            time.sleep(0.5)
        yield folder
    finally:
        for name in ("slurmd", "slurmctld", "munged"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int((folder / f"{name}.pid").read_text()), signal.SIGTERM)
        time.sleep(2)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def slurm(
    slurm_cluster: Path, shared_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[DockerExecutor]:
    """An executor on Slurm, whose machine has a tool that lists two GPUs."""
    monkeypatch.setenv("SLURM_CONF", f"{slurm_cluster}/slurm.conf")
    tools = shared_folder / "tools"
    tools.mkdir(exist_ok=True)
    rows = "\n".join(f"{id}, {name}, {vram}, Disabled" for id, (name, vram) in list(GPUS.items())[:2])
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\ncat <<'END'\n{rows}\nEND\n")
    (tools / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    async with open_slurm(scratch=shared_folder) as executor:
        yield executor
        left = executor.engine.api.containers(all=True, filters={"label": f"{OWNER_LABEL}={owner()}"})
        assert left == []
    assert _queue() == ""


def _queue() -> str:
    return subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(params=["several", "swarm", "slurm"])
def cluster(request: pytest.FixtureRequest) -> Callable[[], object]:
    """Each of the three."""
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]
