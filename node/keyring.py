"""The keys of boxes: those of our own content, and those that others have sealed to us.

A private job's inputs and results leave a node only as boxes (`content.box`). Whoever may read one is sent its key,
sealed to its own (`node.sealing`), just before the message that names the content. On disk every key is sealed to ours.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import trio

from content.cid import Cid
from node.keys import Key
from node.sealing import seal_key, unseal_key
from protocol.errors import PeerFault
from protocol.identity import Address, PeerId, public_key_of_peer
from protocol.messages import Opener

PATIENCE = 5.0
"""Seconds that content waits for its key, which travels by itself."""
MOST_FROM_ONE = 4096
"""Keys kept of one sender; the oldest give way."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS boxes (
    sender BLOB NOT NULL, cid TEXT NOT NULL, box TEXT NOT NULL, key BLOB NOT NULL, root TEXT,
    PRIMARY KEY (sender, cid)
);
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A box and what opens it."""

    box: Cid
    key: bytes
    root: Cid | None
    """The DAG in it, where it has been opened or is our own."""


class Keyring:
    """One node's keys of boxes."""

    def __init__(self, connection: sqlite3.Connection, own: Key) -> None:
        self._connection = connection
        self._own = own
        self._came = trio.Event()
        connection.executescript(_SCHEMA)

    def keep(self, cid: Cid, box: Cid, key: bytes, root: Cid) -> None:
        """Content of our own, or that we have opened: by the CID it is asked for, its box, and the DAG in it."""
        self._write(self._own.address, str(cid), str(box), key, str(root))

    def ours(self, cid: str) -> Held | None:
        """The box of content that we may pass on; None where it is not private, or not ours to pass on."""
        return self._find(self._own.address, cid)

    def root_of(self, cid: Cid) -> Cid:
        """The DAG that is meant by a CID: what is in the box where it names one that we have opened, else itself."""
        held = self.ours(str(cid))
        return held.root if held is not None and held.root is not None else cid

    def of(self, sender: Address, cid: str) -> Held | None:
        """What this peer said opens this content."""
        return self._find(sender, cid)

    async def wait_for(self, sender: Address, cid: str) -> Held | None:
        """The same, with patience; None where no key came."""
        with trio.move_on_after(PATIENCE):
            while (held := self._find(sender, cid)) is None:
                self._came = came = trio.Event() if self._came.is_set() else self._came
                await came.wait()
            return held
        return None

    def heard(self, sender: Address, message: Opener) -> None:
        """A key has come; raises `NotForUs`, or another fault of the sender's."""
        key = unseal_key(message.key, self._own.secret, _purpose(message.deal, message.cid, message.box))
        self._write(sender, str(Cid.parse(message.cid)), str(Cid.parse(message.box)), key, None)
        self._connection.execute(
            "DELETE FROM boxes WHERE sender = ? AND rowid NOT IN"
            " (SELECT rowid FROM boxes WHERE sender = ? ORDER BY rowid DESC LIMIT ?)",
            (sender, sender, MOST_FROM_ONE),
        )
        self._came.set()

    def opener(self, deal: bytes, cid: str, to: PeerId) -> Opener | None:
        """The message that lets a peer open this content; None where it is not private."""
        held = self.ours(cid)
        if held is None:
            return None
        try:
            public = public_key_of_peer(to)
        except PeerFault:
            return None
        sealed = seal_key(held.key, public, _purpose(deal, cid, str(held.box)))
        return Opener(deal, cid, str(held.box), sealed)

    def _write(self, sender: Address, cid: str, box: str, key: bytes, root: str | None) -> None:
        sealed = seal_key(key, self._own.public, _purpose(b"", cid, box))
        self._connection.execute(
            "INSERT OR REPLACE INTO boxes VALUES (?, ?, ?, ?, ?)", (bytes(sender), cid, box, sealed, root)
        )

    def _find(self, sender: Address, cid: str) -> Held | None:
        row = self._connection.execute(
            "SELECT box, key, root FROM boxes WHERE sender = ? AND cid = ?", (bytes(sender), cid)
        ).fetchone()
        if row is None:
            return None
        box, sealed, root = row
        key = unseal_key(sealed, self._own.secret, _purpose(b"", cid, box))
        return Held(Cid.parse(box), key, Cid.parse(root) if root else None)


def _purpose(deal: bytes, cid: str, box: str) -> bytes:
    return deal + cid.encode() + b" " + box.encode()
