"""Reads ``module.toml`` strictly: whatever is unknown, missing or of a wrong type is an error that names its line."""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath
from typing import Final, Literal, cast

from modules.errors import ManifestError
from modules.manifest import (
    COMPARE_MODES,
    EXECUTORS,
    INPUT_NAME,
    INPUT_TYPES,
    NAME,
    PATH_TYPES,
    PLACEHOLDER,
    UNITS,
    VARIABLE,
    VERSION,
    CompareMode,
    Docker,
    ExecutorName,
    Input,
    InputType,
    Manifest,
    Pricing,
    Resources,
    Unit,
    Value,
    Verification,
    Wasm,
)
from modules.toml_table import Document, Table
from modules.values import ValueProblem, check
from protocol.isolation import WORDS

FILE_NAME: Final = "module.toml"
MAX_MANIFEST_BYTES: Final = 64 * 1024
MAX_DOTS_IN_A_LINE: Final = 200
"""tomllib's time grows with the square of a dotted key's parts: one line of 100 kB would hold a node for a minute."""
MAX_INPUTS: Final = 256
MAX_MIB: Final = 16 * 1024 * 1024
MAX_WASM_MEMORY_MIB: Final = 4096
MAX_GPU_NAME: Final = 100
MAX_TIMEOUT_S: Final = 30 * 24 * 3600


def parse_file(path: Path) -> Manifest:
    """Read the manifest at ``path``. Raises `ManifestError` for anything wrong with it, its absence included."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ManifestError(str(path), 0, f"can't be read ({error.strerror}); a module needs this file") from None
    return parse(data, where=str(path))


def parse(data: bytes, where: str = FILE_NAME) -> Manifest:
    """Parse the bytes of a manifest; ``where`` names them in errors. Raises `ManifestError`."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(where, 0, f"is larger than {MAX_MANIFEST_BYTES} bytes; keep data in inputs")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ManifestError(where, line, "is not UTF-8; save the file in that encoding") from None
    for line, written in enumerate(text.split("\n"), 1):
        if written.count(".") > MAX_DOTS_IN_A_LINE:
            raise ManifestError(where, line, f"has more than {MAX_DOTS_IN_A_LINE} dots in one line; shorten it")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # tomllib tells the place at the end of its message only.
        problem, _, place = str(error).rpartition(" (at ")
        digits = "".join(mark for mark in place.partition(",")[0] if mark.isdigit())
        line = int(digits) if digits else text.count("\n") + 1
        raise ManifestError(where, line, f"is not TOML: {problem or error}") from None
    except ValueError:  # Python refuses to read numbers of thousands of digits
        raise ManifestError(where, 0, "is not TOML: a number in it is too long") from None
    except RecursionError:
        raise ManifestError(where, 0, "nests too deeply; a manifest has no use for that") from None
    return _manifest(Table(tree, Document(where, text)))


def _manifest(top: Table) -> Manifest:
    name = top.matching("name", NAME, 'lower-case letters, digits, "-" and "_", such as "cowsay"')
    version = top.matching("version", VERSION, '"v" and a number, such as "v0.1"')
    summary = top.string("summary")
    executor = cast(ExecutorName, top.choice("executor", EXECUTORS))
    inputs = _inputs(top.table("inputs"))
    manifest = Manifest(
        name=name,
        version=version,
        summary=summary,
        executor=executor,
        primary_input=_primary(top, inputs),
        inputs=inputs,
        extra_inputs=cast(tuple[InputType, ...], top.choices("extra_inputs", INPUT_TYPES)),
        wasm=_wasm(top, inputs) if executor == "wasm" else None,
        docker=_docker(top, inputs) if executor == "docker" else None,
        resources=_resources(top.table("resources"), executor),
        pricing=_pricing(top.table("pricing")),
        verification=_verification(top.table("verification")),
    )
    for other in set(EXECUTORS) - {executor}:
        if other in top:
            top.refuse(other, f'is for executor = "{other}", but this module says "{executor}"; remove one of them')
    top.nothing_else()
    return manifest


def _primary(top: Table, inputs: dict[str, Input]) -> str | None:
    primary = top.optional_string("primary_input")
    if primary is not None:
        top.require_known("primary_input", primary, list(inputs), "input")
        if inputs[primary].is_path:
            top.refuse("primary_input", f'names "{primary}", which is a file; text can fill a value only')
    return primary


def _inputs(tables: Table) -> dict[str, Input]:
    inputs: dict[str, Input] = {}
    for name in tables.names():
        if not INPUT_NAME.fullmatch(name):
            tables.refuse(name, 'is no name for an input; use letters, digits, "-" and "_", a letter first')
        inputs[name] = _input(tables.table(name))
    if len(inputs) > MAX_INPUTS:
        tables.refuse(None, f"are {len(inputs)}; at most {MAX_INPUTS} are allowed")
    return inputs


def _input(table: Table) -> Input:
    types = cast(tuple[InputType, ...], table.choices("type", INPUT_TYPES, required=True))
    if len(types) > 1 and not PATH_TYPES.issuperset(types):
        table.refuse("type", 'lists several types; only ["file", "directory"] go together')
    default: Value | None = None
    written = table.take("default")
    if written is not None:
        if types[0] in PATH_TYPES:
            table.refuse("default", 'is for values; a file has none: use "optional = true"')
        try:
            default = check(types[0], written)
        except ValueProblem as problem:
            table.refuse("default", f"{problem}")
    optional = table.boolean("optional", False)
    if optional and default is not None:
        table.refuse("optional", "makes no sense beside a default; remove it")
    found = Input(types=types, default=default, optional=optional, summary=table.optional_string("summary") or "")
    table.nothing_else()
    return found


