"""Small things that users write in files and on the command line, and what they are told where they are wrong."""

from __future__ import annotations

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
