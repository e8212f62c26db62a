"""A job creator that orders runs on inputs which nobody has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from agents.effects import Effect
from agents.events import Event, Requested
from agents.job_creator import JobCreator, Memory


def nowhere(job: bytes) -> str:
    """A CID that names nothing."""
    return f"inputs-nowhere-{job.hex()}"


class Starver:
    """Buys like an honest job creator, and serves no inputs."""

    def __init__(self, honest: JobCreator, missing: Callable[[bytes], str] = nowhere) -> None:
        self.honest = honest
        self.missing = missing
        """The CID that it names as a job's inputs."""

    def restore(self, records: Iterable[Memory]) -> None:
        """As the honest one does."""
        self.honest.restore(records)

    def handle(self, now: float, event: Event) -> list[Effect]:
        """Change what its user asks for."""
        if isinstance(event, Requested):
            wanted = event.request
            job = replace(wanted.job, inputs_cid=self.missing(wanted.id))
            event = Requested(replace(wanted, job=job))
        return self.honest.handle(now, event)
