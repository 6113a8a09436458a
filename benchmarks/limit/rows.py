"""The rows of a commit, and the tables they go to: the keys, guards and indexes of ours, the columns that a chain needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

NAMESPACE = "default"
WORKER = "w-0123456789abcdef"

Row = tuple[Any, ...]
Unit = Sequence[tuple[str, Row]]
"""What one commit of one run writes: kind of row, and row."""
Batch = dict[str, list[Row]]
"""Rows of many units by kind."""

COLUMNS: dict[str, dict[str, str]] = {
    "run_updates": {
        "id": "text",
        "expected": "bigint",
        "state": "text",
        "seq": "bigint",
        "at": "bigint",
        "ended_at": "bigint",
    },
    "run_inserts": {"id": "text", "state": "text", "seq": "bigint", "input": "text", "at": "bigint"},
    "phase_updates": {"run_id": "text", "path": "text", "fence": "bigint", "output": "text", "at": "bigint"},
    "phase_inserts": {
        "run_id": "text",
        "path": "text",
        "position": "bigint",
        "lease_expires": "bigint",
        "at": "bigint",
    },
    "checkpoints": {"run_id": "text", "seq": "bigint", "phase": "text", "at": "bigint"},
    "events": {
        "run_id": "text",
        "seq": "bigint",
        "type": "text",
        "phase": "text",
        "data": "text",
        "at": "bigint",
    },
}
"""Kind of row to its columns and their types. Run rows come first: whoever writes locks them before any other."""


def gather(units: Iterable[Unit]) -> Batch:
    """Sort the rows of units by kind."""
    batch: Batch = {kind: [] for kind in COLUMNS}
    for unit in units:
        for kind, row in unit:
            batch[kind].append(row)
    return batch


def tables(tail: str, mutable_tail: str) -> list[str]:
    """Statements that make the tables.

    Args:
        tail: What the database wants after the columns.
        mutable_tail: The same for tables whose rows change.
    """
    return [
        f"""CREATE TABLE run (
            namespace text NOT NULL, id text NOT NULL, state text NOT NULL,
            revision bigint NOT NULL CHECK (revision > 0), seq bigint NOT NULL, input text NOT NULL,
            created_at bigint NOT NULL, updated_at bigint NOT NULL, ended_at bigint, PRIMARY KEY (namespace, id)
        ){mutable_tail}""",
        f"""CREATE TABLE phase (
            namespace text NOT NULL, run_id text NOT NULL, path text NOT NULL, position bigint NOT NULL,
            state text NOT NULL CHECK (state IN ('PENDING', 'RUNNING', 'COMPLETED')), queue text NOT NULL,
            available_at bigint NOT NULL, attempt bigint NOT NULL, fence bigint NOT NULL, worker text,
            lease_expires bigint, output text, started_at bigint, ended_at bigint,
            CHECK ((worker IS NULL) = (lease_expires IS NULL)), CHECK (worker IS NULL OR state = 'RUNNING'),
            PRIMARY KEY (namespace, run_id, path)
        ){mutable_tail}""",
        "CREATE INDEX phase_claim ON phase (namespace, available_at) WHERE state = 'PENDING'",
        "CREATE INDEX phase_lease ON phase (namespace, worker, lease_expires) WHERE worker IS NOT NULL",
        f"""CREATE TABLE checkpoint (
            namespace text NOT NULL, run_id text NOT NULL, seq bigint NOT NULL, phase text NOT NULL,
            created_at bigint NOT NULL, PRIMARY KEY (namespace, run_id, seq)
        ){tail}""",
        f"""CREATE TABLE event (
            namespace text NOT NULL, run_id text NOT NULL, seq bigint NOT NULL, type text NOT NULL, phase text,
            data text NOT NULL, at bigint NOT NULL, PRIMARY KEY (namespace, run_id, seq)
        ){tail}""",
    ]
