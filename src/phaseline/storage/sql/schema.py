"""The tables as SQLAlchemy knows them: for what is written on a connection of the host's, whatever its driver.

The tables themselves are made by the numbered migrations; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table, Text
from sqlalchemy.dialects import postgresql, sqlite

from phaseline.errors import RuntimeUsageError
from phaseline.storage.sql import batch, rows

BOOLEANS = frozenset({"live", "while_open"})
INTEGERS = frozenset(
    "revision seq epoch priority created_at updated_at first_started_at started_at ended_at expected position generation "
    "available_at attempt failures crashes postponed fence lease_expires length total at commit_id pid seen_at due_at signals "
    "received_at decided gone_in_epoch timeout deadline active_ms active_since expires_at letter undo_after sla_at breached "
    "attempts parent_generation".split()
)
TABLES: Mapping[str, Sequence[str]] = {
    "pipeline_run": batch.RUN_INSERT,
    "phase_execution": (*batch.LEVEL_INSERT, "gone_in_epoch"),
    "checkpoint": (*batch.CHECKPOINT, "gone_in_epoch"),
    "event": batch.EVENT,
    "step_result": batch.STEP,
    "signal": batch.SIGNAL,
    "dead_letter": batch.LETTER,
    "run_mark": rows.MARK,
    "message": batch.MESSAGE,
}


@lru_cache(maxsize=8)
def tables(schema: str | None) -> Mapping[str, Table]:
    """The tables by name; in a schema, or, where there are none, with a prefix to their names."""
    metadata = MetaData(schema=schema)
    prefix = "" if schema else "phaseline_"
    return {name: Table(prefix + name, metadata, *map(_column, columns)) for name, columns in TABLES.items()}


def _column(name: str) -> Column[Any]:
    return Column(name, Boolean if name in BOOLEANS else BigInteger if name in INTEGERS else Text)


def insert_once(dialect: str, table: Table) -> Any:
    """An insert that does nothing where a row, or its key, is there already.

    Raises:
        RuntimeUsageError: The connection is to another kind of database.
    """
    match dialect:
        case "postgresql":
            return postgresql.insert(table).on_conflict_do_nothing()
        case "sqlite":
            return sqlite.insert(table).on_conflict_do_nothing()
        case _:
            msg = f"start(connection=...): this is a connection to {dialect}; give one to the database of the runtime"
            raise RuntimeUsageError(msg)


def include_name(name: str | None, type_: str, parent_names: Mapping[str, Any]) -> bool:
    """Leave phaseline's tables out of a host's own migrations: ``context.configure(include_name=include_name)``.

    For Alembic's autogenerate, which would otherwise offer to drop what the host's metadata does not know.
    """
    if type_ == "schema":
        return name != "phaseline"
    if type_ == "table":
        return parent_names.get("schema_name") != "phaseline" and not (name or "").startswith("phaseline_")
    return True
