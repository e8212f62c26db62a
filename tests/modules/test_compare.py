"""Two results are the same when their CIDs are, or when the module's way of comparing takes them for the same."""

from __future__ import annotations

import io
import json
import math
import struct
import sys
import time
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modules.budget import Budget
from modules.compare import Comparison, Different, Result, Same, compare
from modules.compare_numeric import numbers_agree, numeric_files, written_agree
from modules.compare_text import resemblance
from modules.errors import ResultFault
from modules.manifest import CompareMode, Verification
from modules.npy import read_npy, read_npz
from modules.safetensors import read_safetensors

Write = Callable[[Path], object]


def result(folder: Path, **files: str) -> Path:
    (folder / "outputs").mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def test_equal_cids_are_the_same_without_a_look() -> None:
    for mode in ("exact", "numeric", "image", "text"):
        verification = Verification(mode)
        assert compare(verification, Result("bafy1"), Result("bafy1")) == Same()
        assert compare(verification, Result("bafy1"), Result("bafy2")) == Different(())


def test_what_differs_is_named(tmp_path: Path) -> None:
    one = result(tmp_path / "one", stdout="a", stderr="", exit_code="0\n")
    other = result(tmp_path / "other", stdout="b", stderr="", exit_code="0\n")
    (one / "outputs" / "only-here").touch()
    (one / "outputs" / "kind").mkdir()
    (other / "outputs" / "kind").touch()
    verdict = compare(Verification(), Result("bafy1", one), Result("bafy2", other))
    assert verdict == Different(("outputs/kind", "outputs/only-here", "stdout"))
    assert str(verdict) == "differs in outputs/kind, outputs/only-here, stdout"


def pair(tmp_path: Path, name: str, one: bytes, other: bytes) -> tuple[Path, Path]:
    places = []
    for side, data in (("one", one), ("other", other)):
        place = result(tmp_path / side, stdout="", stderr=side, exit_code="0\n")
        (place / "outputs" / name).write_bytes(data)
        places.append(place)
    return places[0], places[1]


def compared(
    tmp_path: Path, mode: CompareMode, tolerance: float, name: str, one: bytes, other: bytes
) -> tuple[Comparison, Comparison]:
    """The verdict from both sides."""
    a, b = pair(tmp_path, name, one, other)
    results = Result("bafy1", a), Result("bafy2", b)
    verification = Verification(mode, tolerance)
    return compare(verification, *results), compare(verification, *reversed(results))


def npy(descr: str, shape: tuple[int, ...], body: bytes) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


@pytest.mark.parametrize(
    ("name", "one", "near", "far"),
    [
        ("a.json", b'{"x": [1.0, 2, null, "s", true]}', b'{"x": [1.0000001, 2, null, "s", true]}', b'{"x": [1, 2]}'),
        ("a.csv", b'a,1.5,"q,""x"\r\n', b'a,1.5000001,"q,""x"\n', b'a,1.6,"q,""x"\n'),
        ("a.txt", b"loss 0.123 at 5 s", b"loss 0.12300001 at 5 s", b"lost 0.123 at 5 s"),
        (
            "a.npy",
            npy("<f8", (2,), struct.pack("<2d", 1, 2)),
            npy("<f8", (2,), struct.pack("<2d", 1, 2.0000001)),
            npy("<f8", (2, 1), struct.pack("<2d", 1, 2)),
        ),
    ],
)
def test_numbers_may_differ_within_the_tolerance_and_nothing_else_may(
    tmp_path: Path, name: str, one: bytes, near: bytes, far: bytes
) -> None:
    assert compared(tmp_path / "near", "numeric", 1e-6, name, one, near) == (Same(), Same())
    assert compared(tmp_path / "tight", "numeric", 1e-9, name, one, near) == (Different((f"outputs/{name}",)),) * 2
    assert compared(tmp_path / "far", "numeric", 1e-6, name, one, far) == (Different((f"outputs/{name}",)),) * 2


def test_an_exit_code_is_no_measurement(tmp_path: Path) -> None:
    for mode in ("numeric", "text", "image"):
        one = result(tmp_path / mode / "one", stdout="", stderr="", exit_code="0\n")
        other = result(tmp_path / mode / "other", stdout="", stderr="", exit_code="1\n")
        assert compare(Verification(mode, 1e9), Result("a", one), Result("b", other)) == Different(("exit_code",))


