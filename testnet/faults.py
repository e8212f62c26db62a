"""What can go wrong on a testnet: a closed union, and one table of how each is typed and written in a scenario."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from node.errors import ExitCode, UserError

LONGEST = 30 * 86400.0
"""Seconds that a clock may be moved by, or a fault may last."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Two groups of peers can't reach each other."""

    a: tuple[str, ...]
    b: tuple[str, ...] = ()
    """Empty: everybody else."""
    lasts: float | None = None
    """Seconds until it heals by itself; None: until `Heal`."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Whatever reaches a peer is late."""

    seconds: float
    lasts: float | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """A share of the packets that reach a peer is lost."""

    share: float
    """In [0, 1)."""
    lasts: float | None = None


@dataclass(frozen=True, slots=True)
class Heal:
    """The network works again."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL."""

    peer: str
    lasts: float | None = None
    """Seconds until it is started again; None: it stays away until `testnet restart`."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A peer stands still; its connections stay open."""

    peer: str
    lasts: float | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """A paused or killed peer goes on."""

    peer: str


@dataclass(frozen=True, slots=True)
class Jump:
    """The chain's clock jumps, or one peer's own clock is off from now on."""

    seconds: float
    peer: str = ""
    """Empty: the chain's."""


@dataclass(frozen=True, slots=True)
class Reorg:
    """The chain's newest blocks are replaced."""

    blocks: int


Fault = Partition | Delay | Loss | Heal | Kill | Pause | Resume | Jump | Reorg


def span(text: str) -> float:
    """Seconds from ``200ms``, ``5s``, ``+1h``, ``-30s``; raises `UserError`."""
    found = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)(ms|s|m|h|d)", text)
    if found is None:
        raise _bad(f"'{text}' is no span of time, such as 200ms, 5s or +1h")
    seconds = float(found[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}[found[2]]
    if abs(seconds) > LONGEST:
        raise _bad(f"{text} is longer than 30 days")
    return seconds


def _length(text: str) -> float:
    seconds = span(text)
    if seconds <= 0:
        raise _bad(f"{text} is not longer than nothing")
    return seconds


def _share(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%", text)
    if found is None or not 0 <= float(found[1]) < 100:
        raise _bad(f"'{text}' is no share below 100 %, such as 5%")
    return float(found[1]) / 100


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if not names:
        raise _bad(f"'{text}' names nobody")
    return names


def _blocks(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 0 < int(text) <= 1000):
        raise _bad(f"'{text}' is no number of blocks from 1 to 1000")
    return int(text)


@dataclass(frozen=True, slots=True)
class _Word:
    """One word of a fault, and the key by which a scenario has it."""

    key: str
    name: str
    """Of the field that it fills."""
    usage: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    """The other way round."""
    optional: bool = False
    """A last word that may be missing; its field is empty then."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How one fault is written."""

    make: type[Fault]
    words: tuple[_Word, ...] = ()
    lasts: str = ""
    """An example of how long it may last; empty: it can't be taken back."""

    def usage(self, name: str) -> str:
        shown = [f"[{word.usage}]" if word.optional else word.usage for word in self.words]
        return " ".join([name, *shown, *([f"[for {self.lasts}]"] if self.lasts else [])])


_PEER = _Word("peer", "peer", "PEER", str, str)
_TIME = _Word("time", "seconds", "200ms", _length, lambda seconds: f"{seconds * 1000:g}ms")
_FORMS: dict[str, _Form] = {
    "partition": _Form(
        Partition,
        (
            _Word("a", "a", "A[,A…]", _names, ",".join),
            _Word("b", "b", "B[,B…]", _names, ",".join, optional=True),
        ),
        "10s",
    ),
    "delay": _Form(Delay, (_TIME,), "10s"),
    "loss": _Form(Loss, (_Word("share", "share", "5%", _share, lambda share: f"{share * 100:g}%"),), "10s"),
    "heal": _Form(Heal),
    "kill": _Form(Kill, (_PEER,), "5s"),
    "pause": _Form(Pause, (_PEER,), "5s"),
    "resume": _Form(Resume, (_PEER,)),
    "clock": _Form(
        Jump,
        (
            _Word("time", "seconds", "+1h", span, lambda seconds: f"{seconds:+g}s"),
            _Word("peer", "peer", "PEER", str, str, optional=True),
        ),
    ),
    "reorg": _Form(Reorg, (_Word("blocks", "blocks", "3", _blocks, str),)),
}
_KEYS = tuple(dict.fromkeys(word.key for form in _FORMS.values() for word in form.words))
USAGES = tuple(form.usage(name) for name, form in _FORMS.items())


def parse_words(words: Sequence[str]) -> Fault:
    """A fault as typed; raises `UserError`."""
    rest, lasts = list(words), None
    if len(rest) > 2 and rest[-2] == "for":
        lasts = _length(rest[-1])
        rest = rest[:-2]
    form = _FORMS.get(rest[0]) if rest else None
    given = rest[1:]
    least = sum(not word.optional for word in form.words) if form else 0
    if form is None or not least <= len(given) <= len(form.words) or (lasts is not None and not form.lasts):
        raise _bad(f"'{' '.join(words)}' is no fault")
    fields: dict[str, Any] = {word.name: word.read(text) for word, text in zip(form.words, given, strict=False)}
    if lasts is not None:
        fields["lasts"] = lasts
    return form.make(**fields)


def words_of(fault: Fault) -> list[str]:
    """A fault as one would type it: what `parse_words` understands."""
    name, form = next((name, form) for name, form in _FORMS.items() if form.make is type(fault))
    values = [(word, getattr(fault, word.name)) for word in form.words]
    lasts = getattr(fault, "lasts", None)
    shown = [word.write(value) for word, value in values if value or not word.optional]
    return [name, *shown, *([] if lasts is None else ["for", f"{lasts:g}s"])]


def parse_fault(table: Mapping[str, Any]) -> Fault:
    """A fault of a scenario: ``fault`` names it, the other keys say what would be typed; raises `UserError`."""
    name = str(table.get("fault", ""))
    given = {key: value for key, value in table.items() if key not in ("fault", "for")}
    wanted = [word.key for word in _FORMS[name].words] if name in _FORMS else list(_KEYS)
    if not set(given) <= set(wanted):
        raise _bad(f"a fault has the keys {', '.join(('at', 'fault', 'for', *wanted))}, not {', '.join(given)}")
    words = [name, *(_typed(given[key]) for key in wanted if key in given)]
    if "for" in table:
        lasts = table["for"]
        words += ["for", f"{lasts}s" if isinstance(lasts, int | float) else str(lasts)]
    return parse_words(words)


def peers_of(fault: Fault) -> tuple[str, ...]:
    """Everybody whom a fault names."""
    match fault:
        case Partition(a, b):
            return (*a, *b)
        case Kill(peer) | Pause(peer) | Resume(peer) | Jump(_, peer) if peer:
            return (peer,)
        case _:
            return ()


def _typed(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _bad(what: str) -> UserError:
    return UserError(ExitCode.USAGE, what, "write one of: " + " · ".join(USAGES))
