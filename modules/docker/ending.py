"""How a container ended, and what its engine says of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from modules.executor import EXIT_CODES, Reason

KILLED: Final = 137


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended: by itself (no reason), or not."""

    exit_code: int
    reason: Reason | None = None
    detail: str = ""
    milliseconds: float = 0.0

    @property
    def code(self) -> int:
        """What the file ``exit_code`` says."""
        return self.exit_code if self.reason is None else EXIT_CODES[self.reason]


def judge(code: int, state: dict[str, Any]) -> Ending:
    """The ending of a container that the engine says has exited: ``State`` of ``GET /containers/ID/json``."""
    took = _milliseconds(state)
    if state.get("OOMKilled") and code == KILLED:
        return Ending(code, "out_of_memory", "it was killed for want of memory", took)
    if state.get("Error"):
        return Ending(code, "could_not_start", str(state["Error"])[:400], took)
    return Ending(code, milliseconds=took)


def _milliseconds(state: dict[str, Any]) -> float:
    try:
        began, ended = (datetime.fromisoformat(str(state[name])) for name in ("StartedAt", "FinishedAt"))
    except (KeyError, ValueError):
        return 0.0
    return max(0.0, (ended - began).total_seconds() * 1000)
