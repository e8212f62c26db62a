"""From what a user typed to a strategy: a built-in name, an entry point, a class in a module or a file, or a command.

Nothing of a plugin is imported here: its code first runs in its worker.
"""

from __future__ import annotations

import importlib.machinery
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from agents.strategies.built_in import BUILT_IN
from node.errors import ExitCode, UserError

GROUP = "lilypad.strategies"
BRIDGE = Path(__file__).with_name("negmas_bridge.py")


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """One that comes with the house; it answers at once, in the node."""

    name: str


@dataclass(frozen=True, slots=True)
class PythonClass:
    """A class of somebody else's, to be loaded inside a worker."""

    reference: str
    """As the user typed it."""
    module: str
    """Its dotted name; for a single file the file's own name."""
    attribute: str
    place: Path
    """The folder or file that holds the module; the worker sees nothing else beside the installed packages."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program of any language, JSON lines on its stdin and stdout."""

    reference: str
    argv: tuple[str, ...]


Found = BuiltIn | PythonClass | Command


def find(reference: str) -> Found:
    """The strategy of this name or reference. Raises `UserError` where there is none."""
    if reference in BUILT_IN:
        return BuiltIn(reference)
    if reference.startswith("exec:"):
        return _command(reference)
    if reference.startswith("negmas:"):
        return _negmas(reference)
    if ":" in reference:
        return _class(reference, reference)
    named = [point for point in entry_points(group=GROUP) if point.name == reference]
    if len(named) > 1:
        packages = ", ".join(sorted({point.value for point in named}))
        raise UserError(
            ExitCode.USAGE, f"the strategy '{reference}' is there twice: {packages}", "name it by its class"
        )
    if named:
        return _class(reference, named[0].value)
    known = ", ".join([*BUILT_IN, *sorted({point.name for point in entry_points(group=GROUP)})])
    raise UserError(
        ExitCode.USAGE,
        f"unknown strategy '{reference}'",
        f"choose from {known}, or name package.module:Class, ./file.py:Class, negmas:Class or exec:COMMAND",
    )


def installed() -> list[tuple[str, str]]:
    """Names and classes of the strategies that installed packages bring."""
    return sorted((point.name, point.value) for point in entry_points(group=GROUP))


def for_others(found: Found) -> str:
    """A reference that means the same in every folder of this machine."""
    match found:
        case BuiltIn(name):
            return name
        case Command(argv=argv):
            return "exec:" + shlex.join(argv)
        case PythonClass(attribute=attribute, place=place) if found.reference.rpartition(":")[0].endswith(".py"):
            return f"{place}:{attribute}"
        case PythonClass(reference=reference):
            return reference


def _command(reference: str) -> Command:
    try:
        argv = shlex.split(reference.removeprefix("exec:"))
    except ValueError as error:
        raise UserError(ExitCode.USAGE, f"'{reference}' is no command line: {error}") from None
    program = shutil.which(argv[0]) if argv else None
    if program is None:
        raise UserError(ExitCode.USAGE, f"the command of '{reference}' is not to be found", "give its path")
    files = [str(Path(word).resolve()) if Path(word).is_file() else word for word in argv[1:]]
    return Command(reference, (str(Path(program).absolute()), *files))


def _negmas(reference: str) -> PythonClass:
    name = reference.removeprefix("negmas:")
    if not name.isidentifier():
        raise UserError(ExitCode.USAGE, f"'{reference}' names no class", "write negmas:MiCRONegotiator, for one")
    if importlib.machinery.PathFinder.find_spec("negmas", sys.path) is None:
        raise UserError(
            ExitCode.USAGE, "NegMAS is not installed", "install it with `pip install 'lilypad-p2p[negmas]'`"
        )
    return PythonClass(reference, BRIDGE.stem, name, BRIDGE)


def _class(reference: str, value: str) -> PythonClass:
    where, _, attribute = value.rpartition(":")
    if not attribute.isidentifier():
        raise UserError(
            ExitCode.USAGE, f"'{reference}' names no class", "write ./file.py:Class or package.module:Class"
        )
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise UserError(ExitCode.USAGE, f"there is no file {where}", "`lilypad strategy new NAME` writes one")
        return PythonClass(reference, path.stem, attribute, path)
    top = where.partition(".")[0]
    # the path finder only looks, it imports nothing; the current folder counts, as it does for `python -m`
    spec = importlib.machinery.PathFinder.find_spec(top, ["", *sys.path]) if top.isidentifier() else None
    if spec is None or spec.origin is None:
        raise UserError(
            ExitCode.USAGE, f"there is no module {where!r}", f"install the package that holds '{reference}'"
        )
    origin = Path(spec.origin).resolve()
    place = origin.parent if spec.submodule_search_locations else origin
    return PythonClass(reference, where, attribute, place)
