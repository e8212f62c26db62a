"""Signed EIP-1559 transactions, byte for byte.

Source: EIP-1559, "Specification"; EIP-2718 for the envelope.
"""

from __future__ import annotations

from dataclasses import dataclass

from coincurve import PrivateKey
from eth_hash.auto import keccak

from protocol.identity import Address

_TYPE = b"\x02"


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is signed."""

    chain_id: int
    nonce: int
    to: Address | None
    """None creates a contract."""
    value: int
    """Base units of the coin."""
    data: bytes
    gas: int
    max_fee: int
    """The most to pay, base units a unit of gas."""
    tip: int
    """Of that to the block's maker."""


@dataclass(frozen=True, slots=True)
class Signed:
    """The bytes to send and the hash they are known by."""

    raw: bytes
    hash: bytes


def sign(transaction: Transaction, key: PrivateKey) -> Signed:
    """Sign with the key of the sender; deterministic (RFC 6979), so the same transaction gives the same bytes."""
    import rlp  # type: ignore[import-untyped]

    fields: list[object] = [
        transaction.chain_id,
        transaction.nonce,
        transaction.tip,
        transaction.max_fee,
        transaction.gas,
        transaction.to or b"",
        transaction.value,
        transaction.data,
        [],
    ]
    signature = key.sign_recoverable(keccak(_TYPE + rlp.encode(fields)), hasher=None)
    r, s, parity = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    raw = _TYPE + rlp.encode([*fields, parity, r, s])
    return Signed(raw, keccak(raw))
