"""Containers run what they are given as it was given, leave a complete result, and are gone afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modules.docker.engine import EngineFault
from modules.docker.executor import DockerExecutor, open_docker
from modules.docker.images import ImagePolicy, image_name
from modules.docker.owner import JOB_LABEL, OWNER_LABEL
from modules.executor import Failed, Finished, Limits, Task
from modules.inputs import bind, write
from modules.module import load
from modules.owner import is_orphan, owner
from protocol.isolation import Isolation

MakeScript = Callable[..., Task]
LIMITS = Limits(0, 64 << 20, 8 << 20, 1 << 20, 100, 20.0)


async def test_a_script_runs_and_leaves_a_complete_result(containers: DockerExecutor, script: MakeScript) -> None:
    heard: list[tuple[str, bytes]] = []
    task = script(
        "import sys, time\nprint('one', flush=True); time.sleep(.3); print('two', file=sys.stderr)\n"
        "open('file', 'w').write('data'); sys.exit(7)"
    )
    outcome = await containers.run(
        Task(task.job, task.module, task.inputs, task.output, task.limits, b"", lambda *said: heard.append(said))
    )
    assert isinstance(outcome, Finished)
    assert outcome.exit_code == 7
    assert outcome.profile.startswith(containers.profile + "/sha256:")
    assert 300 < outcome.milliseconds < 10_000
    assert sorted(each.name for each in task.output.iterdir()) == ["exit_code", "outputs", "stderr", "stdout"]
    assert (task.output / "stdout").read_text() == "one\n"
    assert (task.output / "stderr").read_text() == "two\n"
    assert (task.output / "exit_code").read_text() == "7\n"
    assert (task.output / "outputs" / "file").read_text() == "data"
    assert b"".join(data for name, data in heard if name == "stdout") == b"one\n"
    assert containers.isolation >= Isolation.CONTAINER


async def test_arguments_reach_the_program_unharmed(containers: DockerExecutor, script: MakeScript) -> None:
    odd = [
        "\"quoted\" 'single'",
        "two\nlines",
        "$HOME $(id) `id` ${args}",
        "\U0001f404 — ünïcödé",
        "",
        "-x",
        "w" * 100_000,
    ]
    task = script("import sys, json; print(json.dumps(sys.argv[1:]))", *odd)
    await containers.run(task)
    assert json.loads((task.output / "stdout").read_text()) == odd


async def test_files_and_folders_are_at_hand_and_can_only_be_read(
    containers: DockerExecutor, script: MakeScript, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("in a folder")
    (folder / "a").chmod(0o600)
    task = script(
        "import os\nprint(open('/inputs/data/a').read())\n"
        "try: open('/inputs/data/a', 'w')\nexcept OSError as error: print(error.strerror)",
        inputs={"data": folder},
    )
    await containers.run(task)
    assert (task.output / "stdout").read_text() == "in a folder\nRead-only file system\n"


async def test_what_is_too_long_for_an_argument_is_refused_with_advice(
    containers: DockerExecutor, script: MakeScript
) -> None:
    outcome = await containers.run(script("print()", "w" * 200_000))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "bad_inputs"
    assert "hand it over as a file" in outcome.detail


async def test_the_same_run_twice_is_the_same_result(containers: DockerExecutor, script: MakeScript) -> None:
    text = "import os\nprint(os.environ, os.uname().nodename, os.getcwd(), {'a', 'b', 'c'})"
    tasks = [script(text), script(text)]
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(containers.run, task)
    said = [(task.output / "stdout").read_text() for task in tasks]
    assert said[0] == said[1]
    assert b"seed".hex() in said[0]


async def test_time_runs_out(containers: DockerExecutor, script: MakeScript) -> None:
    task = script("import time; print('so far', flush=True); time.sleep(1000)", seconds=5.0)
    with trio.fail_after(20):
        outcome = await containers.run(task)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "out_of_time"
    assert (task.output / "stdout").read_text() == "so far\n"
    assert (task.output / "exit_code").read_text() == "124\n"


async def test_a_program_that_closes_its_output_is_waited_for(containers: DockerExecutor, script: MakeScript) -> None:
    task = script("import os, time; os.close(1); os.close(2); time.sleep(1); open('late', 'w').close()")
    outcome = await containers.run(task)
    assert isinstance(outcome, Finished)
    assert (task.output / "outputs" / "late").exists()


async def test_cancelling_leaves_neither_container_nor_folder(
    containers: DockerExecutor, script: MakeScript, tmp_path: Path
) -> None:
    task = script("import time; print('on', flush=True); time.sleep(1000)")
    started = trio.Event()
    task = Task(task.job, task.module, task.inputs, task.output, task.limits, b"", lambda *_: started.set())
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(containers.run, task)
            await started.wait()
            nursery.cancel_scope.cancel()
    assert not task.output.exists()
    assert containers.engine.api.containers(all=True, filters={"label": f"{JOB_LABEL}={task.job}"}) == []
    assert left_over(tmp_path) == []


def left_over(folder: Path) -> list[Path]:
    return list(folder.glob("lilypad-docker-*/docker-*"))


async def test_a_node_that_is_killed_leaves_orphans_which_the_next_one_removes(
    engine: str, script: MakeScript, tmp_path: Path
) -> None:
    task = script("import time; time.sleep(1000)")
    child = f"""
