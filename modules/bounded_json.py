"""JSON from strangers: nested no deeper than we say.

Python's own limit of recursion is no protection: libraries raise it (py-evm does), and then the parser overruns the
machine's stack and the process is gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

MAX_DEPTH: Final = 200

_BRACKET_OR_STRING: Final = re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*+"?')


def loads(
    text: str,
    *,
    parse_int: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """As `json.loads`; raises `ValueError` also for what is nested too deeply."""
    if _deepest(text) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return json.loads(
        text,
        parse_int=parse_int,
        parse_float=parse_float,
        parse_constant=parse_constant,
        object_pairs_hook=object_pairs_hook,
    )


def _deepest(text: str) -> int:
    depth = most = 0
    for token in _BRACKET_OR_STRING.findall(text):
        if token in "[{":
            depth += 1
            most = max(most, depth)
        elif token in "]}":
            depth -= 1
    return most
