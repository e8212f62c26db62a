"""Inputs are fitted to the manifest with errors that say what to do, and read back from a stranger without trust."""

from __future__ import annotations

import os
from pathlib import Path

import msgpack
import pytest

from modules.arguments import expand
from modules.catalogue import find
from modules.errors import InputError
from modules.inputs import BoundInputs, bind, read, write
from modules.manifest import Input, Manifest, Wasm

EVERYTHING = Manifest(
    name="all",
    version="v1",
    summary="Takes one of each",
    executor="wasm",
    primary_input="text",
    inputs={
        "text": Input(("string",), default="moo"),
        "steps": Input(("int",), default=20),
        "scale": Input(("float",), default=0.5),
        "loud": Input(("bool",), default=False),
        "words": Input(("list",), default=("a", 1)),
        "photo": Input(("file",)),
        "data": Input(("file", "directory"), optional=True),
        "hint": Input(("string",), optional=True),
    },
    wasm=Wasm("all.wasm"),
)
DEFAULTS = {"text": "moo", "steps": 20, "scale": 0.5, "loud": False, "words": ("a", 1)}
COWSAY = find("cowsay:v0.1").manifest
WASM = find("wasm:v1").manifest


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    return tmp_path / "photo.png"


def test_text_fills_the_primary_input_and_defaults_the_rest(photo: Path) -> None:
    bound = bind(EVERYTHING, "hello", files={"photo": photo})
    assert bound.values == DEFAULTS | {"text": "hello"}
    assert bound.files == {"photo": photo}


def test_values_are_read_as_their_types(photo: Path) -> None:
    written = {
        "steps": "-3",
        "scale": "1e3",
        "loud": "True",
        "words": '["-v", "a b", 2, true]',
        "hint": "\U0001f404\n$HOME",
    }
    bound = bind(EVERYTHING, values=written, files={"photo": photo})
    assert bound.values == {
        "text": "moo",
        "steps": -3,
        "scale": 1000.0,
        "loud": True,
        "words": ("-v", "a b", 2, True),
        "hint": "\U0001f404\n$HOME",
    }


