"""A batch as one statement of PostgreSQL, its columns as array literals: one round trip, one flush, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from benchmarks.limit.rows import COLUMNS, NAMESPACE, WORKER, Batch, tables

SETTINGS = (
    "SET plan_cache_mode = force_generic_plan; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_seqscan = off; SET jit = off"
)
"""One plan of key lookups for good; one that is made while the tables are small would walk all of them later."""


@contextmanager
def writing(url: str) -> Generator[Callable[[Batch], None]]:
    """Make the tables, and give what writes a batch."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in tables("", " WITH (fillfactor = 70)"):
            connection.execute(_sql(statement))
        connection.execute(_sql(SETTINGS))

        def write(batch: Batch) -> None:
            literals = [text for kind, columns in COLUMNS.items() for text in _literals(batch[kind], columns)]
            guards = [len(batch["run_updates"]), len(batch["phase_updates"])]
            connection.execute(STATEMENT, [*literals, *guards], prepare=True)

        yield write


def _sql(text: str) -> bytes:
    return text.encode()  # psycopg takes a str only where it is a literal


def _source(kind: str) -> str:
    """The rows of a kind as a table ``d``, which the planner takes as it is: OFFSET hides what it could infer."""
    columns = COLUMNS[kind]
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    unnested = f"unnest({arrays}) AS t ({', '.join(columns)})"
    return f"(SELECT '{NAMESPACE}'::text AS namespace, t.* FROM {unnested} OFFSET 0) AS d"


_WRITES = {
    "run_updates": (
        "UPDATE run r SET state = d.state, revision = r.revision + 1, seq = d.seq, updated_at = d.at, "
        f"ended_at = d.ended_at FROM {_source('run_updates')} "
        "WHERE r.namespace = d.namespace AND r.id = d.id AND r.revision = d.expected RETURNING 1"
    ),
    "run_inserts": (
        "INSERT INTO run (namespace, id, state, revision, seq, input, created_at, updated_at) "
        f"SELECT namespace, id, state, 1, seq, input, at, at FROM {_source('run_inserts')}"
    ),
    "phase_updates": (
        "UPDATE phase p SET state = 'COMPLETED', output = d.output, worker = NULL, lease_expires = NULL, "
        f"ended_at = d.at FROM {_source('phase_updates')} "
        "WHERE p.namespace = d.namespace AND p.run_id = d.run_id AND p.path = d.path AND p.fence = d.fence "
        "AND (p.state = 'RUNNING') IS TRUE RETURNING 1"
    ),
    "phase_inserts": (
        "INSERT INTO phase (namespace, run_id, path, position, state, queue, available_at, attempt, fence, worker, "
        "lease_expires, started_at) "
        f"SELECT namespace, run_id, path, position, 'RUNNING', 'default', at, 1, 1, '{WORKER}', lease_expires, at "
        f"FROM {_source('phase_inserts')}"
    ),
    "checkpoints": (
        "INSERT INTO checkpoint (namespace, run_id, seq, phase, created_at) "
        f"SELECT * FROM {_source('checkpoints')}"
    ),
    "events": (
        f"INSERT INTO event (namespace, run_id, seq, type, phase, data, at) SELECT * FROM {_source('events')}"
    ),
}
_PARTS = ", ".join(f"{kind} AS ({_WRITES[kind]})" for kind in COLUMNS)
_GUARDS = " AND ".join(
    f"(SELECT count(*) FROM {kind}) = %s::bigint" for kind in ("run_updates", "phase_updates")
)
STATEMENT = _sql(f"WITH {_PARTS} SELECT 1 / ({_GUARDS})::int")
"""Fails by a division by zero unless every guard held."""


def _literals(values: Sequence[Sequence[Any]], columns: dict[str, str]) -> list[str]:
    if not values:
        return ["{}"] * len(columns)
    by_column = zip(*values, strict=True)
    spelt = (_texts if kind == "text" else _integers for kind in columns.values())
    return [spell(column) for spell, column in zip(spelt, by_column, strict=True)]


def _integers(column: Sequence[int | None]) -> str:
    return "{" + ",".join(["NULL" if number is None else str(number) for number in column]) + "}"


def _texts(column: Sequence[str | None]) -> str:
    return "{" + ",".join(["NULL" if text is None else _quoted(text) for text in column]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
