"""Reads files of tensors without the library, everything bounded: the weights that a training leaves.

Format: safetensors, version 0.x: the length of a header in eight bytes, little-endian; the header, a JSON map from each
tensor's name to its type, shape and place; the numbers, little-endian.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, overload

from modules.bounded_json import loads
from modules.errors import ResultFault
from modules.npy import Array, halves

MAX_HEADER: Final = 1024 * 1024
MAX_TENSORS: Final = 10_000
MAX_DIMENSIONS: Final = 32
_PIECE: Final = 1 << 16
METADATA: Final = "__metadata__"
_CODES: Final = {"F64": "d", "F32": "f", "I64": "q", "I32": "i", "I16": "h", "I8": "b", "U8": "B", "BOOL": "B"}
_SIZES: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


class Numbers(Sequence[float]):
    """The numbers of a tensor, made out of its bytes a piece at a time: all at once take several times the file."""

    def __init__(self, body: memoryview, kind: str) -> None:
        self._body = body
        self._kind = kind
        self._size = _SIZES[kind]

    def __len__(self) -> int:
        return len(self._body) // self._size

    @overload
    def __getitem__(self, at: int) -> float: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[float]: ...
    def __getitem__(self, at: int | slice) -> float | Sequence[float]:
        if isinstance(at, int):
            return self[at : at + 1][0]
        start, stop, _ = at.indices(len(self))
        return _values(self._body[start * self._size : stop * self._size], self._kind)

    def __iter__(self) -> Iterator[float]:
        for at in range(0, len(self), _PIECE):
            yield from self[at : at + _PIECE]


class Tensors(Mapping[str, Array]):
    """The tensors of a file by name."""

    def __init__(self, places: dict[str, tuple[tuple[int, ...], str, int, int]], body: memoryview) -> None:
        self._places = places
        self._body = body

    def __getitem__(self, name: str) -> Array:
        shape, kind, begin, end = self._places[name]
        return Array(shape, kind, Numbers(self._body[begin:end], kind))

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def read_safetensors(data: bytes) -> Tensors:
    """The tensors by name. Raises `ResultFault` for anything that isn't such a file.

    As the format asks, they lie one behind the other, and all that is behind the header is theirs: places that overlap
    would make a small file into any amount of numbers.
    """
    if len(data) < 8:
        raise ResultFault("is no .safetensors file")
    length = int.from_bytes(data[:8], "little")
    if length > min(MAX_HEADER, len(data) - 8):
        raise ResultFault("has a header that is too long")
    try:
        header = loads(data[8 : 8 + length].decode(), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise ResultFault("has a header that can't be read") from None
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ResultFault("holds too many tensors, or none")
    body = memoryview(data)[8 + length :]
    places = {name: _place(about) for name, about in header.items() if name != METADATA}
    at = 0
    for _, _, begin, end in sorted(places.values(), key=lambda place: place[2:]):
        if begin != at:
            raise ResultFault("holds tensors that overlap, or bytes of none")
        at = end
    if at != len(body):
        raise ResultFault("has another size than its tensors")
    return Tensors(places, body)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _place(about: object) -> tuple[tuple[int, ...], str, int, int]:
    match about:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if (
            kind in _SIZES
            and len(shape) <= MAX_DIMENSIONS
            and all(type(side) is int and 0 <= side < 1 << 40 for side in shape)
            and 0 <= begin <= end
            and math.prod(shape) * _SIZES[kind] == end - begin
        ):
            return tuple(shape), kind, begin, end
        case _:
            raise ResultFault("holds a tensor that is not described as one")


def _values(part: memoryview, kind: str) -> Sequence[float]:
    if kind == "F16":
        return halves(part, big=False)
    values = array(_CODES.get(kind, "f"))
    if kind == "BF16":  # the upper half of a float of four bytes
        wide = bytearray(2 * len(part))
        wide[2::4], wide[3::4] = part[0::2], part[1::2]
        values.frombytes(wide)
    else:
        values.frombytes(part)
    if sys.byteorder == "big":
        values.byteswap()
    return values
