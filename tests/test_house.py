"""The house stands where it should: nobody else owns our package names, and the wheel holds all that a user needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("protocol", "agents", "content", "p2p", "contracts", "modules", "node", "simulator")


def test_no_dependency_owns_one_of_our_package_names() -> None:
    owners = packages_distributions()
    foreign = {name: owners[name] for name in PACKAGES if set(owners.get(name, [])) - {"lilypad-p2p"}}
    assert foreign == {}, "a dependency brings a top-level package of this name; run it behind `exec:` instead"


def test_the_wheel_holds_the_catalogue_and_the_vault(tmp_path: Path) -> None:
    source = tmp_path / "source"  # building leaves traces in the folder it is done in
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "node_modules", "build", "__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(command, check=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    for wanted in (
        "modules/shipped/cowsay-v0.1/cowsay.wasm",
        "modules/shipped/wasm-v1/module.toml",
        "contracts/vault.json",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith("tests")]
