"""The user's rows and ours in one transaction: those of a phase's body, and those of who starts a run."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import anyio
import pytest
from blockbuster import BlockBuster
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tests.blocking import allowed
from tests.databases import Database

from phaseline import Context, Phase, Pipeline, Retry, RunState, Runtime, each, phase
from phaseline.errors import (
    DefinitionError,
    KeyConflictError,
    PipelineFailedError,
    RunNotVisibleError,
    RuntimeUsageError,
)
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage

MakeStorage = Callable[[], SqlStorage]
SOON = timedelta(seconds=20)


@pytest.fixture(autouse=True)
def a_host_that_blocks(no_blocking_calls: BlockBuster) -> Iterator[None]:
    """The host of these tests asks its database from the event loop, as it likes."""
    with allowed(no_blocking_calls):
        yield


@pytest.fixture
def ledger(database: MakeStorage, tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of the host's on the same database, with a table of its own."""
    is_file = "sqlite" in repr(database())
    url = f"sqlite:///{tmp_path / 'runs.db'}" if is_file else request.getfixturevalue("postgres").url
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS ledger"))
        connection.execute(text("CREATE TABLE ledger (amount bigint NOT NULL, run text NOT NULL)"))
    yield engine
    engine.dispose()


def booked(engine: Engine) -> list[int]:
    """What is in the host's table."""
    with engine.connect() as connection:
        return sorted(connection.execute(text("SELECT amount FROM ledger")).scalars())


def book(connection: Connection, amount: int, run: str = "") -> None:
    connection.execute(text("INSERT INTO ledger VALUES (:amount, :run)"), {"amount": amount, "run": run})


# --------------------------------------------------------------------- transactional phases
@phase(transactional=True)
def enter(amount: int, ctx: Context) -> int:
    book(ctx.connection, amount, ctx.run_id)
    return amount


@phase
async def confirm(amount: int) -> str:
    return f"booked {amount}"


async def test_rows_of_the_body_are_committed_with_the_phase(database: MakeStorage, ledger: Engine) -> None:
    """One commit holds both, and the run goes on from there."""
    pipeline = Pipeline("book", enter >> confirm)
    async with Runtime(database(), pipelines=[pipeline]):
        run = await pipeline.run(7)
    assert (run.output, booked(ledger)) == ("booked 7", [7])
    assert [c.phase for c in run.checkpoints] == ["enter", "confirm"]


def latin(connection: Connection) -> None:
    connection.execute(text("SET client_encoding TO 'LATIN1'"))


