"""What a job hands to a module: bound to the manifest's inputs, laid out in a folder, and read back by the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from modules import folders
from modules.canonical import pack, unpack
from modules.errors import InputError, did_you_mean
from modules.manifest import INPUT_NAME, Input, InputType, Manifest, Value
from modules.values import ValueProblem, check, from_text
from protocol.errors import Malformed

VALUES: Final = "values"
FILES: Final = "files"
MAX_VALUES_BYTES: Final = 4 * 1024 * 1024
MAX_EXTRA_FILES: Final = 256


@dataclass(frozen=True, slots=True)
class BoundInputs:
    """Inputs that fit a manifest: every value is there, defaults included, and every file has a path."""

    values: Mapping[str, Value] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    """Files and directories by input name."""


def bind(
    manifest: Manifest,
    text: str | None = None,
    values: Mapping[str, str] | None = None,
    files: Mapping[str, Path] | None = None,
) -> BoundInputs:
    """Fit what a user gave to the inputs of ``manifest``.

    ``text`` fills the primary input, ``values`` are as typed (``NAME=VALUE``), ``files`` name existing paths.
    Raises `InputError`, whose one line says what to do.
    """
    given = dict(values or {})
    if text is not None:
        if manifest.primary_input is None:
            raise InputError(f"{manifest.reference} takes no text; give its inputs by name: {_listed(manifest)}")
        if manifest.primary_input in given:
            raise InputError(f"input '{manifest.primary_input}' is given twice, as text and by name; drop one of them")
        given[manifest.primary_input] = text
    paths = dict(files or {})
    bound: dict[str, Value] = {}
    for name, written in given.items():
        bound[name] = _value_from_text(manifest, name, written)
    for name, path in paths.items():
        if name in given:
            raise InputError(f"input '{name}' is given twice, as a value and as a file; drop one of them")
        _check_path(name, _file_types(manifest, name), path)
    _check_extra_count(manifest, paths)
    for name, declared in manifest.inputs.items():
        if name in bound or name in paths:
            continue
        if declared.default is not None:
            bound[name] = declared.default
        elif declared.required:
            raise InputError(f"input '{name}' is missing; add {_how(name, declared)}")
    return BoundInputs(bound, paths)


def write(bound: BoundInputs, folder: Path) -> None:
    """Lay ``bound`` out in ``folder``, new or empty: ``values`` (canonical msgpack) and ``files/NAME`` (copies).

    Raises `InputError` for a file that can't be handed over: a link or a device inside a directory, say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = pack({name: list(value) if isinstance(value, tuple) else value for name, value in bound.values.items()})
    if len(data) > MAX_VALUES_BYTES:
        raise InputError(f"the values have {len(data)} bytes, and {MAX_VALUES_BYTES} are allowed; use files instead")
    (folder / VALUES).write_bytes(data)
    if not bound.files:
        return
    (folder / FILES).mkdir()
    for name, path in bound.files.items():
        try:
            folders.copy(path, folder / FILES / name)
        except folders.FolderFault as fault:
            raise InputError(f"input '{name}': {path} {fault}") from None
        except OSError as error:
            raise InputError(f"input '{name}': {path} can't be copied ({error.strerror})") from None


def read(folder: Path, manifest: Manifest) -> BoundInputs:
    """Read an inputs folder that may be hostile. Raises `InputError` for anything that `write` wouldn't have made."""
    try:
        entries = list(folders.walk(folder))
        data = (folder / VALUES).read_bytes() if any(each.path == VALUES for each in entries) else b""
    except (OSError, folders.FolderFault) as error:
        raise InputError(f"the inputs folder {error}") from None
    kinds: dict[str, InputType] = {}
    for entry in entries:
        top, _, rest = entry.path.partition("/")
        if entry.path == VALUES and entry.kind == "file":
            continue
        if top != FILES or (not rest and entry.kind != "directory"):
            raise InputError(f"the inputs folder holds '{entry.path}', which has no place there")
        if rest and "/" not in rest:
            kinds[rest] = entry.kind
    if not kinds and any(each.path == FILES for each in entries):
        raise InputError("the inputs folder holds an empty 'files'; leave it out")
    return BoundInputs(_read_values(data, manifest), _read_files(folder, kinds, manifest))


