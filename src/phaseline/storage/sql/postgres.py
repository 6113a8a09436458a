"""PostgreSQL through psycopg 3: how to connect, how statements are spelt, what goes wrong. A batch is one statement."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import URL, Connection, Engine, create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError

from phaseline.abc import Nudge
from phaseline.errors import (
    MissingExtraError,
    StorageRefusedError,
    StorageUnavailableError,
    StorageURLError,
)
from phaseline.storage.sql import liveness, notices
from phaseline.storage.sql.batch import Batch
from phaseline.storage.sql.dialect import (
    Conflict,
    Dialect,
    LockedError,
    Oversized,
    qualified,
    told_by,
)
from phaseline.storage.sql.rows import Row
from phaseline.storage.sql.statements import Statements

if TYPE_CHECKING:
    import psycopg

    from phaseline.storage.sql.access import Access

SCHEMA = "phaseline"
TURNS_LOCK = 7_242_701_836_274
"""Key of the advisory lock of those who take turns: any number that others hardly choose."""
LIMITS_LOCK = 724_270_183
"""Of whoever starts phases under limits; the other half of the key is the namespace."""
LOCK_PATIENCE_MS = 200
"""Milliseconds that what writes waits for rows that others hold locked: a host's transaction may stay open for long."""
TURN_PATIENCE_MS = 10_000
"""Milliseconds that processes wait for their turn: one that brings the tables up to date takes its time."""
LARGEST_BATCH, LARGEST_UNIT = 64 << 20, 240_000_000
"""Characters that are sent at once of several runs, and of one; PostgreSQL takes 1 GB, and a character may take four bytes."""

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
WRITER_SETTINGS = "; ".join(f"SET {setting}" for setting in (*PLANS, f"lock_timeout = {LOCK_PATIENCE_MS}"))
TRANSACTION_SETTINGS = "; ".join(f"SET LOCAL {setting}" for setting in (*PLANS, "client_encoding = 'UTF8'"))
"""For the end of a transaction that began with statements of the user's, which are planned, and read, as he has it."""
CONNECT_ARGS: Mapping[str, Any] = {"connect_timeout": 10, "keepalives_idle": 30, "tcp_user_timeout": 30_000}
"""A machine that is gone is given up; for one that stands still see ``wire``."""
ANSWER_WITHIN = timedelta(seconds=30)

ADVICE = {
    "28": "check user and password in the URL",
    "3D000": "create the database, or name another one in the URL",
    "42501": "grant this role the right to use the schema and its tables",
    "42P01": "bring its tables up to date: phaseline db upgrade URL",
    "53100": "make room on the server's disk",
    "53300": "allow the server more connections, or use fewer processes",
    "53": "see the server's log",
    "25006": "the server takes no writes now: it is a standby, or set read only; name the primary in the URL, or wait",
    "55P03": "another transaction holds locked what is needed: one of a host's that a run was started in, or a migration. "
    "See in pg_stat_activity which one is open for long, and end it; meanwhile this is tried again",
}
LOCKED, UNPREPARED = "55P03", "26000"
TRANSIENT = frozenset({"40001", "40P01", LOCKED, UNPREPARED})
"""Serialization failure, deadlock, lock timeout, a prepared statement that somebody let go of: the same transaction may go
through at once."""
OUTAGES = ("08", "40", "53", "57", "58", *ADVICE, "3F000", UNPREPARED)
"""What is said of the server, the tables as a whole, or the way to them: not of what was sent."""


