"""The transaction of a transactional phase: the body's own rows and the phase's are committed together."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import IntegrityError

from phaseline.abc import RunRows, Transaction, Unit
from phaseline.errors import RuntimeUsageError, StorageError
from phaseline.storage.sql import reads
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.batch import gather
from phaseline.storage.sql.dialect import Conflict, Dialect
from phaseline.storage.sql.faults import translated


class SqlTransaction(Transaction):
    """A connection of its own, in a transaction from its first use on."""

    def __init__(self, dialect: Dialect, engine: Engine) -> None:
        self._dialect, self._engine = dialect, engine
        self._connection: Connection | None = None
        self._ended = False

    @property
    def connection(self) -> Connection:
        if self._ended:
            msg = "this phase's transaction has ended: its attempt was timed out or taken over"
            raise RuntimeUsageError(msg)
        if self._connection is None:
            with translated(self._dialect):
                self._connection = self._engine.connect()
                self._connection.exec_driver_sql(self._dialect.begin)
            for name in ("commit", "rollback"):
                event.listen(self._connection, name, self._refuse)
        return self._connection

    def _refuse(self, _: object) -> None:
        if not self._ended:
            msg = (
                "the connection of a transactional phase is committed with the phase, by phaseline; raise an exception "
                "to have it rolled back"
            )
            raise RuntimeUsageError(msg)

    def lock(self, namespace: str, run_id: str, since: int) -> RunRows | None:
        with translated(self._dialect):
            ask = Access(self._dialect, self.connection)
            reads.lock(ask, namespace, run_id)
            return reads.load(ask, namespace, run_id, since)

    def write(self, unit: Unit) -> None:
        try:
            with translated(self._dialect):
                self._dialect.write(self.connection, gather([unit]))
        except (Conflict, IntegrityError) as error:  # the run is locked: a mistake of the engine's
            raise StorageError(f"run {unit.run.id}: the tables refuse a unit of work: {error}") from error

    def commit(self) -> None:
        with translated(self._dialect):
            self.connection.exec_driver_sql("COMMIT")
        self._end()

    def roll_back(self) -> None:
        if self._connection is not None and not self._ended:
            with suppress(Exception):  # it is lost, or was abandoned: then nothing of it stays anyway
                self._connection.exec_driver_sql("ROLLBACK")
        self._end()

    def abandon(self) -> None:
        """Roll back from another thread, whatever the body is doing with it."""
        connection, self._ended = self._connection, True
        if connection is not None:
            with suppress(Exception):  # the body may have ended it this very moment
                self._dialect.abandon(connection.connection.driver_connection)

    def _end(self) -> None:
        self._ended = True
        connection: Any = self._connection
        self._connection = None
        if connection is not None:
            with suppress(Exception):  # a connection that is lost has nothing to give back
                connection.invalidate() if connection.invalidated else connection.close()
