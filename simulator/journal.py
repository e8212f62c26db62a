"""What a simulated agent has saved, as bytes: what can't be written and read back fails here, not on a user's disk."""

from __future__ import annotations

from typing import Any

from agents.effects import Forget, Save
from agents.saved import SAVED
from protocol.wire import name_of, pack, structure, unpack, wire_converter


class Journal:
    """One agent's durable memory."""

    def __init__(self) -> None:
        self.records: dict[str, tuple[str, Any]] = {}
        self.encodes = True
        """False where speed counts more: states are kept as they are, which nobody can change."""

    def write(self, change: Save | Forget) -> None:
        """Save or forget, at once and for good."""
        if isinstance(change, Forget):
            self.records.pop(change.key, None)
            return
        kind = type(change.state)
        written = pack(wire_converter().unstructure(change.state, kind)) if self.encodes else change.state
        self.records[change.key] = (name_of(kind), written)

    def read(self) -> list[Any]:
        """Everything saved and not forgotten, by key."""
        found = [self.records[key] for key in sorted(self.records)]
        return [structure(unpack(data), SAVED[kind]) if self.encodes else data for kind, data in found]
