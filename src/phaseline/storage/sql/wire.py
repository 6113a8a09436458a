"""A connection to PostgreSQL on which no wait is endless.

TCP finds out that a machine is gone, but not that one stands still whose kernel, or a middle box, goes on acknowledging.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Generator
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import capabilities
from psycopg.rows import TupleRow

T = TypeVar("T")

CANCEL_PATIENCE = 2.0
"""Seconds that a statement which is not wanted any more has to be cancelled on the server."""


class BoundedConnection(psycopg.Connection[TupleRow]):
    """Gives a server up that says nothing for too long; what it was asked may be done or not."""

    patience: float | None = None
    """Seconds of silence; None: without a bound."""

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
    """Connect; statements see what is committed, whatever the server's or the role's default is."""
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
