"""A SQLite connection that another thread can take away: the driver must never be used by two threads at once."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any


class GuardedConnection(sqlite3.Connection):
    """Runs one statement at a time, and none after it was abandoned.

    Two threads on one connection end the process (seen with Python 3.11: a segmentation fault in a rollback beside a
    running statement); ``interrupt`` is the one call that may come from elsewhere.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard: threading.RLock = threading.RLock()
        self.abandoned: bool = False

    def cursor(self, factory: Any = None) -> Any:
        """Give a cursor that keeps to the guard."""
        return super().cursor(factory or GuardedCursor)

    def abandon(self) -> None:
        """Roll back from another thread: what runs is interrupted, and nothing can follow."""
        self.abandoned = True
        self.interrupt()
        with self.guard:
            self.rollback()

    def check(self) -> None:
        """Refuse a statement that would be outside of the transaction."""
        if self.abandoned:
            raise sqlite3.OperationalError("the transaction was abandoned")


class GuardedCursor(sqlite3.Cursor):
    """A cursor of a guarded connection."""

    @property
    def _owner(self) -> GuardedConnection:
        owner = self.connection
        assert isinstance(owner, GuardedConnection)  # noqa: S101  # it makes no other cursors
        return owner

    def execute(self, *args: Any) -> Any:
        """Run a statement, unless the connection was abandoned."""
        with self._owner.guard:
            self._owner.check()
            return super().execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Run a statement with many rows, unless the connection was abandoned."""
        with self._owner.guard:
            self._owner.check()
            return super().executemany(*args)

    def fetchone(self) -> Any:
        """Step on."""
        with self._owner.guard:
            return super().fetchone()

    def fetchmany(self, size: int | None = None) -> Any:
        """Step on."""
        with self._owner.guard:
            return super().fetchmany(size)

    def fetchall(self) -> Any:
        """Step on to the end."""
        with self._owner.guard:
            return super().fetchall()
