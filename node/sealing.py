"""Sealing a box's key to one peer: only whoever holds the peer's own key can unseal it.

ECIES over secp256k1: a fresh key pair, its shared secret with the peer's public key through HKDF-SHA256 (RFC 5869),
ChaCha20-Poly1305 (RFC 8439) under the result. The nonce is zero, since no derived key is used twice. What it is for is
bound in, so a sealed key can't be passed off as that of another box.

Source: SEC 1 version 2.0, section 5.1 (ECIES); the parts are as in HPKE (RFC 9180, section 4) without its suite names.
"""

from __future__ import annotations

from coincurve import PrivateKey, PublicKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from content.box import KEY_BYTES
from protocol.errors import PeerFault

SEALED_BYTES = 33 + KEY_BYTES + 16
_NONCE = bytes(12)


class NotForUs(PeerFault):
    """A sealed key that our own key does not unseal."""


def seal_key(key: bytes, to: bytes, purpose: bytes) -> bytes:
    """A box's key for the holder of a compressed public key; 81 bytes. Raises `ValueError` for what is no key."""
    once = PrivateKey()
    public = once.public_key.format()
    shared = PublicKey(to).multiply(once.secret).format()
    return bytes(public) + ChaCha20Poly1305(_derived(shared, public, to, purpose)).encrypt(_NONCE, key, None)


def unseal_key(sealed: bytes, secret: bytes, purpose: bytes) -> bytes:
    """What `seal_key` had sealed to us; raises `NotForUs`."""
    own = PrivateKey(secret)
    public = sealed[:33]
    try:
        shared = PublicKey(public).multiply(own.secret).format()
        cipher = ChaCha20Poly1305(_derived(shared, public, own.public_key.format(), purpose))
        return bytes(cipher.decrypt(_NONCE, sealed[33:], None))
    except (InvalidTag, ValueError) as error:
        raise NotForUs("a key that is not sealed to us") from error


def _derived(shared: bytes, public: bytes, to: bytes, purpose: bytes) -> bytes:
    info = b"lilypad/1/box-key" + public + to + purpose
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(shared)
