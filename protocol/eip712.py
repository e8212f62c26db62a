"""Typed signatures (EIP-712) over flat structs: what both the vault and the peers can check.

A struct is a frozen dataclass whose every field carries its Solidity type: ``pay: Annotated[int, "uint96"]``. Only
static types occur, so a struct's encoding is one 32-byte word a field.

Source: EIP-712, "Definition of hashStruct" and "Definition of encodeData".
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any, get_args, get_type_hints

from eth_hash.auto import keccak

from protocol.errors import Malformed, Misuse
from protocol.identity import Address


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a signature counts: one vault on one chain."""

    chain_id: int
    vault: Address
    name: str = "Lilypad Vault"
    version: str = "1"

    def separator(self) -> bytes:
        """The 32-byte domain separator."""
        return _separator(self)


@cache
def _separator(domain: Domain) -> bytes:
    kind = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    return keccak(
        keccak(kind)
        + keccak(domain.name.encode())
        + keccak(domain.version.encode())
        + domain.chain_id.to_bytes(32, "big")
        + domain.vault.rjust(32, b"\0")
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """How a struct is signed."""

    fields: tuple[tuple[str, str], ...]
    """Names and Solidity types, in order of signing."""
    text: str
    """The type as EIP-712 writes it, for example ``Voucher(bytes32 deal,uint96 amount)``; the contract repeats it."""
    hash: bytes
    """Keccak-256 of the text."""


_LAYOUTS: dict[type, Layout] = {}


def layout(struct: type) -> Layout:
    """The layout of a struct's class, worked out once."""
    known = _LAYOUTS.get(struct)
    if known is None:
        known = _LAYOUTS[struct] = _lay_out(struct)
    return known


def _lay_out(struct: type) -> Layout:
    hints = get_type_hints(struct, include_extras=True)
    pairs = []
    for field in fields(struct):
        annotated = get_args(hints[field.name])
        if len(annotated) != 2 or not isinstance(annotated[1], str):
            raise Misuse(f"{struct.__name__}.{field.name} carries no Solidity type")
        pairs.append((field.name, annotated[1]))
    text = f"{struct.__name__}({','.join(f'{kind} {_camel(name)}' for name, kind in pairs)})"
    return Layout(tuple(pairs), text, keccak(text.encode()))


def struct_hash(struct: Any) -> bytes:
    """Keccak-256 of the type hash and one word a field; raises `Malformed` where a value leaves its type."""
    plan = layout(type(struct))
    return keccak(plan.hash + b"".join(_word(kind, getattr(struct, name), name) for name, kind in plan.fields))


@lru_cache(maxsize=4096)  # a deal's id is asked for with every message about it
def digest(domain: Domain, struct: Any) -> bytes:
    """The 32 bytes that are signed; for a deal this is its id everywhere."""
    return keccak(b"\x19\x01" + domain.separator() + struct_hash(struct))


def _word(kind: str, value: Any, name: str) -> bytes:
    if kind.startswith("uint"):
        if not isinstance(value, int) or not 0 <= value < 1 << int(kind[4:]):
            raise Malformed(f"{name} does not fit {kind}")
        return value.to_bytes(32, "big")
    if kind == "address" and isinstance(value, bytes) and len(value) == 20:
        return value.rjust(32, b"\0")
    if kind == "bytes32" and isinstance(value, bytes) and len(value) == 32:
        return value
    raise Malformed(f"{name} does not fit {kind}")


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
