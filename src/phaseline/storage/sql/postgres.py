"""PostgreSQL through psycopg 3: a batch is one prepared statement, its rows travel as array literals.

One statement is one round trip and one flush, and by itself all or nothing. It ends in a division that fails unless every
guard held. Measured with our full set of rows at 64 runs: SQLAlchemy Core's executemany 6 000 phases/s, text with arrays
of the driver's making 10 400, literals of our own 16 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import URL, Connection, Engine, create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from phaseline.abc import Nudge
from phaseline.errors import MissingExtraError, StorageUnavailableError, StorageURLError
from phaseline.storage.sql import batch as columns
from phaseline.storage.sql import notices, rows
from phaseline.storage.sql.batch import Batch, Rows
from phaseline.storage.sql.dialect import Conflict, Dialect, Execute, qualified
from phaseline.storage.sql.schema import BOOLEANS, INTEGERS

if TYPE_CHECKING:
    import psycopg

SCHEMA = "phaseline"
TURNS_LOCK = 7_242_701_836_274
"""Key of the advisory lock of those who take turns: any number that others hardly choose."""
LOCK_PATIENCE_MS = 200

PLANS = (
    # One generic plan of key lookups: a plan made while the tables are small would walk all of a namespace later.
    "plan_cache_mode = force_generic_plan",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
    "enable_seqscan = off",
    # What a large run would justify, a small one pays: 30 ms for a claim of eight rows.
    "max_parallel_workers_per_gather = 0",
    "jit = off",
)
WRITER_SETTINGS = "; ".join(
    f"SET {setting}" for setting in (*PLANS, "default_transaction_isolation = 'read committed'")
)
TRANSACTION_SETTINGS = "; ".join(f"SET LOCAL {setting}" for setting in PLANS)
"""For the end of a transaction that began with statements of the user's, which are planned as he has it."""
CONNECT_ARGS: Mapping[str, Any] = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
"""Every wait for the network ends: a connection of which one side is gone is given up."""