class PostgresDialect(Dialect):
    """A PostgreSQL database, in a schema of its own."""

    name: ClassVar[str] = "postgres"
    lock: ClassVar[str] = " FOR UPDATE SKIP LOCKED"

    outcome: ClassVar[str] = "outcome"
    # OFFSET 0: it is looked up by its key for each mark. A join that was planned for small tables compares all with all.
    run_of_mark: ClassVar[str] = (
        "JOIN LATERAL (SELECT * FROM phaseline_pipeline_run k WHERE k.namespace = m.namespace AND k.id = m.run_id OFFSET 0) r ON true"
    )
    batch_is_atomic: ClassVar[bool] = True
    nudges: ClassVar[bool] = True
    is_server: ClassVar[bool] = True
    begin_reading: ClassVar[str] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    now: ClassVar[str] = "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"

    def __init__(self, url: str, schema: str = SCHEMA, answer_within: timedelta = ANSWER_WITHIN) -> None:
        self._url = server_of(url)
        self._patience = answer_within.total_seconds()
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise StorageURLError(
                self.where, f"{schema!r} is no name for a schema: a-z, 0-9 and _, at most 63"
            )
        self.schema = schema
        self._statements = Statements(self.spell)

    @property
    def where(self) -> str:
        return self._url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)

    def connect(self, **pool: Any) -> Engine:
        try:
            engine = create_engine(self._url, isolation_level="AUTOCOMMIT", creator=self._connect, **pool)
        except ModuleNotFoundError as error:
            raise MissingExtraError("PostgreSQL as storage", "postgres") from error
        liveness.watch(engine)
        return engine

    def prepare_writer(self, driver: Any) -> None:
        self.control(driver, WRITER_SETTINGS)

    def plan_anew(self, driver: Any) -> None:
        self.control(driver, "DISCARD PLANS")

    def prepare_end(self, driver: Any) -> None:
        self.control(driver, TRANSACTION_SETTINGS)

    def spell(self, statement: str) -> str:
        return qualified(statement, self.schema)

    def among(self, values: Iterable[str]) -> tuple[str, Any]:
        return "= ANY(?)", list(values)

    def outside(self, values: Iterable[str]) -> tuple[str, Any]:
        # Of an array that is a parameter the plan makes no hash, and would walk it for each row.
        return "NOT IN (SELECT unnest(CAST(? AS text[])))", list(values)

    def holds(self, text: str) -> str:
        return f'strpos(lower({text} COLLATE "C"), ?) > 0'

    def field(self, column: str, name: str) -> str:
        return f"({column}::json ->> '{name}')"

    def without_indices(self, path: str, instead: str = "") -> str:
        return f"regexp_replace({path}, '\\[[0-9]+\\]', '{instead}', 'g')"

    # ------------------------------------------------------------------ faults
    @property
    def driver_error(self) -> type[Exception]:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        return psycopg.Error

    def is_refusal(self, error: BaseException) -> bool:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        state: str = getattr(error, "sqlstate", None) or ""
        if state:
            return not state.startswith(OUTAGES)
        return isinstance(error, psycopg.DataError | psycopg.ProgrammingError | psycopg.NotSupportedError)

    def unavailable(self, error: BaseException) -> StorageUnavailableError:
        state = getattr(error, "sqlstate", None) or ""
        advice = next((text for known, text in ADVICE.items() if state.startswith(known)), "")
        if not advice:
            advice = "see that the server runs and can be reached"
        problem = told_by(error)
        if "password authentication failed" in problem:
            advice = ADVICE["28"]
        kind = LockedError if state == LOCKED else StorageUnavailableError
        return kind(self.where, problem, advice, busy=state in TRANSIENT)

    def in_transaction(self, driver: Any) -> bool:
        connection: psycopg.Connection[Any] = driver
        return not connection.closed and connection.info.transaction_status.name != "IDLE"

    def abandon(self, driver: Any) -> None:
        from phaseline.storage.sql import wire  # noqa: PLC0415  # as above

        wire.abandon(driver)

    def bound(self, driver: Any, *, bounded: bool) -> None:
        driver.patience = self._patience if bounded else None

    @property
    def schema_name(self) -> str | None:
        return self.schema

    def is_gone(self, driver: Any) -> bool:
        connection: psycopg.Connection[Any] = driver
        return connection.closed

    # ------------------------------------------------------------------ tables
    def schema_version(self, ask: Access) -> int:
        if ask.value(f"SELECT to_regclass('\"{self.schema}\".migration')") is None:
            return 0
        return int(ask.value("SELECT coalesce(max(version), 0) FROM phaseline_migration"))

    def take_turns(self, ask: Access) -> None:
        ask.control(f"SET LOCAL lock_timeout = {TURN_PATIENCE_MS}")
        ask(f"SELECT pg_advisory_xact_lock({TURNS_LOCK})")

    def lock_limits(self, ask: Access, namespace: str) -> None:
        ask("SELECT pg_advisory_xact_lock(?, hashtext(?))", (LIMITS_LOCK, f"{self.schema}.{namespace}"))

    def make_schema(self, ask: Access) -> list[str]:
        # A role that may not make schemas is refused even where there is nothing to make.
        found = ask("SELECT 1 FROM pg_namespace WHERE nspname = ?", (self.schema,))
        return [] if found else [f'CREATE SCHEMA IF NOT EXISTS "{self.schema}"']

    def note_version(self, version: int) -> str:
        return f"INSERT INTO phaseline_migration (version, applied_at) VALUES ({version}, now())"  # noqa: S608  # a number

    # ------------------------------------------------------------------ statements
    def rows(self, driver: Any, statement: str, values: Sequence[Any]) -> list[Row]:
        found: list[Row] = self._run(driver, self.spell(statement), values).fetchall()
        return found

    def changed(self, driver: Any, statement: str, values: Sequence[Any]) -> int:
        number: int = self._run(driver, self.spell(statement), values).rowcount
        return number

    def control(self, driver: Any, statement: str) -> None:
        self._run(driver, statement, None, prepare=False)

    def _run(
        self,
        driver: Any,
        statement: Any,  # the driver would have a text stand in the source as it is
        values: Sequence[Any] | None,
        *,
        prepare: bool | None = None,
    ) -> Any:
        import psycopg  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        try:
            # Raw: the driver would look through a text with its own marks for values at each call.
            return psycopg.RawCursor(driver).execute(statement, values, prepare=prepare)
        except psycopg.errors.IntegrityError as error:
            raise IntegrityError(None, None, error) from error

    def write(self, driver: Any, batch: Batch) -> None:
        import psycopg  # noqa: PLC0415  # as above

        statement, values = self._statements.of(batch)
        size = sum(map(len, filter(None, values)))
        if size > LARGEST_BATCH and batch.is_divisible:
            raise Oversized
        if size > LARGEST_UNIT:
            raise StorageRefusedError(
                self.where, f"{size:,} characters of one run at once; {LARGEST_UNIT:,} can be sent"
            )
        try:
            driver.write(statement, values)
        except psycopg.errors.DivisionByZero as error:
            raise Conflict(str(error)) from error
        except psycopg.errors.IntegrityError as error:
            raise IntegrityError(None, None, error) from error

    # ------------------------------------------------------------------ notifications
    def announce(self, connection: Connection, namespace: str, nudge: Nudge) -> None:
        for payload in notices.written(namespace, nudge):
            connection.execute(select(func.pg_notify(self.schema, payload)))  # Core: the driver is the host's

    def teller(self) -> notices.Teller:
        return notices.Teller(self._connect_to_notify, self.schema)

    def hearer(self) -> notices.Hearer:
        return notices.Hearer(self._connect_to_hear, self.schema)

    def _connect_to_notify(self) -> psycopg.Connection[Any]:
        return self._connect(autocommit=True)

    def _connect_to_hear(self) -> psycopg.Connection[Any]:
        connection = self._connect(autocommit=True)
        self.bound(connection, bounded=False)  # it waits for what may never come
        return connection

    def _connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Connect by parameters, not by a URL as text: an error of the driver's may quote that, password and all."""
        from phaseline.storage.sql import wire  # noqa: PLC0415  # an extra: only where a PostgreSQL is used

        _, given = self._url.get_dialect()().create_connect_args(self._url)
        return wire.connect(self._patience, **{**given, **CONNECT_ARGS, **options})


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
