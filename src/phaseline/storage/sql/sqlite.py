"""SQLite: a file in WAL mode, each commit flushed to the disk, one writer at a time.

Every writing transaction begins with BEGIN IMMEDIATE, since one that reads first and writes later fails at once under
WAL. A batch is a handful of multi-row statements; each update carries its guard, and the row count is compared with what
was sent. Driver statements, because Core's executemany costs more than the writing itself (measured: +60 % throughput at
64 runs without it).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import to_json
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError

from phaseline.errors import StorageUnavailableError, StorageURLError
from phaseline.statistics import without_indices
from phaseline.storage.sql import batch as columns
from phaseline.storage.sql import rows
from phaseline.storage.sql.batch import Batch, Rows
from phaseline.storage.sql.dialect import Conflict, Dialect
from phaseline.storage.sql.guarded import GuardedConnection
from phaseline.storage.sql.rows import Row

if TYPE_CHECKING:
    from phaseline.storage.sql.access import Access
    from phaseline.storage.sql.beginnings import Kept

BUSY_TIMEOUT_MS = 5_000
LONGEST_CHARACTER = 4
"""Bytes, in UTF-8."""

ADVICE = {
    "SQLITE_BUSY": "another process, or a transaction that is open in this one, holds it locked for long; see which one writes, and try "
    "again; a run is started in one's own transaction by start(connection=...)",
    "SQLITE_FULL": "make room on the disk",
    "SQLITE_READONLY": "give this process the right to write to the file and its folder",
    "SQLITE_CANTOPEN": "see that the folder exists and that this process may write there",
    "SQLITE_NOTADB": "this is no SQLite database; name another file",
    "SQLITE_CORRUPT": "restore it from a copy, or salvage it with the .recover command of the sqlite3 shell",
    "SQLITE_IOERR": "see the system's log for the disk",
    "SQLITE_PERM": "give this process the right to write to the file and its folder",
}
REFUSALS = ("SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE", "SQLITE_CONSTRAINT", "SQLITE_MISUSE")
"""What is said of the values that were sent, and not of the file."""


class SqliteDialect(Dialect):
    """A SQLite file."""

    name: ClassVar[str] = "sqlite"
    begin: ClassVar[str] = "BEGIN IMMEDIATE"
    octets: ClassVar[str] = "length"  # octet_length is of SQLite 3.43
    transaction_limit: ClassVar[timedelta | None] = timedelta(
        seconds=5
    )  # nobody else writes to the file meanwhile
    now: ClassVar[str] = (
        "CAST(round((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000"  # to the millisecond
    )

    def __init__(self, url: str) -> None:
        self._url = url
        self._path = path_of(url)

    @property
    def where(self) -> str:
        return f"sqlite:///{self._path}"

    @property
    def exists(self) -> bool:
        return Path(self._path).exists()

    @property
    def migrates_itself(self) -> bool:
        return True

    def connect(self, **pool: Any) -> Engine:
        factory = GuardedConnection if pool else sqlite3.Connection  # those of bodies can be taken away
        engine = create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",  # the driver's own control would begin deferred transactions behind our back
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1_000, "factory": factory},
            **pool,
        )

        @event.listens_for(engine, "connect")
        def set_up(connection: Any, _: object) -> None:
            connection.execute("PRAGMA synchronous = FULL")
            connection.create_function("phaseline_without_indices", 2, without_indices, deterministic=True)

        return engine

    def prepare_writer(self, driver: Any) -> None:
        _write_ahead(driver)  # of a file that is ours: it stays in this mode

    # ------------------------------------------------------------------ statements
    def rows(self, driver: Any, statement: str, values: Sequence[Any]) -> list[Row]:
        with _constraints_told():
            found: list[Row] = driver.execute(statement, values).fetchall()
        return found

    def bytes_of(self, column: str) -> str:
        return f"length(CAST({column} AS BLOB))"  # octet_length is of SQLite 3.43

    def beginning(self, ask: Access, kept: Kept, characters: int) -> tuple[str, int] | None:
        """As it says; a column is read whole by any statement, but for one that opens it as a file."""
        if not kept.has_rowid:
            return super().beginning(ask, kept, characters)
        rowid = ask.value(f"SELECT rowid FROM {kept.table} WHERE {kept.where}", kept.values)  # noqa: S608  # as above
        if rowid is None:
            return None
        with ask.driver.blobopen(kept.table, kept.column, rowid, readonly=True) as column:
            raw: bytes = column.read(LONGEST_CHARACTER * characters)
            return raw.decode(errors="ignore")[:characters], len(column)

    def changed(self, driver: Any, statement: str, values: Sequence[Any]) -> int:
        with _constraints_told():
            number: int = driver.execute(statement, values).rowcount
        return number

    def control(self, driver: Any, statement: str) -> None:
        driver.execute(statement)

    def write(self, driver: Any, batch: Batch) -> None:
        with _constraints_told():
            _update(driver, UPDATE_RUN, batch.run_updates)
            _update(driver, UPDATE_AMENDED, batch.amended_updates)
            _insert(driver, INSERT_RUN, batch.run_inserts)
            _update(driver, UPDATE_PHASE, _twice(batch.phase_updates, LEASE))
            _insert(driver, INSERT_PHASE, batch.phase_inserts)
            _update(driver, UPDATE_LEVEL, _twice(batch.level_updates, LEASE + 1))
            _insert(driver, INSERT_LEVEL, batch.level_inserts)
            _update(driver, DROP_PHASE, batch.phase_drops)
            _insert(driver, DROP_CHECKPOINT, batch.checkpoint_drops)
            _insert(driver, INSERT_CHECKPOINT, batch.checkpoints)
            _insert(driver, INSERT_EVENT, batch.events)
            _insert(driver, INSERT_STEP, batch.steps)
            _insert(driver, SAVE, batch.saved)
            _insert(driver, DELETE_SAVED, batch.unsaved)
            _insert(driver, INSERT_SIGNAL, batch.signals)
            _update(driver, TAKE_SIGNAL, batch.taken)
            _insert(driver, DELETE_LETTER, batch.letter_deletes)
            _insert(driver, INSERT_LETTER, batch.letters)
            _insert(driver, DELETE_MARK, batch.mark_deletes)
            _insert(driver, INSERT_MARK, batch.marks)
            _insert(driver, INSERT_MESSAGE, batch.messages)

    def is_refusal(self, error: BaseException) -> bool:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name:
            return name.startswith(REFUSALS)
        return isinstance(error, sqlite3.DataError | sqlite3.ProgrammingError | sqlite3.InterfaceError)

    def unavailable(self, error: BaseException) -> StorageUnavailableError:
        name = getattr(error, "sqlite_errorname", "") or ""
        kind = next((known for known in ADVICE if name.startswith(known)), "")
        advice = ADVICE.get(kind, "see the cause of this error")
        return StorageUnavailableError(self.where, f"{error}", advice, busy=kind == "SQLITE_BUSY")

    @property
    def driver_error(self) -> type[Exception]:
        return sqlite3.Error

    def in_transaction(self, driver: Any) -> bool:
        connection: sqlite3.Connection = driver
        return connection.in_transaction  # an I/O error has ended it already, and then ROLLBACK would fail

    def abandon(self, driver: Any) -> None:
        connection: GuardedConnection = driver
        connection.abandon()

    def schema_version(self, ask: Access) -> int:
        if not ask("SELECT 1 FROM sqlite_master WHERE name = 'phaseline_migration'"):
            return 0
        return int(ask.value("SELECT coalesce(max(version), 0) FROM phaseline_migration"))

    def note_version(self, version: int) -> str:
        return f"INSERT INTO phaseline_migration (version, applied_at) VALUES ({version}, datetime('now'))"  # noqa: S608  # a number

    def among(self, values: Iterable[str]) -> tuple[str, Any]:
        return "IN (SELECT value FROM json_each(?))", to_json(list(values)).decode()

    def by(self, index: str) -> str:
        return f" INDEXED BY phaseline_{index}"  # else it takes the primary key, and walks all of a namespace

    def holds(self, text: str) -> str:
        return f"{text} LIKE ? ESCAPE '\\'"  # three times as fast as instr(lower(...)), and A-Z are a-z to it, no others

    def held(self, text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"%{escaped}%"

    def field(self, column: str, name: str) -> str:
        return f"json_extract({column}, '$.{name}')"

    def without_indices(self, path: str, instead: str = "") -> str:
        return f"phaseline_without_indices({path}, '{instead}')"


def path_of(url: str) -> str:
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
            "a file has no host; a path after the server's slashes is sqlite:///relative/path.db or "
            "sqlite:////absolute/path.db",
        )
    if not database or ":memory:" in database or "mode=memory" in url:
        raise StorageURLError(
            url, "it names no file; write sqlite:///path/to/file.db, or 'memory' to keep nothing"
        )
    if parts.query:
        options = ", ".join(f"{name}=" for name in parts.query)
        raise StorageURLError(
            url, f"no option of a file is known, and it has {options}; leave out what follows the '?'"
        )
    return database


def _write_ahead(connection: Any) -> None:
    """Switch to WAL; while another process does the same SQLite refuses at once, whatever the busy timeout."""
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            if mode != "wal":  # a file system without shared memory keeps the mode it has, and says no more
                msg = f"the file cannot be switched to WAL and stays in the mode {mode!r}; put it on a local disk"
                raise sqlite3.OperationalError(msg)
            return


# --------------------------------------------------------------------- the statements of a batch
def _inserting(table: str, names: Sequence[str]) -> str:
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO phaseline_{table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # names of ours


def _assigned(names: Sequence[str]) -> str:
    return ", ".join(f"{name} = ?" for name in names)


def _updating_runs(changes: Sequence[str]) -> str:
    return (
        f"UPDATE phaseline_pipeline_run SET {_assigned(changes)} "  # noqa: S608  # names of ours
        "WHERE namespace = ? AND id = ? AND revision = ?"
    )


def _updating_phases(changes: Sequence[str]) -> str:
    # Who decides on a phase that goes on does not know how often its lease was renewed since.
    kept = "CASE WHEN fence = ? AND worker = ? THEN lease_expires ELSE ? END"
    assigned = _assigned(changes).replace("lease_expires = ?", f"lease_expires = {kept}")
    return (
        f"UPDATE phaseline_phase_execution SET {assigned}, lane = ?, output = coalesce(?, output), "  # noqa: S608  # names of ours
        "revision = ? WHERE namespace = ? AND run_id = ? AND path = ? AND epoch = ? AND fence = ?"
    )


LEASE = rows.PHASE_CHANGES.index("lease_expires")
"""Its place among what changes of a phase."""
UPDATE_RUN = _updating_runs(rows.RUN_CHANGES)
UPDATE_AMENDED = _updating_runs(rows.RUN_AMENDED)
INSERT_RUN = _inserting("pipeline_run", columns.RUN_INSERT)
UPDATE_PHASE = _updating_phases(rows.PHASE_CHANGES)
INSERT_PHASE = _inserting("phase_execution", columns.PHASE_INSERT)
UPDATE_LEVEL = _updating_phases(("breached", *rows.PHASE_CHANGES))
INSERT_LEVEL = _inserting("phase_execution", columns.LEVEL_INSERT)
DROP_PHASE = (
    f"UPDATE phaseline_phase_execution SET {_assigned(rows.PHASE_DROPPED)}, worker = NULL, lease_expires = NULL, lane = NULL, "  # noqa: S608  # names of ours
    "revision = ? WHERE namespace = ? AND run_id = ? AND path = ? AND epoch = ? AND fence = ?"
)
DROP_CHECKPOINT = (
    "UPDATE phaseline_checkpoint SET gone_in_epoch = ? "
    "WHERE namespace = ? AND run_id = ? AND phase = ? AND epoch = ?"
)
INSERT_CHECKPOINT = _inserting("checkpoint", columns.CHECKPOINT)
INSERT_EVENT = _inserting("event", columns.EVENT)
INSERT_STEP = f"{_inserting('step_result', columns.STEP)} ON CONFLICT DO NOTHING"
"""The first result of a step stays: an attempt may have gone on with it."""
SAVE = (
    f"{_inserting('step_result', columns.STEP)} "
    "ON CONFLICT (namespace, run_id, path, generation, key) DO UPDATE SET result = excluded.result"
)
DELETE_SAVED = (
    "DELETE FROM phaseline_step_result "
    "WHERE namespace = ? AND run_id = ? AND path = ? AND generation = ? AND key = ?"
)
INSERT_SIGNAL = _inserting("signal", columns.SIGNAL)
TAKE_SIGNAL = (
    "UPDATE phaseline_signal SET taken_by = ?, revision = ?, value = NULL "
    "WHERE namespace = ? AND run_id = ? AND seq = ? AND taken_by IS NULL"
)
DELETE_LETTER = "DELETE FROM phaseline_dead_letter WHERE namespace = ? AND run_id = ? AND seq <> ?"
INSERT_LETTER = _inserting("dead_letter", columns.LETTER)
DELETE_MARK = "DELETE FROM phaseline_run_mark WHERE namespace = ? AND mark = ? AND run_id = ?"
INSERT_MARK = _inserting("run_mark", rows.MARK)
INSERT_MESSAGE = _inserting("message", columns.MESSAGE)


def _twice(values: Rows, lease: int) -> Rows:
    """Repeat fence and worker, which stand right before the lease: what is compared before it is kept.

    Numbered marks would take them from where they are, but to the driver these are names, which it refuses with a sequence.
    """
    return [row[:lease] + row[lease - 2 :] for row in values]


def _update(driver: Any, statement: str, values: Rows) -> None:
    if values and driver.executemany(statement, values).rowcount != len(values):
        raise Conflict


def _insert(driver: Any, statement: str, values: Rows) -> None:
    if values:
        driver.executemany(statement, values)


@contextmanager
def _constraints_told() -> Generator[None]:
    """Tell of a broken constraint as the store hears of it from any database."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise IntegrityError(None, None, error) from error
