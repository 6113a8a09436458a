"""What is PostgreSQL's alone: its tables, its refusals, its notifications."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import anyio
import attrs
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from blockbuster import BlockBuster
from sqlalchemy import Engine, MetaData, create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from tests.blocking import allowed
from tests.databases import Database
from tests.servers import Server

from phaseline import Pipeline, Runtime, cli, phase
from phaseline._shell import waiting
from phaseline.abc import Nudge
from phaseline.cli.codes import ExitCode
from phaseline.errors import (
    MissingExtraError,
    RunNotFoundError,
    SchemaVersionError,
    StorageUnavailableError,
    StorageURLError,
)
from phaseline.storage.sql import liveness, migrations, schema, wire
from phaseline.storage.sql.notices import Teller
from phaseline.storage.sql.postgres import PostgresDialect
from phaseline.storage.sql.statements import _literals
from phaseline.storage.sql.store import SqlStorage
from phaseline.timetable import Firing
from phaseline.unit_of_work import Outcome


@phase
async def double(n: int) -> int:
    return 2 * n


pipeline = Pipeline("double", double)
NEVER_MADE = "never_made"


@pytest.fixture
def without_tables(postgres_server: Server) -> Iterator[str]:
    """The name of a schema that does not exist before, nor after."""
    name = "bare"
    yield name
    engine = create_engine(postgres_server.url)
    with engine.begin() as connection:
        connection.execute(text(f'DROP SCHEMA IF EXISTS "{name}" CASCADE'))
    engine.dispose()


def run(*arguments: str) -> int:
    return cli.main(arguments)


# --------------------------------------------------------------------- tables
async def test_a_server_that_is_behind_is_refused(postgres_server: Server, without_tables: str) -> None:
    """With the command that brings it up to date; which does."""
    storage = SqlStorage(postgres_server.url, schema=without_tables)
    with pytest.raises(SchemaVersionError, match="phaseline db upgrade") as caught:
        async with Runtime(storage, pipelines=[pipeline]):
            pass
    assert (caught.value.found, caught.value.known) == (0, migrations.LATEST)
    await Runtime(storage, pipelines=[pipeline]).migrate()
    async with Runtime(storage, pipelines=[pipeline]):
        assert await pipeline(4) == 8


def test_a_newer_server_is_refused(postgres_server: Server, without_tables: str) -> None:
    """By opening and by migrating alike."""
    storage = SqlStorage(postgres_server.url, schema=without_tables)
    storage.migrate()
    engine = create_engine(postgres_server.url)
    with engine.begin() as connection:
        connection.execute(text(f'INSERT INTO "{without_tables}".migration VALUES (99, now())'))  # noqa: S608  # ours
    engine.dispose()
    for use in (storage.open, storage.migrate):
        with pytest.raises(SchemaVersionError, match="upgrade phaseline"):
            use()
    storage.close()


def test_the_command(
    postgres_server: Server, without_tables: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """``check`` fails before ``upgrade`` and passes after it; what ``sql`` prints is what an upgrade runs."""
    given = (postgres_server.url, "--schema", without_tables)
    assert run("db", "check", *given) == ExitCode.FAILED
    assert run("db", "sql", *given) == ExitCode.DONE
    script = capsys.readouterr().out
    engine = create_engine(postgres_server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(script)
    engine.dispose()
    assert run("db", "check", *given) == ExitCode.DONE
    assert run("db", "upgrade", *given) == ExitCode.DONE
    assert "is up to date" in capsys.readouterr().out


def test_schema_and_migrations_are_equal(postgres: Database, tmp_path: Any) -> None:
    """What we write through Core on a host's connection has the columns that the migrations made."""
    storage = SqlStorage(f"sqlite:///{tmp_path / 'runs.db'}")
    storage.migrate()
    for url, name in ((postgres.url, postgres.schema), (f"sqlite:///{tmp_path / 'runs.db'}", None)):
        engine = create_engine(url)
        found = inspect(engine)
        ours = schema.tables(name)
        for made in found.get_table_names(schema=name):  # else a purge would leave rows of a run behind
            columns = {column["name"] for column in found.get_columns(made, schema=name)}
            assert "run_id" not in columns or made.removeprefix("phaseline_") in ours
        for table in ours.values():
            written = [
                column for column in found.get_columns(table.name, schema=name) if "computed" not in column
            ]
            columns = {column["name"] for column in written}
            assert columns == set(table.columns.keys())
        engine.dispose()


