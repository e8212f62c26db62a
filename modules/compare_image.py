"""Compares pictures by what an eye would take for the same, since two GPUs rarely give the same last bits.

Three measures, and the largest of them must be within the tolerance:

- *shape*: a difference hash of 256 cells (N. Krawetz, "Kind of Like That", 2013), here of three values: from each
  cell to its neighbour brightness rises, falls or stays; rise against fall is a whole difference, else half of one;
- *tone*: the mean difference of colours over a 64 x 64 miniature;
- *contrast*: 1 - the contrast and structure term of SSIM (Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment",
  2004, equations 9, 10 and C3 = C2 / 2) over the miniature, the worst of its three colours. It is relative to what
  there is to see, so that a few lines on an empty page count for what they are.

Pictures must have the same size, turned as their tags say, and films the same number of frames, of the same durations.
What is transparent is seen on black and on white. None of this sees fine detail: a picture that was computed small and
blown up passes, so a module that is priced by its detail should compare in another way.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modules.budget import Budget
from modules.compare import UnknownComparison
from modules.errors import ResultFault

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".ppm", ".gif"})
FORMATS: Final = ("PNG", "JPEG", "PPM", "GIF")
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 32 * 1024 * 1024
"""Of one frame; each is unpacked as a whole."""
MAX_FRAMES: Final = 1000
MAX_WORK: Final = 1024 * 1024 * 1024
"""Pixels of all frames, and bytes, of all differing files of both results together."""
LEAST_WORK: Final = 32 * 1024
"""Pixels that even the smallest frame counts as."""
HASH_SIDE: Final = 16
MINIATURE: Final = 64
RISE: Final = 3
"""Of 255: what is less is noise in an even area."""
_C2: Final = (0.03 * 255) ** 2
"""Keeps the noise of an even area from counting as its contrast; the paper's constant."""
_DEEP: Final = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
"""Grey of 16 bits: to be scaled, since to convert it would cut it off at 255."""
Frame = tuple["Image.Image", float]
"""A picture as it is seen, RGBA, and how long, in milliseconds; 0 where it stands for good."""


def image_files(one: Path, other: Path, tolerance: float, budget: Budget | None = None) -> bool:
    """Whether two pictures or films are alike; other files agree with nothing but their own bytes.

    Raises `UnknownComparison` without Pillow, `ResultFault` and whatever else a stranger's bytes make its readers
    raise.
    """
    if one.suffix.lower() not in SUFFIXES:
        return False
    budget = budget or Budget(MAX_WORK)
    frames = itertools.zip_longest(open_frames(one, budget), open_frames(other, budget))
    return all(left is not None and right is not None and _alike(left, right, tolerance) for left, right in frames)


def _alike(left: Frame, right: Frame, tolerance: float) -> bool:
    return left[0].size == right[0].size and left[1] == right[1] and difference(left[0], right[0]) <= tolerance


def difference(left: Image.Image, right: Image.Image) -> float:
    """From 0 to 1, the largest of the measures above, on the ground on which it is larger."""
    grounds = ("black", "white") if _is_transparent(left) or _is_transparent(right) else ("black",)
    return max(_difference(_on(left, ground), _on(right, ground)) for ground in grounds)


def open_frames(path: Path, budget: Budget) -> Iterator[Frame]:
    """Read what a stranger made, a frame at a time. Raises `ResultFault`, and what Pillow's many readers raise."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnknownComparison('compare = "image" needs Pillow: pip install pillow') from None
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ResultFault("is larger than what is compared")
    budget.take(size)
    data = io.BytesIO(path.read_bytes())  # what goes wrong from here on is the picture's fault, and no disk's
    try:
        with Image.open(data, formats=FORMATS) as image:
            for number in itertools.count():
                if number and not _seek(image, number):
                    return
                # The size stands in the file's head: nothing is unpacked before it is known to be bearable.
                if image.width * image.height > MAX_PIXELS or number == MAX_FRAMES:
                    raise ResultFault("has more pixels or frames than are compared")
                budget.take(max(image.width * image.height, LEAST_WORK))
                shown = float(image.info.get("duration", 0))
                yield _seen(ImageOps.exif_transpose(image)), shown
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ResultFault(f"can't be read as a picture: {error}") from None


def _seek(image: Image.Image, number: int) -> bool:
    try:
        image.seek(number)
    except EOFError:
        return False
    return True


def _seen(image: Image.Image) -> Image.Image:
    """Colours of 8 bits and how much they cover."""
    if image.mode == "F" or (image.mode in _DEEP and "transparency" in image.info):
        raise ResultFault("holds a kind of pixels that is not compared")
    if image.mode in _DEEP:
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    return image.convert("RGBA")


def _is_transparent(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() != (255, 255)


def _on(image: Image.Image, ground: str) -> Image.Image:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, ground), image).convert("RGB")


def _difference(left: Image.Image, right: Image.Image) -> float:
    a, b = (image.resize((MINIATURE, MINIATURE)).tobytes() for image in (left, right))
    return max(_shape(left, right), _tone(a, b), *(_contrast(a[colour::3], b[colour::3]) for colour in range(3)))


def _shape(left: Image.Image, right: Image.Image) -> float:
    a, b = _hash(left), _hash(right)
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / (2 * len(a))


def _hash(image: Image.Image) -> list[int]:
    wide = HASH_SIDE + 1
    grey = image.convert("L").resize((wide, HASH_SIDE)).tobytes()
    steps = [grey[y * wide + x + 1] - grey[y * wide + x] for y in range(HASH_SIDE) for x in range(HASH_SIDE)]
    return [(step > RISE) - (step < -RISE) for step in steps]


def _tone(a: bytes, b: bytes) -> float:
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / (255 * len(a))


def _contrast(a: bytes, b: bytes) -> float:
    """1 - (2 cov + C2) / (var a + var b + C2), at most 1: what moves against each other is no more than different."""
    many, sum_a, sum_b = len(a), sum(a), sum(b)
    spread = sum(x * x for x in a) + sum(y * y for y in b) - (sum_a * sum_a + sum_b * sum_b) / many
    together = sum(x * y for x, y in zip(a, b, strict=True)) - sum_a * sum_b / many
    return min(1.0, 1.0 - (2 * together + _C2 * many) / (spread + _C2 * many))
