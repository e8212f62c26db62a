"""Where blocks are kept: a store that never holds, takes or gives bytes that are not what their CID says."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from content.cid import Cid, Codec
from content.errors import BadBlock, MissingBlock

MAX_BLOCK = 2 << 20
"""Bytes. What the tools that exchange blocks over the network take at most; our own are half of it."""


class Blocks(Protocol):
    """A store of blocks. Every method may touch a disk: from async code, call it in a worker thread."""

    def get(self, cid: Cid) -> bytes:
        """The block, checked; raises `MissingBlock`."""
        ...

    def has(self, cid: Cid) -> bool:
        """Whether the block is here."""
        ...

    def put(self, cid: Cid, block: bytes) -> None:
        """Keep a block that came from outside; raises `BadBlock` if it is not what the CID names."""
        ...

    def add(self, codec: Codec, block: bytes) -> Cid:
        """Keep a block that we made, and name it. (Apart from `put`, so that each block is hashed once.)"""
        ...


class LayeredBlocks:
    """Two stores as one: blocks are found in either, and kept in the upper one."""

    def __init__(self, upper: Blocks, lower: Blocks) -> None:
        self._upper = upper
        self._lower = lower

    def get(self, cid: Cid) -> bytes:
        """See `Blocks`."""
        try:
            return self._upper.get(cid)
        except MissingBlock:
            return self._lower.get(cid)

    def has(self, cid: Cid) -> bool:
        """See `Blocks`."""
        return self._upper.has(cid) or self._lower.has(cid)

    def put(self, cid: Cid, block: bytes) -> None:
        """See `Blocks`."""
        self._upper.put(cid, block)

    def add(self, codec: Codec, block: bytes) -> Cid:
        """See `Blocks`."""
        return self._upper.add(codec, block)


class MemoryBlocks:
    """Blocks in a dictionary, for tests and small things."""

    def __init__(self) -> None:
        self._blocks: dict[Cid, bytes] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def get(self, cid: Cid) -> bytes:
        """See `Blocks`."""
        try:
            return self._blocks[cid]
        except KeyError:
            raise MissingBlock(cid) from None

    def has(self, cid: Cid) -> bool:
        """See `Blocks`."""
        return cid in self._blocks

    def put(self, cid: Cid, block: bytes) -> None:
        """See `Blocks`."""
        check_size(block)
        cid.verify(block)
        self._blocks[cid] = block

    def add(self, codec: Codec, block: bytes) -> Cid:
        """See `Blocks`."""
        check_size(block)
        cid = Cid.of(codec, block)
        self._blocks[cid] = block
        return cid


class FileBlocks:
    """Blocks as files in a folder, shared safely by threads and processes.

    A block is written beside its place and renamed into it, so it is there whole or not at all. There is no
    fsync: after a power failure a block may be torn, which `get` notices by the hash; it drops the block as missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partial = folder / "partial"
        self._partial.mkdir(parents=True, exist_ok=True)
        self._sweep()

    def get(self, cid: Cid) -> bytes:
        """See `Blocks`."""
        path = self._path(cid)
        try:
            with path.open("rb") as file:
                block = file.read(MAX_BLOCK + 1)
        except FileNotFoundError:
            raise MissingBlock(cid) from None
        try:
            cid.verify(block)
        except BadBlock:
            path.unlink(missing_ok=True)
            raise MissingBlock(cid) from None
        return block

    def has(self, cid: Cid) -> bool:
        """See `Blocks`."""
        return self._path(cid).exists()

    def put(self, cid: Cid, block: bytes) -> None:
        """See `Blocks`."""
        check_size(block)
        cid.verify(block)
        self._write(cid, block)

    def add(self, codec: Codec, block: bytes) -> Cid:
        """See `Blocks`."""
        check_size(block)
        cid = Cid.of(codec, block)
        self._write(cid, block)
        return cid

    def _path(self, cid: Cid) -> Path:
        text = str(cid)
        # The last letter carries only three bits of the hash; the two before it spread blocks over 1024 folders.
        return self._folder / text[-3:-1] / text

    def _write(self, cid: Cid, block: bytes) -> None:
        path = self._path(cid)
        with suppress(FileNotFoundError):
            # A torn block has the wrong length nearly always; writing it again heals it.
            if path.stat().st_size == len(block):
                return
        handle, partial = tempfile.mkstemp(dir=self._partial)
        try:
            with open(handle, "wb", buffering=0) as file:
                file.write(block)
            path.parent.mkdir(exist_ok=True)
            os.replace(partial, path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _sweep(self) -> None:
        """Remove what killed processes left half written, but nothing that a live one may be writing."""
        yesterday = time.time() - 86_400
        for path in self._partial.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < yesterday:
                    path.unlink()


def check_size(block: bytes) -> None:
    """Raise `BadBlock` if there are more bytes than a block may hold."""
    if len(block) > MAX_BLOCK:
        raise BadBlock(f"a block of {len(block)} bytes; {MAX_BLOCK} is the most")
