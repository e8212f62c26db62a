"""A job: what is to be run and what it needs, named by hashes so that nobody can swap it under a deal."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.types import CidText, Count, Hash, Large, Small, Span, Text


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run needs at most; the provider holds it to these limits."""

    cpu_millis: Count
    """Thousandths of a core."""
    memory_mib: Count
    disk_mib: Count
    gpus: Small
    vram_mib: Count
    """Of each GPU."""
    timeout: Span
    """Seconds of wall time."""


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


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a machine has to sell."""

    cpu_millis: Count
    memory_mib: Count
    disk_mib: Count
    gpus: Small
    vram_mib: Count
    """Of the smallest of its GPUs."""
    longest: Span
    """The longest run it sells, seconds."""

    def holds(self, need: Resources) -> bool:
        """Whether one run with these needs fits this machine when it is idle."""
        return self.lacks(need) is None

    def lacks(self, need: Resources) -> str | None:
        """The first thing that is missing for a run, in words, or None if it fits."""
        pairs = (
            ("cpu", need.cpu_millis, self.cpu_millis, "thousandths of a core"),
            ("memory", need.memory_mib, self.memory_mib, "MiB"),
            ("disk", need.disk_mib, self.disk_mib, "MiB"),
            ("gpus", need.gpus, self.gpus, "GPUs"),
            ("vram", need.vram_mib if need.gpus else 0, self.vram_mib, "MiB"),
            ("time", need.timeout, self.longest, "s"),
        )
        for name, wanted, had, unit in pairs:
            if wanted > had:
                return f"{name}: {wanted} {unit} wanted, {had} offered"
        return None


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
