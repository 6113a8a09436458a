"""What is written in a transaction of the host's: seen after its commit, gone after its rollback."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, or_, select
from sqlalchemy import event as events
from sqlalchemy.orm import Session, scoped_session

from phaseline.errors import KeyConflictError, RuntimeUsageError, StorageUnavailableError
from phaseline.storage.sql import schema
from phaseline.storage.sql.batch import Batch, gather
from phaseline.storage.sql.dialect import Dialect
from phaseline.unit_of_work import Unit

T = TypeVar("T")
log: Final = logging.getLogger("phaseline.storage")

_WAITING = "phaseline.waiting"
"""In a session: what is told once it is committed."""
INSERT_TRIES = 10
"""Times a run is inserted anew because the one that held its key ended that very moment."""


async def on_connection(given: Any, work: Callable[[Connection], T]) -> T:
    """Do work on a Connection, Session, AsyncConnection or AsyncSession.

    Raises:
        RuntimeUsageError: It is something else.
    """
    given = _of_this_thread(given)
    run_sync = getattr(given, "run_sync", None)
    if run_sync is not None:  # SQLAlchemy's async twins; importing those would need greenlet

        def do(inner: object) -> T:
            return work(_connection_of(inner))

        done: T = await run_sync(do)
        return done
    return work(_connection_of(given))  # the host's own, and it blocks as every statement on it does


def _of_this_thread(given: Any) -> Any:
    """Give the session that a ``scoped_session``, as Flask-SQLAlchemy has it, stands for."""
    if isinstance(given, scoped_session):
        return cast("Session", given())  # isinstance cannot see type arguments
    return given


def _connection_of(given: Any) -> Connection:
    if isinstance(given, Connection):
        return given
    if isinstance(given, Session):
        return given.connection()
    msg = (
        f"start(connection={type(given).__name__}): give a SQLAlchemy Connection, Session, AsyncConnection or AsyncSession "
        "that is in your transaction"
    )
    raise RuntimeUsageError(msg)


def check_kind(connection: Connection, dialect: Dialect) -> None:
    """Refuse a connection to another kind of database than the runtime's.

    Raises:
        RuntimeUsageError: It is one.
    """
    kind = {"postgresql": "postgres"}.get(connection.dialect.name, connection.dialect.name)
    if kind != dialect.name:
        msg = f"start(connection=...): this is a connection to {connection.dialect.name}, the runtime's storage is {dialect.where}"
        raise RuntimeUsageError(msg)


def check_transaction(connection: Connection) -> None:
    """Refuse a connection that commits each statement by itself: a run would be stored in parts, and not be rolled back.

    Raises:
        RuntimeUsageError: It does.
    """
    driver: Any = connection.connection.dbapi_connection
    # A host may also begin transactions by statements of his own; a file's driver tells.
    if connection.dialect.detect_autocommit_setting(driver) and not getattr(driver, "in_transaction", False):
        msg = (
            "start(connection=...): this connection is in AUTOCOMMIT and has no transaction; give one of an engine without "
            "isolation_level='AUTOCOMMIT'"
        )
        raise RuntimeUsageError(msg)


def after_commit(given: Any, tell: Callable[[], object]) -> None:
    """Call ``tell`` once the host's transaction is committed, where SQLAlchemy says so: of sessions."""
    session = getattr(_of_this_thread(given), "sync_session", given)
    if not isinstance(session, Session):
        return
    waiting: list[Callable[[], object]] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = []
        events.listen(session, "after_commit", _committed)
        events.listen(session, "after_rollback", _rolled_back)
    waiting.append(tell)


def _committed(session: Session) -> None:
    if session.in_nested_transaction():  # a SAVEPOINT is released: nobody sees it yet
        return
    waiting: list[Callable[[], object]] = session.info[_WAITING]
    told = waiting.copy()
    waiting.clear()
    for tell in told:
        try:
            tell()
        except Exception as error:  # noqa: BLE001  # a hint: the host's commit has succeeded, whatever became of us
            log.info("workers cannot be told of a run, and find it by themselves: %s", error)


def _rolled_back(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info[_WAITING].clear()


def insert_run(
    connection: Connection, unit: Unit, schema_name: str | None, same: Callable[[str, str], bool]
) -> str:
    """Insert a run that starts nothing yet; gives its id, or that of the run that holds its key.

    Raises:
        KeyConflictError: That one was started with another input.
    """
    tables, rows = schema.tables(schema_name), gather([unit])
    (values,) = _dicts("pipeline_run", rows.run_inserts)
    table = tables["pipeline_run"]
    insert = schema.insert_once(connection.dialect.name, table).values(values).returning(table.c.id)
    for _ in range(INSERT_TRIES):
        if (
            connection.execute(insert).first() is not None
        ):  # not the row count, which some drivers do not tell of inserts
            _insert_rest(connection, rows, schema_name)
            return unit.run.id
        holder = _holder(connection, unit, schema_name, same)
        if holder is not None:
            return holder
    raise StorageUnavailableError(
        "of the host's transaction", f"the key {unit.run.key!r} changes hands", "try again"
    )


def _insert_rest(connection: Connection, rows: Batch, schema_name: str | None) -> None:
    tables = schema.tables(schema_name)
    others = (
        ("phase_execution", rows.phase_inserts),
        ("phase_execution", rows.level_inserts),
        ("event", rows.events),
        ("run_mark", rows.marks),
    )
    for name, values in others:
        if values:
            connection.execute(tables[name].insert(), _dicts(name, values))


def _holder(
    connection: Connection, unit: Unit, schema_name: str | None, same: Callable[[str, str], bool]
) -> str | None:
    """Find the run that holds the key; None if it has let go of it this moment."""
    table, run = schema.tables(schema_name)["pipeline_run"].c, unit.run
    found = connection.execute(
        select(table.id, table.input).where(
            table.namespace == run.namespace,
            table.pipeline == run.pipeline,
            table.key == run.key,
            or_(~table.while_open, table.ended_at.is_(None)),  # as the index of keys has it
        )
    ).first()
    if found is None:
        return None
    assert run.key is not None  # noqa: S101  # an id is new, so it was the key that stood in the way
    if not same(found.input, unit.input or ""):
        raise KeyConflictError(run.key, run.pipeline, found.id)
    run_id: str = found.id
    return run_id


def _dicts(name: str, values: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    # What comes with a change alone, and never with an insert, stands last among the columns.
    return [dict(zip(schema.TABLES[name], row, strict=False)) for row in values]
