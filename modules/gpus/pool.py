"""Lends GPUs to jobs by device id; no device is lent twice, and a job that fits none gets none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modules.errors import ModuleFault


class NoGpus(ModuleFault):
    """The GPUs that a job wants are not free here, or were never here."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One device that a probe found."""

    id: str
    """What the container engine is told, such as ``GPU-8f6c…``."""
    name: str
    vram_mib: int


class GpuPool:
    """The GPUs of one machine."""

    def __init__(self, gpus: Iterable[Gpu]) -> None:
        # Smallest first: a job takes the smallest that are enough, and leaves the large ones to those that need them.
        self._gpus = sorted(gpus, key=lambda gpu: (gpu.vram_mib, gpu.id))
        self._lent: set[str] = set()

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """All that were found, lent or not."""
        return tuple(self._gpus)

    def fitting(self, vram_mib: int, name: str = "") -> list[Gpu]:
        """Those with at least this much memory and this in their name, lent or not, smallest first."""
        return [gpu for gpu in self._gpus if gpu.vram_mib >= vram_mib and name.lower() in gpu.name.lower()]

    def free(self, vram_mib: int, name: str = "") -> list[Gpu]:
        """Those of them that no job has now."""
        return [gpu for gpu in self.fitting(vram_mib, name) if gpu.id not in self._lent]

    @contextlib.contextmanager
    def borrow(self, count: int, vram_mib: int, name: str = "") -> Iterator[tuple[str, ...]]:
        """The ids of ``count`` devices with at least this much memory each, for as long as the block lasts.

        ``name`` must be part of the device's name, whatever the case. Raises `NoGpus`.
        """
        free = self.free(vram_mib, name)
        if len(free) < count:
            what = f"{count} GPUs with {vram_mib} MiB" + (f' named "{name}"' if name else "")
            raise NoGpus(f"{what} are wanted; of {len(self.fitting(vram_mib, name))} such here {len(free)} are free")
        chosen = tuple(gpu.id for gpu in free[:count])
        self._lent.update(chosen)
        try:
            yield chosen
        finally:
            self._lent.difference_update(chosen)
