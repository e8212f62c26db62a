"""Calls as they were made to a vault, with what it answered and remembered, to be made again to a changed one.

Making them again needs neither the model nor a signature, so thousands of calls take a second: that is what makes it
possible to try every mutant of the contract.
"""

from __future__ import annotations

import atexit
import os
import pickle
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from protocol.identity import Address, show
from tests.contracts.bytecode import Bytecode, new_evm

_VARIABLE = "LILYPAD_VAULT_RECORD"


@dataclass(frozen=True)
class Step:
    """One call."""

    block: int
    now: int
    by: Address
    payload: bytes
    value: int
    told: str | None
    """The reason of its refusal; None where it was done."""
    slots: tuple[int, ...]
    """What was looked at after it."""
    after: tuple[int, ...]
    """What stood there."""


@dataclass
class Story:
    """Everything that happened to one vault."""

    maker: Address
    arguments: bytes
    coins: dict[Address, int]
    born: tuple[int, int]
    """Number and time of the block it was made in."""
    steps: list[Step] = field(default_factory=list)

    def differs(self, creation: bytes) -> bool:
        """Whether another bytecode answers or remembers anything else."""
        evm = new_evm()
        for who, coins in self.coins.items():
            evm.set_balance(show(who), coins)
        vault = Bytecode(self.maker, creation + self.arguments, evm=evm, block=self.born)
        for step in self.steps:
            vault.set_block(step.block, step.now)
            if vault.send(step.by, step.payload, step.value) != step.told:
                return True
            if vault.stored(step.slots) != step.after:
                return True
        return False


_STORIES: list[Story] = []


def begin(story: Story) -> Story | None:
    """Keep a story where it was asked for; the steps are added as they happen."""
    if not os.environ.get(_VARIABLE):
        return None
    if not _STORIES:
        atexit.register(_write)
    _STORIES.append(story)
    return story


def _write() -> None:
    Path(os.environ[_VARIABLE]).write_bytes(pickle.dumps(_STORIES))


def read(place: Path) -> list[Story]:
    """What a process wrote that was told to by the environment."""
    stories: list[Story] = pickle.loads(place.read_bytes())
    return stories


def environment(place: Path) -> dict[str, str]:
    """What makes a process record."""
    return {**os.environ, _VARIABLE: str(place)}


def survives(creation: bytes, stories: Iterable[Story]) -> bool:
    """Whether no story shows a difference."""
    return not any(story.differs(creation) for story in stories)