def test_a_hosts_migrations_leave_our_tables_alone(postgres_server: Server) -> None:
    """Alembic's autogenerate would drop what it does not know; our filter hides it."""
    SqlStorage(postgres_server.url).migrate()
    engine = create_engine(postgres_server.url)
    with engine.begin() as connection:
        everything: dict[str, Any] = {"include_schemas": True}
        ours = MigrationContext.configure(connection, opts=everything)
        assert "schema='phaseline'" in repr(compare_metadata(ours, MetaData()))
        filtered = everything | {"include_name": schema.include_name}
        theirs = MigrationContext.configure(connection, opts=filtered)
        assert "schema='phaseline'" not in repr(compare_metadata(theirs, MetaData()))
        connection.execute(text("DROP SCHEMA phaseline CASCADE"))
    engine.dispose()


# --------------------------------------------------------------------- refusals
async def test_wrong_credentials(postgres_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """A clear error, and the password in no message and no log."""
    secret = "hunter2-and-more"  # noqa: S105  # a wrong one
    url = make_url(postgres_server.url).set(password=secret).render_as_string(hide_password=False)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StorageUnavailableError, match="check user and password") as caught:
        async with Runtime(url, pipelines=[pipeline]):
            pass
    told = [str(caught.value), repr(caught.value), caplog.text, repr(Runtime(url, pipelines=[pipeline]))]
    assert not any(secret in each for each in told)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+asyncpg://h/db", "psycopg 3"),
        ("postgresql+psycopg2://h/db", "psycopg 3"),
        ("postgresql://h:port/db", "cannot be read"),
        ("postgresql://u:aa@s3cret@127.0.0.1/d", "%40"),
        ("mysql://h/db", "known are"),
        ("postgresqlite://h/db", "known are"),
        ("sqlite+aiosqlite:///runs.db", "known are"),
    ],
)
def test_urls_that_are_none(url: str, told: str) -> None:
    """Each says what to write instead, and the same to who makes the storage himself."""
    with pytest.raises(StorageURLError, match=told):
        Runtime(url, pipelines=[pipeline])
    with pytest.raises(StorageURLError, match=told):
        SqlStorage(url)


def test_a_server_that_is_not_there() -> None:
    """Is an error that names it and says what to look at."""
    storage = SqlStorage("postgresql://someone:secret@127.0.0.1:1/none")
    with pytest.raises(StorageUnavailableError, match=re.escape("127.0.0.1:1/none")) as caught:
        storage.open()
    assert "secret" not in str(caught.value)
    storage.close()


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=re.escape("phaseline[postgres]")):
        SqlStorage("postgresql://h/db").open()


async def test_an_engine_is_no_storage(postgres_server: Server) -> None:
    """Ours is set up otherwise than a host's, an async one all the more; its URL is what we need."""
    engine = create_engine(postgres_server.url)
    with pytest.raises(StorageURLError, match=r"engine\.url"):
        SqlStorage(engine)  # type: ignore[arg-type]
    engine.dispose()


async def test_ids_of_another_namespace_are_unknown(postgres: Database) -> None:
    """With the text that any unknown id gets."""
    async with Runtime(postgres.storage(), pipelines=[pipeline]) as ours:
        handle = await ours.start(pipeline, 1)
        await handle.result()
    async with Runtime(postgres.storage(), pipelines=[pipeline], namespace="other") as theirs:
        with pytest.raises(RunNotFoundError) as foreign:
            await theirs.get(handle.id)
        with pytest.raises(RunNotFoundError) as unknown:
            await theirs.get("nope")
    assert str(foreign.value).replace(handle.id, "nope") == str(unknown.value)


