"""One machine of a cluster, as much of it as may be sold, and its GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from modules.gpus.pool import Gpu, GpuPool
from modules.manifest import Resources

NOWHERE: Final = "no machine of this cluster has the cores, the memory, the disk and the GPUs that it wants"


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs may use of one machine at the same time."""

    name: str
    cpu: float
    """Cores."""
    memory_mib: int
    disk_mib: int
    gpus: tuple[Gpu, ...] = ()

    def has_room(self, need: Resources, taken: Iterable[Resources]) -> bool:
        """Whether a run fits beside those that are on it; its GPUs are somebody else's to count."""
        others = list(taken)
        return (
            sum(each.cpu for each in others) + need.cpu <= self.cpu + 1e-9
            and sum(each.memory_mib for each in others) + need.memory_mib <= self.memory_mib
            and sum(each.disk_mib for each in others) + need.disk_mib <= self.disk_mib
        )

    def could_run(self, need: Resources) -> bool:
        """Whether a run would fit if nothing else was there."""
        fitting = GpuPool(self.gpus).fitting(need.vram_mib, need.gpu)
        return self.has_room(need, ()) and len(fitting) >= need.gpus

    def at_most(self, other: Machine) -> Machine:
        """The smaller of both in each thing: what is offered, and what a look at the machine found."""
        return replace(
            self,
            cpu=min(self.cpu, other.cpu),
            memory_mib=min(self.memory_mib, other.memory_mib),
            disk_mib=min(self.disk_mib, other.disk_mib),
        )