@given(st.floats(), st.floats(), st.floats(min_value=0, allow_infinity=False))
def test_agreement_is_symmetric_and_reflexive(left: float, right: float, tolerance: float) -> None:
    assert numbers_agree(left, right, tolerance) == numbers_agree(right, left, tolerance)
    assert numbers_agree(left, left, tolerance)


@given(st.binary(max_size=300), st.sampled_from(["json", "csv", "npy", "npz", "safetensors", "txt"]))
def test_no_bytes_of_a_stranger_break_the_comparer(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, suffix: str
) -> None:
    good = npy("<f8", (1,), bytes(8))
    verdicts = compared(
        tmp_path_factory.mktemp("pair"), "numeric", 0.1, f"a.{suffix}", good, good[: 60 - len(data) % 60] + data
    )
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("deep.json", b"[" * 100_000 + b"]" * 100_000),
        ("long.json", b"9" * 3_000_000),
        ("wide.csv", b"a," * 1_000_000),
        ("field.csv", b'"' + b"x" * 3_000_000),
        ("digits.txt", b"1" * 3_000_000),
        ("dots.txt", b"1." * 1_000_000),
        ("signs.txt", b"-+" * 1_000_000),
    ],
)
def test_what_is_made_to_take_long_does_not(tmp_path: Path, name: str, data: bytes) -> None:
    began = time.process_time()
    compared(tmp_path, "numeric", 0.1, name, data, data[:-1] + b"2")
    assert time.process_time() - began < 30


def test_deep_json_is_refused_whatever_the_recursion_limit(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # as a library of the chain does, if less
    try:
        verdict, _ = compared(tmp_path / "deep", "numeric", 0.1, "a.json", deep, deep.replace(b"[]", b"[1]"))
    finally:
        sys.setrecursionlimit(before)
    assert verdict == Different(("outputs/a.json",))
    flat = compared(tmp_path, "numeric", 0.1, "a.json", b'["[[[[", {"a]": 1}]', b'["[[[[", {"a]": 1.05}]')
    assert flat == (Same(), Same())


def test_arrays_are_read_as_numpy_writes_them() -> None:
    # Made with NumPy 2: np.save of np.array([[1, 2], [3, 4]], ">i2"), and of np.array([0.5], "<f2").
    big = npy(">i2", (2, 2), struct.pack(">4h", 1, 2, 3, 4))
    assert (read_npy(big).shape, list(read_npy(big).values)) == ((2, 2), [1, 2, 3, 4])
    assert list(read_npy(npy("<f2", (1,), struct.pack("<e", 0.5))).values) == [0.5]
    assert read_npy(npy("<f4", (), struct.pack("<f", 1))).shape == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        npy("|O", (1,), b"\x80\x04."),
        npy("<f8", (10**9, 10**9), b""),
        npy("<f8", (2,), bytes(8)),
        npy("<f8", (1,), bytes(8)).replace(b"'shape'", b"'shape' + __import__('os')"),
    ],
)
def test_an_array_that_holds_anything_but_numbers_is_refused(data: bytes) -> None:
    with pytest.raises(ResultFault):
        read_npy(data)


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, npy("<f4", (150,), struct.pack("<150f", *[1.0, 2.0, 3.0] * 50)))
    return buffer.getvalue()


def test_a_packed_archive_that_can_not_be_unpacked_agrees_with_nothing(tmp_path: Path) -> None:
    good = archive("a.npy")
    for at in range(30, len(good)):
        bad = good[:at] + b"\xff" * 5 + good[at + 5 :]
        verdicts = compared(tmp_path / str(at), "numeric", 0.1, "w.npz", good, bad)
        assert all(isinstance(verdict, Same | Different) for verdict in verdicts)


def test_many_small_bombs_are_no_more_work_than_one_large_file(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy("<f4", (6 << 20,), bytes(24 << 20)))
    folders = []
    for side in "ab":
        (tmp_path / side / "outputs").mkdir(parents=True)
        for number in range(200):
            (tmp_path / side / "outputs" / f"{number:03}.npz").write_bytes(buffer.getvalue() + side.encode())
        folders.append(tmp_path / side)
    began = time.process_time()
    verdict = compare(Verification("numeric", 0.1), Result("a", folders[0]), Result("b", folders[1]))
    assert "more than one comparison goes through" in str(verdict)
    assert time.process_time() - began < 60


