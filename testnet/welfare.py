"""What a market's jobs and machines gained together, beside the most that they could have gained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.assignment import best_total


@dataclass(frozen=True, slots=True)
class Wanted:
    """One job of a load."""

    asked: float
    """Moment, seconds."""
    worth: int
    """To who asked for it, base units."""
    floor: int | None
    """Of the provider that did it; None where it was not done."""
    held: float
    """Seconds for which it took a place of its provider."""


def welfare(jobs: Sequence[Wanted], places: Sequence[int]) -> dict[str, Any]:
    """Gained, optimum and their ratio; ``places`` are the floors of all providers' places, one a place.

    A job that was done gains its worth less its provider's floor. For the optimum, jobs compete that were asked for
    within the time for which any job holds a place at least: no place could have served two of these. Each such round
    is paired with the places by the Hungarian algorithm, so the optimum knows all jobs and floors and never waits.
    """
    gained = sum(job.worth - job.floor for job in jobs if job.floor is not None)
    best = sum(best_total([[worth - floor for floor in places] for worth in round_]) for round_ in _rounds(jobs))
    return {"gained": str(gained), "optimum": str(best), "share": round(gained / best, 4) if best else None}


def _rounds(jobs: Sequence[Wanted]) -> Iterator[list[int]]:
    window = min((job.held for job in jobs if job.floor is not None), default=0.0)
    round_: list[int] = []
    began = 0.0
    for job in sorted(jobs, key=lambda it: it.asked):
        if round_ and job.asked - began >= window:
            yield round_
            round_ = []
        if not round_:
            began = job.asked
        round_.append(job.worth)
    if round_:
        yield round_
