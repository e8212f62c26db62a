"""What a price is quoted by, how much of it a job can use up at most, and what is owed for what was used.

A deal's ``pay`` is the most that it costs: the price of all that the job's own limits allow. What is used is counted in
small parts of the unit (fuel, milliseconds, bytes), so nobody needs fractions of money: the sum is rounded up to one
base unit, and never above the pay.
"""

from __future__ import annotations

from protocol.job import Resources, Run

PARTS = {"job": 1, "gigafuel": 10**9, "second": 1000, "gib": 2**30}
"""How many parts one unit has: a job is one, a gigafuel is fuel, a second milliseconds, a GiB bytes."""

FUEL_PER_SECOND = 2_000_000_000
"""Fuel that a run gets for each second of its timeout: about what one core burns, so that fuel, which repeats
on every machine, runs out before the clock, which doesn't."""

MIB = 2**20


def most_parts(unit: str, needs: Resources) -> int:
    """The most that a run within its limits is charged for; raises `KeyError` for a unit that is none."""
    parts = {
        "job": 1,
        "gigafuel": needs.timeout * FUEL_PER_SECOND,
        "second": needs.timeout * PARTS["second"],
        "gib": needs.disk_mib * MIB,
    }
    return max(1, parts[unit])


def pay_at(rate: int, unit: str, most: int) -> int:
    """What a job costs at most at this price of one unit, base units."""
    return -(-rate * most // PARTS[unit])


def rate_at(pay: int, unit: str, most: int) -> int:
    """The price of one unit at which a job costs this much at most, rounded up to a whole base unit."""
    return -(-pay * PARTS[unit] // most)


def owed(unit: str, rate: int, pay: int, parts: int) -> int:
    """What is due for so many parts: the price, up to the agreed pay; for a job always the pay."""
    return pay if unit == "job" else min(pay, -(-rate * parts // PARTS[unit]))


def used(unit: str, run: Run) -> int:
    """How many parts a run used."""
    return {"job": 1, "gigafuel": run.units, "second": run.milliseconds, "gib": run.size}[unit]
