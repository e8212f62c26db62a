"""What can go wrong on a testnet, as typed and as written in a scenario: a closed union, and its two parsers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from node.errors import ExitCode, UserError

LONGEST = 30 * 86400.0
"""Seconds that a clock may be moved by, or a fault may last."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Two groups of peers can't reach each other."""

    a: tuple[str, ...]
    b: tuple[str, ...]
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

USAGES = (
    "partition A[,A…] [B[,B…]] [for 10s]",
    "delay 200ms [for 10s]",
    "loss 5% [for 10s]",
    "heal",
    "kill PEER [for 5s]",
    "pause PEER [for 5s]",
    "resume PEER",
    "clock +1h [PEER]",
    "reorg 3",
)


def parse_words(words: Sequence[str]) -> Fault:
    """A fault as typed; raises `UserError`."""
    rest, lasts = list(words), None
    if len(rest) > 2 and rest[-2] == "for":
        lasts = _length(rest[-1])
        rest = rest[:-2]
    match rest:
        case ["partition", a]:
            return Partition(_names(a), (), lasts)
        case ["partition", a, b]:
            return Partition(_names(a), _names(b), lasts)
        case ["delay", time]:
            return Delay(_length(time), lasts)
        case ["loss", share]:
            return Loss(_share(share), lasts)
        case ["heal"] if lasts is None:
            return Heal()
        case ["kill", peer]:
            return Kill(peer, lasts)
        case ["pause", peer]:
            return Pause(peer, lasts)
        case ["resume", peer] if lasts is None:
            return Resume(peer)
        case ["clock", time] if lasts is None:
            return Jump(span(time))
        case ["clock", time, peer] if lasts is None:
            return Jump(span(time), peer)
        case ["reorg", blocks] if lasts is None and blocks.isascii() and blocks.isdigit() and 0 < int(blocks) <= 1000:
            return Reorg(int(blocks))
        case _:
            raise _bad(f"'{' '.join(words)}' is no fault")


def words_of(fault: Fault) -> list[str]:
    """A fault as one would type it: what `parse_words` understands."""
    lasts = getattr(fault, "lasts", None)
    return [*_words(fault), *([] if lasts is None else ["for", f"{lasts:g}s"])]


def _words(fault: Fault) -> list[str]:
    match fault:
        case Partition(a, b):
            return ["partition", ",".join(a), *([",".join(b)] if b else [])]
        case Delay(seconds):
            return ["delay", f"{seconds * 1000:g}ms"]
        case Loss(share):
            return ["loss", f"{share * 100:g}%"]
        case Heal():
            return ["heal"]
        case Kill(peer):
            return ["kill", peer]
        case Pause(peer):
            return ["pause", peer]
        case Resume(peer):
            return ["resume", peer]
        case Jump(seconds, peer):
            return ["clock", f"{seconds:+g}s", *([peer] if peer else [])]
        case Reorg(blocks):
            return ["reorg", str(blocks)]
        case _:
            assert_never(fault)


def parse_fault(table: Mapping[str, Any]) -> Fault:
    """A fault of a scenario: ``fault`` names it, the other keys say what would be typed; raises `UserError`."""
    given = {key: value for key, value in table.items() if key not in ("fault", "for")}
    order: tuple[str, ...] = ("a", "b", "time", "share", "peer", "blocks")
    if not set(given) <= set(order):
        raise _bad(f"a fault has the keys {', '.join(('at', 'fault', 'for', *order))}, not {', '.join(given)}")
    if table.get("fault") == "clock":
        order = ("time", "peer")
    words = [str(table.get("fault", ""))]
    for key in order:
        value = given.get(key)
        if value is not None:
            words.append(",".join(map(str, value)) if isinstance(value, list) else str(value))
    if "for" in table:
        lasts = table["for"]
        words += ["for", f"{lasts}s" if isinstance(lasts, int | float) else str(lasts)]
    return parse_words(words)


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
    return tuple(name for name in text.split(",") if name)


def _bad(what: str) -> UserError:
    return UserError(ExitCode.USAGE, what, "write one of: " + " · ".join(USAGES))
