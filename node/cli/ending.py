"""How commands end: one clear line and an exit code for whatever went wrong, however deep it happened."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn, TypeVar

import typer

from node.cli.progress import printable
from node.errors import ExitCode, UserError, state_mend

Value = TypeVar("Value")


def stop_here() -> NoReturn:
    """What most commands do when they were interrupted."""
    raise UserError(ExitCode.INTERRUPTED, "interrupted")


def run_trio(
    main: Callable[[], Awaitable[Value]],
    interrupted: Callable[[], Value] = stop_here,
    load: Callable[[], None] = lambda: None,
) -> Value:
    """Run a command's coroutine; every known failure ends the process with its message and code.

    ``load`` imports what takes seconds, before the loop, which hears of a signal only once an import is through.
    ^C and SIGTERM cancel the coroutine, so that everything is put away, then ``interrupted`` has the last word. Only
    the first signal is taken so gently.
    """

    async def guarded() -> Value:
        import trio

        async with trio.open_nursery() as nursery:
            await nursery.start(_cancel_on_signal, nursery.cancel_scope)
            value = await main()
            nursery.cancel_scope.cancel()
            return value
        return interrupted()

    try:
        try:
            load()
            import trio

            return trio.run(guarded)
        except KeyboardInterrupt:  # before the loop listened for signals
            return interrupted()
    except BaseException as error:
        fail(error)


async def _cancel_on_signal(scope: Any, *, task_status: Any) -> None:
    import trio

    # an exception thrown by a signal handler could hit the scheduler itself, and nothing would be put away
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            scope.cancel()
            return


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
        found = _known(leaf)
        if found is not None:
            complain(found.what, found.mend)
            raise typer.Exit(found.code) from None
    raise error


def complain(what: str, mend: str = "") -> None:
    """One line on stderr, and one with what mends it."""
    print(f"lilypad: {printable(' '.join(what.split()))}", file=sys.stderr)
    if mend:
        print(f"  → {printable(mend)}", file=sys.stderr)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _known(error: BaseException) -> UserError | None:
    if isinstance(error, KeyboardInterrupt):
        return UserError(ExitCode.INTERRUPTED, "interrupted")
    from contracts.errors import ChainError
    from node.chain_faults import chain_fault
    from p2p.errors import CantListen, NotDialable
    from protocol.errors import PeerFault

    kinds: list[tuple[Any, ExitCode, str]] = [
        (CantListen, ExitCode.USAGE, "choose another --listen"),
        (NotDialable, ExitCode.USAGE, "write it as /ip4/…/tcp/…/p2p/…"),
        (PeerFault, ExitCode.USAGE, ""),
    ]
    if isinstance(error, ChainError):
        return chain_fault(error)
    for kind, code, mend in kinds:
        if isinstance(error, kind):
            return UserError(code, str(error) or repr(error), mend)
    if type(error).__name__ in ("DatabaseError", "OperationalError"):  # of sqlite3, which few commands import
        what = f"the data folder's state.sqlite can't be used: {error}"
        return UserError(ExitCode.USAGE, what, state_mend(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror)
        return UserError(ExitCode.USAGE, what, "free some room on that disk")
    if isinstance(error, OSError) and error.filename is not None:
        return UserError(ExitCode.USAGE, f"{error.filename}: {error.strerror}", "check the path and its permissions")
    return None
