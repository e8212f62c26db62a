"""The field types of signed structs and messages; each carries its bounds, and decoding enforces them.

A type's metadata is its Solidity name (a range of integers, a length of bytes) or a `Limit` (of a text or a list).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocol.identity import Address


@dataclass(frozen=True, slots=True)
class Limit:
    """The most elements of a list, characters of a text or bytes of a binary."""

    most: int


Amount = Annotated[int, "uint96"]
"""Money: base units of the vault's coin."""
Moment = Annotated[int, "uint40"]
"""Seconds of the chain's clock, Unix time."""
Span = Annotated[int, "uint32"]
"""Seconds."""
Hash = Annotated[bytes, "bytes32"]
Party = Annotated[Address, "address"]
Small = Annotated[int, "uint8"]
Count = Annotated[int, "uint32"]
Large = Annotated[int, "uint64"]
Seat = Annotated[int, "uint80"]
Version = Annotated[int, "uint40"]
"""Counts the deals of a standing line from 1."""
TalkId = Annotated[bytes, "bytes16"]
Signature = Annotated[bytes, "bytes65"]
"""r, s, v of a recoverable ECDSA signature over secp256k1; v is 27 or 28, s in the lower half."""
SealedKey = Annotated[bytes, "bytes81"]
"""A 32-byte key sealed to one peer: a compressed public key, the encrypted key, a tag; see `node.sealing`."""
Text = Annotated[str, Limit(200)]
CidText = Annotated[str, Limit(100)]
"""A CIDv1 as text; content/ parses it."""

UNSIGNED = bytes(65)
"""What an agent writes where its world puts the signature: agents hold no key."""
