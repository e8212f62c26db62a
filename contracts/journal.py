"""What was signed, on disk before it is sent: after a crash the same bytes go out again, never a second transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protocol.identity import Address


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction for an intent; a replacement is a further attempt."""

    intent: str
    """The caller's name for what it wants done once."""
    nonce: int
    hash: bytes
    raw: bytes
    to: Address | None
    value: int
    data: bytes
    gas: int
    max_fee: int
    tip: int
    sent_at: float
    """Wall clock, seconds of Unix time."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction, deep enough to count."""

    hash: bytes
    block: int
    gas_used: int
    status: int
    """1: done; 0: the contract refused."""
    created: Address | None = None
    """The contract that was deployed."""


class JournalStore(Protocol):
    """The journal of one key on one chain. Every method that writes is durable when it returns."""

    def save(self, attempt: Attempt) -> None:
        """Add an attempt; called before its bytes leave."""

    def forget(self, attempt: Attempt) -> None:
        """Remove one that an endpoint will certainly not mine."""

    def attempts(self, intent: str) -> tuple[Attempt, ...]:
        """All of one intent, oldest first."""

    def unfinished(self) -> tuple[Attempt, ...]:
        """All attempts of intents without a receipt, by nonce, oldest first."""

    def next_nonce(self) -> int:
        """One more than the highest nonce used, 0 for an empty journal."""

    def free_nonce(self, least: int) -> int:
        """The lowest nonce from ``least`` on that nothing here was signed with."""

    def finish(self, intent: str, receipt: Receipt) -> None:
        """Record what became of an intent."""

    def receipt(self, intent: str) -> Receipt | None:
        """What became of it; None while it is on its way."""

    def intent_of(self, hash_: bytes) -> str | None:
        """Which intent a transaction belongs to."""

    def reopen(self, nonce: int) -> int:
        """Take back what became of transactions from this nonce on, which the chain has forgotten; how many intents."""

    def retire(self, intent: str) -> None:
        """Let the intent's name be used anew: what became of it stays, under another name."""

    def bind(self, names: Iterable[str], intent: str) -> None:
        """Remember, before it is sent, that one transaction does what was asked for under several names."""

    def bound(self, name: str) -> str | None:
        """The intent that a name was bound to last."""

    def is_of_chain(self, birth: bytes) -> bool:
        """Whether the chain that began with this block is the one this journal was written for."""


_SCHEMA = """
create table if not exists chain_attempts (
    chain integer not null, sender blob not null, intent text not null, nonce integer not null, hash blob not null,
    raw blob not null, recipient blob, value text not null, data blob not null, gas integer not null,
    max_fee text not null, tip text not null, sent_at real not null, primary key (chain, sender, hash)
) strict;
create index if not exists chain_attempts_by_intent on chain_attempts (chain, sender, intent);
create index if not exists chain_attempts_by_nonce on chain_attempts (chain, sender, nonce);
create table if not exists chain_receipts (
    chain integer not null, sender blob not null, intent text not null, hash blob not null, block integer not null,
    gas_used integer not null, status integer not null, created blob, primary key (chain, sender, intent)
) strict;
create table if not exists chain_bindings (
    chain integer not null, sender blob not null, name text not null, intent text not null,
    primary key (chain, sender, name)
) strict;
create table if not exists chain_births (
    chain integer not null, sender blob not null, hash blob not null, primary key (chain, sender)
) strict;
"""
_MOST_REOPENED = 64
"""Transactions looked through at one look; more follow at the next."""
_COLUMNS = "intent, nonce, hash, raw, recipient, value, data, gas, max_fee, tip, sent_at"


