"""The shape of the state store, version by version: each step turns a store of one version into the next, or neither.

A step never changes once it is released; `tests/node/test_store.py` opens stores that old versions wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from node.errors import ExitCode, UserError


def _first(store: sqlite3.Connection) -> None:
    """States of the agents' machines, and stories of jobs."""
    for statement in (
        """CREATE TABLE IF NOT EXISTS records (
            agent TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, content BLOB NOT NULL,
            PRIMARY KEY (agent, key)
        ) WITHOUT ROWID""",
        """CREATE TABLE IF NOT EXISTS jobs (
            id TEXT PRIMARY KEY, started REAL NOT NULL, about TEXT NOT NULL, document TEXT, ended TEXT
        ) WITHOUT ROWID""",
        """CREATE TABLE IF NOT EXISTS job_events (
            job TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, event TEXT NOT NULL,
            PRIMARY KEY (job, number)
        ) WITHOUT ROWID""",
    ):
        store.execute(statement)


def _peers(store: sqlite3.Connection) -> None:
    """Where peers were met, so that a network whose peers all restart finds itself again."""
    store.execute(
        "CREATE TABLE peers (address BLOB PRIMARY KEY, places TEXT NOT NULL, met REAL NOT NULL) WITHOUT ROWID"
    )
    store.execute("CREATE INDEX jobs_by_start ON jobs (started)")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _peers)
SCHEMA_VERSION = len(STEPS)


def migrate(store: sqlite3.Connection, path: Path) -> None:
    """Bring a store up to this version, in one transaction. Raises `UserError` for one of a newer version."""
    found = store.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        raise UserError(
            ExitCode.USAGE,
            f"{path} was written by a newer version (schema {found}, this one knows {SCHEMA_VERSION})",
            "install that version again, or restore a back-up from before it",
        )
    if found == SCHEMA_VERSION:
        return
    store.execute("BEGIN IMMEDIATE")
    try:
        for step in STEPS[found:]:
            step(store)
        store.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        store.execute("ROLLBACK")
        raise
    store.execute("COMMIT")
