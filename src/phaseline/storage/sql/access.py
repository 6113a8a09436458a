"""A connection that is asked in the store's own spelling."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult

from phaseline.storage.sql.batch import Batch
from phaseline.storage.sql.dialect import Dialect


class Access:
    """Runs statements on one connection."""

    def __init__(self, dialect: Dialect, connection: Connection) -> None:
        self.dialect: Dialect = dialect
        self.connection: Connection = connection

    def __call__(self, statement: str, values: tuple[Any, ...] = ()) -> CursorResult[Any]:
        """Run a statement whose tables are named ``phaseline_event`` and whose values stand at ``?``."""
        return self.connection.exec_driver_sql(self.dialect.spell(statement), values)

    def write(self, batch: Batch) -> None:
        """Write a batch, as the dialect does; in a transaction, where it has statements of its own.

        Raises:
            Conflict: A guard did not hold.
            sqlalchemy.exc.IntegrityError: The tables refuse a row.
        """
        self.dialect.write(self.connection, batch)
        for statement, values in batch.moves:
            self(statement, values)
