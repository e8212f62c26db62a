"""What each executor costs over running the same thing bare: ``python -m benchmarks.executors [--runs N]``.

The same cow is run natively, by WASM (a worker that is warm, and one that must first be started), and by containers:
as plain as the engine makes them (with and without a network), hardened as jobs get them, and on gVisor's kernel where
the engine has it. All of
them take turns in one run, so that whatever else the machine does hits each alike. Times are medians, with the first
and the third quartile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from modules.catalogue import SHIPPED, find
from modules.docker.engine import SAFER_RUNTIME, EngineFault
from modules.docker.executor import DockerExecutor, open_docker
from modules.executor import Executor, Finished, Limits, Task
from modules.inputs import bind, write
from modules.module import Module
from modules.wasm.pool import open_pool

MESSAGE = "hello"
WARM_OVER_BARE = 20.0
"""Milliseconds: the goal for a warm WASM run."""
HARDENED_OVER_PLAIN = 1.2
"""The goal for a hardened container."""

Step = Callable[[], Awaitable[object]]
"""What is measured."""
Way = Callable[[], Step]
"""Lays out one step's inputs, which is not."""


class Bench:
    """The tasks, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.numbers = iter(range(10**9))

    def task(self, module: Module, text: str | None = None, files: dict[str, Path] | None = None) -> Task:
        place = self.folder / f"task-{next(self.numbers)}"
        write(bind(module.manifest, text, files=files), place / "inputs")
        limits = Limits.of(module.manifest.resources)
        return Task(place.name, module, place / "inputs", place / "result", limits, b"seed")

    def on(
        self, executor: Executor, module: Module, text: str | None = None, files: dict[str, Path] | None = None
    ) -> Step:
        task = self.task(module, text, files)

        async def run() -> None:
            outcome = await executor.run(task)
            assert isinstance(outcome, Finished), outcome
            assert outcome.exit_code == 0

        return run


async def main(runs: int, as_json: bool, gvisor: str | None) -> int:
    """Measure, print the table, and say by the exit code whether the goals are met."""
    times: dict[str, list[float]] = {}
    missing: list[str] = []
    with tempfile.TemporaryDirectory(prefix="lilypad-bench-") as folder:
        async with AsyncExitStack() as stack:
            bench = Bench(Path(folder))
            ways: dict[str, Way] = {"bare cow": native_cow(bench)}
            cow = find("cowsay:v0.1")
            pool = await stack.enter_async_context(open_pool(1))
            ways["wasm, warm"] = lambda: bench.on(pool, cow, MESSAGE)

            async def cold() -> None:
                async with open_pool(1) as fresh:
                    await bench.on(fresh, cow, MESSAGE)()

            ways["wasm, cold"] = lambda: cold
            script = bench.folder / "script.py"
            script.write_text("print('hello')\n")
            ways["bare script"] = lambda: process(sys.executable, "-I", str(script))
            try:
                docker = await stack.enter_async_context(open_docker(runtime="runc"))
            except EngineFault as fault:
                missing.append(f"containers: {fault}")
            else:
                await add_containers(ways, missing, stack, bench, docker, script, gvisor)
            for name, way in ways.items():
                times[name] = []
                await way()()  # what is compiled, built or cached once is not part of a run
            for _ in range(runs):
                for name, way in ways.items():
                    step = way()
                    began = time.perf_counter()
                    await step()
                    times[name].append((time.perf_counter() - began) * 1000)
    return show(times, missing, as_json)


def process(*command: str) -> Step:
    async def run() -> None:
        await trio.run_process(command, capture_stdout=True)

    return run


def native_cow(bench: Bench) -> Way:
    """The same C program, compiled for this machine where there is a compiler, else the shell's echo."""
    program = bench.folder / "cowsay"
    compiler = shutil.which("cc")
    if compiler is None:
        return lambda: process("sh", "-c", 'echo "$0"', MESSAGE)
    subprocess.run([compiler, "-Os", "-o", str(program), str(SHIPPED / "cowsay-v0.1" / "cowsay.c")], check=True)
    return lambda: process(str(program), MESSAGE)


async def add_containers(
    ways: dict[str, Way],
    missing: list[str],
    stack: AsyncExitStack,
    bench: Bench,
    docker: DockerExecutor,
    script: Path,
    gvisor: str | None,
) -> None:
    """The ways of running the script in a container."""
    python = find("python:v1")
    image = (await docker.prepare(python)).removeprefix("image ")
    api = docker.engine.api

    def plain(network: str) -> None:
        binds = [f"{script}:/inputs/script:ro", f"{bench.folder}:/outputs"]
        body = {"Image": image, "HostConfig": {"Binds": binds, "NetworkMode": network}}
        container = api.create_container_from_config(body)["Id"]
        try:
            output = api.attach(container, stream=True)
            api.start(container)
            said = b"".join(output)
            output.close()
            output._response.close()
            assert api.wait(container)["StatusCode"] == 0
            assert b"hello" in said, said
        finally:
            api.remove_container(container, v=True, force=True)

    async def on_bridge() -> None:
        await trio.to_thread.run_sync(plain, "default")

    async def alone() -> None:
        await trio.to_thread.run_sync(plain, "none")

    ways["docker, plain"] = lambda: on_bridge
    ways["docker, alone"] = lambda: alone  # without a network, whose setting up takes longer than all walls together
    ways["docker, hardened"] = lambda: bench.on(docker, python, files={"script": script})
    if gvisor is None and SAFER_RUNTIME not in docker.engine.runtimes:
        missing.append(f"gVisor: the engine has no runtime {SAFER_RUNTIME}")
        return
    safer = await stack.enter_async_context(open_docker(url=gvisor, runtime=SAFER_RUNTIME))
    ways["docker, gVisor"] = lambda: bench.on(safer, python, files={"script": script})


def show(times: dict[str, list[float]], missing: list[str], as_json: bool) -> int:
    """The table, and the goals."""
    medians = {name: statistics.median(each) for name, each in times.items()}
    bare = {name: medians["bare cow" if "cow" in name or "wasm" in name else "bare script"] for name in times}
    goals = [("warm WASM over bare, ms", medians["wasm, warm"] - medians["bare cow"], WARM_OVER_BARE)]
    if "docker, hardened" in medians:
        for name, other in (("plain container", "docker, plain"), ("plain one without a network", "docker, alone")):
            ratio = medians["docker, hardened"] / medians[other]
            goals.append((f"hardened over {name}, times", ratio, HARDENED_OVER_PLAIN))
    met = all(value <= goal for _, value, goal in goals)
    if as_json:
        print(json.dumps({"milliseconds": medians, "goals": goals, "met": met, "missing": missing}, indent=2))
        return 0 if met else 1
    print(f"{'':18}{'median ms':>12}{'quartiles':>20}{'over bare':>12}{'times':>9}")
    for name, each in times.items():
        low, _, high = statistics.quantiles(each, n=4)
        over = medians[name] - bare[name]
        times_bare = medians[name] / bare[name]
        print(f"{name:18}{medians[name]:12.1f}{f'{low:.1f} to {high:.1f}':>20}{over:12.1f}{times_bare:9.1f}")
    for name, value, goal in goals:
        print(f"{name}: {value:.2f} (goal: at most {goal:g})")
    for each in missing:
        print(f"not measured: {each}")
    return 0 if met else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15, metavar="N", help="how often each way is run (at least 2)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--gvisor", metavar="URL", help="an engine that has gVisor, where this machine's has not")
    chosen = parser.parse_args()
    sys.exit(trio.run(main, max(2, chosen.runs), chosen.json, chosen.gvisor))
