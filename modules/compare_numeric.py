"""Compares files of numbers: each number within a tolerance, everything else to the letter.

Two numbers agree when |a - b| <= tolerance * max(1, |a|, |b|): an absolute bound for small ones, a relative one for
large (the usual mixed criterion; compare Knuth, The Art of Computer Programming 2, section 4.2.2, on approximate
equality). Read are JSON, CSV, NumPy's ``.npy`` and ``.npz``, and numbers in plain text. Tensors in ``.safetensors`` are
held as a whole to their own length, since weights are small.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from modules.bounded_json import loads
from modules.errors import ResultFault
from modules.npy import Array, read_npy, read_npz
from modules.safetensors import read_safetensors

MAX_BYTES: Final = 32 * 1024 * 1024
"""Of each file; a larger one must be the same to the byte."""
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024
"""Of each file of text: a number in text takes some thirty times as long as one in an array."""
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][-+]?\d{1,5})?|[-+]?(?:nan|inf)\b")


def numeric_files(one: Path, other: Path, tolerance: float) -> bool:
    """Whether two files hold the same numbers within ``tolerance``; what can't be read agrees with nothing."""
    array = one.suffix.lower() in (".npy", ".npz", ".safetensors")
    if max(one.stat().st_size, other.stat().st_size) > (MAX_BYTES if array else MAX_TEXT_BYTES):
        return False
    left, right = one.read_bytes(), other.read_bytes()
    try:
        match one.suffix.lower():
            case ".json":
                return _json_agrees(_load(left), _load(right), tolerance)
            case ".csv":
                return _tables_agree(_rows(left), _rows(right), tolerance)
            case ".npy":
                return arrays_agree(read_npy(left), read_npy(right), tolerance)
            case ".npz":
                return _archives_agree(read_npz(left, MAX_BYTES), read_npz(right, MAX_BYTES), tolerance)
            case ".safetensors":
                return _tensors_agree(read_safetensors(left), read_safetensors(right), tolerance)
            case _:
                return _texts_agree(left.decode(), right.decode(), tolerance)
    except (ValueError, RecursionError, csv.Error, ResultFault):
        return False


def numbers_agree(left: float, right: float, tolerance: float) -> bool:
    """The criterion above; NaN agrees with NaN only, an infinity with itself only. ``tolerance`` is from 0 on."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    if math.isinf(left) or math.isinf(right):
        return left == right
    return left == right or abs(left - right) <= tolerance * max(1.0, abs(left), abs(right))


def arrays_agree(left: Array, right: Array, tolerance: float) -> bool:
    """The same shape, the same kind of number, and every element within the tolerance."""
    return (
        left.shape == right.shape
        and left.kind == right.kind
        and len(left.values) == len(right.values)
        and all(map(lambda a, b: numbers_agree(a, b, tolerance), left.values, right.values))
    )


def _archives_agree(left: dict[str, Array], right: dict[str, Array], tolerance: float) -> bool:
    return left.keys() == right.keys() and all(arrays_agree(left[name], right[name], tolerance) for name in left)


def _tensors_agree(left: dict[str, Array], right: dict[str, Array], tolerance: float) -> bool:
    """Weights are far smaller than 1, so each tensor is held to its length: |a - b| <= tolerance * max(|a|, |b|)."""
    return left.keys() == right.keys() and all(_tensor_agrees(left[name], right[name], tolerance) for name in left)


def _tensor_agrees(left: Array, right: Array, tolerance: float) -> bool:
    if (left.shape, left.kind) != (right.shape, right.kind):
        return False
    apart = math.sqrt(sum((a - b) * (a - b) for a, b in zip(left.values, right.values, strict=True)))
    longer = math.sqrt(max(sum(a * a for a in values) for values in (left.values, right.values)))
    return apart == 0.0 or (math.isfinite(longer) and apart <= tolerance * longer)


def _load(data: bytes) -> object:
    return loads(data.decode(), parse_int=float)


def _json_agrees(left: object, right: object, tolerance: float) -> bool:
    match left, right:
        case (bool(), _) | (_, bool()):
            return left is right
        case float(), float():
            return numbers_agree(left, right, tolerance)
        case dict(), dict():
            return left.keys() == right.keys() and all(_json_agrees(left[key], right[key], tolerance) for key in left)
        case list(), list():
            return len(left) == len(right) and all(map(lambda a, b: _json_agrees(a, b, tolerance), left, right))
        case _:
            return type(left) is type(right) and left == right


def _rows(data: bytes) -> Iterable[Sequence[str]]:
    return csv.reader(io.StringIO(data.decode(), newline=""), strict=True)


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
    return numbers_agree(float(a), float(b), tolerance)


def _texts_agree(left: str, right: str, tolerance: float) -> bool:
    """The same text between the same many numbers."""
    here, there = _NUMBER.finditer(left), _NUMBER.finditer(right)
    at_left = at_right = 0
    for a, b in zip_longest(here, there):
        if a is None or b is None or left[at_left : a.start()] != right[at_right : b.start()]:
            return False
        if not numbers_agree(float(a[0]), float(b[0]), tolerance):
            return False
        at_left, at_right = a.end(), b.end()
    return left[at_left:] == right[at_right:]
