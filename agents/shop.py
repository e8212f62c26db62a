"""What a provider sells: its machine, its prices by module and unit, and what it haggles about beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.preferences import Wish
from protocol.identity import Address
from protocol.job import Capacity, Job, Resources
from protocol.prices import most_parts, pay_at


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a provider wants for one unit of one kind of module: base units."""

    module: str
    """A digest, or ``*``."""
    floor: int
    """Never less."""
    ask: int
    """Announced, and where haggling starts."""
    unit: str = "job"
    """job, gigafuel, second or gib."""

    def most(self, job: Job) -> int:
        """How much of the unit a job can use up, in its parts."""
        return most_parts(self.unit, job.resources)

    def floor_for(self, job: Job) -> int:
        """The least that the job must bring at its limits."""
        return pay_at(self.floor, self.unit, self.most(job))

    def ask_for(self, job: Job) -> int:
        """What is asked for the job at its limits."""
        return pay_at(self.ask, self.unit, self.most(job))


@dataclass(frozen=True, slots=True)
class Shop:
    """What a provider sells, and how."""

    capacity: Capacity
    executors: tuple[str, ...]
    isolation: tuple[str, ...]
    """The class of each executor, in their order."""
    sheets: tuple[Sheet, ...]
    mediators: tuple[Address, ...] = ()
    """Those it trusts; empty: most of those that it hears of, with a stake in the vault."""
    addresses: tuple[str, ...] = ()
    """Multiaddrs where it can be dialled."""
    wishes: tuple[Wish, ...] = ()
    """What else it haggles about."""
    others: tuple[Capacity, ...] = ()
    """Further machines behind this provider, each no larger than ``capacity``: a run needs one of them for itself."""

    def sheet(self, job: Job, unit: str) -> Sheet | None:
        """The prices for a job by this unit: its module's own, else those for any module."""
        for module in (job.module, "*"):
            own = [sheet for sheet in self.sheets if sheet.module == module]
            if own:
                return next((sheet for sheet in own if sheet.unit == unit), None)
        return None

    def lacks(self, need: Resources) -> str | None:
        """What every machine lacks for a run, in words for the first; None if one has all."""
        found = [machine.lacks(need) for machine in (self.capacity, *self.others)]
        return None if None in found else found[0]

    def has_room(self, need: Resources, taken: Sequence[Resources]) -> bool:
        """Whether a run fits beside these, wherever the executor put them.

        That is sure where one machine would hold all of them, and where more machines could take the run than there
        are others which might be on them.
        """
        machines = (self.capacity, *self.others)
        return any(machine.holds_with(need, taken) for machine in machines) or sum(
            machine.holds(need) for machine in machines
        ) > len(taken)

    def free(self, taken: Sequence[Resources]) -> Capacity:
        """What is announced: the largest machine, less what is taken where there is no other that might have it."""
        return self.capacity if len(self.others) >= len(taken) else self.capacity.without(taken)
