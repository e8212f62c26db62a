"""A TOML table that is taken apart key by key, and that knows the line of each key for its complaints."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NoReturn

from modules.errors import ManifestError, did_you_mean


@dataclass(frozen=True, slots=True)
class Document:
    """The text that a table comes from; tomllib keeps no positions, so they are looked up when one is needed."""

    where: str
    text: str

    def line_of(self, path: tuple[str, ...]) -> int:
        """The line of the key at ``path``, else of the nearest table around it, else 0."""
        at = 0
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                table = _keys(header[1])
            elif assignment := re.match(r"\s*([^#=\[]+?)\s*=", line):
                if (table + _keys(assignment[1])) == path:
                    return number
                continue
            else:
                continue
            if table == path:
                return number
            if table and table == path[: len(table)]:
                at = number
        return at


def _keys(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


class Table:
    """What is left of one table, and complaints about it."""

    def __init__(self, tree: dict[str, object], document: Document, path: tuple[str, ...] = ()) -> None:
        self._tree = tree
        self._document = document
        self._path = path
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._tree

    def names(self) -> list[str]:
        return list(self._tree)

    def refuse(self, key: str | None, problem: str) -> NoReturn:
        """Raise `ManifestError` about ``key`` (None: about the table as a whole)."""
        path = self._path if key is None else (*self._path, key)
        name = f"[{'.'.join(self._path)}]" if self._path else ""
        said = " ".join(part for part in (name, key, problem) if part)
        raise ManifestError(self._document.where, self._document.line_of(path), said)

    def nothing_else(self) -> None:
        """Refuse the first key that nobody took: a typing error must not pass as a default."""
        for key in self._tree:
            if key not in self._taken:
                self.refuse(key, f"is unknown{did_you_mean(key, sorted(self._taken)) or '; remove it'}")

    def take(self, key: str) -> object:
        self._taken.add(key)
        return self._tree.get(key)

    def table(self, key: str) -> Table:
        found = self.take(key)
        if found is None:
            found = {}
        if not isinstance(found, dict):
            self.refuse(key, f"must be a table: write [{'.'.join((*self._path, key))}]")
        return Table(found, self._document, (*self._path, key))

    def string(self, key: str) -> str:
        found = self.optional_string(key)
        if found is None:
            self.refuse(key, f'is missing; add {key} = "…"')
        if not found:
            self.refuse(key, "is empty; write something there")
        return found

    def optional_string(self, key: str) -> str | None:
        found = self.take(key)
        if found is not None and not isinstance(found, str):
            self.refuse(key, f'must be text in quotes, such as {key} = "…"')
        return found

    def matching(self, key: str, pattern: re.Pattern[str], wanted: str) -> str:
        found = self.string(key)
        if not pattern.fullmatch(found):
            self.refuse(key, f'is "{found}"; it must be {wanted}')
        return found

    def require_known(self, key: str, word: str, known: list[str], kind: str) -> None:
        if word not in known:
            hint = did_you_mean(word, known) or f"; declare it or use one of: {', '.join(known) or 'none declared'}"
            self.refuse(key, f'names the {kind} "{word}", which is not declared{hint}')

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        if default is not None and key not in self:
            self._taken.add(key)
            return default
        found = self.string(key)
        if found not in known:
            self.refuse(key, f'is "{found}"; write one of {", ".join(known)}{did_you_mean(found, list(known))}')
        return found

    def choices(self, key: str, known: tuple[str, ...], *, required: bool = False) -> tuple[str, ...]:
        """One word or a list of different ones, each of ``known``."""
        if required and key not in self:
            self.refuse(key, f"is missing; write one of {', '.join(known)}")
        if isinstance(self._tree.get(key), str):
            return (self.choice(key, known),)
        found = self.strings(key)
        for word in found:
            if word not in known:
                self.refuse(key, f'has "{word}"; known are {", ".join(known)}{did_you_mean(word, list(known))}')
        if len(set(found)) != len(found):
            self.refuse(key, "names the same thing twice; remove one")
        if required and not found:
            self.refuse(key, f"is empty; write one of {', '.join(known)}")
        return found

    def strings(self, key: str) -> tuple[str, ...]:
        found = self.take(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self.refuse(key, f'must be a list of texts, such as {key} = ["…"]')
        if any("\0" in each for each in found):
            self.refuse(key, "holds a zero byte, which no program can be given; remove it")
        return tuple(found)

    def string_map(self, key: str) -> dict[str, str]:
        found = self.take(key)
        if found is None:
            return {}
        if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
            self.refuse(key, f'must be a table of texts, such as {key} = {{ NAME = "…" }}')
        return dict(found)

    def boolean(self, key: str, default: bool) -> bool:
        found = self.take(key)
        if found is None:
            return default
        if not isinstance(found, bool):
            self.refuse(key, "must be true or false")
        return found

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        found = self.take(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int):
            self.refuse(key, f"must be a whole number, such as {key} = {default}")
        if not least <= found <= most:
            self.refuse(key, f"is {found}; it must be from {least} to {most}")
        return found

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        found = self.take(key)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            self.refuse(key, f"must be a number, such as {key} = {default}")
        if not least <= found <= most:
            self.refuse(key, f"is {found}; it must be from {least} to {most}")
        return float(found)
