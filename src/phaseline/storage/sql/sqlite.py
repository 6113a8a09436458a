"""How a SQLite file is named and connected to."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from phaseline.errors import StorageURLError

BUSY_TIMEOUT_MS = 5_000


def where_is(url: str) -> str:
    """The file that a URL names.

    Raises:
        StorageURLError: It names none.
    """
    try:
        parts = make_url(url)
    except ArgumentError as error:
        raise StorageURLError(
            url, "it cannot be read; write sqlite:///relative/path.db or sqlite:////absolute/path.db"
        ) from error
    database = parts.database
    if database and (parts.host or parts.username or parts.port):
        raise StorageURLError(
            url,
            "a file has no host; a path after the server's slashes is sqlite:///relative/path.db or sqlite:////absolute/path.db",
        )
    if not database or ":memory:" in database or "mode=memory" in url:
        raise StorageURLError(
            url, "it names no file; write sqlite:///path/to/file.db, or 'memory' to keep nothing"
        )
    return database


def connect(url: str) -> Engine:
    """Make an engine whose connections are set up for durable runs.

    The driver's own transaction control is off: it would begin deferred transactions behind our back.
    """
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1_000},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = FULL")

    return engine


def _write_ahead(connection: Any) -> None:
    """Switch to WAL; while another process does the same SQLite refuses at once, whatever the busy timeout."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return
