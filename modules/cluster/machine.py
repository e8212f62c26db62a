"""One machine of a cluster, as much of it as may be sold, and its GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modules.gpus.pool import Gpu
from modules.manifest import Resources


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

    def at_most(self, other: Machine) -> Machine:
        """The smaller of both in each thing: what is offered, and what a look at the machine found."""
        return replace(
            self,
            cpu=min(self.cpu, other.cpu),
            memory_mib=min(self.memory_mib, other.memory_mib),
            disk_mib=min(self.disk_mib, other.disk_mib),
        )
