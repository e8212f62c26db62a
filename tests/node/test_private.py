"""Private content between two workshops: who holds the key reads it, nobody else, and the gateway never has it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from content.adding import add_path
from content.blocks import FileBlocks
from content.box import new_key
from node.keyring import Keyring
from node.keys import Key
from node.keys import new_key as new_identity
from node.sealing import SEALED_BYTES, NotForUs, seal_key, unseal_key
from node.workshop import Workshop
from protocol.messages import Opener

DEAL = bytes(range(32))


def ring(key: Key) -> Keyring:
    return Keyring(sqlite3.connect(":memory:", isolation_level=None), key)


def test_a_sealed_key_is_unsealed_by_its_receiver_only_and_for_its_purpose_only() -> None:
    ann, bob, key = new_identity(), new_identity(), new_key()
    sealed = seal_key(key, ann.public, b"this box")
    assert len(sealed) == SEALED_BYTES
    assert sealed != seal_key(key, ann.public, b"this box")
    assert unseal_key(sealed, ann.secret, b"this box") == key
    changed = [sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(0, SEALED_BYTES, 9)]
    for wrong, secret, purpose in [
        (sealed, bob.secret, b"this box"),
        (sealed, ann.secret, b"another box"),
        *((each, ann.secret, b"this box") for each in changed),
        (bytes(SEALED_BYTES), ann.secret, b"this box"),
    ]:
        with pytest.raises(NotForUs):
            unseal_key(wrong, secret, purpose)


async def test_what_one_workshop_closes_another_opens_once_it_is_sent_the_key(tmp_path: Path) -> None:
    ann, bob, eve = new_identity(), new_identity(), new_identity()
    rings = {who: ring(who) for who in (ann, bob, eve)}
    shops = {
        who: Workshop(
            FileBlocks(tmp_path / f"{i}-public"), FileBlocks(tmp_path / f"{i}-private"), rings[who], {}, tmp_path, None
        )
        for i, who in enumerate((ann, bob, eve))
    }
    secret = tmp_path / "secret"
    secret.write_text("nobody else's business")
    root = add_path(secret, shops[ann].everything)
    box = await shops[ann].close(root)
    assert shops[ann].size(root)
    assert not shops[ann].blocks.has(root), "the public store has only the box"
    assert b"business" not in b"".join(
        path.read_bytes() for path in (tmp_path / "0-public").rglob("*") if path.is_file()
    )
    opener = rings[ann].opener(DEAL, str(box), bob.peer_id)
    assert isinstance(opener, Opener)
    rings[bob].heard(ann.address, opener)
    assert rings[bob].of(ann.address, str(box)) is not None
    assert rings[bob].of(eve.address, str(box)) is None, "a key counts for content from its sender only"
    assert rings[bob].opener(DEAL, str(box), eve.peer_id) is None, "what is not opened is not passed on"
    with pytest.raises(NotForUs):
        rings[eve].heard(ann.address, opener)
    with pytest.raises(NotForUs):
        rings[bob].heard(ann.address, Opener(bytes(32), opener.cid, opener.box, opener.key))
    assert rings[ann].opener(DEAL, str(add_path(tmp_path / "1-public", shops[bob].blocks)), bob.peer_id) is None


def test_keys_on_disk_are_sealed_to_their_owner(tmp_path: Path) -> None:
    ann, key = new_identity(), new_key()
    connection = sqlite3.connect(tmp_path / "keys", isolation_level=None)
    secret = tmp_path / "secret"
    secret.write_text("x")
    blocks = FileBlocks(tmp_path / "blocks")
    cid = add_path(secret, blocks)
    Keyring(connection, ann).keep(cid, cid, key, cid)
    connection.close()
    assert key not in (tmp_path / "keys").read_bytes()
    again = Keyring(sqlite3.connect(tmp_path / "keys", isolation_level=None), ann).ours(str(cid))
    assert again is not None
    assert again.key == key
