"""Messages between the pool and a worker: a 4-byte big-endian length, then one msgpack map of at most 8 MiB."""

from __future__ import annotations

from typing import Final

import msgpack

HEADER_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 8 * 1024 * 1024


class BadFrame(Exception):
    """Bytes that aren't a message of this protocol."""


def encode(message: dict[str, object]) -> bytes:
    """One frame. Raises `BadFrame` for a message that is too large."""
    body = bytes(msgpack.packb(message))
    if len(body) > MAX_FRAME_BYTES:
        raise BadFrame(f"a message of {len(body)} bytes")
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def body_size(header: bytes) -> int:
    """How many bytes follow this header. Raises `BadFrame`."""
    size = int.from_bytes(header, "big")
    if len(header) != HEADER_BYTES or size > MAX_FRAME_BYTES:
        raise BadFrame(f"a header that announces {size} bytes")
    return size


def decode(body: bytes) -> dict[str, object]:
    """The map in one frame's body. Raises `BadFrame`."""
    try:
        message = msgpack.unpackb(body, strict_map_key=True)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise BadFrame(f"{error}") from None
    if not isinstance(message, dict):
        raise BadFrame("a message that is no map")
    return message
