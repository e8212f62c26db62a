"""How commands end: one clear line and an exit code for whatever went wrong, however deep it happened."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn, TypeVar

import typer

from node.errors import ExitCode, UserError

Value = TypeVar("Value")


def run_trio(main: Callable[[], Awaitable[Value]]) -> Value:
    """Run a command's coroutine; every known failure ends the process with its message and code."""
    import trio

    # a service manager ends us by SIGTERM: pass it on as ^C, which trio takes at a safe moment
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        return trio.run(main)
    except BaseException as error:
        fail(error)


def fail(error: BaseException) -> NoReturn:
    """End the process as this error deserves; what nobody foresaw keeps its traceback."""
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, UserError):
            complain(leaf.what, leaf.mend)
            raise typer.Exit(leaf.code) from None
        if isinstance(leaf, typer.Exit):
            raise leaf
    for leaf in leaves:
        if isinstance(leaf, KeyboardInterrupt):
            complain("interrupted")
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        found = _known(leaf)
        if found is not None:
            complain(found.what, found.mend)
            raise typer.Exit(found.code) from None
    raise error


def complain(what: str, mend: str = "") -> None:
    """One line on stderr, and one with what mends it."""
    print(f"lilypad: {what}", file=sys.stderr)
    if mend:
        print(f"  → {mend}", file=sys.stderr)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _known(error: BaseException) -> UserError | None:
    from contracts.errors import ChainError
    from p2p.errors import CantListen
    from protocol.errors import PeerFault

    kinds: list[tuple[Any, ExitCode, str]] = [
        (ChainError, ExitCode.UNREACHABLE, "check the network's rpc, chain_id and vault"),
        (CantListen, ExitCode.USAGE, "choose another --listen"),
        (PeerFault, ExitCode.USAGE, ""),
    ]
    for kind, code, mend in kinds:
        if isinstance(error, kind):
            return UserError(code, str(error) or repr(error), mend)
    return None
