"""Signatures that cost nothing: the signer's address and a hash, in the shape of a real one.

Nobody in a simulated world tries to forge them; that real ones can't be forged is tested with real ones.
"""

from __future__ import annotations

from hashlib import blake2b

from protocol.errors import NotSigned
from protocol.identity import Address


def sign(signer: Address, digest: bytes) -> bytes:
    """65 bytes that name the signer and depend on the digest."""
    return signer + blake2b(digest, key=signer, digest_size=44).digest() + b"\x1b"


def recover(digest: bytes, signature: bytes) -> Address:
    """The signer; raises `NotSigned` where the signature is not of this digest."""
    signer = Address(signature[:20])
    if signature != sign(signer, digest):
        raise NotSigned("not a signature of this digest")
    return signer
