"""Values that aren't files: what each type accepts, how text becomes one, and how one becomes text again."""

from __future__ import annotations

import json
import math
from typing import Final

from modules.bounded_json import loads
from modules.manifest import InputType, Scalar, Value

MAX_STRING_BYTES: Final = 1024 * 1024
MAX_LIST_ITEMS: Final = 4096
MIN_INT: Final = -(2**63)
MAX_INT: Final = 2**63 - 1

_EXAMPLES: Final[dict[str, str]] = {
    "string": '"text"',
    "int": "42",
    "float": "0.5",
    "bool": "true or false",
    "list": '["-v", "/inputs/data"]',
}


class ValueProblem(ValueError):
    """A value that its type doesn't accept; the text says why, and what would do."""


def check(kind: InputType, value: object) -> Value:
    """Return ``value`` as the type ``kind`` holds it, or raise `ValueProblem`."""
    match kind, value:
        case "string", str():
            return _text(value)
        case "bool", bool():
            return value
        case (("int" | "float"), bool()):
            pass
        case "int", int():
            return _int(value)
        case "float", int() | float():
            return _float(value)
        case "list", list() | tuple():
            return _list(value)
        case _:
            pass
    raise ValueProblem(f"must be of type {kind}, such as {_EXAMPLES[kind]}")


def from_text(kind: InputType, text: str) -> Value:
    """Read what a person wrote on a command line as a value of type ``kind``, or raise `ValueProblem`."""
    match kind:
        case "string":
            return _text(text)
        case "bool":
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
        case "int":
            try:
                return _int(int(text) if len(text) <= 32 else MAX_INT + 1)
            except ValueProblem:
                raise
            except ValueError:
                pass
        case "float":
            try:
                return _float(float(text))
            except ValueProblem:
                raise
            except ValueError:
                pass
        case "list":
            return _json_list(_text(text))
        case _:
            raise ValueProblem("is a file; give a path, not a text")
    raise ValueProblem(f"must be of type {kind}, such as {_EXAMPLES[kind]}, not {_quoted(text)}")


def to_text(value: Value) -> str:
    """The one way a value is written into an argument: booleans as true and false, lists as JSON."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case float():
            return repr(value)
        case tuple():
            return json.dumps(list(value), ensure_ascii=False, separators=(",", ":"))


def _quoted(text: str) -> str:
    return json.dumps(text if len(text) <= 40 else text[:40] + "…", ensure_ascii=False)


def _text(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueProblem("is not valid Unicode text; write it as UTF-8") from None
    if size > MAX_STRING_BYTES:
        raise ValueProblem(f"has {size} bytes, and a value may have {MAX_STRING_BYTES}; hand it over as a file")
    if "\0" in text:
        raise ValueProblem("holds a zero byte, which no argument can; hand it over as a file")
    return text


def _int(value: int) -> int:
    if not MIN_INT <= value <= MAX_INT:
        raise ValueProblem("must fit 64 bits")
    return value


def _float(value: float) -> float:
    try:
        value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueProblem("must be a finite number")
    return value


def _json_list(text: str) -> tuple[Scalar, ...]:
    try:
        found = loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise ValueProblem(f"must be a JSON list, such as {_EXAMPLES['list']}, not {_quoted(text)}")
    return _list(found)


def _list(items: list[object] | tuple[object, ...]) -> tuple[Scalar, ...]:
    if len(items) > MAX_LIST_ITEMS:
        raise ValueProblem(f"has {len(items)} elements, and a list may have {MAX_LIST_ITEMS}")
    scalars: list[Scalar] = []
    size = 0
    for item in items:
        match item:
            case bool():
                scalars.append(item)
            case str():
                scalars.append(_text(item))
                size += len(item.encode())
            case int():
                scalars.append(_int(item))
            case float():
                scalars.append(_float(item))
            case _:
                raise ValueProblem("must be a list of texts, numbers and booleans, with nothing nested")
    if size > MAX_STRING_BYTES:
        raise ValueProblem(f"has {size} bytes of text, and a list may have {MAX_STRING_BYTES}")
    return tuple(scalars)