def test_an_archive_of_arrays_can_not_unpack_into_more_than_is_allowed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy("<f8", (1 << 20,), bytes(8 << 20)))
    assert len(buffer.getvalue()) < 20_000
    assert read_npz(buffer.getvalue(), 16 << 20, Budget(16 << 20))["a.npy"].shape == (1 << 20,)
    with pytest.raises(ResultFault, match="too much"):
        read_npz(buffer.getvalue(), 1 << 20, Budget(16 << 20))
    with pytest.raises(ResultFault, match="more than one comparison"):
        read_npz(buffer.getvalue(), 16 << 20, Budget(1 << 20))


def test_texts_agree_by_what_they_share(tmp_path: Path) -> None:
    one = b"The quick brown fox jumps over the lazy dog, and then it sleeps until noon."
    near = b"The quick brown fox jumps over the lazy dog and then it  sleeps until noon!"
    assert compared(tmp_path / "near", "text", 0.3, "a.txt", one, near) == (Same(), Same())
    far = compared(tmp_path / "far", "text", 0.3, "a.txt", one, b"Nothing of the sort was ever said by anybody here.")
    assert far == (Different(("outputs/a.txt",)),) * 2
    assert compared(tmp_path / "binary", "text", 0.3, "a", one, b"\xff\xfe")[0] == Different(("outputs/a",))


def test_what_is_said_again_and_again_is_another_text(tmp_path: Path) -> None:
    once = "The quick brown fox jumps over the lazy dog. "
    assert resemblance(once, once * 100_000) < 0.01
    assert resemblance(once * 3, once * 3 + "And then it sleeps.") > 0.8


def test_heaps_of_accents_take_no_longer_than_other_texts() -> None:
    heap = "\u0300\u0316" * 100_000
    began = time.process_time()
    assert resemblance(heap, heap + "x") > 0.9
    assert time.process_time() - began < 5


def test_accents_count_the_same_however_they_are_encoded() -> None:
    text = "Ängström was naïve; crème brûlée for the señor"
    assert resemblance(unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)) == 1


@given(st.text(max_size=60), st.text(max_size=60))
def test_resemblance_is_symmetric_and_between_nothing_and_all(left: str, right: str) -> None:
    assert 0 <= resemblance(left, right) == resemblance(right, left) <= 1
    assert resemblance(left, left) == 1


