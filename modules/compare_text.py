"""Compares texts by how many of their short pieces they share: what a language model says twice is rarely the same.

The measure is the resemblance of the two sets of shingles (A. Broder, On the resemblance and containment of documents,
1997): pieces of 5 characters, |A & B| / |A | B|. Texts agree when it is at least 1 - tolerance. It takes time in
proportion to the texts, whatever they hold; it does not understand them: a *not* more or less passes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

MAX_BYTES: Final = 4 * 1024 * 1024
"""Of each file; a larger one must be the same to the byte."""
SHINGLE: Final = 5


def text_files(one: Path, other: Path, tolerance: float) -> bool:
    """Whether two files of UTF-8 text are alike; what is no text agrees with nothing."""
    if max(one.stat().st_size, other.stat().st_size) > MAX_BYTES:
        return False
    try:
        return resemblance(one.read_bytes().decode(), other.read_bytes().decode()) >= 1.0 - tolerance
    except UnicodeDecodeError:
        return False


def resemblance(left: str, right: str) -> float:
    """From 0 (nothing in common) to 1; white space and case count nothing, and neither does the order of passages."""
    a, b = _shingles(left), _shingles(right)
    together = len(a | b)
    return len(a & b) / together if together else 1.0


def _shingles(text: str) -> set[str]:
    plain = " ".join(text.lower().split())
    if not plain:
        return set()
    return {plain[at : at + SHINGLE] for at in range(max(1, len(plain) - SHINGLE + 1))}
