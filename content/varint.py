"""Unsigned varints: seven bits a byte, lowest first, in the one shortest form.

Format: multiformats unsigned-varint, at most nine bytes (63 bits); protocol buffers use the same bytes.
"""

from __future__ import annotations

from protocol.errors import Malformed, Misuse

MAX_BYTES = 9


def encode(value: int) -> bytes:
    """The shortest form of a number from 0 to 2^63 - 1."""
    if not 0 <= value < 1 << 63:
        raise Misuse(f"{value} does not fit a varint")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """The number that begins at `at`, and where the next thing begins; None if the bytes end too early.

    Raises `Malformed` for a number that is too long, or not in its shortest form.
    """
    value = 0
    for index in range(MAX_BYTES):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise Malformed("a varint is not in its shortest form")
            return value, at + index + 1
    raise Malformed("a varint is longer than nine bytes")
