"""The SQL storage: connections, transactions, claims and reads.

One connection writes; reads take others from a pool. SQLite: WAL, synchronous=FULL, and every writing transaction
begins with BEGIN IMMEDIATE, since a transaction that reads first and writes later fails at once under WAL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from pydantic_core import to_json
from sqlalchemy import Connection, CursorResult, Engine
from sqlalchemy.exc import IntegrityError

from phaseline.abc import (
    Claimed,
    ClaimRequest,
    Grant,
    LostPhase,
    Outcome,
    RunRows,
    Storage,
    Unit,
    WorkerRecord,
)
from phaseline.errors import SchemaVersionError, StorageUnavailableError
from phaseline.events import Event
from phaseline.run import INPUT, STANDING_STATES, Checkpoint, RunRecord
from phaseline.storage.sql import batch, migrations, rows
from phaseline.storage.sql.faults import translated
from phaseline.storage.sql.sqlite import connect, where_is

T = TypeVar("T")
log: Final = logging.getLogger("phaseline.storage")

RUN_COLUMNS = ", ".join(rows.RUN)
PHASE_COLUMNS = ", ".join(rows.PHASE)
BUSY_TRIES = 5
"""Whole transactions tried again when the database stays locked for longer than its busy timeout."""


class SqlStorage(Storage):
    """Runs in the tables of a SQLite file."""

    def __init__(self, url: str) -> None:
        """Note where to connect to; nothing is opened yet.

        Raises:
            StorageURLError: The URL names no SQLite file.
        """
        self._path = where_is(url)
        self._url = url
        self._engine: Engine | None = None
        self._writer: Connection | None = None

    def __repr__(self) -> str:
        return f"sqlite:///{self._path}"

    # ------------------------------------------------------------------ open and close
    def open(self) -> None:
        with translated(repr(self)):
            engine = self._engine = connect(self._url)
            self._writer = engine.connect()
            self._migrate()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _migrate(self) -> None:
        """Bring the tables up to this code's version; processes that open the same file take turns."""
        found = self._schema_version()
        if found > migrations.LATEST:
            raise SchemaVersionError(repr(self), found, migrations.LATEST)
        if found < migrations.LATEST:
            self._write_transaction(self._upgrade)

    def _schema_version(self) -> int:
        return int(self._execute("PRAGMA user_version", ()).scalar_one())

    def _upgrade(self) -> None:
        for version in range(self._schema_version() + 1, migrations.LATEST + 1):
            for statement in migrations.statements("sqlite", version):
                self._execute(statement, ())
            self._execute(f"PRAGMA user_version = {version}", ())  # takes part in the transaction

    # ------------------------------------------------------------------ connections
    def _execute(self, statement: str, values: Any) -> CursorResult[Any]:
        """Run a driver statement on the connection that writes."""
        if self._writer is None:
            raise StorageUnavailableError(repr(self), "it is not open", "open the runtime that it belongs to")
        return self._writer.exec_driver_sql(statement, values)

    def _write_transaction(self, work: Callable[[], T]) -> T:
        """Do work in one transaction; nothing of it stays if it raises. A locked database is tried again."""
        for tries in range(1, BUSY_TRIES + 1):
            try:
                with translated(repr(self)):
                    return self._once(work)
            except StorageUnavailableError as error:
                if not error.busy or tries == BUSY_TRIES:
                    raise
        raise AssertionError  # the last try returns or raises

    def _once(self, work: Callable[[], T]) -> T:
        self._execute("BEGIN IMMEDIATE", ())
        try:
            result = work()
            self._execute("COMMIT", ())
        except BaseException:
            self._roll_back()
            raise
        return result

    def _roll_back(self) -> None:
        assert self._writer is not None  # noqa: S101  # a transaction was begun on it
        driver: Any = self._writer.connection.driver_connection
        if driver.in_transaction:  # an I/O error has ended it already, and then ROLLBACK fails
            self._execute("ROLLBACK", ())

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        if self._engine is None:
            raise StorageUnavailableError(repr(self), "it is not open", "open the runtime that it belongs to")
        with translated(repr(self)), self._engine.connect() as connection:
            yield connection

    # ------------------------------------------------------------------ write
    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if len({(unit.run.namespace, unit.run.id) for unit in units}) < len(units):
            msg = "a batch names a run twice; fold its commands into one unit"
            raise ValueError(msg)
        try:
            self._write_transaction(partial(batch.write, self._execute, units))
        except (batch.Conflict, IntegrityError) as error:
            if len(units) == 1:
                return [self._verdict(units[0], error)]
            middle = len(units) // 2
            return [*self.commit(units[:middle]), *self.commit(units[middle:])]
        return [Outcome.COMMITTED] * len(units)

    def _verdict(self, unit: Unit, error: Exception) -> Outcome:
        """Say why a unit that failed alone did."""
        head = self.head(unit.run.namespace, unit.run.id)
        if unit.expected != (0 if head is None else head.revision):
            return Outcome.STALE
        if isinstance(error, IntegrityError):  # a mistake of the engine's; it must not fail other units
            log.error("run %s: the tables refuse a unit of work: %s", unit.run.id, error.orig)
        return Outcome.FENCED

    def claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        return self._write_transaction(partial(self._claim, request, grant))

    def _claim(self, request: ClaimRequest, grant: Grant) -> Claimed:
        condition, values = _claimable(request)
        now = rows.micros(request.now)
        candidates = self._execute(
            f"SELECT p.run_id, p.path, p.priority FROM phaseline_phase_execution p {condition} AND p.available_at <= ? "  # noqa: S608  # names of ours
            "ORDER BY p.priority, p.available_at, p.run_id, p.path LIMIT ?",
            (*values, now, request.limit + 1),
        )
        found = [tuple(row) for row in candidates]
        by_run: dict[str, list[str]] = {}
        for run_id, path, _ in found[: request.limit]:
            by_run.setdefault(run_id, []).append(path)
        units: list[Unit] = []
        for run_id, paths in by_run.items():
            stored = self._load(self._execute, request.namespace, run_id)
            unit = None if stored is None else grant(stored, paths)
            if unit is not None:
                units.append(unit)
        if units:
            batch.write(self._execute, units)
        next_due = self._execute(  # not min(): that would read every row that is not due
            f"SELECT p.available_at FROM phaseline_phase_execution p {condition} AND p.available_at > ? "  # noqa: S608  # names of ours
            "ORDER BY p.available_at LIMIT 1",
            (*values, now),
        ).scalar()
        waiting = found[request.limit][2] if len(found) > request.limit else None
        return Claimed(units, waiting, rows.moment(next_due))

    # ------------------------------------------------------------------ workers and leases
    def enlist(self, worker: WorkerRecord) -> Sequence[WorkerRecord]:
        columns = ", ".join(rows.WORKER)

        def work() -> Sequence[WorkerRecord]:
            others = self._execute(
                f"SELECT {columns} FROM phaseline_worker WHERE namespace = ? AND id <> ?",  # noqa: S608  # names of ours
                (worker.namespace, worker.id),
            ).fetchall()
            self._execute(
                f"INSERT OR REPLACE INTO phaseline_worker ({columns}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608  # names of ours
                rows.worker_row(worker),
            )
            return [rows.worker_from(other) for other in others]

        return self._write_transaction(work)

    def retire(self, namespace: str, worker_id: str) -> None:
        statement = "DELETE FROM phaseline_worker WHERE namespace = ? AND id = ?"
        self._write_transaction(partial(self._execute, statement, (namespace, worker_id)))

    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> int:
        with self._reading() as connection:  # its own connection: it may come from any thread
            connection.exec_driver_sql(
                "UPDATE phaseline_worker SET seen_at = ? WHERE namespace = ? AND id = ?",
                (rows.micros(now), namespace, worker_id),
            )
            return connection.exec_driver_sql(
                "UPDATE phaseline_phase_execution SET lease_expires = ? WHERE namespace = ? AND worker = ?",
                (rows.micros(until), namespace, worker_id),
            ).rowcount

    def lost(
        self,
        namespace: str,
        now: datetime,
        dead_workers: Collection[str],
        fingerprints: Collection[str],
        limit: int,
    ) -> Sequence[LostPhase]:
        with self._reading() as connection:
            found = connection.exec_driver_sql(
                "SELECT p.run_id, p.path, p.fence FROM phaseline_phase_execution p "  # noqa: S608  # marks only
                "JOIN phaseline_pipeline_run r ON r.namespace = p.namespace AND r.id = p.run_id "
                "WHERE p.namespace = ? AND p.worker IS NOT NULL "
                f"AND (p.lease_expires <= ? OR p.worker IN ({_marks(dead_workers)})) "
                f"AND r.fingerprint IN ({_marks(fingerprints)}) ORDER BY p.run_id, p.path LIMIT ?",
                (namespace, rows.micros(now), *dead_workers, *fingerprints, limit),
            )
            return [LostPhase(*row) for row in found]

    # ------------------------------------------------------------------ read
    def load(self, namespace: str, run_id: str) -> RunRows | None:
        with self._reading() as connection:
            connection.exec_driver_sql("BEGIN")  # both statements see the same moment
            try:
                return self._load(connection.exec_driver_sql, namespace, run_id)
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def _load(self, execute: batch.Execute, namespace: str, run_id: str) -> RunRows | None:
        run = execute(
            f"SELECT {RUN_COLUMNS} FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?",  # noqa: S608  # names of ours
            (namespace, run_id),
        ).fetchone()
        if run is None:
            return None
        phases = execute(
            f"SELECT {PHASE_COLUMNS} FROM phaseline_phase_execution WHERE namespace = ? AND run_id = ? "  # noqa: S608  # names of ours
            "ORDER BY position",
            (namespace, run_id),
        )
        return RunRows(rows.run_from(run), [rows.phase_from(row) for row in phases])

    def head(self, namespace: str, run_id: str) -> RunRecord | None:
        statement = f"SELECT {RUN_COLUMNS} FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?"  # noqa: S608  # names of ours
        with self._reading() as connection:
            run = connection.exec_driver_sql(statement, (namespace, run_id)).fetchone()
        return None if run is None else rows.run_from(run)

    def values(self, namespace: str, run_id: str, paths: Iterable[str]) -> Mapping[str, str]:
        wanted = list(paths)
        outputs = [path for path in wanted if path != INPUT]
        found: dict[str, str] = {}
        with self._reading() as connection:
            if len(outputs) < len(wanted):
                statement = "SELECT input FROM phaseline_pipeline_run WHERE namespace = ? AND id = ?"
                for (text,) in connection.exec_driver_sql(statement, (namespace, run_id)):
                    found[INPUT] = text
            if outputs:
                statement = (  # one parameter for all paths: the number of those is limited
                    "SELECT path, output FROM phaseline_phase_execution WHERE namespace = ? AND run_id = ? "
                    "AND path IN (SELECT value FROM json_each(?)) AND output IS NOT NULL"
                )
                values = (namespace, run_id, to_json(outputs).decode())
                found.update(map(tuple, connection.exec_driver_sql(statement, values)))
        return found

    def steps(self, namespace: str, run_id: str, path: str, generation: int) -> Mapping[str, str]:
        statement = (
            "SELECT key, result FROM phaseline_step_result "
            "WHERE namespace = ? AND run_id = ? AND path = ? AND generation = ?"
        )
        with self._reading() as connection:
            values = (namespace, run_id, path, generation)
            return dict(map(tuple, connection.exec_driver_sql(statement, values)))

    def checkpoints(self, namespace: str, run_id: str) -> Sequence[Checkpoint]:
        statement = (
            f"SELECT {', '.join(rows.CHECKPOINT)} FROM phaseline_checkpoint "  # noqa: S608  # names of ours
            "WHERE namespace = ? AND run_id = ? ORDER BY seq"
        )
        with self._reading() as connection:
            return [
                rows.checkpoint_from(row)
                for row in connection.exec_driver_sql(statement, (namespace, run_id))
            ]

    def events(self, namespace: str, run_id: str, after: int, limit: int) -> Sequence[Event]:
        statement = (
            f"SELECT {', '.join(rows.EVENT)} FROM phaseline_event "  # noqa: S608  # names of ours
            "WHERE namespace = ? AND run_id = ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        with self._reading() as connection:
            return [
                rows.event_from(run_id, row)
                for row in connection.exec_driver_sql(statement, (namespace, run_id, after, limit))
            ]


def _claimable(request: ClaimRequest) -> tuple[str, tuple[Any, ...]]:
    """The join and condition that a claim's rows fulfil, but for their time."""
    standing = ", ".join(f"'{state}'" for state in sorted(STANDING_STATES))
    condition = (
        "JOIN phaseline_pipeline_run r ON r.namespace = p.namespace AND r.id = p.run_id "
        "WHERE p.namespace = ? AND p.state IN ('PENDING', 'RETRYING') "
        f"AND r.state NOT IN ({standing}) AND r.fingerprint IN ({_marks(request.fingerprints)})"
    )
    values: tuple[Any, ...] = (request.namespace, *request.fingerprints)
    if request.queues is not None:
        condition += f" AND p.queue IN ({_marks(request.queues)})"
        values += (*request.queues,)
    return condition, values


def _marks(values: Collection[Any]) -> str:
    return ", ".join("?" * len(values))
