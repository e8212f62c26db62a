"""The classes of isolation: how well a run is kept from the machine it runs on, and from other runs there."""

from __future__ import annotations

from enum import IntEnum


class Isolation(IntEnum):
    """A class; more is safer, and a job may demand a minimum. On the wire its name in lower case."""

    PROCESS = 10
    """A process of the node's own user, with limits only."""
    WASM = 20
    """A WASM engine in such a process."""
    CONTAINER = 30
    """A hardened container on the host's kernel."""
    USER_KERNEL = 40
    """A container on a kernel of its own."""
    SANDBOXED_WASM = 50
    """A WASM engine in a process that sees no network and no files but its own."""

    @property
    def word(self) -> str:
        """As offers and manifests write it."""
        return self.name.lower()


WORDS: tuple[str, ...] = tuple(each.word for each in Isolation)


def rank(word: str) -> int:
    """How much a class is worth; 0 for a word that names none, so that it satisfies no demand."""
    return Isolation[word.upper()] if word in WORDS else 0


def satisfies(offered: str, demanded: str) -> bool:
    """Whether a class meets a job's minimum; the empty minimum demands nothing, an unknown one is met by nobody."""
    return demanded == "" or (demanded in WORDS and rank(offered) >= rank(demanded))