import trio
from pathlib import Path
from dataclasses import replace
from modules.catalogue import find
from modules.docker.executor import open_docker
from modules.executor import Limits, Task
async def main():
    async with open_docker(scratch=Path({str(tmp_path)!r})) as executor:
        limits = Limits(0, 64 << 20, 8 << 20, 1 << 20, 100, 1000.0)
        places = Path({str(task.inputs)!r}), Path({str(task.output)!r})
        await executor.run(Task("orphan", find("python:v1"), *places, limits, b""))
trio.run(main)
"""
    process = subprocess.Popen([sys.executable, "-c", child])  # noqa: ASYNC220  (it only starts)
    async with open_docker(scratch=tmp_path) as executor:
        listed = executor.engine.api.containers
        with trio.fail_after(60):
            while not listed(filters={"label": f"{JOB_LABEL}=orphan"}):  # noqa: ASYNC110
                await trio.sleep(0.1)
        label = listed(filters={"label": f"{JOB_LABEL}=orphan"})[0]["Labels"][OWNER_LABEL]
        assert not is_orphan(label)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_orphan(label)
        assert not is_orphan(owner())
        async with open_docker(scratch=tmp_path):
            assert listed(all=True, filters={"label": f"{JOB_LABEL}=orphan"}) == []
    assert left_over(tmp_path) == []


async def test_an_image_is_built_once_for_ten_jobs_and_named_by_its_folder(
    containers: DockerExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f'ARG BASE=scratch\nFROM ${{BASE}}\nENV MARK={os.urandom(8).hex()}\nCMD ["true"]\n'
    )
    (folder / "module.toml").write_text(
        'name = "mine"\nversion = "v1"\nsummary = "a test"\nexecutor = "docker"\n[docker]\nbuild = "."\n'
    )
    module = load(folder)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(containers.prepare, module)
    name = image_name(containers.engine, module, containers.policy)
    try:
        assert len(containers.engine.api.images(name)) == 1
        write(bind(module.manifest), tmp_path / "inputs")
        containers.policy = ImagePolicy(pull=False, build=False)
        task = Task("job", module, tmp_path / "inputs", tmp_path / "result", LIMITS, b"")
        assert isinstance(await containers.run(task), Finished)
        (folder / "Dockerfile").write_text("FROM scratch\nENV OTHER=1\n")
        with pytest.raises(Exception, match="builds none"):
            await containers.prepare(load(folder))
    finally:
        containers.engine.api.remove_image(name, force=True)


async def test_a_module_that_cannot_be_built_says_what_the_dockerfile_said(
    containers: DockerExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE=scratch\nFROM ${BASE}\nRUN echo the reason; exit 3\n")
    (folder / "module.toml").write_text(
        'name = "mine"\nversion = "v1"\nsummary = "a test"\nexecutor = "docker"\n[docker]\nbuild = "."\n'
    )
    write(bind(load(folder).manifest), tmp_path / "inputs")
    begun: list[str] = []
    task = Task(
        "job", load(folder), tmp_path / "inputs", tmp_path / "result", LIMITS, b"", begun=lambda: begun.append("")
    )
    outcome = await containers.run(task)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "could_not_start"
    assert "the reason" in outcome.detail
    assert not begun
    assert (task.output / "exit_code").read_text() == "126\n"


async def test_a_run_has_begun_once_its_container_runs(containers: DockerExecutor, script: MakeScript) -> None:
    begun: list[str] = []
    outcome = await containers.run(replace(script("print('here')"), begun=lambda: begun.append("")))
    assert isinstance(outcome, Finished)
    assert len(begun) == 1


async def test_a_command_that_is_not_there_is_a_run_that_could_not_start(
    containers: DockerExecutor, tmp_path: Path
) -> None:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "Dockerfile").write_text("ARG BASE=scratch\nFROM ${BASE}\n")
    (folder / "module.toml").write_text(
        'name = "mine"\nversion = "v1"\nsummary = "a test"\nexecutor = "docker"\n'
        '[docker]\nbuild = "."\ncommand = ["/not/there"]\n'
    )
    module = load(folder)
    write(bind(module.manifest), tmp_path / "inputs")
    task = Task("job", module, tmp_path / "inputs", tmp_path / "result", LIMITS, b"")
    outcome = await containers.run(task)
    assert isinstance(outcome, Failed) or outcome.exit_code == 127
    assert isinstance(outcome, Finished) or outcome.reason == "could_not_start"


def name_servers() -> set[str]:
    lines = Path("/etc/resolv.conf").read_text().splitlines()
    return {line.split()[1] for line in lines if line.startswith("nameserver ")}


async def test_nothing_of_this_machine_is_written_where_a_program_looks(
    containers: DockerExecutor, script: MakeScript
) -> None:
    task = script("for name in ('resolv.conf', 'hosts', 'hostname'): print(open('/etc/' + name).read())")
    await containers.run(task)
    said = (task.output / "stdout").read_text()
    assert os.uname().nodename not in said.split()
    assert "lilypad" in said
    assert not (name_servers() - {"127.0.0.1"}) & set(said.split())


async def test_an_engine_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineFault, match="no Docker engine answers"):
        async with open_docker(url=f"unix://{tmp_path}/none.sock"):
            pass