ADVICE = {
    "28": "check user and password in the URL",
    "3D000": "create the database, or name another one in the URL",
    "42501": "grant this role the right to use the schema and its tables",
    "42P01": "bring its tables up to date: phaseline db upgrade URL",
    "53100": "make room on the server's disk; finished work is held and written then",
    "53300": "allow the server more connections, or use fewer processes",
    "53": "see the server's log; finished work is held and written once it works again",
    "25006": "the server takes no writes now (a standby, or set read only); finished work is held until it does",
}
TRANSIENT = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock timeout: the same transaction may go through at once."""


class PostgresDialect(Dialect):
    """A PostgreSQL database, in a schema of its own."""

    name: ClassVar[str] = "postgres"
    lock: ClassVar[str] = " FOR UPDATE SKIP LOCKED"

    outcome: ClassVar[str] = "outcome"
    batch_is_atomic: ClassVar[bool] = True
    nudges: ClassVar[bool] = True
    begin_reading: ClassVar[str] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    now: ClassVar[str] = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"

    def __init__(self, url: str, schema: str = SCHEMA) -> None:
        self._url = server_of(url)
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise StorageURLError(
                self.where, f"{schema!r} is no name for a schema: a-z, 0-9 and _, at most 63"
            )
        self.schema = schema
        self._write = lru_cache(maxsize=128)(self._statement)

    @property
    def where(self) -> str:
        return self._url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)

    def connect(self, **pool: Any) -> Engine:
        try:
            return create_engine(
                self._url, isolation_level="AUTOCOMMIT", pool_pre_ping=True, connect_args=CONNECT_ARGS, **pool
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError("PostgreSQL as storage", "postgres") from error

    def prepare_writer(self, connection: Connection) -> None:
        connection.exec_driver_sql(WRITER_SETTINGS)

    def prepare_end(self, connection: Connection) -> None:
        connection.exec_driver_sql(TRANSACTION_SETTINGS)

    def spell(self, statement: str) -> str:
        return qualified(statement, self.schema)

    def among(self, values: Iterable[str]) -> tuple[str, Any]:
        return "= ANY(?)", list(values)

    def holds(self, text: str) -> str:
        return f'strpos(lower({text} COLLATE "C"), ?) > 0'

    def field(self, column: str, name: str) -> str:
        return f"({column}::json ->> '{name}')"

    # ------------------------------------------------------------------ faults
    @property
    def driver_error(self) -> type[Exception]:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        return psycopg.Error

    def unavailable(self, error: BaseException) -> StorageUnavailableError:
        state = getattr(error, "sqlstate", None) or ""
        advice = next((text for known, text in ADVICE.items() if state.startswith(known)), "")
        if not advice:
            advice = "see that the server runs and can be reached; finished work is held and written once it is back"
        problem = str(error).strip().replace("\n", "; ") or type(error).__name__
        if "password authentication failed" in problem:
            advice = ADVICE["28"]
        return StorageUnavailableError(self.where, problem, advice, busy=state in TRANSIENT)

    def in_transaction(self, driver: Any) -> bool:
        connection: psycopg.Connection[Any] = driver
        return not connection.closed and connection.info.transaction_status.name != "IDLE"

    def abandon(self, driver: Any) -> None:
        connection: psycopg.Connection[Any] = driver
        connection.cancel()
        connection.close()

    @property
    def schema_name(self) -> str | None:
        return self.schema

    def is_gone(self, driver: Any) -> bool:
        connection: psycopg.Connection[Any] = driver
        return connection.closed

    # ------------------------------------------------------------------ tables
    def schema_version(self, execute: Execute) -> int:
        if execute(f"SELECT to_regclass('\"{self.schema}\".migration')").scalar_one() is None:
            return 0
        return int(execute("SELECT coalesce(max(version), 0) FROM phaseline_migration").scalar_one())

    def take_turns(self, execute: Execute) -> None:
        execute(f"SELECT pg_advisory_xact_lock({TURNS_LOCK})")

    def make_schema(self) -> list[str]:
        return [f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"']

    def note_version(self, version: int) -> str:
        return f"INSERT INTO phaseline_migration (version, applied_at) VALUES ({version}, now())"  # noqa: S608  # a number

    # ------------------------------------------------------------------ the batch
    def write(self, connection: Connection, batch: Batch) -> None:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        used = tuple(name for name in SECTIONS if getattr(batch, name))
        values: list[Any] = []
        for name in used:
            values += _literals(getattr(batch, name), _KINDS[name])
        values += [len(getattr(batch, name)) for name in used if name in GUARDED]
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(self._write(used), values, prepare=True)
        except (psycopg.errors.DivisionByZero, psycopg.errors.IntegrityError) as error:
            raise Conflict(str(error)) from error

    def _statement(self, used: tuple[str, ...]) -> str:
        """Spell the statement that writes these kinds of rows."""
        parts = ", ".join(f"{name} AS ({STATEMENTS[name]})" for name in used)
        # The counts are evaluated from left to right: run rows are locked before any phase row.
        guards = [f"(SELECT count(*) FROM {name}) = ?::bigint" for name in used if name in GUARDED]  # noqa: S608  # names of ours
        verdict = f"1 / ({' AND '.join(guards)})::int" if guards else "1"
        return self.spell(f"WITH {parts} SELECT {verdict}")

    # ------------------------------------------------------------------ notifications
    def announce(self, connection: Connection, namespace: str, nudge: Nudge) -> None:
        for payload in notices.written(namespace, nudge):
            connection.execute(select(func.pg_notify(self.schema, payload)))  # Core: the driver is the host's

    def teller(self) -> notices.Teller:
        return notices.Teller(self._connect_to_notify, self.schema)

    def listen(self, namespace: str, heard: Callable[[Nudge], object]) -> Callable[[], None]:
        return notices.Hearer(self._connect_to_notify, self.schema, namespace, heard).stop

    def _connect_to_notify(self) -> psycopg.Connection[Any]:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(url, autocommit=True, **CONNECT_ARGS)


def server_of(url: str) -> URL:
    """Read the URL of a server.

    Raises:
        StorageURLError: It cannot be read, or names another driver.
    """
    if url.startswith("postgres://"):
        url = url.replace("postgres://", "postgresql://", 1)
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StorageURLError(
            "postgresql://…", "it cannot be read; write postgresql://user:password@host:5432/database"
        ) from error
    if parts.host is not None and "@" in parts.host:
        raise StorageURLError("postgresql://…", "an @ in the password is written %40")
    if parts.drivername not in ("postgresql", "postgresql+psycopg"):
        raise StorageURLError(
            parts.render_as_string(hide_password=True),
            "phaseline speaks to PostgreSQL through psycopg 3, under asyncio and trio alike; write postgresql://…",
        )
    return parts.set(drivername="postgresql+psycopg")


# --------------------------------------------------------------------- the statements of a batch
SECTIONS: Mapping[str, Sequence[str]] = {
    "run_updates": columns.RUN_UPDATE,
    "amended_updates": columns.AMENDED_UPDATE,
    "run_inserts": columns.RUN_INSERT,
    "phase_updates": columns.PHASE_UPDATE,
    "phase_inserts": columns.PHASE_INSERT,
    "phase_drops": columns.PHASE_DROP,
    "checkpoint_drops": columns.CHECKPOINT_DROP,
    "checkpoints": columns.CHECKPOINT,
    "events": columns.EVENT,
    "steps": columns.STEP,
    "signals": columns.SIGNAL,
    "taken": columns.TAKEN,
    "mark_deletes": rows.MARK,
    "marks": rows.MARK,
}
GUARDED = ("run_updates", "amended_updates", "phase_updates", "phase_drops", "taken")


def _kind(column: str) -> str:
    return "bigint" if column in INTEGERS else "boolean" if column in BOOLEANS else "text"


_KINDS = {name: [_kind(column) for column in names] for name, names in SECTIONS.items()}


def _source(names: Sequence[str]) -> str:
    arrays = ", ".join(f"?::{_kind(name)}[]" for name in names)
    quoted = ", ".join(f'"{name}"' for name in names)
    # OFFSET 0: the planner must not see through to the values and choose a plan by them.
    return f"(SELECT * FROM unnest({arrays}) AS t ({quoted}) OFFSET 0)"  # noqa: S608  # names of ours


def _inserting(table: str, names: Sequence[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"INSERT INTO phaseline_{table} ({quoted}) SELECT * FROM {_source(names)} d"  # noqa: S608  # names of ours


def _assigned(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}" = d."{name}"' for name in names)


def _updating_runs(changes: Sequence[str], names: Sequence[str]) -> str:
    return (
        f"UPDATE phaseline_pipeline_run r SET {_assigned(changes)} FROM {_source(names)} d "  # noqa: S608  # names of ours
        "WHERE r.namespace = d.namespace AND r.id = d.id AND r.revision = d.expected RETURNING 1"
    )


STATEMENTS = {
    "run_updates": _updating_runs(rows.RUN_CHANGES, columns.RUN_UPDATE),
    "amended_updates": _updating_runs(rows.RUN_AMENDED, columns.AMENDED_UPDATE),
    "run_inserts": _inserting("pipeline_run", columns.RUN_INSERT),
    "phase_updates": (
        f"UPDATE phaseline_phase_execution p SET {_assigned(rows.PHASE_CHANGES)}, "  # noqa: S608  # names of ours
        f"lane = d.lane, output = coalesce(d.output, p.output), revision = d.revision FROM {_source(columns.PHASE_UPDATE)} d "
        "WHERE p.namespace = d.namespace AND p.run_id = d.run_id AND p.path = d.path AND p.epoch = d.epoch "
        "AND p.fence = d.expected RETURNING 1"
    ),
    "phase_inserts": _inserting("phase_execution", columns.PHASE_INSERT),
    "phase_drops": (
        f"UPDATE phaseline_phase_execution p SET {_assigned(rows.PHASE_DROPPED)}, worker = NULL, lease_expires = NULL, lane = NULL, "  # noqa: S608  # names of ours
        f"revision = d.revision FROM {_source(columns.PHASE_DROP)} d "
        "WHERE p.namespace = d.namespace AND p.run_id = d.run_id AND p.path = d.path AND p.epoch = d.epoch "
        "AND p.fence = d.expected RETURNING 1"
    ),
    "checkpoint_drops": (
        f"UPDATE phaseline_checkpoint c SET gone_in_epoch = d.gone_in_epoch FROM {_source(columns.CHECKPOINT_DROP)} d "  # noqa: S608  # names of ours
        "WHERE c.namespace = d.namespace AND c.run_id = d.run_id AND c.phase = d.phase AND c.epoch = d.epoch"
    ),
    "checkpoints": _inserting("checkpoint", columns.CHECKPOINT),
    "events": _inserting("event", columns.EVENT),
    # The first result of a step stays: an attempt may have gone on with it.
    "steps": f"{_inserting('step_result', columns.STEP)} ON CONFLICT DO NOTHING",
    "signals": _inserting("signal", columns.SIGNAL),
    "taken": (
        f"UPDATE phaseline_signal s SET taken_by = d.taken_by, revision = d.revision, value = NULL "  # noqa: S608  # names of ours
        f"FROM {_source(columns.TAKEN)} d WHERE s.namespace = d.namespace AND s.run_id = d.run_id AND s.seq = d.seq "
        "AND s.taken_by IS NULL RETURNING 1"
    ),
    "mark_deletes": (
        f"DELETE FROM phaseline_run_mark m USING {_source(rows.MARK)} d "  # noqa: S608  # names of ours
        "WHERE m.namespace = d.namespace AND m.mark = d.mark AND m.run_id = d.run_id"
    ),
    "marks": _inserting("run_mark", rows.MARK),
}


def _literals(values: Rows, kinds: Sequence[str]) -> list[str]:
    """Write columns of rows as PostgreSQL's array literals."""
    spelt = (_TEXTS[kind] for kind in kinds)
    return [spell(column) for spell, column in zip(spelt, zip(*values, strict=True), strict=True)]


def _texts(column: Sequence[str | None]) -> str:
    return (
        "{"
        + ",".join(
            [
                "NULL" if text is None else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
                for text in column
            ]
        )
        + "}"
    )


def _integers(column: Sequence[int | None]) -> str:
    return "{" + ",".join(["NULL" if number is None else str(number) for number in column]) + "}"


def _booleans(column: Sequence[bool | None]) -> str:
    return "{" + ",".join(["NULL" if flag is None else "t" if flag else "f" for flag in column]) + "}"


_TEXTS: dict[str, Callable[[Sequence[Any]], str]] = {
    "text": _texts,
    "bigint": _integers,
    "boolean": _booleans,
}
