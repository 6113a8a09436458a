"""A connection to PostgreSQL on which no wait is endless.

TCP finds out that a machine is gone, but not that one stands still whose kernel, or a middle box, goes on acknowledging.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Generator, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import capabilities, errors, generators
from psycopg.abc import PQGen
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import TupleRow

T = TypeVar("T")

PREPARED = 100
"""Statements that a connection keeps prepared for ``write``, as the driver does for its cursors."""
CANCEL_PATIENCE = 2.0
"""Seconds that a statement which is not wanted any more has to be cancelled on the server."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """Gives a server up that says nothing for too long; what it was asked may be done or not."""

    patience: float | None = None
    """Seconds of silence; None: without a bound."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._names: dict[bytes, bytes] = {}
        """Of the statements that are prepared for ``write``; what was used last comes last."""
        self._token = secrets.token_hex(4).encode()
        """In these names: behind a pooler, connections of several processes may share what is prepared."""
        self._number = 0

    def write(self, statement: bytes, values: Sequence[str | None]) -> None:
        """Run a statement of which nothing is read, prepared at its first use.

        Past the driver's cursors, which take a third of the processor's time that such a statement needs here: they look for
        the type of each value, for whether it is to be prepared, and for ways to read what it gives (decision 0118).

        Raises:
            psycopg.Error: What the server says, or that it was silent for too long.
        """
        texts = [None if value is None else value.encode() for value in values]
        if b"\0" in b"".join(filter(None, texts)):  # a text would end there for the library below
            msg = "PostgreSQL text fields cannot contain NUL (0x00) bytes"
            raise psycopg.DataError(msg)
        with self.lock:
            try:
                self._write(statement, texts)
            except errors.InvalidSqlStatementName:  # somebody else let go of what was prepared
                self._names.clear()
                if self.pgconn.transaction_status != TransactionStatus.IDLE:
                    raise  # the transaction is lost
                self._write(statement, texts)

    def _write(self, statement: bytes, texts: Sequence[bytes | None]) -> None:
        name = self._names.pop(statement, None) or self._prepare(statement)
        self._names[statement] = name
        self.pgconn.send_query_prepared(name, texts)
        self._finish()

    def _prepare(self, statement: bytes) -> bytes:
        if len(self._names) == PREPARED:
            oldest = next(iter(self._names))
            self.wait(self._deallocate(self._names[oldest]))
            del self._names[oldest]
        self._number += 1
        name = b"phaseline_%s_%d" % (self._token, self._number)
        self.pgconn.send_prepare(name, statement)
        self._finish()
        return name

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        """Let go of what is prepared; without a name the driver does so with all of it, when it has seen a rollback."""
        if name is None:
            self._names.clear()
        return super()._deallocate(name)

    def _finish(self) -> None:
        results = self.wait(generators.execute(self.pgconn))
        if not results:
            msg = "the server gave no answer"
            raise psycopg.InternalError(msg)
        if results[-1].status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise errors.error_from_result(results[-1])

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
    cut(connection)


def cut(connection: psycopg.Connection[Any]) -> None:
    """Have another thread that waits on a connection see its end at once."""
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
