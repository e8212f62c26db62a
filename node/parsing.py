"""Small things that users write in files and on the command line, and what they are told where they are wrong."""

from __future__ import annotations

import re
from typing import Any

from node.errors import ExitCode, UserError
from protocol.identity import Address

_JOB = re.compile(r"[0-9a-f]{2,64}")


def bad(what: str, mend: str) -> UserError:
    """What a user wrote can't be used."""
    return UserError(ExitCode.USAGE, what, mend)


def parse_address(text: str, what: str) -> Address:
    """20 bytes from 40 hex digits, whose capitals must be right where there are any (EIP-55); raises `UserError`."""
    digits = text.removeprefix("0x")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise bad(f"{what}: '{text}' is no address", "write 0x and 40 hex digits")
    if not any(raw):
        raise bad(f"{what}: nobody has the address 0x00…00", "write the address of the one you mean")
    if digits not in (digits.lower(), digits.upper()) and digits != _with_capitals(digits.lower()):
        raise bad(f"{what}: '{text}' is mistyped: its capitals don't fit it", "copy it again from where it came from")
    return Address(raw)


def _with_capitals(digits: str) -> str:
    """Source: EIP-55."""
    from eth_hash.auto import keccak

    marks = keccak(digits.encode()).hex()
    return "".join(digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False))


def integer(value: Any, name: str) -> int:
    """A whole number from 0 on; raises `UserError`."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**96 or isinstance(value, float | bool):
        raise bad(f"{name}: {value!r} is no whole number from 0 on", f"write digits alone, as in {name} = 1000")
    return number


def table_of(value: Any, name: str) -> dict[str, Any]:
    """A table; raises `UserError`."""
    if not isinstance(value, dict):
        raise bad(f"{name} is a table", f"write [{name}]")
    return value


def texts(value: Any, name: str) -> tuple[str, ...]:
    """A list of texts; raises `UserError`."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise bad(f"{name} is a list of texts", f'write {name} = ["…"]')
    return tuple(value)


def job_path(job: str, *rest: str) -> str:
    """Where a node's API tells of a job; raises `UserError` for what is no job's id.

    The id is what a user typed, and a path that leads elsewhere (``../stop``) would be obeyed.
    """
    if not _JOB.fullmatch(job):
        raise bad(f"'{job}' is no id of a job, which is hex digits only", "copy it from `lilypad jobs ls`")
    return "/".join(("/api/v1/jobs", job, *rest))
