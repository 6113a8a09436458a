"""What a database says went wrong, in our words: translated where it enters."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from phaseline.errors import StorageUnavailableError

_ADVICE = {
    "SQLITE_BUSY": "another process holds it locked for long; see which one writes, and try again",
    "SQLITE_FULL": "make room on the disk; finished work is held and written then",
    "SQLITE_READONLY": "give this process the right to write to the file and its folder",
    "SQLITE_CANTOPEN": "see that the folder exists and that this process may write there",
    "SQLITE_NOTADB": "this is no SQLite database; name another file",
    "SQLITE_CORRUPT": "restore it from a copy, or salvage it with the .recover command of the sqlite3 shell",
    "SQLITE_IOERR": "see the system's log for the disk; finished work is held and written once it works again",
    "SQLITE_PERM": "give this process the right to write to the file and its folder",
}


@contextmanager
def translated(where: str) -> Generator[None]:
    """Turn what the driver raises into errors of ours; a broken constraint is left to the caller."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise _unavailable(where, error.orig or error) from error
    except sqlite3.Error as error:
        raise _unavailable(where, error) from error


def _unavailable(where: str, error: BaseException) -> StorageUnavailableError:
    name = getattr(error, "sqlite_errorname", "") or ""
    kind = next((known for known in _ADVICE if name.startswith(known)), "")
    advice = _ADVICE.get(kind, "see the cause of this error")
    return StorageUnavailableError(where, f"{error}", advice, busy=kind == "SQLITE_BUSY")
