"""Pictures and films: what an eye would tell apart differs, whatever the file's format says it in."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageDraw

from modules.budget import Budget
from modules.compare import Comparison, Different, Result, Same, compare
from modules.compare_image import LEAST_WORK, MAX_FRAMES, difference, image_files, open_frames
from modules.errors import ResultFault
from modules.manifest import Verification

SIDE = 128


def saved(image: Any, form: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def blobs(seed: int) -> Any:
    rng = Random(seed)
    image = Image.new("RGB", (SIDE, SIDE), tuple(rng.randrange(256) for _ in "rgb"))
    draw = ImageDraw.Draw(image)
    for _ in range(30):
        x, y, size = rng.randrange(SIDE), rng.randrange(SIDE), rng.randrange(5, 45)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=tuple(rng.randrange(256) for _ in "rgb"))
    return image


def compared(place: Path, name: str, one: bytes, other: bytes, tolerance: float = 0.1) -> Comparison:
    """The verdict, the same from both sides."""
    results = []
    for side, data in (("one", one), ("other", other)):
        (place / side / "outputs").mkdir(parents=True)
        (place / side / "outputs" / name).write_bytes(data)
        results.append(Result(side, place / side))
    verdict = compare(Verification("image", tolerance), *results)
    assert compare(Verification("image", tolerance), *reversed(results)) == verdict
    return verdict


def deep_png(image: Any) -> bytes:
    wide = Image.new("I;16", image.size)
    wide.putdata([256 + value * 250 for value in image.convert("L").tobytes()])
    return saved(wide)


def deep_ppm(image: Any) -> bytes:
    values = [256 + value * 250 for value in image.convert("L").tobytes()]
    return f"P5 {SIDE} {SIDE} 65535\n".encode() + struct.pack(f">{len(values)}H", *values)


@pytest.mark.parametrize(("name", "write"), [("a.png", deep_png), ("a.ppm", deep_ppm)])
def test_grey_of_16_bits_is_seen_in_all_its_shades(tmp_path: Path, name: str, write: Callable[[Any], bytes]) -> None:
    assert compared(tmp_path / "far", name, write(blobs(1)), write(blobs(2))) == Different((f"outputs/{name}",))
    brighter = blobs(1).point(lambda value: min(255, value + 1))
    assert compared(tmp_path / "near", name, write(blobs(1)), write(brighter)) == Same()
    plain = compared(tmp_path / "plain", "a.png", write(blobs(1)), saved(blobs(1).convert("L")))
    assert plain == Same(), "it is the picture that it would be in 8 bits"


def test_pixels_of_a_kind_without_a_known_range_agree_with_nothing(tmp_path: Path) -> None:
    floats = b"Pf\n8 8\n-1.0\n" + struct.pack("<64f", *range(64))
    assert compared(tmp_path, "a.ppm", floats, floats[:-4] + bytes(4), 1.0) == Different(("outputs/a.ppm",))


def test_what_is_transparent_is_seen_on_black_and_on_white(tmp_path: Path) -> None:
    whole = blobs(1)
    gone = whole.copy()
    gone.putalpha(0)
    assert compared(tmp_path / "gone", "a.png", saved(whole), saved(gone)) == Different(("outputs/a.png",))
    black, white = (Image.new("RGBA", (SIDE, SIDE), (shade,) * 3 + (255,)) for shade in (0, 255))
    nothing = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    for number, ground in enumerate((black, white)):
        assert difference(ground, nothing) == 1.0, number
    other = Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 0))
    assert compared(tmp_path / "colour", "a.png", saved(nothing), saved(other)) == Same(), "nobody sees that colour"


def test_a_picture_that_a_tag_turns_is_compared_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 3
    whole, turned = blobs(1), blobs(1).rotate(180)
    upside_down = saved(whole, "JPEG", quality=95, exif=exif)
    assert compared(tmp_path / "far", "a.jpg", saved(whole, "JPEG"), upside_down) == Different(("outputs/a.jpg",))
    assert compared(tmp_path / "near", "a.jpg", saved(turned, "JPEG", quality=95), upside_down) == Same()


def test_a_few_lines_on_an_empty_page_are_not_an_empty_page(tmp_path: Path) -> None:
    page = Image.new("RGB", (256, 256), "white")
    text = page.copy()
    ImageDraw.Draw(text).text((20, 100), "pay Alice 100 dollars", fill="black")
    assert compared(tmp_path / "page", "a.png", saved(text), saved(page)) == Different(("outputs/a.png",))
    falls, flat = Image.new("L", (256, 256)), Image.new("L", (256, 256), 128)
    falls.putdata([160 - x // 4 for _ in range(256) for x in range(256)])
    assert compared(tmp_path / "ramp", "a.png", saved(falls), saved(flat)) == Different(("outputs/a.png",))
    rises = falls.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert compared(tmp_path / "rise", "a.png", saved(rises), saved(flat)) == Different(("outputs/a.png",))


def test_the_noise_of_another_machine_does_not_matter(tmp_path: Path) -> None:
    rng = Random(4)
    for number, image in enumerate((blobs(3), Image.new("RGB", (SIDE, SIDE), (90, 120, 140)))):
        noisy = image.copy()
        noisy.frombytes(bytes(max(0, min(255, part + rng.randint(-3, 3))) for part in image.tobytes()))
        assert compared(tmp_path / str(number), "a.png", saved(image), saved(noisy), 0.05) == Same()


def film(form: str, *frames: Any, duration: Any = 100, **how: Any) -> bytes:
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=duration, **how)


@pytest.mark.parametrize(("form", "name"), [("GIF", "video.gif"), ("PNG", "a.png")])
def test_films_are_compared_frame_by_frame(tmp_path: Path, form: str, name: str) -> None:
    frames = [blobs(seed) for seed in range(4)]
    near = [frame.point(lambda value: min(255, value + 2)) for frame in frames]
    one = film(form, *frames)
    different = Different((f"outputs/{name}",))
    assert compared(tmp_path / "near", name, one, film(form, *near)) == Same()
    for number, other in enumerate(
        (
            film(form, *frames[:3]),
            film(form, *frames, blobs(9)),
            film(form, *frames[:3], blobs(9)),
            film(form, *frames, duration=200),
            film(form, *frames, duration=[100, 100, 100, 900]),
            saved(frames[0], form),
        )
    ):
        assert compared(tmp_path / str(number), name, one, other) == different, number


def test_a_picture_shown_before_a_film_is_a_frame_too(tmp_path: Path) -> None:
    hidden = film("PNG", blobs(1), blobs(2), blobs(3), default_image=True)
    assert compared(tmp_path, "a.png", saved(blobs(1)), hidden) == Different(("outputs/a.png",))


def test_a_film_of_frames_without_end_is_left_at_the_last_that_is_compared(tmp_path: Path) -> None:
    tiny = [Image.new("RGB", (8, 8), (i % 256, i // 256, 0)) for i in range(MAX_FRAMES + 1)]
    (tmp_path / "a.gif").write_bytes(film("GIF", *tiny[:-1]))
    (tmp_path / "b.gif").write_bytes(film("GIF", *tiny))
    assert sum(1 for _ in open_frames(tmp_path / "a.gif", Budget(1 << 30))) == MAX_FRAMES
    with pytest.raises(ResultFault, match="frames"):
        sum(1 for _ in open_frames(tmp_path / "b.gif", Budget(1 << 30)))
    with pytest.raises(ResultFault, match="more than one comparison"):
        image_files(tmp_path / "a.gif", tmp_path / "a.gif", 0.1, Budget(100 * LEAST_WORK))


def test_only_a_results_own_stdout_counts_nothing(tmp_path: Path) -> None:
    results = []
    for side in "ab":
        (tmp_path / side / "outputs").mkdir(parents=True)
        (tmp_path / side / "stdout").write_text(f"made by {side}")
        results.append(Result(side, tmp_path / side))
    assert compare(Verification("image", 0.1), *results) == Same()
    for name in ("stdout", "stderr"):
        for side in "ab":
            (tmp_path / side / "outputs" / name).write_text(f"made by {side}")
    assert compare(Verification("image", 0.1), *results) == Different(("outputs/stderr", "outputs/stdout"))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_an_empty_profile_behind_the_pixels_breaks_nothing_but_its_own_picture(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    bad = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(64 * 193)))
    bad += chunk(b"iCCP", b"") + chunk(b"IEND", b"")
    verdict = compared(tmp_path, "a.png", saved(Image.new("RGB", (64, 64), "red")), bad)
    assert verdict == Different(("outputs/a.png",))


def test_no_bytes_of_a_stranger_break_the_comparer(tmp_path: Path) -> None:
    rng = Random(1)
    small = blobs(5).resize((20, 20))
    seeds = {
        "a.png": saved(small),
        "p.png": saved(small.convert("P"), transparency=0),
        "n.png": film("PNG", small, blobs(6).resize((20, 20))),
        "a.gif": film("GIF", small, blobs(6).resize((20, 20))),
        "a.jpg": saved(small, "JPEG"),
        "a.ppm": saved(small, "PPM"),
    }
    for number, (name, data) in itertools.product(range(60), seeds.items()):
        bad = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 8))):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        if name.endswith(".png"):  # with sums that are right, so that what is behind them is looked at
            at = 8
            while at + 12 <= len(bad) and (end := at + 8 + int.from_bytes(bad[at : at + 4], "big")) + 4 <= len(bad):
                bad[end : end + 4] = struct.pack(">I", zlib.crc32(bytes(bad[at + 4 : end])))
                at = end + 4
        assert isinstance(compared(tmp_path / f"{number}{name}", name, data, bytes(bad)), Same | Different)
