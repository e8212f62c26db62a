"""What a node must not forget, in SQLite: the states of its agents' machines, and the stories of its jobs.

A node writes what a batch of effects wants remembered in one `transaction`, before any other effect of the batch leaves
the machine. The chain client keeps its journal of transactions in the same file.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.effects import Forget, Save
from agents.saved import SAVED
from node.migrations import migrate
from protocol.errors import Malformed, PeerFault
from protocol.identity import Address
from protocol.wire import name_of, pack, recall, unpack, wire_converter

MOST_PEERS = 256
"""Of those met, the ones that are remembered over a restart."""
MOST_JOBS = 10_000
"""Ended jobs whose stories are kept, about 10 kB each; the oldest is forgotten first."""


class Store:
    """One node's memory."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a committed state survives a power cut, not only a killed process
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
        migrate(self.connection, path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is on disk when the block ends, or none of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def change(self, agent: str, change: Save | Forget) -> None:
        """Write one change of an agent's state."""
        if isinstance(change, Forget):
            self.connection.execute("DELETE FROM records WHERE agent = ? AND key = ?", (agent, change.key))
            return
        kind = type(change.state)
        content = pack(wire_converter().unstructure(change.state, kind))
        self.connection.execute(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)", (agent, change.key, name_of(kind), content)
        )

    def records(self, agent: str) -> list[Any]:
        """Everything that one agent saved and did not forget."""
        return read_records(self.connection, agent)

    def count_records(self, agent: str) -> dict[str, int]:
        """How many of each kind an agent saved."""
        rows = self.connection.execute("SELECT kind, COUNT(*) FROM records WHERE agent = ? GROUP BY kind", (agent,))
        return dict(rows.fetchall())

    # --- peers -------------------------------------------------------------------------------------------------------

    def meet(self, peers: Mapping[Address, Sequence[str]], now: float) -> None:
        """Remember where peers are; those that were met longest ago are forgotten."""
        with self.transaction():
            self.connection.executemany(
                "INSERT OR REPLACE INTO peers VALUES (?, ?, ?)",
                [(address, json.dumps(list(places)), now) for address, places in peers.items()],
            )
            self.connection.execute(
                "DELETE FROM peers WHERE address NOT IN (SELECT address FROM peers ORDER BY met DESC LIMIT ?)",
                (MOST_PEERS,),
            )

    def peers(self) -> list[tuple[Address, list[str]]]:
        """Everybody that is remembered, and the multiaddrs where they were; those met last come first."""
        rows = self.connection.execute("SELECT address, places FROM peers ORDER BY met DESC")
        return [(Address(address), json.loads(places)) for address, places in rows]

    # --- jobs --------------------------------------------------------------------------------------------------------

    def begin_job(self, job: bytes, now: float, about: dict[str, Any]) -> None:
        """Note a new job and what is known about it beforehand."""
        self.connection.execute(
            "INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, NULL, NULL)", (job.hex(), now, json.dumps(about))
        )

    def add_event(self, job: bytes, now: float, event: dict[str, Any]) -> None:
        """Append to a job's story."""
        self.connection.execute(
            "INSERT INTO job_events SELECT ?, COUNT(*), ?, ? FROM job_events WHERE job = ?",
            (job.hex(), now, json.dumps(event), job.hex()),
        )

    def end_job(self, job: bytes, outcome: str, document: dict[str, Any]) -> None:
        """Write a job's last word."""
        self.connection.execute(
            "UPDATE jobs SET ended = ?, document = ? WHERE id = ?", (outcome, json.dumps(document), job.hex())
        )
        old = self.connection.execute(
            "SELECT id FROM jobs WHERE ended IS NOT NULL ORDER BY started DESC LIMIT -1 OFFSET ?", (MOST_JOBS,)
        ).fetchall()
        self.connection.executemany("DELETE FROM job_events WHERE job = ?", old)
        self.connection.executemany("DELETE FROM jobs WHERE id = ?", old)

    def count_jobs(self) -> dict[str, int]:
        """How many jobs are remembered by how they ended; those that go on are ``RUNNING``."""
        rows = self.connection.execute("SELECT COALESCE(ended, 'RUNNING'), COUNT(*) FROM jobs GROUP BY 1")
        return dict(rows.fetchall())

    def job(self, job: str) -> tuple[float, dict[str, Any], dict[str, Any] | None, str | None] | None:
        """A job by its hex id: when it started, what it is about, its document and outcome if it has ended."""
        row = self.connection.execute(
            "SELECT started, about, document, ended FROM jobs WHERE id = ?", (job,)
        ).fetchone()
        if row is None:
            return None
        return row[0], json.loads(row[1]), json.loads(row[2]) if row[2] else None, row[3]

    def jobs(self) -> list[tuple[str, float, dict[str, Any], str | None]]:
        """All jobs, newest first: id, start, what it is about, outcome."""
        rows = self.connection.execute("SELECT id, started, about, ended FROM jobs ORDER BY started DESC, id")
        return [(job, started, json.loads(about), ended) for job, started, about, ended in rows]

    def events(self, job: str, after: int = -1) -> list[tuple[int, float, dict[str, Any]]]:
        """A job's story from one event on: number, moment, event."""
        rows = self.connection.execute(
            "SELECT number, at, event FROM job_events WHERE job = ? AND number > ? ORDER BY number", (job, after)
        )
        return [(number, at, json.loads(event)) for number, at, event in rows]

    def close(self) -> None:
        """Give the file back."""
        self.connection.close()


def read_records(
    database: sqlite3.Connection, agent: str, skip: Callable[[PeerFault], None] | None = None
) -> list[Any]:
    """Everything that one agent saved and did not forget, also out of a copy.

    Raises `sqlite3.Error`, and `Malformed` for a record that is none, unless ``skip`` takes that and the rest is read.
    """
    records = []
    for kind, content in database.execute("SELECT kind, content FROM records WHERE agent = ? ORDER BY key", (agent,)):
        try:
            if kind not in SAVED:
                raise Malformed(f"there is no kind {kind!r} of record")
            records.append(recall(unpack(content), SAVED[kind]))
        except PeerFault as fault:
            if skip is None:
                raise
            skip(fault)
    return records
