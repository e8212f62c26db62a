"""Programs and tasks for the tests of modules: C compiled on the spot, text-format WebAssembly, one pool a test."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.catalogue import find
from modules.docker.executor import DockerExecutor, open_docker
from modules.docker.owner import OWNER_LABEL
from modules.executor import Limits, Task
from modules.inputs import bind, write
from modules.module import load
from modules.owner import owner
from modules.values import to_text
from modules.wasm.pool import WasmPool, open_pool

MakeScript = Callable[..., Task]
LIMITS = Limits(
    fuel=20_000_000_000,
    memory_bytes=64 << 20,
    disk_bytes=8 << 20,
    stream_bytes=1 << 20,
    files=100,
    seconds=20.0,
)


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compile C for WASI; the test is skipped where no compiler for it is installed."""
    folder = tmp_path_factory.mktemp("programs")
    built: dict[str, Path] = {}

    def compile_source(source: str) -> Path:
        if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
            pytest.skip("needs clang, lld and wasi-libc to compile C for WASI")
        if source not in built:
            text, program = folder / f"{len(built)}.c", folder / f"{len(built)}.wasm"
            text.write_text(source)
            command = ["clang", "--target=wasm32-wasi", "-O1", "-o", str(program), str(text)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            built[source] = program
        return built[source]

    return compile_source


@pytest.fixture
def assemble(tmp_path: Path) -> Callable[[str], Path]:
    """Assemble WebAssembly's text format."""

    def assemble_text(text: str) -> Path:
        import wasmtime

        program = tmp_path / f"{len(list(tmp_path.glob('assembled-*')))}-assembled.wasm"
        program = program.with_name("assembled-" + program.name)
        program.write_bytes(wasmtime.wat2wasm(text))
        return program

    return assemble_text


@pytest.fixture
def make_task(tmp_path: Path) -> Callable[..., Task]:
    """A task of the module wasm:v1 for this program."""
    numbers: Iterator[int] = iter(range(1000))

    def make(
        program: Path,
        args: Sequence[str] = (),
        *,
        seed: bytes = b"seed",
        inputs: dict[str, Path] | None = None,
        **limits: Any,
    ) -> Task:
        module = find("wasm:v1")
        folder = tmp_path / f"task-{next(numbers)}"
        bound = bind(
            module.manifest, values={"args": to_text(tuple(args))}, files={"program": program, **(inputs or {})}
        )
        write(bound, folder / "inputs")
        return Task(folder.name, module, folder / "inputs", folder / "result", replace(LIMITS, **limits), seed)

    return make


@pytest.fixture
def cowsay(tmp_path: Path) -> Callable[[str], Task]:
    """A task of the module cowsay:v0.1."""
    numbers: Iterator[int] = iter(range(1000))

    def make(message: str) -> Task:
        # Loaded from a clean copy, as a provider has it.
        folder = tmp_path / f"cow-{next(numbers)}"
        find("cowsay:v0.1").copy_to(folder / "module")
        module = load(folder / "module")
        write(bind(module.manifest, message), folder / "inputs")
        return Task(
            folder.name, module, folder / "inputs", folder / "result", Limits.of(module.manifest.resources), b""
        )

    return make


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WasmPool]:
    async with open_pool(1, scratch=tmp_path / "scratch") as opened:
        yield opened


HOSTILE = Path(__file__).parent / "hostile"


@pytest.fixture(scope="session")
def engine() -> str:
    """The version of the engine; tests of containers are skipped where none answers or its base image is missing."""
    from modules.docker.engine import EngineFault, find_engine
    from modules.docker.images import BASE

    try:
        found = find_engine()
    except EngineFault as fault:
        pytest.skip(f"needs a Docker engine (`.ci/start-docker` starts one): {fault}")
    try:
        if not found.api.images(BASE):
            pytest.skip(f"needs the image {BASE}: `modules/images/make-base` makes it")
        return found.version
    finally:
        found.close()


@pytest.fixture
async def containers(engine: str, tmp_path: Path) -> AsyncIterator[DockerExecutor]:
    """The docker executor; afterwards no container of this process may be left."""
    async with open_docker(scratch=tmp_path) as executor:
        yield executor
        left = executor.engine.api.containers(all=True, filters={"label": f"{OWNER_LABEL}={owner()}"})
        assert left == []


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Task]:
    """A task of python:v1 for this script: its text, or its path."""
    numbers: Iterator[int] = iter(range(1000))
    module = find("python:v1")

    def make(source: str | Path, *args: str, inputs: dict[str, Path] | None = None, **limits: Any) -> Task:
        folder = tmp_path / f"script-{next(numbers)}"
        folder.mkdir()
        if isinstance(source, str):
            (folder / "script.py").write_text(source)
        path = folder / "script.py" if isinstance(source, str) else source
        bound = bind(module.manifest, values={"args": to_text(args)}, files={"script": path, **(inputs or {})})
        write(bound, folder / "inputs")
        return Task(folder.name, module, folder / "inputs", folder / "result", replace(LIMITS, **limits), b"seed")

    return make
