"""Compares files of numbers: each number within a tolerance, everything else to the letter.

Two numbers agree when |a - b| <= tolerance * max(1, |a|, |b|): an absolute bound for small ones, a relative one for
large (the usual mixed criterion; compare Knuth, The Art of Computer Programming 2, section 4.2.2, on approximate
equality). Read are JSON, CSV, NumPy's ``.npy`` and ``.npz``, and numbers in plain text. Tensors in ``.safetensors`` are
held as a whole to their own length, since weights are small. Where a float can't tell two written numbers apart, since
it has too few digits for them or they are beyond its range, they are compared as they are written.
"""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from modules.bounded_json import loads
from modules.budget import Budget
from modules.errors import ResultFault
from modules.npy import Array, read_npy, read_npz
from modules.safetensors import read_safetensors

MAX_BYTES: Final = 32 * 1024 * 1024
"""Of each file, and of what an archive unpacks into; a larger one must be the same to the byte."""
MAX_TENSOR_BYTES: Final = 256 * 1024 * 1024
"""Of each file of tensors: what is trained is large, and its lengths are soon measured."""
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""Of each file of text: a number in text takes some thirty times as long as one in an array."""
MAX_WORK: Final = 1024 * 1024 * 1024
"""Of all differing files of both results together: a byte counts 1, a number in an array another 8, in a tensor 1."""
NUMBER_WORK: Final = 8
TENSOR_WORK: Final = 1
TEXT_WORK: Final = 16
"""What a byte of text counts."""
_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][-+]?[0-9]{1,5})?"
    r"|[-+]?(?<![A-Za-z])(?i:nan|inf(?:inity)?)\b"
)
_BOUNDS: Final = {".npy": (MAX_BYTES, 1), ".npz": (MAX_BYTES, 1), ".safetensors": (MAX_TENSOR_BYTES, 1)}
_CHUNK: Final = 1 << 16
"""Elements of a tensor that are taken at a time."""
_SHRUNK: Final = 2.0**-40
"""Brings the length of a tensor of huge numbers back into a float's range."""


class Written(str):
    """A number as it stands in JSON, where a string is another thing."""

    __slots__ = ()


def numeric_files(one: Path, other: Path, tolerance: float, budget: Budget | None = None) -> bool:
    """Whether two files hold the same numbers within ``tolerance``; what can't be read agrees with nothing.

    Raises `ResultFault` and whatever else a stranger's bytes make a reader raise: they agree with nothing.
    """
    budget = budget or Budget(MAX_WORK)
    kind = one.suffix.lower()
    most, work = _BOUNDS.get(kind, (MAX_TEXT_BYTES, TEXT_WORK))
    sizes = one.stat().st_size, other.stat().st_size
    if max(sizes) > most:
        raise ResultFault("is larger than what is compared")
    budget.take(sum(sizes) * work)
    left, right = one.read_bytes(), other.read_bytes()
    match kind:
        case ".json":
            return _json_agrees(_load(left), _load(right), tolerance)
        case ".csv":
            return _tables_agree(_rows(left), _rows(right), tolerance)
        case ".npy":
            return arrays_agree(read_npy(left), read_npy(right), tolerance, budget)
        case ".npz":
            archives = read_npz(left, MAX_BYTES, budget), read_npz(right, MAX_BYTES, budget)
            return _archives_agree(*archives, tolerance, budget)
        case ".safetensors":
            return _tensors_agree(read_safetensors(left), read_safetensors(right), tolerance, budget)
        case _:
            return _texts_agree(_text(left), _text(right), tolerance)


