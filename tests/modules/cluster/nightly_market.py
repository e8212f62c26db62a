"""`lilypad run`, bought from a provider that sells a cluster: several engines, a swarm, Slurm; each to a paid result.

Run by name, `pytest tests/modules/cluster/nightly_market.py`: `.ci/nightly` does it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.helpers.daemons import Daemon
from tests.helpers.network import Network, open_network, side_by_side

pytestmark = pytest.mark.timeout(900)
OFFER = """executors = ["docker"]
[capacity]
cpu = 1
memory_mib = 600
disk_mib = 2048
longest_s = 600
[[prices]]
module = "*"
unit = "job"
floor = 100
ask = 200
"""
RULES = "lock_within = 60\ntransfer = 120\ngrace = 60"


def sell(
    tmp_path: Path, cluster: str, environment: Mapping[str, str], prove: Callable[[Network], None], jobs: int = 1
) -> None:
    """Buy jobs of a provider with this cluster, all at once, and look at what came of each."""
    (tmp_path / "offer.toml").write_text(OFFER + cluster)
    roles = {"provider": "provider", "mediator": "mediator", "client": "client"}
    arguments = {
        "provider": ("--offer", tmp_path / "offer.toml", "--executors", "docker"),
        "mediator": ("--executors", "wasm"),
    }
    with open_network(
        tmp_path / "net", roles, RULES, arguments=arguments, environment={"provider": environment}
    ) as net:
        client = net.nodes["client"]
        (client.here / "script.py").write_text(
            "import pathlib, sys\nprint(sys.argv[1:])\n"
            "pathlib.Path('made').write_text(pathlib.Path('/inputs/data').read_text() * 2)\n"
        )
        (client.here / "data").write_text("moo")
        before = net.nodes["provider"].money()["free"]

        def buy(number: int) -> int:
            words = ["-i", f'args=["job {number}", "$HOME \U0001f438"]', "--input-file", "script=script.py"]
            words += ["--input-file", "data=data", "-o", f"out-{number}", "--check", "0", "--json"]
            done = net.run("python:v1", *words, timeout=600)
            assert done.code == 0, f"{done.err}\n{net.nodes['provider'].log()[-3000:]}"
            document = done.document
            assert document["outcome"] == "DONE"
            assert document["result"]["stdout"] == f"['job {number}', '$HOME \U0001f438']\n"
            assert (client.here / f"out-{number}" / "outputs" / "made").read_text() == "moomoo"
            return int(document["price"]["paid"])

        paid = side_by_side([lambda n=number: buy(n) for number in range(jobs)])
        assert all(paid)
        assert net.nodes["provider"].money() == {"free": before + sum(paid), "locked": 0}
        prove(net)


def runs_of(engine: Daemon) -> int:
    """Containers that this engine has started since it is there."""
    told = engine.docker("events", "--since", "0", "--until", "0s", "--filter", "event=start", "--format", "{{.ID}}")
    return len(told.split())


def test_several_engines(tmp_path: Path, daemons: tuple[Daemon, Daemon], shared_folder: Path) -> None:
    machines = "".join(
        f'[[cluster.machines]]\nurl = "{each.url}"\nname = "machine {number}"\ncpu = 1\nmemory_mib = 600\n'
        for number, each in enumerate(daemons, 1)
    )
    before = [runs_of(each) for each in daemons]

    def both_have_run(net: Network) -> None:
        assert all(runs_of(each) > count for each, count in zip(daemons, before, strict=True))

    sell(tmp_path, f'[cluster]\nkind = "engines"\nfolder = "{shared_folder}"\n{machines}', {}, both_have_run, jobs=4)


def test_a_swarm(tmp_path: Path, swarm_of_two: tuple[Daemon, Daemon], shared_folder: Path) -> None:
    manager, worker = swarm_of_two
    before = sum(map(runs_of, swarm_of_two))

    def it_has_run(net: Network) -> None:
        assert sum(map(runs_of, swarm_of_two)) > before
        assert manager.docker("service", "ls", "-q") == ""

    table = f'manager = "{manager.url}"\nengines = ["{worker.url}"]\n'
    sell(tmp_path, f'[cluster]\nkind = "swarm"\nfolder = "{shared_folder}"\n{table}', {}, it_has_run, jobs=2)


def test_slurm(tmp_path: Path, slurm_cluster: Path, shared_folder: Path) -> None:
    told = {"SLURM_CONF": f"{slurm_cluster}/slurm.conf"}

    def it_was_a_job(net: Network) -> None:
        assert "_slurm_rpc_submit_batch_job: JobId=" in (slurm_cluster / "slurmctld.log").read_text()
        queue = subprocess.run(
            ["squeue", "-h"],
            env={**net.nodes["provider"].variables(), **told},
            capture_output=True,
            text=True,
            check=True,
        )
        assert queue.stdout.strip() == ""

    sell(tmp_path, f'[cluster]\nkind = "slurm"\nfolder = "{shared_folder}"\n', told, it_was_a_job)
