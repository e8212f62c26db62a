"""A job: what is to be run and what it needs, named by hashes so that nobody can swap it under a deal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

from protocol.types import CidText, Count, Hash, Large, Limit, Small, Span, Text


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run needs at most; the provider holds it to these limits."""

    cpu_millis: Count
    """Thousandths of a core."""
    memory_mib: Count
    disk_mib: Count
    gpus: Small
    vram_mib: Count
    """Of each GPU, at least."""
    timeout: Span
    """Seconds of wall time."""
    gpu: Text = ""
    """What each GPU's name must contain, whatever the case; empty: any."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one module on one set of inputs."""

    module: Text
    """The module's digest, ``sha256:…``."""
    module_cid: CidText
    """The folder of the module's manifest and the files it names, for whoever lacks it."""
    inputs_cid: CidText
    """The folder of the bound inputs."""
    executor: Text
    resources: Resources
    compare: Text
    """How two results of this job are compared: ``exact``, …"""
    seed: Hash
    """Where the module's randomness comes from, so that a second run repeats the first."""
    isolation: Text = ""
    """The least class of isolation that the provider may run it under; empty: any."""


def most_content(job: Job) -> int:
    """Bytes of content that a run of a job may handle: its module, its inputs and its result, each."""
    return (job.resources.disk_mib + 256) << 20


@dataclass(frozen=True, slots=True)
class Gpus:
    """Equal GPUs of one machine."""

    name: Text
    """As the maker's tool calls them, such as ``NVIDIA A100-SXM4-80GB``."""
    vram_mib: Count
    """Of each."""
    count: Small

    def serves(self, need: Resources) -> bool:
        """Whether each of these is one that a run asks for."""
        return self.vram_mib >= need.vram_mib and need.gpu.lower() in self.name.lower()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a machine has to sell."""

    cpu_millis: Count
    memory_mib: Count
    disk_mib: Count
    longest: Span
    """The longest run it sells, seconds."""
    gpus: Annotated[tuple[Gpus, ...], Limit(16)] = ()

    def holds(self, need: Resources) -> bool:
        """Whether one run with these needs fits this machine when it is idle."""
        return self.lacks(need) is None

    def holds_with(self, need: Resources, taken: Iterable[Resources]) -> bool:
        """Whether it also fits beside these runs, whichever of the GPUs that would do for them they were given."""
        others = list(taken)
        return (
            self.holds(need)
            and sum(r.cpu_millis for r in others) + need.cpu_millis <= self.cpu_millis
            and sum(r.memory_mib for r in others) + need.memory_mib <= self.memory_mib
            and sum(r.disk_mib for r in others) + need.disk_mib <= self.disk_mib
            and (need.gpus == 0 or self._contested(need, others) + need.gpus <= self._fitting(need))
        )

    def without(self, taken: Iterable[Resources]) -> Capacity:
        """What these runs leave. A GPU is counted off the smallest kind that serves, as executors lend them."""
        cpu_millis, memory_mib, disk_mib, gpus = self.cpu_millis, self.memory_mib, self.disk_mib, self.gpus
        for need in taken:
            cpu_millis -= need.cpu_millis
            memory_mib -= need.memory_mib
            disk_mib -= need.disk_mib
            gpus = _lent(gpus, need)
        return replace(
            self,
            cpu_millis=max(0, cpu_millis),
            memory_mib=max(0, memory_mib),
            disk_mib=max(0, disk_mib),
            gpus=gpus,
        )

    def lacks(self, need: Resources) -> str | None:
        """The first thing that is missing for a run, in words, or None if it fits."""
        pairs = (
            ("cpu", need.cpu_millis, self.cpu_millis, "thousandths of a core"),
            ("memory", need.memory_mib, self.memory_mib, "MiB"),
            ("disk", need.disk_mib, self.disk_mib, "MiB"),
            ("gpus", need.gpus, self._fitting(need), f"GPUs{_kind_of(need)}"),
            ("time", need.timeout, self.longest, "s"),
        )
        for name, wanted, had, unit in pairs:
            if wanted > had:
                return f"{name}: {wanted} {unit} wanted, {had} offered"
        return None

    def _fitting(self, need: Resources) -> int:
        return sum(kind.count for kind in self.gpus if kind.serves(need))

    def _contested(self, need: Resources, others: list[Resources]) -> int:
        """GPUs that other runs may have been given out of those that serve this one."""
        fitting = [kind for kind in self.gpus if kind.serves(need)]
        return sum(other.gpus for other in others if any(kind.serves(other) for kind in fitting))


def _kind_of(need: Resources) -> str:
    words = [f"with {need.vram_mib} MiB"] if need.vram_mib else []
    words += [f'named "{need.gpu}"'] if need.gpu else []
    return "".join(f" {word}" for word in words)


def _lent(kinds: tuple[Gpus, ...], need: Resources) -> tuple[Gpus, ...]:
    wanted = need.gpus
    left: list[Gpus] = []
    for kind in sorted(kinds, key=lambda each: (each.vram_mib, each.name)):
        taken = min(wanted, kind.count) if kind.serves(need) else 0
        wanted -= taken
        if kind.count > taken:
            left.append(replace(kind, count=kind.count - taken))
    return tuple(left)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a job gave."""

    cid: CidText
    """The result directory."""
    exit_code: Small
    units: Large
    """Fuel used, where the executor counts it."""
    profile: Text
    """The execution profile; fuel is comparable only within one."""
    failure: Text
    """Why the run was ended before its program ended by itself; empty if it wasn't."""
    milliseconds: Large = 0
    """How long it took, as the machine that ran it says."""
    size: Large = 0
    """Bytes of all distinct blocks of the result."""