def numbers_agree(left: float, right: float, tolerance: float) -> bool:
    """The criterion above; NaN agrees with NaN only, an infinity with itself only. ``tolerance`` is from 0 on."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    if math.isinf(left) or math.isinf(right):
        return left == right
    return left == right or abs(left - right) <= tolerance * max(1.0, abs(left), abs(right))


def written_agree(left: str, right: str, tolerance: float) -> bool:
    """The same for two numbers as they are written; what overflows a float agrees with the same number only."""
    if left == right:
        return True
    a, b = float(left), float(right)
    if math.isinf(a) or math.isinf(b):
        return a == b and _is_equal(left, right)
    if a == b and tolerance < sys.float_info.epsilon:  # a float may have too few digits to see the difference
        return _is_equal(left, right)
    return numbers_agree(a, b, tolerance)


def _is_equal(left: str, right: str) -> bool:
    try:
        return Decimal(left) == Decimal(right)
    except InvalidOperation:  # an exponent beyond any use
        return False


def arrays_agree(left: Array, right: Array, tolerance: float, budget: Budget) -> bool:
    """The same shape, the same kind of number, and every element within the tolerance."""
    if not _alike(left, right, budget, NUMBER_WORK):
        return False
    return all(a == b or numbers_agree(a, b, tolerance) for a, b in zip(left.values, right.values, strict=True))


def _alike(left: Array, right: Array, budget: Budget, work: int) -> bool:
    budget.take((len(left.values) + len(right.values)) * work)
    return (left.shape, left.kind) == (right.shape, right.kind) and len(left.values) == len(right.values)


def _archives_agree(left: Mapping[str, Array], right: Mapping[str, Array], tolerance: float, budget: Budget) -> bool:
    return left.keys() == right.keys() and all(
        arrays_agree(left[name], right[name], tolerance, budget) for name in left
    )


def _tensors_agree(left: Mapping[str, Array], right: Mapping[str, Array], tolerance: float, budget: Budget) -> bool:
    """Weights are far smaller than 1, so each tensor is held to its length: |a - b| <= tolerance * max(|a|, |b|)."""
    return left.keys() == right.keys() and all(
        _tensor_agrees(left[name], right[name], tolerance, budget) for name in left
    )


def _tensor_agrees(left: Array, right: Array, tolerance: float, budget: Budget) -> bool:
    if tolerance == 0.0:
        return arrays_agree(left, right, 0.0, budget)
    if not _alike(left, right, budget, TENSOR_WORK):
        return False
    apart, longer = _distance(left.values, right.values, 1.0)
    if math.isinf(longer):
        apart, longer = _distance(left.values, right.values, _SHRUNK)
    return apart <= tolerance * longer or apart == 0.0


def _distance(left: Sequence[float], right: Sequence[float], scale: float) -> tuple[float, float]:
    """How far two tensors of one shape are apart, and the length of the longer; NaN and infinity agree with themselves.

    Both by `math.dist` and `math.hypot`, which neither overflow nor underflow on the way.
    """
    apart = longer_left = longer_right = 0.0
    for at in range(0, len(left), _CHUNK):
        a, b = left[at : at + _CHUNK], right[at : at + _CHUNK]
        here = math.dist(a, b), math.hypot(*a), math.hypot(*b)
        if scale != 1.0 or not all(map(math.isfinite, here)):
            pairs = [(x * scale, y * scale) for x, y in zip(a, b, strict=True) if not _same_odd(x, y)]
            if not all(math.isfinite(x) and math.isfinite(y) for x, y in pairs):
                return math.inf, 1.0
            ones, others = [x for x, _ in pairs], [y for _, y in pairs]
            here = math.dist(ones, others), math.hypot(*ones), math.hypot(*others)
        apart = math.hypot(apart, here[0])
        longer_left, longer_right = math.hypot(longer_left, here[1]), math.hypot(longer_right, here[2])
    return apart, max(longer_left, longer_right)


def _same_odd(left: float, right: float) -> bool:
    """NaN in the same place, or the same infinity."""
    return (left != left and right != right) or (math.isinf(left) and left == right)


def _load(data: bytes) -> object:
    return loads(
        _decoded(data), parse_int=Written, parse_float=Written, parse_constant=Written, object_pairs_hook=_once_each
    )


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # readers take the first or the last of two, so the file says two things
        raise ResultFault("says a name twice")
    return found


def _json_agrees(left: object, right: object, tolerance: float) -> bool:
    match left, right:
        case (Written(), _) | (_, Written()):
            return isinstance(left, Written) and isinstance(right, Written) and written_agree(left, right, tolerance)
        case dict(), dict():
            return left.keys() == right.keys() and all(_json_agrees(left[key], right[key], tolerance) for key in left)
        case list(), list():
            return len(left) == len(right) and all(map(lambda a, b: _json_agrees(a, b, tolerance), left, right))
        case _:
            return type(left) is type(right) and left == right


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig")  # some programs write a mark of the order of bytes, which UTF-8 needs none of


def _text(data: bytes) -> str:
    return _decoded(data).replace("\r\n", "\n")


def _rows(data: bytes) -> Iterable[Sequence[str]]:
    return csv.reader(io.StringIO(_decoded(data), newline=""), strict=True)


def _tables_agree(left: Iterable[Sequence[str]], right: Iterable[Sequence[str]], tolerance: float) -> bool:
    for here, there in zip_longest(left, right):
        if here is None or there is None or len(here) != len(there):
            return False
        if not all(_cells_agree(a, b, tolerance) for a, b in zip(here, there, strict=True)):
            return False
    return True


def _cells_agree(left: str, right: str, tolerance: float) -> bool:
    if left == right:
        return True
    a, b = left.strip(), right.strip()
    if not (_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)):
        return False
    return written_agree(a, b, tolerance)


def _texts_agree(left: str, right: str, tolerance: float) -> bool:
    """The same text between the same many numbers."""
    here, there = _NUMBER.finditer(left), _NUMBER.finditer(right)
    at_left = at_right = 0
    for a, b in zip_longest(here, there):
        if a is None or b is None or left[at_left : a.start()] != right[at_right : b.start()]:
            return False
        if not written_agree(a[0], b[0], tolerance):
            return False
        at_left, at_right = a.end(), b.end()
    return left[at_left:] == right[at_right:]
