"""`check` tells a module that repeats from one that doesn't, and says where; `create` makes modules that do."""

from __future__ import annotations

from pathlib import Path

from modules.checking import check
from modules.creating import create
from modules.docker.executor import DockerExecutor
from modules.executor import Task
from modules.inputs import bind
from modules.module import load
from modules.wasm.pool import WasmPool
from tests.modules.conftest import MakeScript


async def test_a_new_module_works_and_repeats(pool: WasmPool, tmp_path: Path) -> None:
    module = create("mine", "wasm", tmp_path / "mine")
    verdict = await check(pool, module, bind(module.manifest, "three short words"), tmp_path / "check", 2)
    assert (verdict.same_cid, verdict.same_fuel, verdict.agrees, verdict.failed) == (True, True, True, "")
    assert (verdict.runs[0].folder / "stdout").read_text() == "3 words\n"


async def test_a_new_container_module_works_and_repeats(containers: DockerExecutor, tmp_path: Path) -> None:
    module = create("mine", "docker", tmp_path / "mine")
    verdict = await check(containers, module, bind(module.manifest, 'three "short" $words'), tmp_path / "check", 2)
    assert verdict.agrees
    assert verdict.same_cid
    assert (verdict.runs[0].folder / "stdout").read_text() == "3 words\n"
    assert load(tmp_path / "mine").digest == module.digest


async def test_a_module_that_looks_at_the_clock_is_found_out(
    containers: DockerExecutor, script: MakeScript, tmp_path: Path
) -> None:
    task: Task = script("")
    source = tmp_path / "clock.py"
    source.write_text("import time\nprint('same')\nprint(int(time.time()))\nopen('f', 'wb').write(b'\\xff')")
    bound = bind(task.module.manifest, values={"args": "[]"}, files={"script": source})
    verdict = await check(containers, task.module, bound, tmp_path / "check", 2)
    assert not verdict.same_cid
    assert not verdict.agrees
    assert len(verdict.differences) == 1
    assert verdict.differences[0].startswith("stdout, line 2: '")
