"""The key file: a standard keystore that nobody else can read, and that refuses in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account

from node.errors import ExitCode, UserError
from node.keys import Key, address_in, load_key, new_key, save_key
from protocol.identity import address_of_peer
from protocol.signing import SIGNATURE_BYTES

SECRET = bytes(range(1, 33))


def test_a_saved_key_comes_back_and_other_wallets_read_it(tmp_path: Path) -> None:
    key, file = new_key(), tmp_path / "deep" / "key.json"
    save_key(key, file, "pass phrase ü")
    assert file.stat().st_mode & 0o777 == 0o600
    assert load_key(file, "pass phrase ü").secret == key.secret
    assert bytes(Account.decrypt(json.loads(file.read_text()), "pass phrase ü")) == key.secret
    assert address_in(file) == key.address
    with pytest.raises(UserError, match="already"):
        save_key(new_key(), file, "another")
    assert load_key(file, "pass phrase ü").secret == key.secret


def test_one_key_is_peer_and_address() -> None:
    key = Key(SECRET)
    assert key.address == bytes.fromhex(Account.from_key(SECRET).address[2:])
    assert address_of_peer(key.peer_id) == key.address
    assert SECRET.hex() not in repr(key)


def test_a_signature_is_the_one_that_the_chain_knows() -> None:
    digest = bytes(32)
    ours = Key(SECRET).sign(digest)
    theirs = Account.unsafe_sign_hash(digest, SECRET)
    assert len(ours) == SIGNATURE_BYTES
    assert ours == bytes(theirs.signature)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "can't be read"),
        ("[]", "can't be read"),
        ("{}", "can't be read"),
        ('{"version": 3, "crypto": {}}', "can't be read"),
        ('{"version": 9}', "can't be read"),
        ("x" * 100_000, "can't be read"),
    ],
)
def test_a_damaged_file_is_told_so(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "key.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(UserError, match=said) as raised:
        load_key(file, "x")
    assert raised.value.code is ExitCode.FUNDS_OR_KEY


def test_an_empty_passphrase_protects_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        save_key(new_key(), tmp_path / "key.json", "")
    assert not (tmp_path / "key.json").exists()
