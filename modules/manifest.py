"""The manifest: what a module is called, what it takes, what runs, and how its results are compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, get_args

from modules.canonical import pack

InputType = Literal["string", "int", "float", "bool", "list", "file", "directory"]
ExecutorName = Literal["wasm", "docker"]
Unit = Literal["job", "gigafuel", "second", "gib"]
CompareMode = Literal["exact", "numeric", "image", "text"]

INPUT_TYPES: Final[tuple[str, ...]] = get_args(InputType)
EXECUTORS: Final[tuple[str, ...]] = get_args(ExecutorName)
UNITS: Final[tuple[str, ...]] = get_args(Unit)
COMPARE_MODES: Final[tuple[str, ...]] = get_args(CompareMode)
PATH_TYPES: Final[frozenset[str]] = frozenset({"file", "directory"})

Scalar = str | int | float | bool
Value = Scalar | tuple[Scalar, ...]
"""What an input that isn't a file may hold."""

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
VERSION: Final = re.compile(r"v[0-9][0-9A-Za-z.+-]{0,62}")
INPUT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that a module takes."""

    types: tuple[InputType, ...]
    """What is accepted; more than one only for a file or a directory."""
    default: Value | None = None
    optional: bool = False
    """May be left out though it has no default; its placeholder then stands for nothing."""
    summary: str = ""

    @property
    def required(self) -> bool:
        return self.default is None and not self.optional

    @property
    def is_path(self) -> bool:
        return self.types[0] in PATH_TYPES


@dataclass(frozen=True, slots=True)
class Wasm:
    """What the WASM executor runs."""

    program: str
    """A file of the module's folder, or ``${name}`` of an input of type file."""
    args: tuple[str, ...] = ()
    """Arguments after the program's name; ``${name}`` is replaced by the input of that name."""
    stdin: str | None = None
    """``${name}`` of the input that the program reads on its standard input."""


@dataclass(frozen=True, slots=True)
class Docker:
    """What a container executor runs: a pinned ``image``, or one that is built from the folder ``build``."""

    image: str | None = None
    build: str | None = None
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Resources:
    """What a run may use at most."""

    cpu: float = 1.0
    """Cores."""
    memory_mib: int = 64
    disk_mib: int = 64
    """All files that the run writes, its output streams included."""
    gpus: int = 0
    vram_mib: int = 0
    gpu: str = ""
    """What the name of each GPU must contain, whatever the case."""
    isolation: str = ""
    """The least class of isolation (`protocol.isolation`) that it may run under."""
    timeout_s: int = 30


@dataclass(frozen=True, slots=True)
class Pricing:
    """The units that offers may quote a price in."""

    units: tuple[Unit, ...] = ("job",)


@dataclass(frozen=True, slots=True)
class Verification:
    """How two results of the same job are compared."""

    compare: CompareMode = "exact"
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """A parsed ``module.toml``; `modules.manifest_parser` makes it."""

    name: str
    version: str
    summary: str
    executor: ExecutorName
    primary_input: str | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    extra_inputs: tuple[InputType, ...] = ()
    """Types accepted for inputs under names that the manifest doesn't list; they appear in ``/inputs`` only."""
    wasm: Wasm | None = None
    docker: Docker | None = None
    resources: Resources = Resources()
    pricing: Pricing = Pricing()
    verification: Verification = Verification()

    @property
    def reference(self) -> str:
        """``name:version``, as people write it."""
        return f"{self.name}:{self.version}"

    def program_files(self) -> tuple[str, ...]:
        """The files of the module's folder that a run needs, as relative POSIX paths."""
        if self.wasm is None or PLACEHOLDER.fullmatch(self.wasm.program):
            return ()
        return (self.wasm.program,)


def digest(manifest: Manifest, program_digests: Mapping[str, str]) -> str:
    """Return ``"sha256:…"`` of the manifest with each program replaced by its own digest.

    ``program_digests`` maps every path of ``manifest.program_files()`` (for docker: the local image's ``build``
    folder) to ``"sha256:…"``. A field without a value (absent or empty) is left out of the hashed map, so that a
    field added to manifests later doesn't change the digest of those that lack it. Raises ``KeyError`` for a
    program whose digest is missing: that is our own misuse.
    """
    plain = {name: value for name, value in _plain(manifest).items() if name not in ("wasm", "docker")}
    if manifest.wasm is not None:
        wasm = _plain(manifest.wasm)
        if manifest.program_files():
            wasm["program"] = program_digests[manifest.wasm.program]
        plain["wasm"] = wasm
    if manifest.docker is not None:
        docker = _plain(manifest.docker)
        if manifest.docker.build is not None:
            docker["build"] = program_digests[manifest.docker.build]
        docker["env"] = dict(manifest.docker.env)
        plain["docker"] = {name: value for name, value in docker.items() if value}
    return "sha256:" + hashlib.sha256(pack(plain)).hexdigest()


def _plain(part: object) -> dict[str, object]:
    """A dataclass as a map of what msgpack knows, without the fields that hold nothing."""
    plain: dict[str, object] = {}
    for each in fields(part):  # type: ignore[arg-type]  # every caller passes a dataclass
        value = getattr(part, each.name)
        if value is None or value == () or value == {} or value == "":
            continue
        plain[each.name] = _plain_value(value)
    return plain


def _plain_value(value: object) -> object:
    match value:
        case str() | int() | float() | bool():
            return value
        case tuple():
            return [_plain_value(each) for each in value]
        case Mapping():
            return {name: _plain_value(each) for name, each in value.items()}
        case _:
            return _plain(value)
