"""A table of host calls: name, WebAssembly signature, and the function that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Concatenate, ParamSpec

from modules.wasm.inside.guest import Guest
from modules.wasm.inside.run_state import RunState

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class HostCall:
    """One host call; ``parameters`` is a letter for each: ``i`` for u32, ``I`` for u64."""

    parameters: str
    returns: bool
    """Whether it returns an errno; one that doesn't never returns."""
    answer: Callable[..., None]


@dataclass(frozen=True, slots=True)
class HostTable:
    """The host calls of one subject."""

    calls: dict[str, HostCall] = field(default_factory=dict)

    def call(
        self, name: str, parameters: str, *, returns: bool = True
    ) -> Callable[[Callable[Concatenate[RunState, Guest, P], None]], Callable[Concatenate[RunState, Guest, P], None]]:
        """Register the decorated function; it raises `WasiError` for what the program should see as an errno."""

        def register(
            answer: Callable[Concatenate[RunState, Guest, P], None],
        ) -> Callable[Concatenate[RunState, Guest, P], None]:
            self.calls[name] = HostCall(parameters, returns, answer)
            return answer

        return register
