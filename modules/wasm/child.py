"""A child process that the main thread starts, with pipes to its standard input and output.

Linux ends a ``--die-with-parent`` child with the *thread* that forked it. Trio starts processes in helper threads that
end when they were idle for some seconds, and an idle worker would die with them; hence this class.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import IO

import trio


class Child:
    """One process; raises `OSError` where it can't be started."""

    def __init__(self, command: Sequence[str], log: IO[bytes]) -> None:
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={},
            bufsize=0,
            start_new_session=True,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self.stdin = trio.lowlevel.FdStream(os.dup(self._popen.stdin.fileno()))
        self.stdout = trio.lowlevel.FdStream(os.dup(self._popen.stdout.fileno()))
        self._popen.stdin.close()
        self._popen.stdout.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def kill(self) -> None:
        """End it and its process group at once; does nothing the second time.

        The group matters at its very start: bubblewrap's child waits for its parent for ever if only that is killed.
        """
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Until it has ended."""
        return await trio.to_thread.run_sync(self._popen.wait)
