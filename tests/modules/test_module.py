"""A module is found by name or path, and only what its manifest names travels."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules import catalogue
from modules.catalogue import find
from modules.errors import ManifestError, UnknownModule
from modules.module import MAX_PROGRAM_BYTES, load

MANIFEST = """\
name = "thing"
version = "v1"
summary = "A thing"
executor = "wasm"
[wasm]
program = "bin/thing.wasm"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "thing" / "bin").mkdir(parents=True)
    (tmp_path / "thing" / "module.toml").write_text(MANIFEST)
    (tmp_path / "thing" / "bin" / "thing.wasm").write_bytes(b"\0asm\1\0\0\0")
    (tmp_path / "thing" / "notes.txt").write_text("not for the world")
    return tmp_path / "thing"


def test_every_module_of_the_catalogue_loads_under_its_own_name() -> None:
    assert {"cowsay:v0.1", "wasm:v1"} <= set(catalogue.references())
    for reference in catalogue.references():
        assert catalogue.find(reference).manifest.reference == reference


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("cowsey:v0.1", "did you mean cowsay:v0.1?"),
        ("cowsay", "did you mean cowsay:v0.1?"),
        ("cowsay:v9", "did you mean cowsay:v0.1?"),
        ("quantum-leap:v3", "lists them"),
        ("", "lists them"),
    ],
)
def test_an_unknown_name_brings_the_nearest_one(reference: str, hint: str) -> None:
    with pytest.raises(UnknownModule) as caught:
        catalogue.find(reference)
    assert hint in str(caught.value)
    assert "`lilypad modules ls` lists them" in str(caught.value)


def test_a_path_is_a_name_too(folder: Path) -> None:
    assert catalogue.find(str(folder)).manifest.name == "thing"
    assert catalogue.find(str(folder / "module.toml")).digest == catalogue.find(str(folder)).digest
    with pytest.raises(UnknownModule, match=r"there is no module\.toml in it"):
        catalogue.find(str(folder / "bin"))


def test_a_clean_copy_holds_what_travels_and_has_the_same_digest(folder: Path, tmp_path: Path) -> None:
    module = load(folder)
    assert list(module.files()) == ["bin/thing.wasm", "module.toml"]
    module.copy_to(tmp_path / "copy")
    copied = load(tmp_path / "copy")
    assert copied.digest == module.digest
    assert not (tmp_path / "copy" / "notes.txt").exists()


def test_another_program_is_another_module(folder: Path) -> None:
    before = load(folder).digest
    (folder / "bin" / "thing.wasm").write_bytes(b"\0asm\1\0\0\0\0\0")
    assert load(folder).digest != before


def test_a_program_that_is_missing_or_no_file_is_refused(folder: Path) -> None:
    (folder / "bin" / "thing.wasm").unlink()
    with pytest.raises(ManifestError, match="build it first"):
        load(folder)
    (folder / "bin" / "thing.wasm").mkdir()
    with pytest.raises(ManifestError, match="can't be read"):
        load(folder)


@pytest.mark.parametrize("link", ["bin", "bin/thing.wasm", "module.toml"])
def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path, link: str) -> None:
    (folder / link).rename(tmp_path / "outside")
    (folder / link).symlink_to(tmp_path / "outside")
    with pytest.raises(ManifestError, match="symbolic link"):
        load(folder)


def test_a_program_that_is_too_large_is_refused(folder: Path) -> None:
    with (folder / "bin" / "thing.wasm").open("wb") as file:
        file.truncate(MAX_PROGRAM_BYTES + 1)
    with pytest.raises(ManifestError, match="larger than"):
        load(folder)


def test_a_folder_without_a_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="a module needs this file"):
        load(tmp_path)


def test_an_image_that_is_built_travels_with_its_sources(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "run.py").write_text("print(1)\n")
    (tmp_path / "module.toml").write_text(
        'name = "built"\nversion = "v1"\nsummary = "Built"\nexecutor = "docker"\n[docker]\nbuild = "."\n'
    )
    module = load(tmp_path)
    assert list(module.files()) == ["Dockerfile", "app/run.py", "module.toml"]
    (tmp_path / "app" / "run.py").write_text("print(2)\n")
    assert load(tmp_path).digest != module.digest


def test_what_python_leaves_beside_a_program_is_not_part_of_the_module(tmp_path: Path) -> None:
    find("python:v1").copy_to(tmp_path / "module")
    before = load(tmp_path / "module")
    (tmp_path / "module" / "__pycache__").mkdir()
    (tmp_path / "module" / "__pycache__" / "entry.cpython-311.pyc").write_bytes(b"compiled")
    after = load(tmp_path / "module")
    assert after.digest == before.digest == find("python:v1").digest
    assert list(after.files()) == ["Dockerfile", "entry.py", "module.toml"]
