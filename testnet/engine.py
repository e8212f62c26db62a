"""What runs a testnet's peers: containers or processes, behind one interface."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from node.errors import ExitCode, UserError
from testnet.plan import Plan

T = TypeVar("T")
R = TypeVar("R")
AT_ONCE = 16
"""Peers that are worked on side by side."""


class Engine(Protocol):
    """Starts, stops and breaks peers. Names are peers' names, or `testnet.plan.CHAIN`."""

    plan: Plan

    def start_chain(self) -> None:
        """Start the chain; it writes its ready.json when it can be used."""

    def rpc(self) -> str:
        """The chain's URL, as peers reach it."""

    def start(self, names: Sequence[str]) -> None:
        """Start peers that don't run. One that was given a clock of its own reads it from its folder."""

    def states(self) -> dict[str, str]:
        """Everybody: running, paused or gone."""

    def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""

    def pause(self, name: str) -> None:
        """Have it stand still."""

    def resume(self, name: str) -> None:
        """Let a paused one go on."""

    def logs(self, name: str, follow: bool) -> list[str]:
        """The command that shows a peer's log."""

    def shell(self, name: str) -> tuple[list[str], dict[str, str]]:
        """The command and the variables of a shell where `lilypad` speaks for this peer."""

    def network(self, rules: dict[str, Any]) -> None:
        """Make the links of each peer like this, and no other: see `testnet.wire.Link`."""

    def down(self) -> None:
        """End everybody and leave nothing behind but the folder."""


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do something with all at the same time, and give what came of each; raises the first error."""
    if not items:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))


def command(words: Sequence[str], *, within: float = 120.0) -> str:
    """Run a program of this machine; raises `UserError` with its last words."""
    try:
        done = subprocess.run(list(words), capture_output=True, text=True, timeout=within, check=False)
    except FileNotFoundError:
        raise UserError(ExitCode.USAGE, f"there is no {words[0]} on this machine", "install it") from None
    except subprocess.TimeoutExpired:
        raise UserError(ExitCode.TIMED_OUT, f"{' '.join(words[:3])} took more than {within:g} s") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-400:]
        raise UserError(ExitCode.UNREACHABLE, f"{' '.join(words[:3])} failed: {said}")
    return done.stdout
