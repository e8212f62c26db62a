"""What JSON-RPC answers are made of, read strictly: an error in an answer's place is raised here."""

from __future__ import annotations

from typing import Any

from contracts.errors import ChainError, Garbled
from contracts.journal import Receipt
from protocol.identity import Address

ADDRESS_BYTES = 20


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


def read_receipt(raw: dict[str, Any]) -> Receipt:
    """A receipt as an endpoint gives it; raises `Garbled`."""
    created = raw.get("contractAddress")
    if created is not None and len(data(created)) != ADDRESS_BYTES:
        raise Garbled("a contract's address is no address")
    return Receipt(
        hash=data(field(raw, "transactionHash")),
        block=quantity(field(raw, "blockNumber")),
        gas_used=quantity(field(raw, "gasUsed")),
        status=quantity(field(raw, "status")),
        created=None if created is None else Address(data(created)),
    )
