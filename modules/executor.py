"""What every executor is: it takes a task, runs it within limits, and leaves a complete result directory behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from modules.manifest import Resources
from modules.module import Module
from protocol.isolation import Isolation
from protocol.prices import FUEL_PER_SECOND

MIB: Final = 1024 * 1024
STREAM_BYTES: Final = 16 * MIB
MAX_FILES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use; going over is a failure with a reason, not a surprise."""

    fuel: int
    """Units of the execution profile; ignored by executors that can't count."""
    memory_bytes: int
    disk_bytes: int
    """Sizes of all files that the run leaves, ``stdout`` and ``stderr`` included."""
    stream_bytes: int
    """``stdout`` and ``stderr`` each."""
    files: int
    """Files and directories in ``/outputs``."""
    seconds: float
    """Wall clock from the program's first instruction on."""

    @staticmethod
    def of(resources: Resources) -> Limits:
        """The limits that a manifest asks for: the same for everybody who repeats the run.

        They decide how a run that meets one ends, so a change of these numbers changes the execution profile.
        """
        return Limits(
            fuel=resources.timeout_s * FUEL_PER_SECOND,
            memory_bytes=resources.memory_mib * MIB,
            disk_bytes=resources.disk_mib * MIB,
            stream_bytes=STREAM_BYTES,
            files=MAX_FILES,
            seconds=float(resources.timeout_s),
        )


Listener = Callable[[Literal["stdout", "stderr"], bytes], None]
"""Hears what a program writes while it runs, piece by piece; it must not raise."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a module."""

    job: str
    """The job's id; names the run in logs."""
    module: Module
    inputs: Path
    """A folder as `modules.inputs.write` lays it out; it may come from a stranger."""
    output: Path
    """The result directory to be made; it must not exist yet."""
    limits: Limits
    seed: bytes
    """Feeds the program's random numbers; whoever repeats the run uses the same."""
    listener: Listener | None = None
    """Told of the output as it comes, by executors that have it before the end (containers)."""
    begun: Callable[[], None] | None = None
    """Called once the program itself runs, if it ever does: what could not start has not begun. It must not raise."""


Reason = Literal[
    "bad_inputs",
    "could_not_start",
    "trapped",
    "out_of_fuel",
    "out_of_time",
    "out_of_memory",
    "output_too_large",
    "bad_output",
    "executor_died",
]

EXIT_CODES: Final[dict[Reason, int]] = {
    "bad_inputs": 125,
    "could_not_start": 126,
    "trapped": 134,
    "out_of_fuel": 152,
    "out_of_time": 124,
    "out_of_memory": 137,
    "output_too_large": 153,
    "bad_output": 121,
    "executor_died": 139,
}
"""What the file ``exit_code`` says after a failure; as in shells, 128 + the signal that would end a process."""


BY_CHANCE: Final[tuple[Reason, ...]] = ("out_of_time", "executor_died")
"""The reasons that depend on the machine: another one may see the same run end otherwise."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The program ran to its end; its exit code may still tell of a failure of its own."""

    exit_code: int
    fuel: int
    """Units burnt, comparable within one ``profile``; 0 where the executor can't count."""
    profile: str
    """Engine, version and settings that the fuel was counted under."""
    milliseconds: float
    """Wall clock of the program alone."""
    bytes_out: int
    """Bytes of the result directory's files, what a price per GiB counts."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The program didn't reach its end."""

    reason: Reason
    detail: str
    """One line for people; not the same on every machine."""
    fuel: int
    profile: str
    milliseconds: float
    bytes_out: int

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.reason]

    @property
    def repeats(self) -> bool:
        """Whether everybody who runs this task sees the same failure and the same result directory."""
        return self.reason not in BY_CHANCE


Outcome = Finished | Failed


class Executor(Protocol):
    """Something that runs tasks."""

    @property
    def name(self) -> str:
        """As manifests say it: ``wasm``, ``docker``."""

    @property
    def isolation(self) -> Isolation: ...

    @property
    def profile(self) -> str:
        """The execution profile, under which fuel and results are comparable."""

    async def prepare(self, module: Module) -> str:
        """Have at hand what ``module`` runs (pull or build its image), so that its runs start at once; say what it is.

        A run does the same where it hasn't been done. Raises `ModuleFault` where it can't be had.
        """

    async def run(self, task: Task) -> Outcome:
        """Run ``task`` and leave its result in ``task.output``: ``stdout``, ``stderr``, ``exit_code``, ``outputs/``.

        Those are complete after a failure too, so that a failed run has a CID. Cancelling ends the run at once and
        leaves neither a process nor a folder behind, ``task.output`` included.
        """