def png(draw: Callable[[int, int], tuple[int, int, int]], size: int = 96, form: str = "PNG") -> bytes:
    image = Image.new("RGB", (size, size))
    image.putdata([draw(x, y) for y in range(size) for x in range(size)])
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def test_pictures_agree_when_an_eye_sees_no_difference(tmp_path: Path) -> None:
    rng = Random(1)

    def scene(x: int, y: int) -> tuple[int, int, int]:
        return (x * 2, (x * y) // 40 % 256, 255 if (x - 48) ** 2 + (y - 48) ** 2 < 900 else y)

    def noisy(x: int, y: int) -> tuple[int, int, int]:
        red, green, blue = (min(255, max(0, part + rng.randint(-2, 2))) for part in scene(x, y))
        return red, green, blue

    def other(x: int, y: int) -> tuple[int, int, int]:
        return scene(95 - x, y)

    one = png(scene)
    assert compared(tmp_path / "noise", "image", 0.08, "a.png", one, png(noisy)) == (Same(), Same())
    different = (Different(("outputs/a.png",)),) * 2
    assert compared(tmp_path / "mirror", "image", 0.08, "a.png", one, png(other)) == different
    assert compared(tmp_path / "size", "image", 0.08, "a.png", one, png(scene, 95)) == different
    dark = png(lambda x, y: (scene(x, y)[0] // 2, scene(x, y)[1] // 2, scene(x, y)[2] // 2))
    assert compared(tmp_path / "dark", "image", 0.08, "a.png", one, dark) == different
    assert compared(tmp_path / "form", "image", 0.08, "a.jpg", png(scene, form="JPEG"), one)[0] == Same()


def test_a_picture_that_claims_to_be_huge_or_is_none_agrees_with_nothing(tmp_path: Path) -> None:
    one = png(lambda x, y: (x, y, 0))
    huge = bytearray(one)
    huge[16:24] = struct.pack(">2I", 60_000, 60_000)
    for number, bad in enumerate((bytes(huge), one[:-30], one[:40], b"", b"GIF89a" + bytes(100))):
        verdict = compared(tmp_path / str(number), "image", 1.0, "a.png", one, bad)[0]
        assert verdict == Different(("outputs/a.png",)), number


def test_json_that_says_a_name_twice_says_two_things_and_agrees_with_nothing(tmp_path: Path) -> None:
    verdict, _ = compared(tmp_path, "numeric", 0.1, "a.json", b'{"a": 1.0}', b'{"a": 9, "a": 1.01}')
    assert verdict == Different(("outputs/a.json",))
    assert "a name twice" in str(verdict)


@pytest.mark.parametrize(
    ("name", "one", "other", "tolerance", "agree"),
    [
        # what a float can't hold is compared as it is written
        ("a.json", '{"x": 1e400}', '{"x": 1e99999}', 0.1, False),
        ("a.json", '{"x": 1e400}', '{"x": 10e399}', 0.1, True),
        ("a.json", f"[{'1' * 400}]", f"[{'9' * 350}]", 0.1, False),
        ("a.json", '{"id": 12345678901234567890}', '{"id": 12345678901234567000}', 0.0, False),
        ("a.json", '{"id": 12345678901234567890}', '{"id": 12345678901234567000}', 1e-9, True),
        ("a.csv", "a,12345678901234567890\n", "a,12345678901234567000\n", 0.0, False),
        ("a.txt", "sum 9007199254740993", "sum 9007199254740992", 0.0, False),
        ("a.txt", "x " + "3" * 400, "x " + "7" * 399, 0.1, False),
        ("a.json", "[1]", "[1.0]", 0.0, True),
        ("a.json", "[1e-400]", "[1e-99999]", 0.0, False),
        ("a.json", "[1e9999999999999999999999]", "[2e9999999999999999999999]", 0.1, False),
        # what another program would have written
        ("a.json", "\ufeff[1.0]", "[1.0000001]", 0.01, True),
        ("a.csv", "\ufeff1.0,2\n", "1.0001,2\n", 0.01, True),
        ("a.csv", "x,NaN\n", "x,nan\n", 0.0, True),
        ("a.csv", "x,-Infinity\n", "x,-inf\n", 0.0, True),
        ("a.txt", "a 1.0\r\nb\r\n", "a 1.0001\nb\n", 0.01, True),
        ("a.txt", "nan apples", "NaN apples", 0.0, True),
        ("a.txt", "banan", "banaN", 0.0, False),
        ("a.txt", "٣٤", "34", 0.0, False),
        ("a.json", '["1.0"]', '["1.00"]', 0.1, False),
        ("a.json", '["1.0"]', "[1.0]", 0.1, False),
        ("a.json", "[1.0]", "[true]", 0.9, False),
    ],
)
def test_numbers_are_compared_as_what_they_are_written_for(
    tmp_path: Path, name: str, one: str, other: str, tolerance: float, agree: bool
) -> None:
    verdicts = compared(tmp_path, "numeric", tolerance, name, one.encode(), other.encode())
    assert [verdict == Same() for verdict in verdicts] == [agree, agree]


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(0, 1))
def test_numbers_agree_as_written_as_they_do_as_floats(left: float, right: float, tolerance: float) -> None:
    assert written_agree(repr(left), repr(right), tolerance) == numbers_agree(left, right, tolerance)


def tensors(dtype: str, body: bytes, shape: list[int], end: int | None = None) -> bytes:
    header = json.dumps(
        {"__metadata__": {"format": "pt"}, "a": {"dtype": dtype, "shape": shape, "data_offsets": [0, end or len(body)]}}
    ).encode()
    return len(header).to_bytes(8, "little") + header + body


def test_weights_agree_where_they_are_near_for_their_own_size(tmp_path: Path) -> None:
    def agree(one: bytes, other: bytes, tolerance: float) -> bool:
        (tmp_path / "one.safetensors").write_bytes(one)
        (tmp_path / "other.safetensors").write_bytes(other)
        return numeric_files(tmp_path / "one.safetensors", tmp_path / "other.safetensors", tolerance)

    small = tensors("F32", struct.pack("<4f", 0.01, -0.02, 0.03, 0.0), [2, 2])
    near = tensors("F32", struct.pack("<4f", 0.0101, -0.02, 0.03, 0.0), [2, 2])
    nothing = tensors("F32", bytes(16), [2, 2])
    assert agree(small, small, 0.0)
    assert agree(small, near, 0.05)
    assert not agree(small, near, 0.0001)
    assert not agree(small, nothing, 0.05)  # as plain numbers they would be near enough
    assert not agree(small, tensors("F32", struct.pack("<4f", 0.01, -0.02, 0.03, 0.0), [4]), 0.05)
    assert not agree(small, tensors("F32", struct.pack("<4f", math.nan, 0, 0, 0), [2, 2]), 0.05)
    # 1.0 and -2.5 in the upper halves of floats, and in half precision
    assert list(read_safetensors(tensors("BF16", struct.pack("<2H", 0x3F80, 0xC020), [2]))["a"].values) == [1.0, -2.5]
    assert list(read_safetensors(tensors("F16", struct.pack("<2e", 1.0, -2.5), [2]))["a"].values) == [1.0, -2.5]
    assert read_safetensors(tensors("F16", struct.pack("<2e", 1.0, -2.5), [2]))["a"].values[1] == -2.5


def doubles(*values: float) -> bytes:
    return tensors("F64", struct.pack(f"<{len(values)}d", *values), [len(values)])


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "agree"),
    [
        (doubles(1e-170, 2e-170), doubles(-5e-165, 3e-163), 0.1, False),
        (doubles(5e-324), doubles(1e-323), 0.1, False),
        (doubles(math.nan, 1.0), doubles(math.nan, 1.0000001), 0.1, True),
        (doubles(math.nan, 1.0), doubles(1.0, math.nan), 0.1, False),
        (doubles(math.inf, 1.0), doubles(math.inf, 1.0000001), 0.1, True),
        (doubles(math.inf, 1.0), doubles(-math.inf, 1.0), 0.1, False),
        (doubles(1e200, 1.0), doubles(1e200 * (1 + 1e-12), 1.0), 0.1, True),
        (doubles(*[1.7e308] * 9), doubles(*[1.69e308] * 9), 0.1, True),
        (doubles(*[1.7e308] * 9), doubles(*[-1.69e308] * 9), 0.9, False),
        (doubles(math.nan, 0.0), doubles(math.nan, -0.0), 0.0, True),
        (doubles(*[0.5] * 70_000), doubles(*[0.5] * 69_999, 0.6), 0.01, True),
        (doubles(*[0.5] * 70_000), doubles(*[0.5] * 69_999, 0.6), 0.0001, False),
    ],
)
def test_no_tensor_is_too_small_too_large_or_too_odd_to_be_measured(
    tmp_path: Path, one: bytes, other: bytes, tolerance: float, agree: bool
) -> None:
    verdicts = compared(tmp_path, "numeric", tolerance, "a.safetensors", one, other)
    assert [verdict == Same() for verdict in verdicts] == [agree, agree]


