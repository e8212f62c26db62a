"""What a look at a peer finds, and what each check has to go by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from node.client import NodeClient
from node.config import Config, Network
from node.errors import ExitCode


class Grade(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as well or as safely as it could."""
    PROBLEM = "problem"
    """Something that a user of this peer wants to do fails."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    about: str
    """A word or two: what was looked at."""
    grade: Grade
    what: str
    """What was found, in one sentence."""
    mend: str = ""
    """What to type or do; never empty unless all is well."""
    code: ExitCode = ExitCode.USAGE
    """How the command ends if this is its first problem."""

    def __post_init__(self) -> None:
        assert self.mend or self.grade is Grade.OK, f"a finding without a mending line: {self.what}"


@dataclass(frozen=True, slots=True)
class Patient:
    """The peer that is looked at, as far as it can be reached."""

    config: Config
    network: Network | None
    """None where none is configured: then jobs run on a market of this machine."""
    node: NodeClient | None
    """The node that works in the data folder, if one does."""
    status: dict[str, Any] | None
    """What it says of itself; None where none runs or it does not answer."""


Check = Callable[[Patient], Awaitable[Iterable[Finding]]]
"""A look at one side of a patient; it raises nothing for what may be wrong with one."""


def well(about: str, what: str) -> Finding:
    """All is well."""
    return Finding(about, Grade.OK, what)


def warning(about: str, what: str, mend: str) -> Finding:
    """Works, but could be better."""
    return Finding(about, Grade.WARNING, what, mend)


def problem(about: str, what: str, mend: str, code: ExitCode = ExitCode.USAGE) -> Finding:
    """Something does not work."""
    return Finding(about, Grade.PROBLEM, what, mend, code)