class SqliteJournal:
    """A `JournalStore` in two tables of a SQLite database, its own or one shared with the rest of a node."""

    def __init__(self, database: sqlite3.Connection | Path, chain_id: int, sender: Address) -> None:
        """A given connection keeps its own settings; it must be durable (``synchronous`` full) and in autocommit."""
        if isinstance(database, Path):
            self._db = sqlite3.connect(database, isolation_level=None)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
        else:
            self._db = database
        self._db.executescript(_SCHEMA)
        self._key = (chain_id, sender)

    def save(self, attempt: Attempt) -> None:
        """See `JournalStore`."""
        self._db.execute(
            f"insert into chain_attempts (chain, sender, {_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._key,
                attempt.intent,
                attempt.nonce,
                attempt.hash,
                attempt.raw,
                attempt.to,
                str(attempt.value),
                attempt.data,
                attempt.gas,
                str(attempt.max_fee),
                str(attempt.tip),
                attempt.sent_at,
            ),
        )

    def forget(self, attempt: Attempt) -> None:
        """See `JournalStore`."""
        self._db.execute(
            "delete from chain_attempts where chain = ? and sender = ? and hash = ?", (*self._key, attempt.hash)
        )

    def attempts(self, intent: str) -> tuple[Attempt, ...]:
        """See `JournalStore`."""
        return _attempts(
            self._db.execute(
                f"select {_COLUMNS} from chain_attempts where chain = ? and sender = ? and intent = ? order by rowid",
                (*self._key, intent),
            )
        )

    def unfinished(self) -> tuple[Attempt, ...]:
        """See `JournalStore`."""
        return _attempts(
            self._db.execute(
                f"select {_COLUMNS} from chain_attempts a where chain = ? and sender = ? and not exists (select 1 from"
                " chain_receipts r where r.chain = a.chain and r.sender = a.sender and r.intent = a.intent)"
                " order by nonce, rowid",
                self._key,
            )
        )

    def next_nonce(self) -> int:
        """See `JournalStore`."""
        row = self._db.execute(
            "select coalesce(max(nonce) + 1, 0) from chain_attempts where chain = ? and sender = ?", self._key
        ).fetchone()
        return int(row[0])

    def free_nonce(self, least: int) -> int:
        """See `JournalStore`."""
        used = self._db.execute(
            "select distinct nonce from chain_attempts where chain = ? and sender = ? and nonce >= ? order by nonce",
            (*self._key, least),
        )
        free = least
        for (nonce,) in used:
            if nonce > free:
                break
            free = nonce + 1
        return free

    def finish(self, intent: str, receipt: Receipt) -> None:
        """See `JournalStore`."""
        self._db.execute(
            "insert or replace into chain_receipts values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *self._key,
                intent,
                receipt.hash,
                receipt.block,
                receipt.gas_used,
                receipt.status,
                receipt.created,
            ),
        )

    def receipt(self, intent: str) -> Receipt | None:
        """See `JournalStore`."""
        row = self._db.execute(
            "select hash, block, gas_used, status, created from chain_receipts where chain = ? and sender = ? and"
            " intent = ?",
            (*self._key, intent),
        ).fetchone()
        return None if row is None else Receipt(*row)

    def intent_of(self, hash_: bytes) -> str | None:
        """See `JournalStore`."""
        row = self._db.execute(
            "select intent from chain_attempts where chain = ? and sender = ? and hash = ?", (*self._key, hash_)
        ).fetchone()
        return None if row is None else str(row[0])

    def reopen(self, nonce: int) -> int:
        """See `JournalStore`."""
        return self._db.execute(
            "delete from chain_receipts where chain = ? and sender = ? and intent in (select intent from chain_attempts"
            " where chain = ? and sender = ? and nonce >= ? order by nonce limit ?)",
            (*self._key, *self._key, nonce, _MOST_REOPENED),
        ).rowcount

    def retire(self, intent: str) -> None:
        """See `JournalStore`."""
        tries = "select count(*) from chain_receipts where chain = ? and sender = ? and intent glob ?"
        pattern = intent.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") + "~*"
        count = self._db.execute(tries, (*self._key, pattern)).fetchone()[0]
        self._db.execute("savepoint retire")
        for table in ("chain_attempts", "chain_receipts"):
            self._db.execute(
                f"update {table} set intent = ? where chain = ? and sender = ? and intent = ?",
                (f"{intent}~{count + 1}", *self._key, intent),
            )
        self._db.execute("release retire")

    def bind(self, names: Iterable[str], intent: str) -> None:
        """See `JournalStore`."""
        self._db.execute("savepoint bind")
        for name in names:
            self._db.execute("insert or replace into chain_bindings values (?, ?, ?, ?)", (*self._key, name, intent))
        self._db.execute("release bind")

    def bound(self, name: str) -> str | None:
        """See `JournalStore`."""
        row = self._db.execute(
            "select intent from chain_bindings where chain = ? and sender = ? and name = ?", (*self._key, name)
        ).fetchone()
        return None if row is None else str(row[0])

    def is_of_chain(self, birth: bytes) -> bool:
        """See `JournalStore`."""
        self._db.execute("insert or ignore into chain_births values (?, ?, ?)", (*self._key, birth))
        row = self._db.execute("select hash from chain_births where chain = ? and sender = ?", self._key).fetchone()
        return bool(row[0] == birth)


def birth_known(database: sqlite3.Connection, chain_id: int) -> bytes | None:
    """The hash of the first block of the chain that a data folder has used; None where none is known."""
    try:
        row = database.execute("select hash from chain_births where chain = ?", (chain_id,)).fetchone()
    except sqlite3.OperationalError:  # no journal was ever kept here
        return None
    return None if row is None else bytes(row[0])


def _attempts(rows: Iterable[tuple[object, ...]]) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(intent, nonce, hash_, raw, to, int(value), data, gas, int(max_fee), int(tip), sent_at)  # type: ignore
        for intent, nonce, hash_, raw, to, value, data, gas, max_fee, tip, sent_at in rows
    )
