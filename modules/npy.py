"""Reads NumPy's array files without NumPy and without pickle: plain numbers only, everything bounded.

Format: numpy.lib.format, versions 1.0 to 3.0 (a magic string, the length of a header, the header as the literal of a
Python dict, the elements). An ``.npz`` is a ZIP archive of such files.
"""

from __future__ import annotations

import io
import math
import re
import struct
import sys
import zipfile
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modules.budget import Budget
from modules.errors import ResultFault

MAGIC: Final = b"\x93NUMPY"
MAX_HEADER: Final = 4096
MAX_MEMBERS: Final = 1000
_HEADER: Final = re.compile(
    r"\{'descr': '(?P<order>[<>|=]?)(?P<kind>[fiub])(?P<size>[1248])', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:\d{1,12}, ?)*(?:\d{1,12})?),?\),? *\} *\n?"
)
_CODES: Final = {
    ("b", 1): "B",
    ("i", 1): "b",
    ("i", 2): "h",
    ("i", 4): "i",
    ("i", 8): "q",
    ("u", 1): "B",
    ("u", 2): "H",
    ("u", 4): "I",
    ("u", 8): "Q",
    ("f", 4): "f",
    ("f", 8): "d",
}


@dataclass(frozen=True, slots=True)
class Array:
    """An array of numbers."""

    shape: tuple[int, ...]
    kind: str
    """``f``, ``i``, ``u`` or ``b``, its bytes each, and ``F`` where columns come first."""
    values: Sequence[float]
    """In the order in which they lie in the file."""


def read_npy(data: bytes) -> Array:
    """Raises `ResultFault` for anything that isn't a plain array of numbers."""
    if data[:6] != MAGIC or len(data) < 12:
        raise ResultFault("is no .npy file")
    wide = data[6] >= 2
    start = 12 if wide else 10
    (length,) = struct.unpack_from("<I" if wide else "<H", data, 8)
    if length > MAX_HEADER:
        raise ResultFault("has a header that is too long")
    header = _HEADER.fullmatch(data[start : start + length].decode("latin-1"))
    if header is None:
        raise ResultFault("holds something else than plain numbers")
    shape = tuple(int(part) for part in header["shape"].split(",") if part.strip())
    size = int(header["size"])
    body = memoryview(data)[start + length :]
    if math.prod(shape) * size != len(body):
        raise ResultFault("has another size than its shape says")
    kind = f"{header['kind']}{size}{'F' if header['fortran'] == 'True' else ''}"
    return Array(shape, kind, _values(body, header["kind"], size, big=header["order"] == ">"))


def read_npz(data: bytes, at_most: int, budget: Budget) -> dict[str, Array]:
    """The arrays of an archive by name, ``at_most`` bytes of them unpacked. Raises `ResultFault`."""
    try:
        return _unpacked(data, at_most, budget)
    except (ResultFault, MemoryError):
        raise
    except Exception as error:  # besides its own, the errors of every way of packing come out of this library
        raise ResultFault(f"is no .npz file ({type(error).__name__} {error})") from None


def _unpacked(data: bytes, left: int, budget: Budget) -> dict[str, Array]:
    found: dict[str, Array] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ResultFault("holds too many arrays")
        for member in members:
            with archive.open(member) as file:
                content = file.read(left + 1)  # what is declared may be a lie; what is read is counted
            left -= len(content)
            budget.take(len(content))
            if left < 0 or member.filename in found:
                raise ResultFault("unpacks into too much, or into the same name twice")
            found[member.filename] = read_npy(content)
    return found


def _values(body: memoryview, kind: str, size: int, *, big: bool) -> Sequence[float]:
    if (kind, size) == ("f", 2):
        return halves(body, big=big)
    code = _CODES.get((kind, size))
    if code is None:
        raise ResultFault("holds numbers of a size that is not read")
    values = array(code)
    values.frombytes(body)
    if big != (sys.byteorder == "big") and size > 1:
        values.byteswap()
    return values


def halves(body: memoryview, *, big: bool) -> array[float]:
    """Numbers of half precision, which the array module does not know, as floats of four bytes: those hold them all."""
    return array("f", (value for (value,) in struct.iter_unpack(">e" if big else "<e", body)))