def unprepared(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    driver.pgconn.exec_(b"DEALLOCATE ALL")  # so that the driver does not see it


@pytest.mark.parametrize("spoil", [latin, unprepared])
async def test_what_a_body_does_to_its_connection_spoils_no_output(
    postgres: Database, spoil: Callable[[Connection], None]
) -> None:
    """Nor those of the phases that have the connection after it."""

    @phase(transactional=True)
    def meddle(word: str, ctx: Context) -> str:
        spoil(ctx.connection)
        return f"{word}\u00e9"

    pipeline = Pipeline("meddle", meddle)
    storage = SqlStorage(postgres.url, schema=postgres.schema)
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        for word in ("a", "b", "c"):
            run = await pipeline.run(word)
            assert await (await runtime.get(run.id)).result() == f"{word}\u00e9"
            with storage._reading() as ask:
                stored = ask.value("SELECT output FROM phaseline_phase_execution WHERE run_id = ?", (run.id,))
            assert stored == f'"{word}\u00e9"'


async def test_rows_of_a_body_that_fails_are_gone(database: MakeStorage, ledger: Engine) -> None:
    """Each failed attempt leaves nothing; the one that succeeds is booked once."""
    attempts: list[int] = []

    @phase(transactional=True, retry=Retry(attempts=3, wait=timedelta(0)))
    def flaky(amount: int, ctx: Context) -> int:
        book(ctx.connection, amount)
        attempts.append(ctx.attempt)
        if ctx.attempt < 3:
            msg = "after the row"
            raise OSError(msg)
        return amount

    pipeline = Pipeline("flaky", flaky)
    async with Runtime(database(), pipelines=[pipeline]):
        assert await pipeline(5) == 5
    assert (attempts, booked(ledger)) == ([1, 2, 3], [5])


async def test_an_output_that_cannot_be_stored_takes_the_rows_along(
    database: MakeStorage, ledger: Engine
) -> None:
    """What is not committed as a phase is not committed at all."""

    @phase(transactional=True)
    def liar(amount: int, ctx: Context) -> int:
        book(ctx.connection, amount)
        return "text"  # type: ignore[return-value]

    pipeline = Pipeline("liar", liar)
    async with Runtime(database(), pipelines=[pipeline]):
        with pytest.raises(PipelineFailedError, match="liar"):
            await pipeline.run(1)
    assert booked(ledger) == []


async def test_a_session_may_be_used_and_the_transaction_not_ended(
    database: MakeStorage, ledger: Engine
) -> None:
    """A session's commit is a flush; the connection's own commit is refused, and the phase fails."""

    @phase(transactional=True)
    def with_session(amount: int, ctx: Context) -> int:
        with Session(bind=ctx.connection) as session:
            session.execute(text("INSERT INTO ledger VALUES (:amount, '')"), {"amount": amount})
            session.commit()
        if amount == 13:
            ctx.connection.commit()
        return amount

    pipeline = Pipeline("with-session", with_session)
    async with Runtime(database(), pipelines=[pipeline]):
        assert await pipeline(12) == 12
        with pytest.raises(PipelineFailedError, match="committed with the phase, by phaseline"):
            await pipeline.run(13)
    assert booked(ledger) == [12]


async def test_timeout_rolls_back(database: MakeStorage, ledger: Engine) -> None:
    """A body that overruns is cut off from its transaction, and what it does later is refused."""
    late: list[str] = []

    @phase(transactional=True, timeout=timedelta(seconds=0.3))
    def slow(amount: int, ctx: Context) -> int:
        book(ctx.connection, amount)
        while not ctx.cancelled:
            pass
        try:
            book(ctx.connection, amount)
        except Exception as error:
            late.append(type(error).__name__)
            raise
        return amount

    pipeline = Pipeline("slow", slow)
    async with Runtime(database(), pipelines=[pipeline]):
        with pytest.raises(PipelineFailedError) as caught:
            await pipeline.run(1)
        with anyio.fail_after(20):
            while not late:  # noqa: ASYNC110  # a thread of its own tells
                await anyio.sleep(0.01)
    assert caught.value.error is not None
    assert (caught.value.error.category, booked(ledger)) == ("TIMEOUT", [])


async def test_nothing_follows_the_end_of_a_transaction(database: MakeStorage, ledger: Engine) -> None:
    """A body that was cut off, and holds on to its connection, writes nothing more: not row by row either."""
    done: list[str] = []

    @phase(transactional=True, timeout=timedelta(seconds=0.3))
    def stubborn(amount: int, ctx: Context) -> int:
        connection = ctx.connection
        with suppress(Exception):  # the statement that runs when it is cut off
            while not ctx.cancelled:
                book(connection, amount)
        deadline = time.monotonic() + 10
        while not done and time.monotonic() < deadline:
            try:
                book(connection, amount)
            except Exception as error:  # noqa: BLE001  # any refusal will do
                done.append(type(error).__name__)
        for again in (connection.rollback, lambda: book(connection, amount)):
            with suppress(Exception):
                again()
                done.append("went through")
        done.append("end")
        return amount

    pipeline = Pipeline("stubborn", stubborn)
    async with Runtime(database(), pipelines=[pipeline]):
        with pytest.raises(PipelineFailedError):
            await pipeline.run(1)
        with anyio.fail_after(20):
            while "end" not in done:  # noqa: ASYNC110  # a thread of its own tells
                await anyio.sleep(0.01)
    assert done[0] != "end"
    assert "went through" not in done
    assert booked(ledger) == []


@pytest.mark.parametrize("statement", ["COMMIT", "rollback;", "BEGIN"])
async def test_the_transaction_is_not_ended_by_text(
    statement: str, database: MakeStorage, ledger: Engine
) -> None:
    """A statement that would end it is refused as the method is."""

    @phase(transactional=True)
    def sly(amount: int, ctx: Context) -> int:
        book(ctx.connection, amount)
        ctx.connection.exec_driver_sql(statement)
        return amount

    pipeline = Pipeline("sly", sly)
    async with Runtime(database(), pipelines=[pipeline]):
        with pytest.raises(PipelineFailedError, match="committed with the phase, by phaseline"):
            await pipeline.run(1)
    assert booked(ledger) == []


async def test_a_deadlock_of_bodies_is_no_failure(postgres: Database) -> None:
    """The one that the server gives up is called again, in the same attempt."""
    engine = create_engine(postgres.url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS pair"))
        connection.execute(text("CREATE TABLE pair (id int PRIMARY KEY, n int)"))
        connection.execute(text("INSERT INTO pair VALUES (1, 0), (2, 0)"))
    both = threading.Barrier(2)
    calls: list[tuple[int, int]] = []

    @phase(transactional=True)
    def crosswise(first: int, ctx: Context) -> int:
        calls.append((first, ctx.attempt))
        raised = "UPDATE pair SET n = n + 1 WHERE id = :id"
        ctx.connection.execute(text(raised), {"id": first})
        if len(calls) <= 2:
            both.wait(20)
        ctx.connection.execute(text(raised), {"id": 3 - first})
        return first

    pipeline = Pipeline("crosswise", crosswise)
    async with Runtime(postgres.storage(), pipelines=[pipeline]) as runtime:
        handles = [await runtime.start(pipeline, first) for first in (1, 2)]
        assert [await handle.result(SOON) for handle in handles] == [1, 2]
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM pair ORDER BY id")).scalars().all() == [2, 2]
    engine.dispose()
    assert len(calls) >= 3  # it may meet the other one once more
    assert {attempt for _, attempt in calls} == {1}


async def test_a_lost_connection_of_a_body_is_no_failure(postgres: Database) -> None:
    """The body is called again, in the same attempt, once the server answers."""
    attempts: list[int] = []

    @phase(transactional=True)
    def cut(amount: int, ctx: Context) -> int:
        attempts.append(ctx.attempt)
        if len(attempts) == 1:
            ctx.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        ctx.connection.execute(text("SELECT 1"))
        return amount

    pipeline = Pipeline("cut", cut)
    async with Runtime(postgres.storage(), pipelines=[pipeline]):
        assert await pipeline(7) == 7
    assert attempts == [1, 1]


async def test_what_follows_a_long_body_has_a_lease_of_its_own(database: MakeStorage, ledger: Engine) -> None:
    """The next phase is granted after the body, and not with what was left of the lease before it."""

    @phase(transactional=True)
    def long(amount: int, ctx: Context) -> int:
        book(ctx.connection, amount)
        time.sleep(0.5)
        return amount

    pipeline = Pipeline("long", long >> confirm)
    async with Runtime(database(), pipelines=[pipeline], lease=timedelta(seconds=0.3)):
        run = await pipeline.run(7)
    assert run.phases["confirm"].crashes == 0


async def test_many_at_once_on_one_run(database: MakeStorage, ledger: Engine) -> None:
    """Items of a map that each commit with rows of their own meet on the run's row, and none is lost."""

    @phase
    async def numbers(n: int) -> list[int]:
        return list(range(n))

    @phase
    async def total(amounts: list[int]) -> int:
        return sum(amounts)

    pipeline = Pipeline("many", numbers >> each(enter, limit=6) >> total)
    async with Runtime(database(), pipelines=[pipeline]):
        assert await pipeline(20) == 190
    assert booked(ledger) == list(range(20))


async def test_what_a_transactional_phase_may_not(database: MakeStorage, ledger: Engine) -> None:
    """It stores nothing on the way; and a connection is there for such phases alone."""

    @phase(transactional=True)
    def steps(n: int, ctx: Context) -> int:
        return ctx.blocking.step("s", int, n)

    @phase
    def plain(n: int, ctx: Context) -> int:
        return len(str(ctx.connection))

    for one in (steps, plain):
        pipeline = Pipeline("refused", one)
        async with Runtime(database(), pipelines=[pipeline]):
            with pytest.raises(PipelineFailedError, match="transactional"):
                await pipeline.run(1)


async def test_memory_has_no_transactions() -> None:
    """A runtime on it is refused when it opens, and so is a run without a runtime."""
    pipeline = Pipeline("book", enter)
    with pytest.raises(RuntimeUsageError, match="enter"):
        async with Runtime("memory", pipelines=[pipeline]):
            pass
    with pytest.raises(RuntimeUsageError, match="enter"):
        await pipeline.run(1)


def test_definitions_that_cannot_be_transactional() -> None:
    """Async bodies, and those without a context."""

    class Async(Phase[int, int]):
        transactional = True

        async def run(self, value: int, ctx: Context) -> int:
            return value

    with pytest.raises(DefinitionError, match="plain def"):
        Pipeline("async", Async())

    @phase(transactional=True)
    def blind(value: int) -> int:
        return value

    with pytest.raises(DefinitionError, match="Context"):
        Pipeline("blind", blind)


# --------------------------------------------------------------------- starts in the host's transaction
@asynccontextmanager
async def opened(database: MakeStorage) -> AsyncIterator[tuple[Runtime, Pipeline[int, str]]]:
    pipeline = Pipeline("confirm", confirm)
    async with Runtime(database(), pipelines=[pipeline]) as runtime:
        yield runtime, pipeline


async def test_a_run_starts_with_the_hosts_commit(database: MakeStorage, ledger: Engine) -> None:
    """Until then its handle knows its id alone; afterwards it is a run like any other."""
    async with opened(database) as (runtime, pipeline):
        with ledger.begin() as connection:
            book(connection, 3)
            handle = await runtime.start(pipeline, 3, connection=connection)
            for verb in (handle.state, handle.run, handle.checkpoints):
                with pytest.raises(RunNotVisibleError, match=handle.id):
                    await verb()
        assert await handle.result(SOON) == "booked 3"
        assert (await handle.state(), booked(ledger)) == (RunState.COMPLETED, [3])


async def test_a_run_goes_with_the_hosts_rollback(database: MakeStorage, ledger: Engine) -> None:
    """There never was one."""
    async with opened(database) as (runtime, pipeline):
        with ledger.connect() as connection:
            handle = await runtime.start(pipeline, 3, connection=connection)
            connection.rollback()
        with pytest.raises(RunNotVisibleError):
            await handle.state()
        assert await runtime.runner.read(lambda: runtime.runner.storage.find("default", limit=9)) == []


async def test_start_in_a_session(database: MakeStorage, ledger: Engine) -> None:
    """A session tells of its commit, so that the worker looks at once."""
    async with opened(database) as (runtime, pipeline):
        with Session(ledger) as session:
            handle = await runtime.start(pipeline, 4, connection=session)
            session.commit()
        assert await handle.result(SOON) == "booked 4"


async def test_keys_in_the_hosts_transaction(database: MakeStorage, ledger: Engine) -> None:
    """One run for each key, whoever starts it; other input is refused."""
    async with opened(database) as (runtime, pipeline):
        first = await runtime.start(pipeline, 4, key="k")
        with ledger.begin() as connection:
            again = await runtime.start(pipeline, 4, key="k", connection=connection)
        with ledger.begin() as connection, pytest.raises(KeyConflictError, match=first.id):
            await runtime.start(pipeline, 5, key="k", connection=connection)
        assert (again.id, first.is_new, again.is_new) == (first.id, True, False)
        with ledger.begin() as connection:
            assert (await runtime.start(pipeline, 6, key="l", connection=connection)).is_new
        assert await again.result(SOON) == "booked 4"


async def test_a_key_in_the_hosts_transaction_after_a_deploy(database: MakeStorage, ledger: Engine) -> None:
    """A field that has a default makes no other input, whether it is told by the runtime or in the transaction."""

    class Sum(BaseModel):
        amount: int

    class SumInCurrency(BaseModel):
        amount: int
        currency: str = "EUR"

    @phase(name="tell")
    async def tell(given: Sum) -> int:
        return given.amount

    @phase(name="tell")
    async def tell_later(given: SumInCurrency) -> int:
        return given.amount

    before, after = Pipeline("told", tell), Pipeline("told", tell_later)
    async with Runtime(database(), pipelines=[before]) as runtime:
        first = await runtime.start(before, Sum(amount=4), key="k")
    async with Runtime(database(), pipelines=[after]) as runtime:
        with ledger.begin() as connection:
            again = await runtime.start(after, SumInCurrency(amount=4), key="k", connection=connection)
        assert again.id == first.id
        other = SumInCurrency(amount=4, currency="CHF")
        with ledger.begin() as connection, pytest.raises(KeyConflictError, match=first.id):
            await runtime.start(after, other, key="k", connection=connection)


async def test_what_is_no_connection(database: MakeStorage, ledger: Engine) -> None:
    """An engine is none: its transaction would be nobody's."""
    async with opened(database) as (runtime, pipeline):
        with pytest.raises(RuntimeUsageError, match="Engine"):
            await runtime.start(pipeline, 4, connection=ledger)


async def test_a_connection_to_another_database(database: MakeStorage) -> None:
    """Is told by its kind, before anything is tried on it."""
    other = create_engine("sqlite://")
    async with opened(database) as (runtime, pipeline):
        if "sqlite" not in repr(runtime):
            with other.connect() as connection, pytest.raises(RuntimeUsageError, match="sqlite"):
                await runtime.start(pipeline, 4, connection=connection)
    other.dispose()


async def test_a_run_that_never_came(database: MakeStorage, ledger: Engine) -> None:
    """Waiting in vain for one that was rolled back says so."""
    async with opened(database) as (runtime, pipeline):
        with ledger.connect() as connection:
            handle = await runtime.start(pipeline, 3, connection=connection)
            connection.rollback()
        with pytest.raises(RunNotVisibleError):
            await handle.result(timedelta(seconds=0.2))


async def test_memory_joins_no_transaction(ledger: Engine) -> None:
    """It says that a database is needed."""
    pipeline = Pipeline("confirm", confirm)
    async with Runtime(MemoryStorage(), pipelines=[pipeline]) as runtime:
        with ledger.connect() as connection, pytest.raises(RuntimeUsageError, match="database"):
            await runtime.start(pipeline, 4, connection=connection)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
@pytest.mark.parametrize("kind", ["connection", "session"])
async def test_the_async_twins(kind: str, postgres: Database) -> None:
    """AsyncConnection and AsyncSession, which are asyncio's alone, are joined in the same way."""
    async with opened(postgres.storage) as (runtime, pipeline):
        engine = create_async_engine(postgres.url)
        if kind == "connection":
            async with engine.begin() as connection:
                handle = await runtime.start(pipeline, 5, connection=connection)
        else:
            async with AsyncSession(engine) as session:
                handle = await runtime.start(pipeline, 5, connection=session)
                await session.commit()
        assert await handle.result(SOON) == "booked 5"
        await engine.dispose()


async def test_a_connection_without_a_transaction(database: MakeStorage, ledger: Engine) -> None:
    """In AUTOCOMMIT a run would be stored in parts and outlast a rollback: it is refused, and nothing is stored."""
    separate = ledger.execution_options(isolation_level="AUTOCOMMIT")
    async with opened(database) as (runtime, pipeline):
        with separate.connect() as connection, pytest.raises(RuntimeUsageError, match="AUTOCOMMIT"):
            await runtime.start(pipeline, 3, connection=connection)
        with Session(separate) as session, pytest.raises(RuntimeUsageError, match="AUTOCOMMIT"):
            await runtime.start(pipeline, 3, connection=session)
        assert await runtime.runner.read(lambda: runtime.runner.storage.find("default", limit=9)) == []


async def test_a_session_tells_of_its_commit_alone(
    database: MakeStorage, ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of the release of a savepoint, and not of what it rolled back; however often runs are started in it."""
    told: list[str] = []
    async with opened(database) as (runtime, pipeline):
        monkeypatch.setattr(runtime.queue, "put", told.append)
        with Session(ledger) as session:
            for number in range(10):
                await runtime.start(pipeline, number, connection=session)
                session.rollback()
            session.execute(text("SELECT 1"))
            session.commit()
            assert told == []
            for number in range(2):
                with session.begin_nested():
                    await runtime.start(pipeline, number, connection=session)
                assert told == []
            session.commit()
            assert len(told) == 2
            session.execute(text("SELECT 1"))
            session.commit()
            assert len(told) == 2


async def test_a_commit_whose_workers_cannot_be_told(
    database: MakeStorage, ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after the close of the runtime: that is no reason for the host's commit to fail."""
    told: list[str] = []

    def refuse(queue: str) -> None:
        told.append(queue)
        raise RuntimeError("closed")

    async with opened(database) as (runtime, pipeline):
        monkeypatch.setattr(runtime.queue, "put", refuse)
        with Session(ledger) as session:
            handle = await runtime.start(pipeline, 3, connection=session)
            session.commit()
        assert told
        monkeypatch.undo()
        assert await handle.result(SOON) == "booked 3"
