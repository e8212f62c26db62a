"""A CID: the name of a block, made of the hash of its bytes and how to read them.

Format: multiformats CIDv1. Of its many forms only one is allowed here, so that equal content has equal names:
codec raw (0x55) or dag-pb (0x70), sha2-256, text in lower-case base32 ("bafk..." and "bafy...").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from content.errors import BadBlock, BadCid
from protocol.errors import Misuse

CID_BYTES = 36
"""Version, codec, hash function and digest length take one byte each; then come 32 bytes of digest."""
TEXT_LENGTH = 59


class Codec(IntEnum):
    """How to read the bytes of a block (multicodec table)."""

    RAW = 0x55
    DAG_PB = 0x70


_PREFIX = {codec: bytes([1, codec, 0x12, 0x20]) for codec in Codec}
_CODEC = {prefix: codec for codec, prefix in _PREFIX.items()}


@dataclass(frozen=True, slots=True)
class Cid:
    """The name of one block."""

    codec: Codec
    digest: bytes
    """SHA-256 of the block, 32 bytes."""

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise Misuse(f"a digest has 32 bytes, not {len(self.digest)}")

    @classmethod
    def of(cls, codec: Codec, block: bytes) -> Self:
        """The name of a block of our own."""
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the binary form, exactly 36 bytes; raises `BadCid`."""
        codec = _CODEC.get(data[:4])
        if codec is None or len(data) != CID_BYTES:
            raise BadCid(f"not a CIDv1 of raw or dag-pb under sha2-256: {data[:CID_BYTES].hex()}")
        return cls(codec, data[4:])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raises `BadCid` for every other spelling, also for another base or version."""
        if len(text) != TEXT_LENGTH or not text.isascii() or not text.startswith("b") or text != text.lower():
            raise BadCid(f"not a CIDv1 in lower-case base32: {text[:80]!r}")
        try:
            data = base64.b32decode(text[1:].upper() + "======")
        except binascii.Error:
            raise BadCid(f"not base32: {text!r}") from None
        cid = cls.from_bytes(data)
        if str(cid) != text:  # the last letter carries two spare bits, which must be zero
            raise BadCid(f"not in canonical base32: {text!r}")
        return cid

    def __bytes__(self) -> bytes:
        return _PREFIX[self.codec] + self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(bytes(self)).decode("ascii").rstrip("=").lower()

    def verify(self, block: bytes) -> None:
        """Raise `BadBlock` unless these are the bytes that the CID names."""
        if hashlib.sha256(block).digest() != self.digest:
            raise BadBlock(f"{len(block)} bytes are not the block {self}")