def test_tensors_whose_places_overlap_or_leave_holes_are_refused() -> None:
    def file(*places: tuple[int, int], body: int = 64, names: str = "abcd") -> bytes:
        about = ",".join(
            f'"{name}": {{"dtype": "U8", "shape": [{end - begin}], "data_offsets": [{begin}, {end}]}}'
            for name, (begin, end) in zip(names, places, strict=False)
        )
        header = f"{{{about}}}".encode()
        return len(header).to_bytes(8, "little") + header + bytes(body)

    assert len(read_safetensors(file((32, 64), (0, 32), (64, 64)))) == 3, "in any order, and empty ones too"
    for bad in (
        file((0, 64), (0, 64)),
        file((0, 32), (16, 64)),
        file((0, 16), (32, 64)),
        file((0, 32)),
        file((0, 64), (64, 128)),
        file((0, 32), (32, 64), names="aa"),
    ):
        with pytest.raises(ResultFault):
            read_safetensors(bad)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        (1 << 60).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        tensors("F32", bytes(16), [5]),
        tensors("F32", bytes(16), [4], end=1 << 50),
        tensors("F32", bytes(16), [-4]),
        tensors("X", bytes(16), [4]),
    ],
)
def test_what_is_no_file_of_tensors_is_refused(data: bytes) -> None:
    with pytest.raises(ResultFault):
        read_safetensors(data)


def test_a_file_as_large_as_an_adapter_of_a_large_model_is_compared(tmp_path: Path) -> None:
    many = 12 << 20
    weights = tensors("F32", struct.pack("<f", 0.02) * many, [many])
    near = weights[:-400] + struct.pack("<f", 0.021) * 100
    began = time.process_time()
    assert compared(tmp_path, "numeric", 0.05, "adapter.safetensors", weights, near) == (Same(), Same())
    assert time.process_time() - began < 60
