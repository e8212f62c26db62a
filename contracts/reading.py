"""What JSON-RPC answers are made of, read strictly: an error in an answer's place is raised here."""

from __future__ import annotations

from typing import Any

from contracts.errors import ChainError, Garbled
from contracts.journal import Receipt
from protocol.identity import Address

ADDRESS_BYTES = 20
_MOST_COUNTED = (1 << 48) - 1
"""No chain is that long, no nonce that high and no block that large; more than it is a lie, and fits no database."""


def quantity(raw: Any) -> int:
    """A number in hex; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    if not isinstance(raw, str) or not raw.startswith("0x") or len(raw) > 66:
        raise Garbled(f"{str(raw)[:60]} is no quantity")
    try:
        return int(raw, 16)
    except ValueError as error:
        raise Garbled(f"{raw[:60]} is no quantity") from error


def counted(raw: Any) -> int:
    """A height, nonce, moment or amount of gas in hex: a `quantity` below 2^48."""
    number = quantity(raw)
    if number > _MOST_COUNTED:
        raise Garbled(f"{raw[:60]} is more than can be counted")
    return number


def field(raw: Any, name: str) -> Any:
    """A field of an object; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    if not isinstance(raw, dict) or name not in raw:
        raise Garbled(f"no {name} in an answer")
    return raw[name]


def data(raw: Any) -> bytes:
    """Bytes in hex; raises the error that stands in its place, or `Garbled`."""
    if isinstance(raw, ChainError):
        raise raw
    try:
        return bytes.fromhex(raw.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise Garbled(f"{str(raw)[:60]} are no bytes") from error


def read_receipt(raw: Any, of: bytes) -> Receipt | None:
    """The receipt of the transaction with the hash ``of``, None where the endpoint has none.

    Raises the error that stands in its place, or `Garbled`, also where it is the receipt of another transaction.
    """
    if raw is None:
        return None
    name = data(field(raw, "transactionHash"))
    if name != of:
        raise Garbled("the receipt of another transaction")
    status = quantity(field(raw, "status"))
    if status > 1:
        raise Garbled("a receipt with no known status")
    created = raw.get("contractAddress")
    if created is not None and len(data(created)) != ADDRESS_BYTES:
        raise Garbled("a contract's address is no address")
    return Receipt(
        hash=name,
        block=counted(field(raw, "blockNumber")),
        gas_used=counted(field(raw, "gasUsed")),
        status=status,
        created=None if created is None else Address(data(created)),
    )
