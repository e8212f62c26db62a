"""Which names an entry of a directory may have, for content that comes in and content that goes out."""

from __future__ import annotations

MAX_NAME_BYTES = 255
"""What the usual file systems hold."""


def problem_with(name: str) -> str | None:
    """Why a name can't be an entry of a directory on disk; None if it can.

    A name must never lead out of its directory, and must be writable as it is.
    """
    if name in ("", ".", ".."):
        return f"the name {name!r} does not name an entry"
    if "/" in name or "\0" in name:
        return f"the name {name[:64]!r} holds a slash or a NUL"
    if len(name.encode(errors="surrogateescape")) > MAX_NAME_BYTES:
        return f"the name {name[:64]!r}... is longer than {MAX_NAME_BYTES} bytes"
    return None
