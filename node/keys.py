"""The key of a peer: 32 bytes, asleep in a standard key file, awake only here and in the parts that sign with it.

Format of the file: Web3 Secret Storage, version 3, which every Ethereum wallet reads and writes.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from node.errors import ExitCode, UserError
from protocol.identity import Address, PeerId, address_of_public_key, peer_id_of_public_key
from protocol.signing import SIGNATURE_BYTES

KEY_BYTES = 32
_SCRYPT_COST = 1 << 17
"""About half a second and 128 MiB for each guess at a passphrase."""
_MOST_FILE_BYTES = 10_000


class Key:
    """A secret key, and what can be done with it."""

    def __init__(self, secret: bytes) -> None:
        self._key = PrivateKey(secret)
        public = self._key.public_key.format()
        self.public: bytes = public
        """33 bytes, compressed."""
        self.address: Address = address_of_public_key(public)
        self.peer_id: PeerId = peer_id_of_public_key(public)

    @property
    def secret(self) -> bytes:
        """The 32 bytes, for the network layer and the key file only."""
        return bytes(self._key.secret)

    @property
    def private(self) -> PrivateKey:
        """For the chain's sender only."""
        return self._key

    def sign(self, digest: bytes) -> bytes:
        """r ‖ s ‖ v over a 32-byte digest; deterministic (RFC 6979), s in the lower half."""
        raw = self._key.sign_recoverable(digest, hasher=None)
        assert len(raw) == SIGNATURE_BYTES
        return bytes(raw[:64] + bytes([raw[64] + 27]))

    def __repr__(self) -> str:
        return f"Key(0x{self.address.hex()})"


def new_key() -> Key:
    """A fresh key from the system's randomness."""
    while True:
        try:
            return Key(secrets.token_bytes(KEY_BYTES))
        except ValueError:  # 0 or beyond the curve's order: one in 2^128
            continue


def save_key(key: Key, path: Path, passphrase: str) -> None:
    """Write the key file, readable by its owner only; raises `UserError` where one is there already."""
    import eth_keyfile

    if not passphrase:
        raise UserError(ExitCode.FUNDS_OR_KEY, "the passphrase is empty", "choose one that is hard to guess")
    content = eth_keyfile.create_keyfile_json(key.secret, passphrase.encode(), kdf="scrypt", iterations=_SCRYPT_COST)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UserError(
            ExitCode.FUNDS_OR_KEY, f"there is a key in {path} already", "move it away before you make another"
        ) from None
    with os.fdopen(handle, "w") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())


def load_key(path: Path, passphrase: str) -> Key:
    """Open a key file; raises `UserError` where it is missing, open to others, damaged, or the passphrase is wrong."""
    import eth_keyfile

    content = _read(path)
    try:
        key = Key(eth_keyfile.decode_keyfile_json(content, passphrase.encode()))
    except ValueError as error:
        if "MAC" in str(error):
            raise UserError(
                ExitCode.FUNDS_OR_KEY, f"the passphrase does not open {path}", "set LILYPAD_PASSPHRASE to the right one"
            ) from None
        raise _damaged(path, str(error)) from None
    except (KeyError, TypeError, NotImplementedError) as error:
        raise _damaged(path, repr(error)) from None
    named = _address_of(content)
    if named not in (None, key.address):
        # others are told the address in the file, and money sent there would be nobody's here
        raise UserError(
            ExitCode.FUNDS_OR_KEY,
            f"the key file {path} names the address 0x{named.hex()}, but its key is that of 0x{key.address.hex()}",
            "restore it from your copy, or correct its `address`",
        )
    return key


def address_in(path: Path) -> Address | None:
    """The address that a key file names, without opening it."""
    return _address_of(_read(path))


def _address_of(content: dict[str, Any]) -> Address | None:
    named = content.get("address")
    try:
        return Address(bytes.fromhex(str(named).removeprefix("0x")))
    except ValueError:
        return None


def _read(path: Path) -> dict[str, Any]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(
                ExitCode.FUNDS_OR_KEY, f"{path} is no file", "move it away, and put the key file there from your copy"
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise UserError(ExitCode.FUNDS_OR_KEY, f"the key file {path} can be read by others", f"chmod 600 {path}")
        content = json.loads(path.read_bytes()[:_MOST_FILE_BYTES])
    except FileNotFoundError:
        raise UserError(
            ExitCode.FUNDS_OR_KEY, f"there is no key in {path}", "make one with `lilypad wallet new`"
        ) from None
    except PermissionError:
        raise UserError(
            ExitCode.FUNDS_OR_KEY, f"the key file {path} is not yours to read", f"chown it, or chmod 600 {path}"
        ) from None
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(content, dict):
        raise _damaged(path, "not a JSON object")
    return content


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        ExitCode.FUNDS_OR_KEY, f"the key file {path} can't be read ({why[:100]})", "restore it from your copy"
    )
