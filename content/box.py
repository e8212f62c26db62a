"""A box: a DAG encrypted into one file, which anybody may serve and nobody reads without its key.

::

    "lilypad-box-1\\n" ‖ prefix (7 random bytes) ‖ chunk ‖ chunk ‖ …

The plain text is the CAR of the DAG. Each chunk is up to 64 KiB of it under ChaCha20-Poly1305 (RFC 8439) with the nonce
prefix ‖ number of the chunk (4 bytes, big-endian) ‖ 1 for the last chunk, else 0, and the first bytes of the file as
associated data: chunks can't be dropped, moved or cut off (the STREAM construction: Hoang, Reyhanitabar, Rogaway and
Vizár, 2015). A key serves one box only. What a box does not hide is its size.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from content.blocks import Blocks
from content.car import load_car, write_car
from content.cid import Cid
from content.layout import add_stream
from content.limits import Budget, Limits
from content.reading import cat, look
from content.unixfs import Directory
from content.walk import walk
from protocol.errors import PeerFault

MAGIC = b"lilypad-box-1\n"
KEY_BYTES = 32
CHUNK = 64 * 1024
_TAG = 16
_PREFIX = 7
_IN_MEMORY = 16 << 20


class BadBox(PeerFault):
    """A box that its key does not open, or that holds no DAG."""


def new_key() -> bytes:
    """A key for one box."""
    return os.urandom(KEY_BYTES)


def close_box(root: Cid, plain: Blocks, key: bytes, into: Blocks) -> Cid:
    """Encrypt the DAG below ``root`` into a file in ``into``; the file's CID. Raises `MissingBlock`."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        for part in _sealed(_chunks(write_car(root, walk(root, plain))), key):
            file.write(part)
        file.seek(0)
        return add_stream(file, into, Budget(Limits())).cid  # type: ignore[arg-type]


def open_box(box: Cid, blocks: Blocks, key: bytes, into: Blocks, limits: Limits = Limits()) -> Cid:  # noqa: B008
    """Decrypt a box into ``into``; the root of the DAG in it. Raises `BadBox`, `MissingBlock`, `TooMuch`, `BadCar`."""
    with tempfile.TemporaryFile() as file:
        budget = Budget(limits)
        for part in _opened(cat(box, blocks), key):
            budget.spend_bytes(len(part))
            file.write(part)
        file.seek(0)
        return load_car(file, into, None, limits)


def is_box(cid: Cid, blocks: Blocks) -> bool:
    """Whether this is a file that begins like a box; raises `MissingBlock`."""
    if isinstance(look(cid, blocks), Directory):
        return False
    return b"".join(cat(cid, blocks, 0, len(MAGIC))) == MAGIC


def _chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        held += part
        while len(held) > CHUNK:  # the last chunk is never empty, and known to be the last
            yield bytes(held[:CHUNK])
            del held[:CHUNK]
    yield bytes(held)


def _sealed(chunks: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    head = MAGIC + os.urandom(_PREFIX)
    yield head
    cipher, ahead = ChaCha20Poly1305(key), next(chunks)
    number = 0
    for chunk in chunks:
        yield cipher.encrypt(_nonce(head, number, last=False), ahead, head)
        ahead, number = chunk, number + 1
    yield cipher.encrypt(_nonce(head, number, last=True), ahead, head)


def _opened(parts: Iterator[bytes], key: bytes) -> Iterator[bytes]:
    stream = _Joined(parts)
    head = stream.read(len(MAGIC) + _PREFIX)
    if not head.startswith(MAGIC) or len(head) < len(MAGIC) + _PREFIX:
        raise BadBox("this is no box")
    cipher, number, ahead = ChaCha20Poly1305(key), 0, stream.read(CHUNK + _TAG)
    while True:
        following = stream.read(CHUNK + _TAG)
        try:
            yield cipher.decrypt(_nonce(head, number, last=not following), ahead, head)
        except (InvalidTag, ValueError):
            raise BadBox("the box does not open with this key, or was changed") from None
        if not following:
            return
        ahead, number = following, number + 1


def _nonce(head: bytes, number: int, *, last: bool) -> bytes:
    return head[-_PREFIX:] + number.to_bytes(4, "big") + bytes([last])


class _Joined:
    """Parts of any size, read in pieces of a wanted one."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        while len(self._held) < size:
            part = next(self._parts, b"")
            if not part:
                break
            self._held += part
        found = bytes(self._held[:size])
        del self._held[:size]
        return found