# --------------------------------------------------------------------- notifications
async def test_a_commit_of_the_hosts_wakes_the_worker(
    postgres: Database, no_blocking_calls: BlockBuster, wait_for_listener: Callable[[], None]
) -> None:
    """By a notification in that very transaction, long before the sweep looks."""
    slow = Runtime(postgres.storage(), pipelines=[pipeline])
    slow._options = slow._options.__class__(sweep_interval=timedelta(hours=1))
    engine = create_engine(postgres.url)
    with allowed(no_blocking_calls):
        await wakes(slow, engine, wait_for_listener)
    engine.dispose()


async def wakes(slow: Runtime, engine: Engine, wait_for_listener: Callable[[], None]) -> None:
    """Start a run in a transaction of the host's, and see it end."""
    async with slow as runtime:
        await anyio.to_thread.run_sync(wait_for_listener)
        with engine.begin() as connection:
            handle = await runtime.start(pipeline, 21, connection=connection)
        assert await handle.result(timedelta(seconds=20)) == 42


@pytest.fixture
def wait_for_listener(postgres: Database) -> Callable[[], None]:
    """Wait until a worker listens that did not when the test began: those of tests before it may still be leaving."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    query = text("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN %' AND state = 'idle'")

    def listeners() -> set[int]:
        with engine.connect() as connection:
            return {*connection.execute(query).scalars()}

    before = listeners()

    def wait() -> None:
        while not listeners() - before:
            pass
        engine.dispose()

    return wait


# --------------------------------------------------------------------- nudges
async def test_what_another_process_does_is_heard_at_once(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That there is work, and that a run has ended: neither side waits for its next look."""
    monkeypatch.setattr(waiting, "FIRST_POLL", 3600)
    monkeypatch.setattr(waiting, "SLOW_POLL", 3600)
    worker = Runtime(postgres.storage(), pipelines=[pipeline])
    worker._options = attrs.evolve(worker._options, sweep_interval=timedelta(hours=1))
    async with worker, Runtime(postgres.storage(), pipelines=[pipeline], serve=False) as client:
        warm = await client.start(pipeline, 0)  # both sides connect, and learn of each other
        with anyio.move_on_after(1):
            await warm.result()
        for number in range(20):
            handle = await client.start(pipeline, number)
            assert 2 * number == await handle.result(timedelta(seconds=10))


async def test_who_was_alone_learns_at_once_that_another_serves(
    postgres: Database, no_blocking_calls: BlockBuster, wait_for_listener: Callable[[], None]
) -> None:
    """What it has no room for is told to the other one from then on, and not from its next sweep on."""
    alone = Runtime(postgres.storage(), pipelines=[pipeline])
    alone._options = attrs.evolve(alone._options, sweep_interval=timedelta(hours=1))
    async with alone:
        with allowed(no_blocking_calls):
            await anyio.to_thread.run_sync(wait_for_listener)
        assert not alone.runner.nudges.has_peers
        async with Runtime(postgres.storage(), pipelines=[pipeline]):
            with anyio.fail_after(10):
                while not alone.runner.nudges.has_peers:  # noqa: ASYNC110  # nobody is told
                    await anyio.sleep(0.01)


@pytest.mark.parametrize("after", [0.0, 3_600.0])
def test_a_connection_that_was_lost_at_rest_is_replaced_unseen(
    postgres: Database, monkeypatch: pytest.MonkeyPatch, after: float
) -> None:
    """Where it has rested long enough to be asked; else whoever meets it learns of the loss, and the next one does not."""
    monkeypatch.setattr(liveness, "IDLE", after)
    storage = postgres.storage()
    storage.open()
    killer = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    pids: list[int] = []
    run = PostgresDialect._run

    def note(self: PostgresDialect, driver: Any, *values: Any, **options: Any) -> Any:
        pids.append(driver.info.backend_pid)
        return run(self, driver, *values, **options)

    monkeypatch.setattr(PostgresDialect, "_run", note)
    try:
        assert storage.load("default", "nobody") is None
        with killer.connect() as other:
            gone = other.execute(
                text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pids[-1]}
            ).scalar_one()
        assert gone
        with nullcontext() if after == 0 else pytest.raises(StorageUnavailableError):
            assert storage.load("default", "nobody") is None
        assert storage.load("default", "nobody") is None
    finally:
        killer.dispose()
        storage.close()


