"""The transaction of a transactional phase: the body's own rows and the phase's are committed together."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from phaseline.abc import Transaction
from phaseline.errors import RuntimeUsageError, StorageError, StorageUnavailableError
from phaseline.storage.sql import reads
from phaseline.storage.sql.access import Access
from phaseline.storage.sql.batch import gather
from phaseline.storage.sql.dialect import Conflict, Dialect
from phaseline.storage.sql.faults import translated
from phaseline.unit_of_work import RunRows, Unit

ENDING = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "START"})
"""First words of statements that a body may not run: they would end the transaction, or begin another one."""


class SqlTransaction(Transaction):
    """A connection of its own, in a transaction from its first use on."""

    def __init__(self, dialect: Dialect, engine: Engine) -> None:
        self._dialect, self._engine = dialect, engine
        self._connection: Connection | None = None
        self._driver: Any = None
        self._ended = False
        self._ours = False
        """Whether it is we who use the connection, and not the body."""

    @property
    def connection(self) -> Connection:
        if self._ended:
            self._refuse_late()
        if self._connection is None:
            with translated(self._dialect):
                connection = self._engine.connect()
                connection.exec_driver_sql(self._dialect.begin)
            event.listen(connection, "before_cursor_execute", self._check_statement)
            for name in ("commit", "rollback"):
                event.listen(connection, name, self._check_ending)
            self._connection, self._driver = connection, connection.connection.driver_connection
            self._dialect.bound(
                self._driver, bounded=False
            )  # the body's statements take as long as its phase may
        return self._connection

    # ------------------------------------------------------------------ what a body may not do
    def _check_statement(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._ours:
            return
        if self._ended:  # the connection would commit each statement by itself now
            self._refuse_late()
        words = statement.split(None, 1)
        if words and words[0].upper().rstrip(";") in ENDING and "SAVEPOINT" not in statement.upper():
            self._refuse_ending()

    def _check_ending(self, _: object) -> None:
        if not self._ours:
            self._refuse_ending()

    def _refuse_ending(self) -> None:
        msg = (
            "the connection of a transactional phase is committed with the phase, by phaseline; raise an exception "
            "to have it rolled back"
        )
        raise RuntimeUsageError(msg)

    def _refuse_late(self) -> None:
        msg = "this phase's transaction has ended: its attempt was timed out or taken over"
        raise RuntimeUsageError(msg)

    def fault(self, error: BaseException) -> StorageUnavailableError | None:
        if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
            return None
        found = self._dialect.unavailable(error.orig or error)
        return found if found.busy or error.connection_invalidated else None

    # ------------------------------------------------------------------ the end
    def lock(self, namespace: str, run_id: str, since: int) -> RunRows | None:
        with translated(self._dialect):
            ask = Access(self._dialect, self.connection)
            self._dialect.bound(self._driver, bounded=True)
            self._dialect.prepare_end(ask.driver)
            reads.lock(ask, namespace, run_id)
            return reads.load(ask, namespace, run_id, since)

    def write(self, unit: Unit) -> None:
        try:
            with translated(self._dialect):
                Access(self._dialect, self.connection).write(gather([unit]))
        except (Conflict, IntegrityError) as error:  # the run is locked: a mistake of the engine's
            raise StorageError(f"run {unit.run.id}: the tables refuse a unit of work: {error}") from error

    def commit(self) -> None:
        connection = self.connection
        self._ours = True
        with translated(self._dialect):
            connection.exec_driver_sql("COMMIT")
        self._end()

    def roll_back(self) -> None:
        self._ours = True
        if self._connection is not None and not self._ended:
            self._dialect.bound(self._driver, bounded=True)
            # By the driver: SQLAlchemy's own connection may be in a state in which it runs nothing any more.
            with suppress(Exception):  # it is lost, or was abandoned: then nothing of it stays anyway
                self._driver.rollback()
        self._end()

    def abandon(self) -> None:
        connection, self._ended = self._connection, True
        if connection is not None:
            with suppress(Exception):  # the body may have ended it this very moment
                self._dialect.abandon(self._driver)

    def _end(self) -> None:
        abandoned, self._ended = self._ended, True
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # a connection that is lost has nothing to give back
                self._dialect.bound(self._driver, bounded=True)
                if abandoned:
                    connection.invalidate()
                connection.close()
