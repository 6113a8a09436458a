"""A batch as one transaction of SQLite: one multi-row statement for each kind of row, each commit flushed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

from benchmarks.limit.rows import COLUMNS, NAMESPACE, WORKER, Batch, tables

# ?NNN: the number of the column that a value comes from, counted from 1
STATEMENTS = {
    "run_updates": (
        "UPDATE run SET state = ?3, revision = revision + 1, seq = ?4, updated_at = ?5, ended_at = ?6 "
        f"WHERE namespace = '{NAMESPACE}' AND id = ?1 AND revision = ?2"
    ),
    "run_inserts": (
        "INSERT INTO run (namespace, id, state, revision, seq, input, created_at, updated_at) "
        f"VALUES ('{NAMESPACE}', ?1, ?2, 1, ?3, ?4, ?5, ?5)"
    ),
    "phase_updates": (
        "UPDATE phase SET state = 'COMPLETED', output = ?4, worker = NULL, lease_expires = NULL, ended_at = ?5 "
        f"WHERE namespace = '{NAMESPACE}' AND run_id = ?1 AND path = ?2 AND fence = ?3 AND state = 'RUNNING'"
    ),
    "phase_inserts": (
        "INSERT INTO phase (namespace, run_id, path, position, state, queue, available_at, attempt, fence, worker, "
        "lease_expires, started_at) "
        f"VALUES ('{NAMESPACE}', ?1, ?2, ?3, 'RUNNING', 'default', ?5, 1, 1, '{WORKER}', ?4, ?5)"
    ),
    "checkpoints": (
        "INSERT INTO checkpoint (namespace, run_id, seq, phase, created_at) "
        f"VALUES ('{NAMESPACE}', ?1, ?2, ?3, ?4)"
    ),
    "events": (
        "INSERT INTO event (namespace, run_id, seq, type, phase, data, at) "
        f"VALUES ('{NAMESPACE}', ?1, ?2, ?3, ?4, ?5, ?6)"
    ),
}


class GuardError(Exception):
    """A row that was to be updated is not there, or not as expected."""


@contextmanager
def writing(path: str) -> Generator[Callable[[Batch], None]]:
    """Make the tables, and give what writes a batch."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in tables(" WITHOUT ROWID", " WITHOUT ROWID"):
            connection.execute(statement)

        def write(batch: Batch) -> None:
            connection.execute("BEGIN IMMEDIATE")
            for kind in COLUMNS:
                _write(connection, kind, batch)
            connection.execute("COMMIT")

        yield write


def _write(connection: sqlite3.Connection, kind: str, batch: Batch) -> None:
    values = batch[kind]
    if values and connection.executemany(STATEMENTS[kind], values).rowcount != len(values):
        raise GuardError(kind)