def _wasm(top: Table, inputs: dict[str, Input]) -> Wasm:
    if "wasm" not in top:
        top.refuse("executor", 'is "wasm", but there is no [wasm] table; add one with program = "NAME.wasm"')
    table = top.table("wasm")
    program = table.string("program")
    if placeholder := PLACEHOLDER.fullmatch(program):
        _file_input(table, "program", placeholder[1], inputs)
    else:
        _inner_path(table, "program", program)
    stdin = table.optional_string("stdin")
    if stdin is not None:
        placeholder = PLACEHOLDER.fullmatch(stdin)
        if placeholder is None:
            table.refuse("stdin", 'must be one input, such as "${stdin}"')
        _file_input(table, "stdin", placeholder[1], inputs)
    args = table.strings("args")
    for argument in args:
        _known_placeholders(table, "args", argument, inputs)
    table.nothing_else()
    return Wasm(program=program, args=args, stdin=stdin)


def _docker(top: Table, inputs: dict[str, Input]) -> Docker:
    if "docker" not in top:
        top.refuse("executor", 'is "docker", but there is no [docker] table; add one with image = "NAME@sha256:…"')
    table = top.table("docker")
    image, build = table.optional_string("image"), table.optional_string("build")
    if (image is None) == (build is None):
        table.refuse(None, "needs either image or build, and not both")
    if image is not None and "@sha256:" not in image:
        table.refuse("image", f'is "{image}", which may change; pin it as NAME@sha256:…')
    if build is not None and build != ".":
        _inner_path(table, "build", build)
    command, env = table.strings("command"), table.string_map("env")
    for argument in command:
        _known_placeholders(table, "command", argument, inputs)
    for variable, value in env.items():
        if not VARIABLE.fullmatch(variable) or "\0" in value:
            table.refuse(
                "env", f'has "{variable}"; a variable has letters, digits and "_", and no zero byte in its value'
            )
        _known_placeholders(table, "env", value, inputs)
    table.nothing_else()
    return Docker(image=image, build=build, command=command, env=tuple(sorted(env.items())))


def _resources(table: Table, executor: ExecutorName) -> Resources:
    default = Resources()
    memory_cap = MAX_WASM_MEMORY_MIB if executor == "wasm" else MAX_MIB
    found = Resources(
        cpu=table.number("cpu", default.cpu, least=0.01, most=1024),
        memory_mib=table.integer("memory_mib", default.memory_mib, least=1, most=memory_cap),
        disk_mib=table.integer("disk_mib", default.disk_mib, least=1, most=MAX_MIB),
        gpus=table.integer("gpus", default.gpus, least=0, most=64),
        vram_mib=table.integer("vram_mib", default.vram_mib, least=0, most=MAX_MIB),
        gpu=table.optional_string("gpu") or default.gpu,
        isolation=table.choice("isolation", WORDS) if "isolation" in table else default.isolation,
        timeout_s=table.integer("timeout_s", default.timeout_s, least=1, most=MAX_TIMEOUT_S),
    )
    if executor == "wasm" and found.gpus:
        table.refuse("gpus", 'can\'t be had by executor = "wasm"; use "docker" or ask for none')
    if found.gpu and not found.gpus:
        table.refuse("gpu", "names a GPU, but none is asked for; add gpus = 1")
    if len(found.gpu) > MAX_GPU_NAME:
        table.refuse("gpu", f"has more than {MAX_GPU_NAME} characters; a part of the name is enough")
    table.nothing_else()
    return found


def _pricing(table: Table) -> Pricing:
    units = cast(tuple[Unit, ...], table.choices("units", UNITS))
    if "units" in table and not units:
        table.refuse("units", f"is empty; name at least one of {', '.join(UNITS)}")
    table.nothing_else()
    return Pricing(units) if units else Pricing()


def _verification(table: Table) -> Verification:
    compare = cast(CompareMode, table.choice("compare", COMPARE_MODES, default="exact"))
    tolerance = table.number("tolerance", 0.0, least=0.0, most=1.0)
    if tolerance == 1.0:
        table.refuse("tolerance", "is 1, with which any result agrees with any other; it must be less")
    if compare == "exact" and tolerance:
        table.refuse("tolerance", 'makes no sense with compare = "exact"; remove it or compare another way')
    table.nothing_else()
    return Verification(compare, tolerance)


def _file_input(table: Table, key: Literal["program", "stdin"], name: str, inputs: dict[str, Input]) -> None:
    table.require_known(key, name, list(inputs), "input")
    if inputs[name].types != ("file",):
        table.refuse(key, f'takes the input "{name}", which must then have type = "file"')
    if key == "program" and inputs[name].optional:
        table.refuse(key, f'takes the input "{name}", which must then not be optional')


def _known_placeholders(table: Table, key: str, text: str, inputs: dict[str, Input]) -> None:
    for name in PLACEHOLDER.findall(text):
        table.require_known(key, name, list(inputs), "input")


def _inner_path(table: Table, key: str, text: str) -> None:
    """A path that can't leave the module's folder, written in one way only."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or str(path) != text or "\\" in text or "\0" in text or text == ".":
        table.refuse(key, f'is "{text}"; it must be a plain relative path inside the module\'s folder')
