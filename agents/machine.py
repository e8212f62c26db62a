"""What every state machine of the house returns."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from agents.effects import Effect

State = TypeVar("State")


class Step(NamedTuple, Generic[State]):
    """The state after an event, and what it wants done."""

    state: State
    effects: tuple[Effect, ...] = ()
