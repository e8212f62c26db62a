"""The walls around a plugin's process: bubblewrap where it works, and limits on its resources either way.

Inside there is no network, no home, no environment and no other process to be seen; the system's programs, the
installed Python packages and the plugin itself are there, read-only. What the node knows, above all its key, is in
another process and was never put into this one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path

import agents
import protocol
from node.strategies.finding import Command, PythonClass

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/alternatives")
NOBODY = "65534"
CODE = "/code"
PLUGIN = "/plugin"
INSIDE = Path(__file__).with_name("inside.py")
HOUSE = {package.__name__: Path(package.__path__[0]).resolve() for package in (agents, protocol)}


@cache
def bubblewrap() -> str | None:
    """The path of ``bwrap``, if there is one and it may do its work here."""
    found = shutil.which("bwrap")
    if found is None:
        return None
    trial = [found, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    done = subprocess.run(trial, capture_output=True, timeout=60, check=False)
    return found if done.returncode == 0 else None


def command(plugin: PythonClass | Command) -> list[str]:
    """The command line that starts the plugin's process."""
    walls = bubblewrap()
    python = [os.path.realpath(sys.executable), "-I", "-S", str(INSIDE) if walls is None else f"{CODE}/inside.py"]
    match plugin:
        case Command(argv=argv):
            inner = [*python, "exec", *argv]
            mounts = [(word, word) for word in argv if word.startswith("/") and Path(word).is_file()]
        case PythonClass(module=module, attribute=attribute, place=place):
            shown = str(place.parent) if walls is None else PLUGIN
            house = str(HOUSE["agents"].parent) if walls is None else CODE
            inner = [*python, "class", module, attribute, shown, house, *_packages()]
            mounts = [(str(place), f"{PLUGIN}/{place.name}")]
    if walls is None:
        return inner
    around = [walls, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    around += ["--uid", NOBODY, "--gid", NOBODY, "--hostname", "strategy"]
    around += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/", "--setenv", "OMP_NUM_THREADS", "1"]
    prefixes = (os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix))
    for shared in dict.fromkeys((*SYSTEM, *prefixes, *_packages())):
        around += ["--ro-bind-try", shared, shared]
    for name, folder in HOUSE.items():
        around += ["--ro-bind", str(folder), f"{CODE}/{name}"]
    around += ["--ro-bind", str(INSIDE), f"{CODE}/inside.py"]
    for outside, within in mounts:
        around += ["--ro-bind", outside, within]
    return [*around, "--proc", "/proc", "--dev", "/dev", "--chdir", "/", "--remount-ro", "/", "--", *inner]


def _packages() -> list[str]:
    """Where installed packages lie; a plugin may import them."""
    return list(dict.fromkeys(os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")))