@pytest.mark.parametrize(
    ("text", "values", "words"),
    [
        (None, {"txt": "x"}, ["no input 'txt'", "did you mean text?"]),
        (None, {"zzzzz": "x"}, ["no input 'zzzzz'", "-i text=VALUE", "--input-file photo=PATH"]),
        ("a", {"text": "b"}, ["given twice"]),
        (None, {"steps": "many"}, ["'steps' must be of type int", '"many"']),
        (None, {"steps": "1.5"}, ["must be of type int"]),
        (None, {"steps": "9" * 30}, ["fit 64 bits"]),
        (None, {"steps": "9" * 5000}, ["fit 64 bits"]),
        (None, {"scale": "nan"}, ["finite"]),
        (None, {"scale": "wide"}, ["must be of type float"]),
        (None, {"loud": "1"}, ["true or false"]),
        (None, {"words": "-v"}, ["must be a JSON list", '["-v", "/inputs/data"]']),
        (None, {"words": '{"a": 1}'}, ["must be a JSON list"]),
        (None, {"words": "[[1]]"}, ["nothing nested"]),
        (None, {"words": "[null]"}, ["nothing nested"]),
        (None, {"words": "[" * 100_000}, ["must be a JSON list"]),
        (None, {"words": str(list(range(5000)))}, ["a list may have 4096"]),
        ("x" * (2**20 + 1), {}, ["hand it over as a file"]),
        ("a\0b", {}, ["zero byte"]),
        ("\udc80", {}, ["not valid Unicode"]),
        (None, {"photo": "x.png"}, ["takes a file", "--input-file photo=PATH"]),
        (None, {}, ["'photo' is missing", "--input-file photo=PATH"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_values_are_refused_in_one_line(text: str | None, values: dict[str, str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        bind(EVERYTHING, text, values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    for word in words:
        assert word in str(caught.value)


def test_wrong_files_are_refused(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for files, word in (
        ({"photo": tmp_path / "absent"}, "check the path"),
        ({"photo": tmp_path / "folder"}, "takes a file, but"),
        ({"photo": tmp_path / "pipe"}, "neither a file nor a directory"),
        ({"photo": photo, "text": photo}, "takes a string, not a file; use -i text=VALUE"),
        ({"photo": photo, "phto": photo}, "did you mean photo?"),
    ):
        with pytest.raises(InputError, match=word.replace("?", r"\?")):
            bind(EVERYTHING, files=files)
    with pytest.raises(InputError, match="takes no text"):
        bind(WASM, "hello", files={"program": photo})


def test_free_names_are_for_files_of_modules_that_allow_them(photo: Path) -> None:
    assert bind(WASM, files={"program": photo, "model": photo}).files == {"program": photo, "model": photo}
    for name in ("../x", "a/b", "", ".", "1"):
        with pytest.raises(InputError, match="has no input"):
            bind(WASM, files={"program": photo, name: photo})
    with pytest.raises(InputError, match="has no input 'model'"):
        bind(COWSAY, files={"model": photo})
    with pytest.raises(InputError, match="use a directory"):
        bind(WASM, files={"program": photo} | {f"x{number}": photo for number in range(300)})


def test_what_is_written_is_read_back(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "nest").mkdir(parents=True)
    (tmp_path / "data" / "nest" / "file").write_bytes(b"x" * 3_000_000)
    (tmp_path / "data" / "empty").mkdir()
    bound = bind(EVERYTHING, "h\u00e9\n", {"words": "[1.5, false]"}, {"photo": photo, "data": tmp_path / "data"})
    write(bound, tmp_path / "inputs")
    found = read(tmp_path / "inputs", EVERYTHING)
    assert found.values == bound.values
    assert {name: path.is_dir() for name, path in found.files.items()} == {"photo": False, "data": True}
    assert (found.files["data"] / "nest" / "file").read_bytes() == b"x" * 3_000_000
    assert (found.files["data"] / "empty").is_dir()


def test_a_link_or_a_pipe_in_a_directory_is_not_handed_over(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to("/etc/passwd")
    bound = bind(EVERYTHING, files={"photo": photo, "data": tmp_path / "data"})
    with pytest.raises(InputError, match="symbolic link"):
        write(bound, tmp_path / "inputs")
    (tmp_path / "data" / "link").unlink()
    os.mkfifo(tmp_path / "data" / "pipe")
    with pytest.raises(InputError, match="only files and directories"):
        write(bound, tmp_path / "more")


def test_a_path_that_a_user_names_may_be_a_link(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(photo)
    write(bind(EVERYTHING, files={"photo": tmp_path / "link"}), tmp_path / "inputs")
    assert (tmp_path / "inputs" / "files" / "photo").read_bytes() == b"\x89PNG"
    assert not (tmp_path / "inputs" / "files" / "photo").is_symlink()


def packed(**changes: object) -> bytes:
    values = {"loud": False, "scale": 0.5, "steps": 20, "text": "moo", "words": ["a", 1]} | changes
    return bytes(msgpack.packb(dict(sorted(values.items()))))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "not msgpack"),
        (b"\xc1", "not msgpack"),
        (b"\x90", "not a map"),
        (packed() + b"\0", "not msgpack"),
        (b"\x81\x01\x02", "not msgpack"),
        (b"\x81\xc4\x01a\x02", "not msgpack"),
        (b"\xc7\x00\x01", "canonical"),
        (b"\xd4\x01\x00", "canonical"),
        (b"\x92" * 5000, "not msgpack"),
        (b"\xde\x00\x05" + packed()[1:], "canonical"),
        (msgpack.packb({"words": [], "text": "", "steps": 1, "scale": 1.0, "loud": True}), "canonical"),
        (packed(steps="20"), "type int"),
        (packed(steps=True), "type int"),
        (packed(scale=1), "must be written as one"),
        (packed(scale=float("nan")), "finite"),
        (packed(steps=2**63), "64 bits"),
        (packed(words=[[1]]), "nothing nested"),
        (packed(text=b"moo"), "type string"),
        (packed(other="x"), "'other'"),
        (packed(photo="x"), "'photo'"),
        (packed(text="a\0"), "zero byte"),
        (bytes(msgpack.packb({})), "lack 'text'"),
        (b"\0" * (5 << 20), "at most"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_values_of_a_stranger_are_read_strictly(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "photo").touch()
    (tmp_path / "values").write_bytes(packed())
    read(tmp_path, EVERYTHING)
    (tmp_path / "values").write_bytes(data)
    with pytest.raises(InputError, match=word):
        read(tmp_path, EVERYTHING)


def test_files_of_a_stranger_are_read_strictly(tmp_path: Path) -> None:
    def refused(word: str) -> None:
        with pytest.raises(InputError, match=word):
            read(tmp_path, EVERYTHING)

    refused("not msgpack")
    (tmp_path / "values").write_bytes(packed())
    refused("lack 'photo'")
    (tmp_path / "files").mkdir()
    refused("empty 'files'")
    (tmp_path / "files" / "photo").mkdir()
    refused("is a directory, but must be a file")
    (tmp_path / "files" / "photo").rmdir()
    (tmp_path / "files" / "photo").touch()
    read(tmp_path, EVERYTHING)
    (tmp_path / "files" / "other").touch()
    refused("no input 'other'")
    (tmp_path / "files" / "other").unlink()
    (tmp_path / "more").touch()
    refused("has no place there")
    (tmp_path / "more").unlink()
    (tmp_path / "files" / "data").symlink_to("/etc")
    refused("symbolic link")
    (tmp_path / "files" / "data").unlink()
    os.makedirs(tmp_path / "files" / "data" / "/".join("d" * 70))
    refused("directories deep")


def test_each_argument_stays_one_whatever_it_holds() -> None:
    bound = BoundInputs({"m": "a b; rm -rf / ${n} $HOME \"'", "n": 3, "l": ("-v", "x y"), "b": True}, {"f": Path("x")})
    assert expand(["${m}", "--n=${n}", "${l}", "l=${l}", "${f}", "${b}", "$HOME", "${gone}", "[${gone}]"], bound) == (
        "a b; rm -rf / ${n} $HOME \"'", "--n=3", "-v", "x y", 'l=["-v","x y"]', "/inputs/f", "true", "$HOME", "[]",
    )  # fmt: skip
    with pytest.raises(InputError, match="hand data over as files"):
        expand(["${m}"] * 3, BoundInputs({"m": "x" * (1 << 20)}))
