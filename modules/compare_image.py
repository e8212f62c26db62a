"""Compares pictures by what an eye would take for the same, since two GPUs rarely give the same last bits.

Two measures, and the larger of them must be within the tolerance: the share of differing bits of a 256-bit difference
hash (whether brightness rises or falls from each cell to its neighbour; N. Krawetz, "Kind of Like That", 2013), which
sees structure, and the mean difference of colours over a 64 x 64 miniature, which sees tone. Pictures must have the
same size. Neither sees fine detail: a picture that was computed small and blown up passes, so a module that is priced
by its detail should compare in another way.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modules.compare import UnknownComparison

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".ppm"})
FORMATS: Final = ("PNG", "JPEG", "PPM")
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 32 * 1024 * 1024
HASH_SIDE: Final = 16
MINIATURE: Final = 64
RISE: Final = 3
"""Of 255: what is less is noise in an even area."""


def image_files(one: Path, other: Path, tolerance: float) -> bool:
    """Whether two pictures are alike; other files and what can't be read agree with nothing but their own bytes.

    What a program prints beside its pictures counts nothing. Raises `UnknownComparison` without Pillow.
    """
    if one.name == "stdout":
        return True
    if one.suffix.lower() not in SUFFIXES:
        return False
    left, right = open_image(one), open_image(other)
    if left is None or right is None or left.size != right.size:
        return False
    return difference(left, right) <= tolerance


def difference(left: Image.Image, right: Image.Image) -> float:
    """From 0 to 1, the larger of the two measures above."""
    return max(_structure(left, right), _tone(left, right))


def open_image(path: Path) -> Image.Image | None:
    """Read a picture that a stranger made, or None for anything that is not one of ours or is too large."""
    try:
        from PIL import Image
    except ImportError:
        raise UnknownComparison('compare = "image" needs Pillow: install lilypad-p2p[images]') from None
    if path.stat().st_size > MAX_BYTES:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(path, formats=FORMATS) as image:
                # The size stands in the file's head: nothing is unpacked before it is known to be bearable.
                if image.width * image.height > MAX_PIXELS:
                    return None
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, EOFError, Warning, Image.DecompressionBombError):
            return None


def _structure(left: Image.Image, right: Image.Image) -> float:
    a, b = _hash(left), _hash(right)
    return sum(x != y for x, y in zip(a, b, strict=True)) / len(a)


def _hash(image: Image.Image) -> list[bool]:
    wide = HASH_SIDE + 1
    grey = image.convert("L").resize((wide, HASH_SIDE)).tobytes()
    return [grey[y * wide + x + 1] - grey[y * wide + x] > RISE for y in range(HASH_SIDE) for x in range(HASH_SIDE)]


def _tone(left: Image.Image, right: Image.Image) -> float:
    a, b = (image.resize((MINIATURE, MINIATURE)).tobytes() for image in (left, right))
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / (255 * len(a))
