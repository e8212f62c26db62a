"""Puts the inputs of a run into its arguments, each as a whole: nothing is ever parsed again or pasted into a shell."""

from __future__ import annotations

from collections.abc import Iterable

from modules.errors import InputError
from modules.inputs import BoundInputs
from modules.manifest import PLACEHOLDER, Value
from modules.values import to_text

INPUTS_AT = "/inputs"
"""Where a run finds the files it was given, each under its input's name."""
OUTPUTS_AT = "/outputs"
"""Where a run leaves its files."""
MAX_ARGUMENT_BYTES = 2 * 1024 * 1024


def expand(templates: Iterable[str], bound: BoundInputs) -> tuple[str, ...]:
    """Replace every ``${name}``: a value by its text, a file by its path under ``/inputs``.

    One template is one argument, whatever the value holds. Two exceptions: a template that is exactly one list input
    becomes an argument for each element, and one that is exactly an absent optional input becomes none.
    Raises `InputError` when all arguments together have more than 2 MiB.
    """
    arguments: list[str] = []
    for template in templates:
        whole = PLACEHOLDER.fullmatch(template)
        if whole is None:
            arguments.append(PLACEHOLDER.sub(lambda found: _text(bound, found[1]), template))
            continue
        match bound.values.get(whole[1]):
            case tuple() as items:
                arguments.extend(to_text(item) for item in items)
            case None if whole[1] not in bound.files:
                pass
            case _:
                arguments.append(_text(bound, whole[1]))
    size = sum(len(each.encode()) + 1 for each in arguments)
    if size > MAX_ARGUMENT_BYTES:
        raise InputError(
            f"the arguments have {size} bytes, and {MAX_ARGUMENT_BYTES} are allowed; hand data over as files"
        )
    return tuple(arguments)


def expand_map(templates: Iterable[tuple[str, str]], bound: BoundInputs) -> dict[str, str]:
    """Replace every ``${name}`` in the values of an environment, lists as JSON.

    A variable whose value is exactly an absent optional input is not set at all.
    """
    found: dict[str, str] = {}
    for variable, template in templates:
        whole = PLACEHOLDER.fullmatch(template)
        if whole is None or whole[1] in bound.values or whole[1] in bound.files:
            found[variable] = PLACEHOLDER.sub(lambda match: _text(bound, match[1]), template)
    return found


def _text(bound: BoundInputs, name: str) -> str:
    if name in bound.files:
        return f"{INPUTS_AT}/{name}"
    value: Value | None = bound.values.get(name)
    return "" if value is None else to_text(value)