def test_a_connection_that_is_lost_amid_a_read_is_an_outage(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss comes between two statements of one moment; the next read has a connection anew."""
    lost: list[str] = []
    storage = postgres.storage()
    storage.open()
    killer = create_engine(postgres.url, isolation_level="AUTOCOMMIT")

    run = PostgresDialect._run

    def lose(self: PostgresDialect, driver: Any, statement: str, *values: Any, **options: Any) -> Any:
        if "FROM" in statement and "pipeline_run" in statement and not lost:
            lost.append(statement)
            with killer.connect() as other:
                pid = driver.info.backend_pid
                # It waits for the end of the other process, of which the statement that comes next must learn.
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        return run(self, driver, statement, *values, **options)

    monkeypatch.setattr(PostgresDialect, "_run", lose)
    try:
        with pytest.raises(StorageUnavailableError):
            storage.load("default", "nobody")
        assert storage.load("default", "nobody") is None
    finally:
        killer.dispose()
        storage.close()
    assert lost


# --------------------------------------------------------------------- connections
async def test_a_schedule_that_somebody_holds_locked_keeps_nobody_from_the_others(postgres: Database) -> None:
    """Nor does one who holds all of them keep our writer for each of these."""
    storage = postgres.storage()
    one = Pipeline("double", double)
    async with Runtime(storage, pipelines=[one], serve=False) as runtime:
        for name in ("a", "b"):
            await runtime.schedules.put(name, one, input=1, every=timedelta(hours=1))
    with nullcontext(psycopg.connect(postgres.url)) as other, other:
        storage.open()
        read = storage.timetable.all("default")

        def outcomes() -> Sequence[Outcome]:
            return storage.timetable.fire([Firing(each, each.revision, None) for each in read])

        other.execute(f"SELECT 1 FROM {postgres.schema}.schedule WHERE name = 'a' FOR UPDATE")  # type: ignore[arg-type]  # noqa: S608  # ours
        assert outcomes() == [Outcome.BLOCKED, Outcome.COMMITTED]
        other.rollback()
        other.execute(f"LOCK TABLE {postgres.schema}.schedule IN SHARE MODE")  # type: ignore[arg-type]  # ours
        assert outcomes() == [Outcome.BLOCKED, Outcome.BLOCKED]
        other.rollback()
        assert outcomes() == [Outcome.COMMITTED, Outcome.COMMITTED]
        storage.close()


def test_a_connection_that_is_read_on_at_the_close_is_closed_after_it(postgres: Database) -> None:
    """A pool that was let go of would take it back, open, and nobody would close it."""
    storage = postgres.storage()
    storage.open()
    with storage._reading() as ask:
        storage.close()
        assert ask.value("SELECT 1", ()) == 1
        driver = ask.driver
    assert driver.closed


def test_a_password_with_a_space(postgres: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Is taken as it is by every connection; the driver would quote a URL that it cannot read, in its error."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    secret = "sec ret"  # noqa: S105  # of a role that the test drops
    url = make_url(postgres.url).set(username="spaced", password=secret).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE spaced LOGIN PASSWORD '{secret}'"))
        try:
            made = PostgresDialect(url, postgres.schema)
            made.connect(poolclass=NullPool).connect().close()
            made._connect_to_notify().close()
        finally:
            connection.execute(text("DROP ROLE spaced"))
    engine.dispose()
    assert secret not in caplog.text


def test_what_the_driver_says_of_its_parameters_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """For it may quote the password."""
    caplog.set_level(logging.INFO)
    told = threading.Event()

    def refuse() -> psycopg.Connection[Any]:
        told.set()
        raise psycopg.ProgrammingError("invalid connection option: hunter2")

    teller = Teller(refuse, "channel")
    teller.tell("default", Nudge(queues=frozenset({"default"})))
    assert told.wait(20)
    teller.stop()
    assert "other workers cannot be told" in caplog.text
    assert "hunter2" not in caplog.text


def test_statements_see_what_is_committed(postgres: Database) -> None:
    """Whatever the role's default is: bodies, reads and renewals would fail where others write at the same time."""
    url = make_url(postgres.url).update_query_dict(
        {"options": "-c default_transaction_isolation=serializable"}
    )
    storage = SqlStorage(url.render_as_string(hide_password=False), schema=postgres.schema)
    storage.open()
    try:
        transaction = storage.begin()
        shown = transaction.connection.execute(text("SHOW transaction_isolation")).scalar()
        transaction.roll_back()
        with storage._reading() as ask:
            read = ask.value("SHOW transaction_isolation")
    finally:
        storage.close()
    assert (shown, read) == ("read committed", "read committed")


def test_a_role_that_may_not_make_schemas_migrates(postgres: Database) -> None:
    """Where somebody made the schema for it."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    url = make_url(postgres.url).set(username="modest", password="modest")  # noqa: S106  # as above
    with engine.connect() as connection:
        connection.execute(text("CREATE ROLE modest LOGIN PASSWORD 'modest'"))
        connection.execute(text("CREATE SCHEMA theirs AUTHORIZATION modest"))
        try:
            storage = SqlStorage(url.render_as_string(hide_password=False), schema="theirs")
            assert storage.migrate() == 0
            assert storage.schema_version() == migrations.LATEST
        finally:
            connection.execute(text("DROP SCHEMA theirs CASCADE"))
            connection.execute(text("DROP ROLE modest"))
    engine.dispose()


@pytest.mark.parametrize(
    "column",
    [
        ["plain", "texts", ""],
        ['with "quotes"', "and \\ back\\\\slashes\\"],
        [None, None],
        ["NULL", None, "{}", "a,b", " spaces ", "é\n\t"],
        [None, '"', "\\", '\\"'],
    ],
)
def test_texts_of_a_batch_are_read_as_they_were_written(postgres: Database, column: list[str | None]) -> None:
    """The literals are of our own making: whatever a text holds, it is nothing but a text to the server."""
    with psycopg.connect(postgres.url) as connection:
        row = connection.execute(
            "SELECT %s::text[]", [_literals([(text,) for text in column], ["text"])[0]]
        ).fetchone()
    assert row == (column,)


@pytest.fixture
def line(postgres: Database) -> Iterator[wire.BoundedConnection]:
    """A connection as the storage has them, and the table ``said`` on it."""
    connection = wire.connect(5, conninfo=postgres.url, autocommit=True)
    connection.execute("CREATE TEMP TABLE said (words text)")
    yield connection
    connection.close()


def test_what_is_written_is_stored_as_it_is_or_refused(line: wire.BoundedConnection) -> None:
    """To the library that sends it, a text ends at its first NUL."""
    line.write(b"INSERT INTO said VALUES ($1), ($2), ($3)", ["", None, "\u20ac \\ '"])
    with pytest.raises(psycopg.DataError, match="NUL"):
        line.write(b"INSERT INTO said VALUES ($1)", ["before\0behind"])
    assert line.execute("SELECT words FROM said").fetchall() == [("",), (None,), ("\u20ac \\ '",)]


def test_a_write_that_fails_leaves_the_connection_as_it_was(line: wire.BoundedConnection) -> None:
    statement = b"INSERT INTO said SELECT 1 / $1::int"
    with pytest.raises(psycopg.errors.DivisionByZero):
        line.write(statement, ["0"])
    line.write(statement, ["1"])
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            line.write(b"INSERT INTO unsaid VALUES ($1)", ["1"])
    line.write(b"INSERT INTO said VALUES ($1)", ["2"])
    assert line.execute("SELECT words FROM said").fetchall() == [("1",), ("2",)]


@pytest.mark.parametrize("by", [b"ROLLBACK", b"DEALLOCATE ALL"])
def test_others_may_let_go_of_what_is_prepared(line: wire.BoundedConnection, by: bytes) -> None:
    """The driver does when it sees a rollback, for a table may have come back as another one."""
    statement = b"INSERT INTO said VALUES ($1)"
    line.write(statement, ["before"])
    line.execute("SELECT 1", prepare=True)
    if by == b"ROLLBACK":
        line.execute("BEGIN")
        line.execute(by)
        line.execute("SELECT 1", prepare=True)
    else:
        line.pgconn.exec_(by)
    prepared = line.execute("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'phaseline_%'")
    assert prepared.fetchone() == (0,)
    line.write(statement, ["behind"])
    assert line.execute("SELECT words FROM said").fetchall() == [("before",), ("behind",)]


def test_two_connections_give_other_names(line: wire.BoundedConnection, postgres: Database) -> None:
    """Behind a pooler, one might run what the other one has prepared."""
    other = wire.connect(5, conninfo=postgres.url, autocommit=True)
    names: set[str] = set()
    for connection in (line, other):
        connection.write(b"SELECT $1", ["1"])
        found = connection.execute("SELECT name FROM pg_prepared_statements WHERE statement = 'SELECT $1'")
        names.update(name for (name,) in found.fetchall())
    other.close()
    assert len(names) == 2


def test_what_is_written_in_a_transaction_is_part_of_it(line: wire.BoundedConnection) -> None:
    """Also behind a rollback, at which the driver lets go of all that is prepared."""
    statement = b"INSERT INTO said VALUES ($1)"
    for number, end in enumerate(("COMMIT", "ROLLBACK", "COMMIT")):
        line.execute("BEGIN")
        line.execute("SELECT 1", prepare=True)
        line.execute("SAVEPOINT here")
        line.write(statement, ["gone"])
        line.execute("ROLLBACK TO SAVEPOINT here")
        line.write(statement, [str(number)])
        line.execute(end.encode())
    assert line.execute("SELECT words FROM said").fetchall() == [("0",), ("2",)]


def test_a_transaction_is_lost_if_others_let_go_of_what_is_prepared(line: wire.BoundedConnection) -> None:
    """No second try hides why."""
    statement = b"INSERT INTO said VALUES ($1)"
    line.write(statement, ["before"])
    line.execute("BEGIN")
    line.pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        line.write(statement, ["amid"])
    line.execute("ROLLBACK")
    line.write(statement, ["behind"])
    assert line.execute("SELECT words FROM said").fetchall() == [("before",), ("behind",)]


def test_a_connection_keeps_so_many_writes_prepared(line: wire.BoundedConnection) -> None:
    """Those that were used last."""
    statements = [b"INSERT INTO said VALUES ('%d' || $1)" % number for number in range(wire.PREPARED + 1)]
    for statement in [*statements[:2], statements[0], *statements[2:]]:
        line.write(statement, ["th"])
    kept = line.execute(
        "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'phaseline_%'"
    ).fetchall()
    assert {text.encode() for (text,) in kept} == {*statements} - {statements[1]}
    assert line.execute("SELECT count(*) FROM said WHERE words = '0th'").fetchone() == (2,)


def test_texts_are_sent_as_utf_8(postgres: Database) -> None:
    """Whatever the encoding of the role or of the URL is."""
    url = make_url(postgres.url).update_query_dict({"client_encoding": "latin1"})
    storage = SqlStorage(url.render_as_string(hide_password=False), schema=postgres.schema)
    storage.open()
    try:
        with storage._reading() as ask:
            assert ask.value("SHOW client_encoding") == "UTF8"
    finally:
        storage.close()