def _read_values(data: bytes, manifest: Manifest) -> dict[str, Value]:
    try:
        found = unpack(data, at_most=MAX_VALUES_BYTES)
    except Malformed as error:
        raise InputError(f"the values can't be read: {error}") from None
    if not isinstance(found, dict):
        raise InputError("the values are not a map")
    values: dict[str, Value] = {}
    for name, raw in found.items():
        declared = _declared(manifest, name)
        if declared is None or declared.is_path:
            raise InputError(f"the values hold '{name}', which is no value of {manifest.reference}")
        try:
            value = check(declared.types[0], raw)
        except ValueProblem as problem:
            raise InputError(f"input '{name}' {problem}") from None
        if declared.types[0] == "float" and not isinstance(raw, float):
            raise InputError(f"input '{name}' is a float and must be written as one")
        values[name] = value
    for name, declared in manifest.inputs.items():
        if name not in values and not declared.is_path and not declared.optional:
            raise InputError(f"the values lack '{name}' (defaults are written out)")
    return values


def _read_files(folder: Path, kinds: Mapping[str, InputType], manifest: Manifest) -> dict[str, Path]:
    for name, kind in kinds.items():
        types = _file_types(manifest, name)
        if kind not in types:
            raise InputError(f"input '{name}' is a {kind}, but must be a {' or a '.join(types)}")
    for name, declared in manifest.inputs.items():
        if declared.is_path and declared.required and name not in kinds:
            raise InputError(f"the files lack '{name}'")
    files = {name: folder / FILES / name for name in kinds}
    _check_extra_count(manifest, files)
    return files


def _value_from_text(manifest: Manifest, name: str, written: str) -> Value:
    declared = _declared(manifest, name)
    if declared is None:
        raise _unknown(manifest, name)
    if declared.is_path:
        raise InputError(f"input '{name}' takes a {' or a '.join(declared.types)}; use --input-file {name}=PATH")
    try:
        return from_text(declared.types[0], written)
    except ValueProblem as problem:
        raise InputError(f"input '{name}' {problem}") from None


def _file_types(manifest: Manifest, name: str) -> tuple[InputType, ...]:
    """What may be given as a file under ``name``."""
    declared = _declared(manifest, name)
    if declared is not None:
        if not declared.is_path:
            raise InputError(f"input '{name}' takes a {declared.types[0]}, not a file; use -i {name}=VALUE")
        return declared.types
    if not manifest.extra_inputs or not INPUT_NAME.fullmatch(name):
        raise _unknown(manifest, name)
    return manifest.extra_inputs


def _declared(manifest: Manifest, name: object) -> Input | None:
    return manifest.inputs.get(name) if isinstance(name, str) else None


def _check_path(name: str, types: tuple[InputType, ...], path: Path) -> None:
    if path.is_file():
        kind: InputType = "file"
    elif path.is_dir():
        kind = "directory"
    elif path.exists():
        raise InputError(f"input '{name}': {path} is neither a file nor a directory")
    else:
        raise InputError(f"input '{name}': there is no {path}; check the path")
    if kind not in types:
        raise InputError(f"input '{name}' takes a {' or a '.join(types)}, but {path} is a {kind}")


def _check_extra_count(manifest: Manifest, files: Mapping[str, Path]) -> None:
    extra = [name for name in files if name not in manifest.inputs]
    if len(extra) > MAX_EXTRA_FILES:
        raise InputError(
            f"{len(extra)} files beyond the declared inputs, {MAX_EXTRA_FILES} are allowed; use a directory"
        )


def _unknown(manifest: Manifest, name: str) -> InputError:
    hint = did_you_mean(name, list(manifest.inputs)) or f"; it takes: {_listed(manifest)}"
    return InputError(f"{manifest.reference} has no input '{name}'{hint}")


def _listed(manifest: Manifest) -> str:
    return ", ".join(_how(name, declared) for name, declared in manifest.inputs.items()) or "nothing"


def _how(name: str, declared: Input) -> str:
    return f"--input-file {name}=PATH" if declared.is_path else f"-i {name}=VALUE"
