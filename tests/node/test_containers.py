"""From the command line: a script in a container, through a whole market, to a verified result on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modules.docker.engine import EngineFault, find_engine
from modules.docker.images import BASE

LILYPAD = str(Path(sys.executable).parent / "lilypad")


@pytest.fixture(autouse=True)
def engine() -> None:
    try:
        found = find_engine()
    except EngineFault as fault:
        pytest.skip(f"needs a Docker engine (`.ci/start-docker` starts one): {fault}")
    try:
        if not found.api.images(BASE):
            pytest.skip(f"needs the image {BASE}: `modules/images/make-base` makes it")
    finally:
        found.close()


def lilypad(tmp_path: Path, *arguments: str, code: int = 0) -> str:
    environment = {**os.environ, "LILYPAD_HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [LILYPAD, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_script_is_sold_run_verified_and_paid(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys, pathlib\nprint(sys.argv[1:])\n"
        "pathlib.Path('made').write_text(pathlib.Path('/inputs/data').read_text() * 2)"
    )
    (tmp_path / "data").write_text("moo")
    files = ("--input-file", "script=script.py", "--input-file", "data=data")
    said = lilypad(tmp_path, "run", "python:v1", "-i", 'args=["a b", "$HOME"]', *files, "-o", "out", "--json")
    document = json.loads(said)
    assert document["outcome"] == "DONE"
    assert document["result"]["stdout"] == "['a b', '$HOME']\n"
    assert (tmp_path / "out" / "outputs" / "made").read_text() == "moomoo"


def test_a_new_module_is_checked_and_its_flaw_is_named(tmp_path: Path) -> None:
    lilypad(tmp_path, "modules", "new", "mine", "--executor", "docker")
    report = json.loads(lilypad(tmp_path, "modules", "check", "./mine", "one two", "--times", "2", "--json"))
    assert (report["same_cid"], report["agrees"]) == (True, True)
    main = tmp_path / "mine" / "main.py"
    main.write_text(main.read_text() + "import time\nprint(time.time())\n")
    report = json.loads(lilypad(tmp_path, "modules", "check", "./mine", "one two", "--times", "2", "--json", code=6))
    assert report["agrees"] is False
    assert report["differences"][0].startswith("stdout, line 2")
