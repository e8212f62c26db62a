"""Writes a container's output down as it comes, up to a limit; whoever floods it has its run ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from modules.docker.engine import Engine, engine_faults
from modules.executor import Listener

NAMES: Final = ("stdout", "stderr")


class Streams:
    """Both output streams of one container; made before it starts, so that not a byte is missed."""

    def __init__(self, engine: Engine, container: str, folder: Path, most_bytes: int) -> None:
        """Attach to ``container``; blocks. Raises `EngineFault`."""
        with engine_faults("the container's output can't be had"):
            self._frames: Any = engine.api.attach(container, stream=True, demux=True)
        self._folder = folder
        self._most = most_bytes

    def pump(self, listener: Listener | None, flooded: Callable[[], None]) -> None:
        """Write until the streams end; say so as soon as one has more than it may, and keep no more of it.

        What is too much is still read: an engine that can't get rid of it can't remove the container either.
        Blocks: run it in one of trio's threads, so that both are called in trio's own.
        """
        left = dict.fromkeys(NAMES, self._most)
        with (self._folder / "stdout").open("wb") as stdout, (self._folder / "stderr").open("wb") as stderr:
            files = {"stdout": stdout, "stderr": stderr}
            for pair in self._frames:
                for name, data in zip(NAMES, pair, strict=True):
                    if not data or left[name] < 0:
                        continue
                    files[name].write(data[: left[name]])
                    if listener is not None:
                        trio.from_thread.run_sync(listener, name, data[: left[name]])
                    left[name] -= len(data)
                    if left[name] < 0:
                        trio.from_thread.run_sync(flooded)

    def close(self) -> None:
        """End the connection; a `pump` that runs elsewhere then ends too."""
        with contextlib.suppress(OSError):  # the other side was quicker
            self._frames.close()
        # The SDK's way closes the socket's face only; the descriptor belongs to the response.
        self._frames._response.close()
