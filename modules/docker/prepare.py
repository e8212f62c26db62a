"""Turns a task into what a container is given: arguments, environment, and the folders it sees."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modules import folders
from modules.arguments import expand, expand_map
from modules.docker.hardening import Wanted
from modules.docker.images import Image
from modules.errors import InputError
from modules.executor import Limits, Task
from modules.inputs import FILES, read
from protocol.errors import Misuse

MAX_TEXT_BYTES: Final = 128 * 1024 - 1
"""Of one argument or variable: Linux starts no program with a longer one (``MAX_ARG_STRLEN``, execve(2))."""
SEED_VARIABLE: Final = "LILYPAD_SEED"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one run needs, in a folder of its own that only the node's user can enter."""

    command: tuple[str, ...]
    env: Mapping[str, str]
    inputs: Path
    outbox: Path
    """Gets ``stdout`` and ``stderr``; holds ``outputs``."""
    limits: Limits

    @property
    def outputs(self) -> Path:
        """Where the program's own files go."""
        return self.outbox / "outputs"

    def wanted(
        self, image: Image, labels: Mapping[str, str], cpu: float, gpus: Sequence[str], runtime: str | None
    ) -> Wanted:
        """The container for this run."""
        return Wanted(
            image=image.id,
            command=self.command,
            env=self.env,
            inputs=self.inputs,
            outputs=self.outputs,
            labels=labels,
            limits=self.limits,
            cpu=cpu,
            volumes=image.volumes,
            gpus=gpus,
            runtime=runtime,
        )


def prepare(task: Task, place: Path) -> Prepared:
    """Lay out what the container sees in the empty folder ``place``. Raises `InputError`, `FolderFault`."""
    docker = task.module.manifest.docker
    if docker is None:
        raise Misuse(f"{task.module.manifest.reference} is not for the docker executor")
    bound = read(task.inputs, task.module.manifest)
    command = expand(docker.command, bound)
    env = {SEED_VARIABLE: task.seed.hex(), **expand_map(docker.env, bound)}
    for text in (*command, *(f"{name}={value}" for name, value in env.items())):
        if (size := len(text.encode())) > MAX_TEXT_BYTES:
            raise InputError(
                f"a text of {size} bytes where a container takes at most {MAX_TEXT_BYTES}; hand it over as a file"
            )
    inputs = task.inputs / FILES
    if not inputs.is_dir():
        inputs = place / "no-inputs"
        inputs.mkdir()
    _let_read(inputs)
    outputs = place / "outbox" / "outputs"
    outputs.mkdir(parents=True)
    # The program runs as another user; the folder above it is ours alone.
    outputs.chmod(0o777)
    return Prepared(command, env, inputs, place / "outbox", task.limits)


def _let_read(folder: Path) -> None:
    """The program's user may read what it is given, whatever this process's umask was."""
    _allow(folder, 0o055)
    for entry in folders.walk(folder):
        _allow(folder / entry.path, 0o055 if entry.kind == "directory" else 0o044)


def _allow(path: Path, bits: int) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & bits != bits:
        path.chmod(mode | bits)
