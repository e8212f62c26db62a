"""Write `messages.json`: one message of every kind, its canonical bytes, and the bytes sent when a known key signs it.

python tests/vectors/make_messages.py
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from coincurve import PrivateKey

from protocol.eip712 import Domain
from protocol.identity import Address, address_of_public_key, show
from protocol.messages import Gossip, Message, Move
from protocol.signing import seal
from protocol.types import Limit
from protocol.wire import digest, encode, members, name_of

SECRET = 0x11
KEY = PrivateKey.from_int(SECRET)
DOMAIN = Domain(1337, Address(bytes(range(20))))
FILE = Path(__file__).with_name("messages.json")
LENGTHS = {"bytes81": 81, "bytes65": 65, "bytes32": 32, "bytes16": 16, "address": 20}


def sign(digest32: bytes) -> bytes:
    """A deterministic signature (RFC 6979) with the known key."""
    raw = KEY.sign_recoverable(digest32, hasher=None)
    return raw[:64] + bytes([27 + raw[64]])


def example(kind: Any, name: str = "") -> Any:
    """A value of this type; every field gets another one."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind, include_extras=True)
        return kind(**{field.name: example(hints[field.name], field.name) for field in fields(kind)})
    if kind is bool:
        return True
    base, bound = get_args(kind)[:2]
    number = sum(name.encode())
    if isinstance(bound, Limit):
        return (example(get_args(base)[0], name),) if get_origin(base) is tuple else name
    if bound in LENGTHS:
        return bytes((number + i) % 256 for i in range(LENGTHS[bound]))
    return (number << 64 if bound in ("uint96", "uint80") else number) % (1 << int(bound.removeprefix("uint")))


def vectors() -> dict[str, Any]:
    """Everything that the file holds."""
    rows = []
    for kind in (*members(Message), *members(Gossip)):
        message = example(kind)
        row = {"type": name_of(kind), "canonical": encode(message).hex(), "sealed": seal(message, DOMAIN, sign).hex()}
        if isinstance(message, Move):
            row["digest"] = digest(message).hex()
        rows.append(row)
    return {
        "domain": {"chain_id": DOMAIN.chain_id, "vault": show(DOMAIN.vault)},
        "signer": {"secret": f"{SECRET:064x}", "address": show(address_of_public_key(KEY.public_key.format()))},
        "messages": rows,
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
