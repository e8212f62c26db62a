"""A `lilypad testnet` in a temporary folder, ended and looked after whatever a test does with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.processes import ROOT, Ended

IMAGE = os.environ.get("LILYPAD_IMAGE", "lilypad:latest")


def docker(*words: str) -> str:
    """What a command of the engine says."""
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def has_image() -> bool:
    """Whether the image that testnets run is here."""
    done = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    return done.returncode == 0


@dataclass
class Testnet:
    """One testnet, spoken to by its command line."""

    __test__ = False

    folder: Path

    def command(self, *words: object, timeout: float = 600.0) -> Ended:
        """`lilypad testnet WORDS`."""
        variables = {
            **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
            "LILYPAD_TESTNET": str(self.folder),
            "LILYPAD_IMAGE": IMAGE,
            "PYTHONPATH": str(ROOT),
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "testnet", "testnet", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=variables,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def well(self, *words: object, timeout: float = 600.0) -> Ended:
        """As `command`; fails the test where it does not end well."""
        ended = self.command(*words, timeout=timeout)
        assert ended.code == 0, f"testnet {' '.join(map(str, words))}: {ended.code}\n{ended.out}\n{ended.err}"
        return ended

    def states(self) -> dict[str, str]:
        """Everybody's state."""
        return {row["peer"]: row["state"] for row in self.well("ps", "--json").document}

    def report(self) -> dict[str, Any]:
        """The report, right or wrong."""
        found: dict[str, Any] = json.loads(self.command("report", "--json").out)
        return found

    def logs(self, names: Sequence[str]) -> str:
        """What these peers logged that is worse than information."""
        lines = [line for name in names for line in self.command("logs", name).out.splitlines()]
        return "\n".join(line for line in lines if '"level": "info"' not in line)


def working_below(folder: Path) -> list[str]:
    """Processes of this machine whose working directory is there, or was: their commands."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it ended, or is not ours
            continue
    return found


@contextmanager
def open_testnet(folder: Path, *words: object) -> Iterator[Testnet]:
    """Bring one up, and take it down."""
    net = Testnet(folder)
    net.well("up", *words)
    try:
        yield net
    finally:
        ended = net.command("down")
        assert ended.code == 0, ended.err
        assert not folder.exists()
        assert working_below(folder) == []
