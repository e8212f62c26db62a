"""A peer is its address: one secp256k1 key names a peer on the network and an account on the chain.

The libp2p peer id of a secp256k1 key holds the whole public key, so the chain address is derived from it and no message
that binds the two exists which could be forged.

Sources: libp2p specs, peer-ids (identity multihash of the protobuf ``PublicKey``); Ethereum yellow paper, appendix F
(address = last 20 bytes of Keccak-256 of the uncompressed key).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NewType

import base58
from coincurve import PublicKey
from eth_hash.auto import keccak

from protocol.errors import Malformed

Address = NewType("Address", bytes)
"""20 bytes: who somebody is, everywhere in the house."""

PeerId = NewType("PeerId", str)
"""Base58 text of a libp2p peer id; only the network layer and people need it."""

NOBODY = Address(bytes(20))

# multihash "identity" of 37 bytes; protobuf: field 1 (type) = 2 (secp256k1), field 2 (data) = 33 bytes
_PREFIX = bytes.fromhex("002508021221")
_COMPRESSED = 33


def address_of_public_key(compressed: bytes) -> Address:
    """The chain address of a 33-byte compressed public key; raises `Malformed` if it is not a point of the curve."""
    if len(compressed) != _COMPRESSED:
        raise Malformed(f"a compressed public key has {_COMPRESSED} bytes, not {len(compressed)}")
    try:
        point = PublicKey(compressed).format(compressed=False)
    except ValueError as error:
        raise Malformed("a public key that is not on secp256k1") from error
    return Address(keccak(point[1:])[12:])


def peer_id_of_public_key(compressed: bytes) -> PeerId:
    """The libp2p peer id of a 33-byte compressed secp256k1 public key."""
    if len(compressed) != _COMPRESSED:
        raise Malformed(f"a compressed public key has {_COMPRESSED} bytes, not {len(compressed)}")
    return PeerId(base58.b58encode(_PREFIX + compressed).decode())


@lru_cache(maxsize=4096)
def address_of_peer(peer_id: str) -> Address:
    """The chain address that a peer id stands for; raises `Malformed` for ids of other kinds of keys."""
    try:
        raw = base58.b58decode(peer_id) if len(peer_id) <= 64 else b""
    except ValueError as error:
        raise Malformed("a peer id that is not base58") from error
    if not raw.startswith(_PREFIX) or len(raw) != len(_PREFIX) + _COMPRESSED:
        raise Malformed("a peer id that is not a secp256k1 key: this market needs one key for network and chain")
    return address_of_public_key(raw[len(_PREFIX) :])


def public_key_of_peer(peer_id: str) -> bytes:
    """The 33-byte compressed public key in a peer id; raises `Malformed` for ids of other kinds of keys."""
    address_of_peer(peer_id)
    return bytes(base58.b58decode(peer_id)[len(_PREFIX) :])


def show(address: bytes) -> str:
    """``0x`` and 40 lower-case hex digits."""
    return "0x" + address.hex()
