"""One encoding for what gets hashed: msgpack in its shortest form, with the keys of every map sorted."""

from __future__ import annotations

import msgpack

from protocol.errors import Malformed


def pack(value: object) -> bytes:
    """Encode maps with string keys, lists, strings, bytes, integers, floats (64 bits), booleans and None."""
    return bytes(msgpack.packb(_sorted(value), use_bin_type=True, strict_types=True))


def unpack(data: bytes, *, at_most: int) -> object:
    """Decode what `pack` wrote, and nothing else; raise `Malformed` for any other bytes or for too many of them."""
    if len(data) > at_most:
        raise Malformed(f"{len(data)} bytes where at most {at_most} are allowed")
    try:
        value: object = msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True)
        again = pack(value)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        raise Malformed(f"not msgpack: {error}") from None
    # Two encodings of one value would be two hashes of one value.
    if again != data:
        raise Malformed("msgpack, but not in its canonical form")
    return value


def _sorted(value: object) -> object:
    match value:
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("a key that is no text")
            return {key: _sorted(value[key]) for key in sorted(value, key=str.encode)}
        case list() | tuple():
            return [_sorted(each) for each in value]
        case _:
            return value
