"""A run on several engines, on Swarm and on Slurm is what it is on an engine of one's own: result, limits, ending."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modules.cluster.several import SeveralEngines
from modules.docker.executor import DockerExecutor
from modules.executor import Failed, Finished, Task

MakeScript = Callable[..., Task]
Cluster = SeveralEngines | DockerExecutor
pytestmark = pytest.mark.timeout(300)  # several daemons on one machine, which may be busy


async def run(cluster: Cluster, task: Task) -> Finished | Failed:
    with trio.fail_after(240):
        return await cluster.run(task)


async def test_a_run_leaves_a_complete_result_and_arguments_reach_it_unharmed(
    cluster: Cluster, script: MakeScript, tmp_path: Path
) -> None:
    odd = ["\"quoted\" 'single'", "two\nlines", "$HOME $(id) `id`", "\U0001f404", "", "-x", "w" * 100_000]
    (tmp_path / "data").write_text("given")
    task = script(
        "import json, os, sys\nprint(json.dumps(sys.argv[1:]))\nprint('aside', file=sys.stderr)\n"
        "open('file', 'w').write(open('/inputs/data').read())\nsys.exit(7)",
        *odd,
        inputs={"data": tmp_path / "data"},
    )
    heard: list[bytes] = []
    outcome = await run(cluster, replace(task, listener=lambda _, data: heard.append(data)))
    assert isinstance(outcome, Finished), outcome
    assert outcome.exit_code == 7
    assert json.loads((task.output / "stdout").read_text()) == odd
    assert (task.output / "stderr").read_text() == "aside\n"
    assert (task.output / "exit_code").read_text() == "7\n"
    assert (task.output / "outputs" / "file").read_text() == "given"
    assert sorted(each.name for each in task.output.iterdir()) == ["exit_code", "outputs", "stderr", "stdout"]
    assert outcome.profile.startswith(cluster.profile.split(" or ")[0])


async def test_its_walls_stand_there_too(cluster: Cluster, script: MakeScript) -> None:
    task = script(
        "import os\nstatus = dict(line.split(':\\t') for line in open('/proc/self/status') if ':\\t' in line)\n"
        "for key in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp'): print(key, status[key].strip())\n"
        "print(os.getuid(), sorted(os.listdir('/sys/class/net')))\n"
        "try: open('/x', 'w')\nexcept OSError as error: print(error.strerror)"
    )
    assert isinstance(await run(cluster, task), Finished)
    assert (task.output / "stdout").read_text().splitlines() == [
        "CapEff 0000000000000000",
        "CapBnd 0000000000000000",
        "NoNewPrivs 1",
        "Seccomp 2",
        "65534 ['lo']",
        "Read-only file system",
    ]


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("lilypad-docker-*/docker-*"))


@pytest.mark.parametrize(
    ("text", "reason", "limits"),
    [
        ("import time; print('so far', flush=True); time.sleep(1000)", "out_of_time", {"seconds": 5.0}),
        ("while True: print('y' * 1000)", "output_too_large", {"stream_bytes": 200_000}),
        (
            "import os\nfor n in range(1000): open(f'f{n}', 'wb').write(os.urandom(1 << 20))",
            "output_too_large",
            {},
        ),
        ("x = bytearray(1 << 30)", "out_of_memory", {}),
    ],
    ids=["time", "log", "disk", "memory"],
)
async def test_who_breaks_a_limit_is_ended_for_it(
    cluster: Cluster, script: MakeScript, text: str, reason: str, limits: dict[str, float]
) -> None:
    task = script(text, **limits)
    outcome = await run(cluster, task)
    assert isinstance(outcome, Failed), outcome
    assert outcome.reason == reason
    assert (task.output / "exit_code").read_text() == f"{outcome.exit_code}\n"
    if reason == "out_of_time":
        assert (task.output / "stdout").read_text() == "so far\n"


async def test_cancelling_leaves_nothing(cluster: Cluster, script: MakeScript, shared_folder: Path) -> None:
    started = trio.Event()
    task = script("import time\nwhile True: print('on', flush=True); time.sleep(1)")
    task = replace(task, listener=lambda *_: started.set())
    with trio.fail_after(240):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.run, task)
            await started.wait()
            nursery.cancel_scope.cancel()
    assert not task.output.exists()
    assert left_over(shared_folder) == []


async def test_a_run_that_needs_more_gpus_than_there_are_does_not_start(cluster: Cluster, script: MakeScript) -> None:
    outcome = await run(cluster, wanting(script("print()"), gpus=9))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "could_not_start"


def wanting(task: Task, **resources: object) -> Task:
    manifest = task.module.manifest
    needs = replace(manifest.resources, **resources)  # type: ignore[arg-type]
    return replace(task, module=replace(task.module, manifest=replace(manifest, resources=needs)))


# --- several engines --------------------------------------------------------------------------------------------------


async def test_runs_spread_over_the_engines_and_wait_where_all_are_full(
    several: SeveralEngines, script: MakeScript
) -> None:
    tasks = [script("import time; time.sleep(2)") for _ in range(3)]
    outcomes = {}
    began = trio.current_time()

    async def one(task: Task) -> None:
        outcomes[task.job] = (await run(several, task), trio.current_time() - began)

    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(one, task)
    assert all(isinstance(outcome, Finished) for outcome, _ in outcomes.values())
    took = sorted(seconds for _, seconds in outcomes.values())
    assert took[2] > took[0] + 1.5  # two at once, then the third


# --- GPUs on Swarm and Slurm: their schedulers lend them ------------------------------------------------------------


async def test_swarm_offers_the_gpus_that_a_tool_lists_and_lends_them_one_by_one(
    swarm: DockerExecutor, script: MakeScript
) -> None:
    assert sorted((gpu.name, gpu.vram_mib) for gpu in swarm.gpus.gpus) == [
        ("NVIDIA H100 80GB HBM3", 81559),
        ("NVIDIA L40S", 46068),
        ("NVIDIA L40S", 46068),
    ]
    text = "import os, time; print(os.environ.get('DOCKER_RESOURCE_GPU')); time.sleep(3)"
    tasks = [wanting(script(text), gpus=1, gpu="l40s") for _ in range(2)]
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(run, swarm, task)
    given = [(task.output / "stdout").read_text().strip() for task in tasks]
    assert sorted(given) == [
        "GPU-00000001-0000-0000-0000-00000000000a",
        "GPU-00000001-0000-0000-0000-00000000000b",
    ]
    large = wanting(script(text), gpus=1, vram_mib=80_000)
    await run(swarm, large)
    assert (large.output / "stdout").read_text().strip() == "GPU-00000002-0000-0000-0000-00000000000a"


async def test_slurm_offers_the_gpus_that_a_tool_lists(slurm: DockerExecutor) -> None:
    assert [(gpu.name, gpu.vram_mib) for gpu in slurm.gpus.gpus] == [("NVIDIA L40S", 46068)] * 2
    assert [machine.memory_mib for machine in slurm.machines] == [2000]
