"""A connection to PostgreSQL on which no wait is endless.

TCP finds out that a machine is gone, but not that one stands still whose kernel, or a middle box, goes on acknowledging.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import capabilities, errors, generators
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow

T = TypeVar("T")

PREPARED = 64
"""Statements that a connection keeps prepared for ``write``."""
CANCEL_PATIENCE = 2.0
"""Seconds that a statement which is not wanted any more has to be cancelled on the server."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """Gives a server up that says nothing for too long; what it was asked may be done or not."""

    patience: float | None = None
    """Seconds of silence; None: without a bound."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._names: dict[bytes, bytes] = {}
        """Of the statements that are prepared for ``write``, those that were so first before the others."""
        self._number = 0

    def write(self, statement: bytes, values: Sequence[str | None]) -> None:
        """Run a statement of which nothing is read, prepared at its first use.

        Past the driver's cursors, which take a third of the processor's time that such a statement needs here: they look for
        the type of each value, for whether it is to be prepared, and for ways to read what it gives (decision 0118).

        Raises:
            psycopg.Error: What the server says, or that it was silent for too long.
        """
        if self.pgconn.transaction_status != TransactionStatus.IDLE:  # there a second try would come too late
            psycopg.RawCursor(self).execute(statement, values, prepare=True)
            return
        if "\0" in "".join(filter(None, values)):  # a text would end there for the library below
            msg = "PostgreSQL text fields cannot contain NUL (0x00) bytes"
            raise psycopg.DataError(msg)
        texts = [None if value is None else value.encode() for value in values]
        with self.lock:
            try:
                self._write(statement, texts)
            except errors.InvalidSqlStatementName:
                # The driver lets go of all that is prepared when it sees a rollback.
                self._names.clear()
                self._write(statement, texts)

    def _write(self, statement: bytes, texts: Sequence[bytes | None]) -> None:
        name = self._names.get(statement) or self._prepare(statement)
        self.pgconn.send_query_prepared(name, texts)
        self._finish()

    def _prepare(self, statement: bytes) -> bytes:
        if len(self._names) == PREPARED:
            oldest = next(iter(self._names))
            self.pgconn.send_query(b"DEALLOCATE " + self._names[oldest])
            self._finish()
            del self._names[oldest]
        self._number += 1
        name = b"phaseline_%d" % self._number
        self.pgconn.send_prepare(name, statement)
        self._finish()
        self._names[statement] = name
        return name

    def _finish(self) -> None:
        result = self.wait(generators.execute(self.pgconn))[-1]
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise errors.error_from_result(result)

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **options: Any) -> T:
        """Carry out what the driver does on the network, step by step."""
        if self.patience is None:
            return super().wait(gen, *args, **options)
        try:
            return super().wait(_bounded(gen, self.patience), *args, **options)
        except _SilenceError:
            self.pgconn.finish()
            raise


class _SilenceError(psycopg.OperationalError):
    """A server said nothing for too long."""


def _bounded(gen: Generator[Any, Any, T], patience: float) -> Generator[Any, Any, T]:
    """Pass on what a generator of the driver's waits for; from time to time it is told that there was nothing."""
    until = monotonic() + patience
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                until = monotonic() + patience
            elif monotonic() > until:
                msg = f"the server was silent for {patience:g} s and the connection was given up"
                raise _SilenceError(msg)
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result


def connect(patience: float, **params: Any) -> BoundedConnection:
    """Connect; statements see what is committed, and texts are UTF-8, whatever the server's or the role's default is."""
    params["client_encoding"] = "utf8"
    connection = BoundedConnection.connect(**params)
    connection.patience = patience
    autocommit = connection.autocommit
    connection.autocommit = True
    connection.execute("SET default_transaction_isolation = 'read committed'")
    connection.autocommit = autocommit
    return connection


def abandon(connection: psycopg.Connection[Any]) -> None:
    """Take a connection away from another thread, which may be using it: that one learns of it at once."""
    with suppress(psycopg.Error):
        if (
            capabilities.has_cancel_safe()
        ):  # the older way would stop every thread while the server says nothing
            connection.cancel_safe(timeout=CANCEL_PATIENCE)
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
