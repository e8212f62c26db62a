"""What can be wrong with a module or with what somebody wants to run it on; each message says how to mend it."""

from __future__ import annotations

from protocol.errors import PeerFault


class ModuleFault(PeerFault):
    """A module, an input or a result from outside that breaks a rule."""


class ManifestError(ModuleFault):
    """A ``module.toml`` that can't be accepted.

    ``where`` is the file's name, ``line`` its line from 1 (0: the file as a whole).
    """

    def __init__(self, where: str, line: int, problem: str) -> None:
        place = f"{where}:{line}" if line else where
        super().__init__(f"{place}: {problem}")
        self.where = where
        self.line = line
        self.problem = problem


class UnknownModule(ModuleFault):
    """No module has this name, or no such version of it."""


class InputError(ModuleFault):
    """What was handed to a module doesn't fit the inputs that its manifest declares."""


class ResultFault(ModuleFault):
    """A result directory that isn't one, or that holds more than it may."""


def did_you_mean(word: str, known: list[str]) -> str:
    """Return ``", did you mean X?"`` for the nearest known word, or an empty string."""
    # Imported here since only failures need it, and it costs a command line its start.
    from difflib import get_close_matches

    near = get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean {near[0]}?" if near else ""
