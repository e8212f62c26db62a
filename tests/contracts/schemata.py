"""Many mutants of the vault in one bytecode, chosen by a word at its birth, so that a thousand need a few compilations.

A statement with mutants becomes ``if MUTANT == 17: changed … else: as it was``, a condition likewise. Source: Untch,
Offutt and Harrold, "Mutation analysis using mutant schemata", ISSTA 1993.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SWAPS = (
    (r" <= ", " < "),
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" and ", " or "),
    (r" or ", " and "),
    (r" & ", " | "),
    (r" \| ", " & "),
    (r" // 2\b", ""),
    (r"\bdeal\.jc\b", "deal.rp"),
    (r"\bdeal\.rp\b", "deal.jc"),
    (r"\bdeal\.pay\b", "deal.fee"),
    (r"\bdeal\.jc_stake\b", "deal.rp_stake"),
    (r"\bdeal\.rp_stake\b", "deal.jc_stake"),
    (r"\bdeal\.cheat\b", "deal.pay"),
    (r"\bdeal\.jurors\b", "deal.quorum"),
    (r"\bdeal\.answer\b", "deal.judge"),
    (r"\bdeal\.judge\b", "deal.answer"),
    (r"\bdeal\.jc_seat\b", "deal.rp_seat"),
    (r"\bdeal\.rp_seat\b", "deal.jc_seat"),
    (r"\b1\b", "2"),
    (r"\b0\b", "1"),
    (r"\bnot \b", ""),
    (r"\bPAID\b", "CONTESTED"),
    (r"~silent\b", "silent"),
)
_WHOLE = re.compile(r"^\s+(assert|self\.(_\w+)\(|self\.\w+\[.* = |self\.\w+\[.* [-+]= )")
_DECLARED = re.compile(r"^(\w+): ([\w\[\]]+) = (.*)$")
_BIRTH = "(min_window: uint256, max_window: uint256"


@dataclass(frozen=True)
class Mutant:
    """One change of one line."""

    number: int
    """The line's, from 1."""
    function: str
    line: str
    changed: str

    def __str__(self) -> str:
        return f"{self.function}: {self.line.strip()}  ->  {self.changed.strip()}"


def mutants(text: str) -> Iterator[Mutant]:
    """Every one of them, behind the constructor and before the views."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("# Signatures"))
    end = next(i for i, line in enumerate(lines) if line.startswith("# Views"))
    quoted, function = False, ""
    for number in range(start, end):
        line = lines[number]
        if line.strip().startswith('"""'):
            quoted = line.count('"""') == 1 and not quoted
            continue
        if line.startswith("def "):
            function = line[4 : line.index("(")]
        if quoted or line.strip().startswith("#") or line.startswith(("def ", "@")):
            continue
        seen = {line}
        for old, new in _SWAPS:
            for match in re.finditer(old, line.split("  # ")[0]):
                changed = line[: match.start()] + new + line[match.end() :]
                if changed not in seen:
                    seen.add(changed)
                    yield Mutant(number + 1, function, line, changed)
        if _WHOLE.match(line):
            yield Mutant(number + 1, function, line, _indent(line) + "pass")


def alone(text: str, mutant: Mutant) -> str:
    """The source with one mutant in it and no choice."""
    lines = text.split("\n")
    lines[mutant.number - 1] = mutant.changed
    return "\n".join(lines)


def schema(text: str, chosen: Sequence[tuple[int, Mutant]]) -> str:
    """The source with all of them in it, each under its number from 1; 0 chooses none."""
    by_line: dict[int, list[tuple[int, Mutant]]] = {}
    for name, mutant in chosen:
        by_line.setdefault(mutant.number, []).append((name, mutant))
    out: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        out += _choice(line, by_line[number]) if number in by_line else [line]
    changed = "\n".join(out).replace("@pure", "@view")
    for old, new in (
        (_BIRTH, f"{_BIRTH}, mutant: uint256"),
        ("MIN_WINDOW: public", "MUTANT: immutable(uint256)\nMIN_WINDOW: public"),
        ("    BORN_ON = chain.id", "    MUTANT = mutant\n    BORN_ON = chain.id"),
    ):
        assert changed.count(old) == 1, old
        changed = changed.replace(old, new)
    return changed


def named_at(source: str, number: int) -> list[int]:
    """Which mutants a line of a schema belongs to: those in its condition, or the one whose branch it is."""
    lines = source.split("\n")
    for line in (lines[number - 1], lines[number - 2]):
        if found := [int(name) for name in re.findall(r"MUTANT == (\d+)", line)]:
            return found
    return []


def fits(mutant: Mutant) -> bool:
    """Whether it can stand beside others; a loop's head can't."""
    return not mutant.line.strip().startswith("for ")


def _indent(line: str) -> str:
    return " " * (len(line) - len(line.lstrip()))


def _choice(line: str, chosen: Sequence[tuple[int, Mutant]]) -> list[str]:
    blank, bare = _indent(line), line.strip().split("  # ")[0]
    changes = [(name, mutant.changed.strip().split("  # ")[0]) for name, mutant in chosen]
    word = bare.split(" ")[0]
    if word in ("if", "elif"):
        condition = bare[len(word) + 1 : -1]
        for name, changed in reversed(changes):
            condition = f"({changed[len(word) + 1 : -1]} if MUTANT == {name} else {condition})"
        return [f"{blank}{word} {condition}:"]
    declared = _DECLARED.match(bare)
    out = []
    if declared:
        out.append(f"{blank}{declared[1]}: {declared[2]} = empty({declared[2]})")
        bare = f"{declared[1]} = {declared[3]}"
        changes = [(name, re.sub(r"^(\w+): [\w\[\]]+ = ", r"\1 = ", changed)) for name, changed in changes]
    for at, (name, changed) in enumerate(changes):
        out += [f"{blank}{'elif' if at else 'if'} MUTANT == {name}:", f"{blank}    {changed}"]
    return [*out, f"{blank}else:", f"{blank}    {bare}"]
