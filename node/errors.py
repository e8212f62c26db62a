"""What goes wrong for a user: what happened, why, the command that mends it, and the exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How the ``lilypad`` command ends; stable."""

    OK = 0
    USAGE = 2
    NO_OFFER = 3
    NO_AGREEMENT = 4
    JOB_FAILED = 5
    NOT_VERIFIED = 6
    TIMED_OUT = 7
    FUNDS_OR_KEY = 8
    UNREACHABLE = 9
    INTERRUPTED = 130


class UserError(Exception):
    """Something that the user can mend."""

    def __init__(self, code: ExitCode, what: str, mend: str = "") -> None:
        super().__init__(f"{what}; {mend}" if mend else what)
        self.code = code
        self.what = what
        self.mend = mend


def state_mend(error: BaseException) -> str:
    """What mends a fault of SQLite's over a data folder's state; its codes are coarser than its words."""
    said = str(error)
    if "full" in said:
        return "free some room on that disk"
    if "locked" in said:
        return "end the other program that has it open"
    if "readonly" in said or "unable to open" in said:
        return "check its owner and permissions, and those of its folder"
    return "restore it from a back-up"
