"""Compares texts by how many of their short pieces they share: what a language model says twice is rarely the same.

The measure is the resemblance of the two bags of shingles (A. Broder, On the resemblance and containment of documents,
1997, option A: a piece that comes again counts again): pieces of 5 characters, |A & B| / |A | B|. Texts agree when it
is at least 1 - tolerance. It does not understand them: a *not* more or less passes.
"""

from __future__ import annotations

import unicodedata
from array import array
from itertools import groupby
from pathlib import Path
from typing import Final

from modules.budget import Budget
from modules.errors import ResultFault

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of each file; a larger one must be the same to the byte."""
MAX_WORK: Final = 16 * 1024 * 1024
"""Bytes of all differing files of both results together."""
SHINGLE: Final = 5
MAX_MARKS: Final = 30
"""Accents on one letter, as in Unicode's stream-safe format (UAX 15, section 13)."""


def text_files(one: Path, other: Path, tolerance: float, budget: Budget | None = None) -> bool:
    """Whether two files of UTF-8 text are alike; what is no text (`ResultFault`) agrees with nothing."""
    sizes = one.stat().st_size, other.stat().st_size
    if max(sizes) > MAX_BYTES:
        raise ResultFault("is larger than what is compared")
    (budget or Budget(MAX_WORK)).take(sum(sizes))
    left, right = one.read_bytes(), other.read_bytes()
    try:
        return resemblance(left.decode(), right.decode()) >= 1.0 - tolerance
    except UnicodeDecodeError:
        raise ResultFault("is no text") from None


def resemblance(left: str, right: str) -> float:
    """From 0 (nothing in common) to 1.

    White space and case count nothing, nor do the order of passages and the way in which accents are encoded.
    """
    a, b = _shingles(left), _shingles(right)
    common = _common(a, b)
    together = len(a) + len(b) - common
    return common / together if together else 1.0


def _common(a: array[int], b: array[int]) -> int:
    found = at = 0
    for piece in a:
        while at < len(b) and b[at] < piece:
            at += 1
        if at == len(b):
            break
        if b[at] == piece:
            found += 1
            at += 1
    return found


def _shingles(text: str) -> array[int]:
    """The pieces, in order, as numbers of eight bytes: as strings they would take ten times the text's size each.

    The numbers are Python's own hashes of strings, whose key is drawn anew by each process: nobody can choose texts
    whose pieces collide.
    """
    plain = " ".join(_composed(text.lower()).split())
    if not plain:
        return array("q")
    return array("q", sorted([hash(plain[at : at + SHINGLE]) for at in range(max(1, len(plain) - SHINGLE + 1))]))


def _composed(text: str) -> str:
    """In normal form C; heaps of accents are left as they are, since to sort them takes the square of their number."""
    if text.isascii():
        return text
    marks = (sum(1 for _ in run) for is_mark, run in groupby(map(unicodedata.combining, text), bool) if is_mark)
    return text if any(many > MAX_MARKS for many in marks) else unicodedata.normalize("NFC", text)
