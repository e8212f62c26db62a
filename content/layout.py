"""Turning a stream of bytes into the DAG of a file, in memory that does not grow with the file.

Profile unixfs-v1-2025, which the IPFS tools share so that the same bytes get the same CID everywhere: chunks of 1 MiB
as raw blocks, then as many layers of nodes with up to 1024 children as it takes to reach one root.
"""

from __future__ import annotations

from typing import BinaryIO

from content.blocks import Blocks
from content.cid import Codec
from content.limits import Budget
from content.unixfs import Made, encode_branch

CHUNK = 1 << 20
WIDTH = 1024


class FileBuilder:
    """Takes the chunks of one file in order and keeps only the open node of each layer."""

    def __init__(self, blocks: Blocks, width: int = WIDTH) -> None:
        self._blocks = blocks
        self._width = width
        self._layers: list[list[Made]] = []

    def push(self, chunk: bytes) -> None:
        """The next chunk; every one but the last has the same length."""
        cid = self._blocks.add(Codec.RAW, chunk)
        self._place(0, Made(cid, len(chunk), len(chunk)))

    def finish(self) -> Made:
        """The root, once all chunks are in; a file without chunks is one empty leaf."""
        if not self._layers:
            self.push(b"")
        level = 0
        while level < len(self._layers):
            layer = self._layers[level]
            if level == len(self._layers) - 1 and len(layer) == 1:
                return layer[0]
            self._close(level)
            level += 1
        raise AssertionError("the top layer always ends with one node")

    def _place(self, level: int, made: Made) -> None:
        if level == len(self._layers):
            self._layers.append([])
        layer = self._layers[level]
        if len(layer) == self._width:
            # Only now is it certain that this layer is not the last: a full one may still be all there is.
            self._close(level)
        layer.append(made)

    def _close(self, level: int) -> None:
        layer = self._layers[level]
        block = encode_branch(layer)
        cid = self._blocks.add(Codec.DAG_PB, block)
        made = Made(cid, sum(child.size for child in layer), len(block) + sum(child.weight for child in layer))
        layer.clear()
        self._place(level + 1, made)


def add_stream(stream: BinaryIO, blocks: Blocks, budget: Budget, chunk: int = CHUNK, width: int = WIDTH) -> Made:
    """Store a stream as a file. `stream.read(n)` must give n bytes unless the stream ends."""
    builder = FileBuilder(blocks, width)
    while data := stream.read(chunk):
        budget.spend_bytes(len(data))
        budget.spend_block()
        builder.push(data)
    return builder.finish()
