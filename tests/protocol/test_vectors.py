"""The published test vectors are what this code writes and reads."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from protocol.eip712 import Domain
from protocol.identity import Address
from protocol.messages import Enveloped, Gossip, Message, Move, Statement
from protocol.signing import unseal
from protocol.wire import decode, digest, encode, members, name_of

FOLDER = Path(__file__).parents[1] / "vectors"
PUBLISHED: dict[str, Any] = json.loads((FOLDER / "messages.json").read_text())


def test_the_published_vectors_are_made_by_the_script_beside_them() -> None:
    assert runpy.run_path(str(FOLDER / "make_messages.py"))["vectors"]() == PUBLISHED


def test_there_is_a_vector_for_every_message() -> None:
    kinds = {name_of(kind) for kind in (*members(Message), *members(Gossip))}
    assert {row["type"] for row in PUBLISHED["messages"]} == kinds


@pytest.mark.parametrize("row", PUBLISHED["messages"], ids=lambda row: row["type"])
def test_a_vector_reads_as_its_message_by_its_signer(row: dict[str, str]) -> None:
    message = decode(bytes.fromhex(row["canonical"]))
    assert name_of(type(message)) == row["type"]
    assert encode(message).hex() == row["canonical"]
    domain = Domain(PUBLISHED["domain"]["chain_id"], Address(bytes.fromhex(PUBLISHED["domain"]["vault"][2:])))
    unsealed = unseal(bytes.fromhex(row["sealed"]), domain)
    author = "0x" + unsealed.author.hex() if unsealed.author else None
    assert author == (PUBLISHED["signer"]["address"] if isinstance(message, Statement | Enveloped) else None)
    if isinstance(message, Move):
        assert digest(message).hex() == row["digest"]
