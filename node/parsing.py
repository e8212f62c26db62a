"""Small things that users write in files and on the command line, and what they are told where they are wrong."""

from __future__ import annotations

from typing import Any

from node.errors import ExitCode, UserError
from protocol.identity import Address


def bad(what: str, mend: str) -> UserError:
    """What a user wrote can't be used."""
    return UserError(ExitCode.USAGE, what, mend)


def parse_address(text: str, what: str) -> Address:
    """20 bytes from 40 hex digits; raises `UserError`."""
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 20:
        raise bad(f"{what}: '{text}' is no address", "write 0x and 40 hex digits")
    return Address(raw)


def integer(value: Any, name: str) -> int:
    """A whole number from 0 on; raises `UserError`."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < 2**96 or isinstance(value, float | bool):
        raise bad(f"{name}: {value!r} is no whole number from 0 on", "write base units without a point")
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
