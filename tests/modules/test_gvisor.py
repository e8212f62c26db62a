"""Where an engine has gVisor, jobs run on its kernel and their isolation class says so; else they do without."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from modules.docker.executor import open_docker
from modules.executor import Failed, Finished, Task
from protocol.isolation import Isolation
from tests.helpers.daemons import Daemon, daemon, give_base, network

MakeScript = Callable[..., Task]
RUNSC = shutil.which("runsc") or ""


@pytest.fixture(scope="module")
def with_gvisor(engine: str) -> Iterator[Daemon]:
    """An engine with the runtime; Debian's build needs ptrace on kernels that are newer than it."""
    if os.getuid() != 0 or not RUNSC:
        pytest.skip("needs root, and runsc (Debian: the package runsc)")
    runtime = {"path": RUNSC, "runtimeArgs": ["--platform=ptrace", "--network=none"]}
    with network() as place, daemon("gvisor", place, runtimes={"runsc": runtime}) as found:
        give_base(found)
        yield found


async def test_jobs_run_on_gvisors_kernel(with_gvisor: Daemon, script: MakeScript, tmp_path: Path) -> None:
    async with open_docker(url=with_gvisor.url, scratch=tmp_path) as executor:
        assert executor.isolation is Isolation.USER_KERNEL
        assert executor.profile.startswith("docker/runsc/")
        task = script("import os; print(os.uname().release); open('file', 'w').write('data'); raise SystemExit(3)")
        with trio.fail_after(100):
            outcome = await executor.run(task)
        assert isinstance(outcome, Finished), outcome
        assert outcome.exit_code == 3
        assert (task.output / "stdout").read_text().strip() != os.uname().release
        assert (task.output / "outputs" / "file").read_text() == "data"
        slow = script("import time; print('on', flush=True); time.sleep(1000)", seconds=5.0)
        with trio.fail_after(100):
            outcome = await executor.run(slow)
        assert isinstance(outcome, Failed)
        assert outcome.reason == "out_of_time"


async def test_a_runtime_that_does_not_work_is_not_used(engine: str, script: MakeScript, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to start an engine of its own")
    broken = tmp_path / "runsc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with network() as place, daemon("broken", place, runtimes={"runsc": {"path": str(broken)}}) as found:
        give_base(found)
        async with open_docker(url=found.url, scratch=tmp_path) as executor:
            assert executor.isolation is Isolation.CONTAINER
            assert isinstance(await executor.run(script("print()")), Finished)
