"""Databases for tests: one server and one schema for all tests of a process, empty at the beginning of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from sqlalchemy import create_engine, text

from phaseline.storage.sql.store import SqlStorage

TABLES = (
    "pipeline_run",
    "phase_execution",
    "checkpoint",
    "event",
    "step_result",
    "signal",
    "dead_letter",
    "run_mark",
    "worker",
    "schedule",
    "message",
    "rate_start",
)


@attrs.frozen
class Database:
    """Where a test keeps its runs."""

    url: str = attrs.field(repr=False)
    schema: str

    def storage(self) -> SqlStorage:
        """Make a storage on it."""
        return SqlStorage(self.url, schema=self.schema)

    def clear(self) -> None:
        """Empty our tables."""
        engine = create_engine(self.url)
        with engine.begin() as connection:
            for table in TABLES:  # faster than TRUNCATE while they are small
                connection.execute(text(f'DELETE FROM "{self.schema}".{table}'))  # noqa: S608  # names of ours
        engine.dispose()


@contextmanager
def fresh_schema(url: str, name: str) -> Iterator[Database]:
    """Make our tables in a schema that nobody else uses, and drop it afterwards."""
    database = Database(url, name)
    database.storage().migrate()
    try:
        yield database
    finally:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f'DROP SCHEMA "{database.schema}" CASCADE'))
        engine.dispose()
