"""What PostgreSQL refuses, or lets wait, of one run: all others of the process go on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import anyio
import pytest
from sqlalchemy import create_engine, text
from tests.databases import Database

from phaseline import Ok, Pipeline, Runtime, each, phase
from phaseline._shell import group_commit
from phaseline.abc import WorkerRecord
from phaseline.errors import (
    DefinitionError,
    PipelineFailedError,
    StorageRefusedError,
    StorageUnavailableError,
)
from phaseline.storage.sql import postgres as dialect
from phaseline.testing.checker import check

PATIENCE = 20
REFUSED = "array size exceeds the maximum allowed"
REFUSES = f"RAISE EXCEPTION '{REFUSED}' USING ERRCODE = '54000'"
HANGS_UP = "PERFORM pg_terminate_backend(pg_backend_pid())"


@phase
async def same(number: int) -> int:
    return number


@phase
async def up_to(number: int) -> list[int]:
    return list(range(number))


one = Pipeline("one", same)
many = Pipeline("many", up_to >> each(same, on_error="collect"))


class Trigger:
    """Has the server do something where a value is written."""

    def __init__(self, database: Database) -> None:
        self._schema = database.schema
        self._engine = create_engine(database.url, isolation_level="AUTOCOMMIT")

    def at(self, table: str, column: str, value: str, what: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(
                f"CREATE FUNCTION {self._schema}.strike() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$BEGIN IF NEW.{column} = '{value}' THEN {what}; END IF; RETURN NEW; END$$"
            )
            connection.exec_driver_sql(
                f"CREATE TRIGGER strike BEFORE INSERT OR UPDATE ON {self._schema}.{table} "
                f"FOR EACH ROW EXECUTE FUNCTION {self._schema}.strike()"
            )

    def drop(self) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {self._schema}.strike() CASCADE")
        self._engine.dispose()


@pytest.fixture
def trigger(postgres: Database) -> Iterator[Trigger]:
    """What is dropped at the end."""
    made = Trigger(postgres)
    try:
        yield made
    finally:
        made.drop()


def stored(database: Database) -> list[str]:
    """Check what is stored; gives the states of the runs."""
    storage = database.storage()
    storage.open()
    try:
        check(storage)
        return sorted(run.state for run in storage.find("default", limit=100))
    finally:
        storage.close()


@pytest.mark.parametrize("priority", [1.5, True, "1"])
async def test_a_priority_that_is_no_int(priority: object) -> None:
    """Is refused before anything is stored."""
    async with Runtime("memory", pipelines=[one]) as runtime:
        with pytest.raises(DefinitionError, match="no whole number"):
            await runtime.start(one, 1, priority=priority)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strike", "error"),
    [(REFUSES, StorageRefusedError), (HANGS_UP, StorageUnavailableError)],
    ids=["refused", "lost"],
)
async def test_a_start_that_fails_does_so_alone(
    postgres: Database, trigger: Trigger, strike: str, error: type[Exception]
) -> None:
    """Those that were to be written with it are stored, whether the server refuses it or breaks down at it."""
    await anyio.to_thread.run_sync(trigger.at, "pipeline_run", "input", "13", strike)
    failed: list[tuple[int, Exception]] = []

    async def start(number: int) -> None:
        try:
            await runtime.start(one, number)
        except Exception as raised:  # noqa: BLE001  # looked at below
            failed.append((number, raised))

    async with Runtime(postgres.storage(), pipelines=[one], serve=False) as runtime:
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for number in (1, 2, 13, 4, 5):
                    tasks.start_soon(start, number)
    assert [(number, type(raised)) for number, raised in failed] == [(13, error)]
    assert await anyio.to_thread.run_sync(stored, postgres) == ["IDLE"] * 4


async def test_a_result_that_is_refused_fails_its_run(
    postgres: Database, trigger: Trigger, caplog: pytest.LogCaptureFixture
) -> None:
    """For good, with what the server said; other runs do not notice."""
    await anyio.to_thread.run_sync(trigger.at, "phase_execution", "output", "13", REFUSES)
    async with Runtime(postgres.storage(), pipelines=[one]) as runtime:
        with anyio.fail_after(PATIENCE):
            handles = [await runtime.start(one, number) for number in (13, *range(100, 120))]
            with pytest.raises(PipelineFailedError, match=REFUSED):
                await handles[0].result()
            assert [await handle.result() for handle in handles[1:]] == list(range(100, 120))
    assert await anyio.to_thread.run_sync(stored, postgres) == ["COMPLETED"] * 20 + ["FAILED"]
    (told,) = [record.message for record in caplog.records if record.name == "phaseline.failure"]
    assert "failed for good in attempt 1 with StorageRefusedError, and the run with it" in told


async def test_an_item_that_is_refused_fails_alone(postgres: Database, trigger: Trigger) -> None:
    """Though the results of others of its run were to be written in the same unit."""
    await anyio.to_thread.run_sync(trigger.at, "phase_execution", "output", "13", REFUSES)
    async with Runtime(postgres.storage(), pipelines=[many]) as runtime:
        with anyio.fail_after(PATIENCE):
            found = (await runtime.run(many, 20)).output
    failed = [each for each in found if not isinstance(each, Ok)]
    assert [each.value for each in found if isinstance(each, Ok)] == [*range(13), *range(14, 20)]
    assert REFUSED in str(failed)


async def test_a_batch_is_bounded(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is too large is divided, and a run that is too large by itself is refused with the bound."""
    monkeypatch.setattr(dialect, "LARGEST_BATCH", 3_000)
    monkeypatch.setattr(dialect, "LARGEST_UNIT", 20_000)

    @phase
    async def length(given: str) -> int:
        return len(given)

    pipeline = Pipeline("length", length)
    async with Runtime(postgres.storage(), pipelines=[pipeline]) as runtime:
        lengths: list[int] = []

        async def carry_out(size: int) -> None:
            lengths.append((await runtime.run(pipeline, "x" * size)).output)

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for size in (2_000, 2_001, 2_002, 2_003):
                    tasks.start_soon(carry_out, size)
            with pytest.raises(StorageRefusedError, match="20,000 can be sent"):
                await runtime.start(pipeline, "x" * 20_000)
    assert sorted(lengths) == [2_000, 2_001, 2_002, 2_003]


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization", "deadlock"])
async def test_who_is_in_the_way_is_waited_for(postgres: Database, trigger: Trigger, code: str) -> None:
    """A batch that loses against others is written again as a whole; its callers do not notice."""
    engine = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    tries = f"{postgres.schema}.tries"  # a sequence counts what is rolled back too
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SEQUENCE {tries}"))
    strike = f"IF nextval('{tries}') < 4 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{code}'; END IF"
    try:
        await anyio.to_thread.run_sync(trigger.at, "pipeline_run", "input", "13", strike)
        async with Runtime(postgres.storage(), pipelines=[one], serve=False) as runtime:
            with anyio.fail_after(PATIENCE):
                await runtime.start(one, 13)
        with engine.connect() as connection:
            assert connection.execute(text(f"SELECT last_value FROM {tries}")).scalar() == 4  # noqa: S608  # ours
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP SEQUENCE {tries}"))
        engine.dispose()


# --------------------------------------------------------------------- locks
async def test_a_hosts_open_transaction_holds_up_its_own_key_alone(postgres: Database) -> None:
    """A start with that key waits for the host, and gives the host's run; all others are stored meanwhile."""
    engine = create_engine(postgres.url)
    given: list[str] = []

    async def start_same() -> None:
        given.append((await runtime.start(one, 1, key="k")).id)

    async with Runtime(postgres.storage(), pipelines=[one], serve=False) as runtime:
        connection = await anyio.to_thread.run_sync(engine.connect)
        try:
            await anyio.to_thread.run_sync(connection.begin)
            ours = await runtime.start(one, 1, key="k", connection=connection)
            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(start_same)
                    for number in range(3):
                        await runtime.start(one, number)
                    assert not given
                    await anyio.to_thread.run_sync(connection.commit)
            assert given == [ours.id]
        finally:
            await anyio.to_thread.run_sync(connection.close)
            engine.dispose()


async def test_a_start_whose_key_stays_locked(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told of it in the end, and nothing of it is stored."""
    monkeypatch.setattr(group_commit, "BLOCKED_TRIES", 1)
    engine = create_engine(postgres.url)
    async with Runtime(postgres.storage(), pipelines=[one], serve=False) as runtime:
        connection = await anyio.to_thread.run_sync(engine.connect)
        try:
            await anyio.to_thread.run_sync(connection.begin)
            await runtime.start(one, 1, key="k", connection=connection)
            with (
                anyio.fail_after(PATIENCE),
                pytest.raises(StorageUnavailableError, match="end that transaction"),
            ):
                await runtime.start(one, 1, key="k")
        finally:
            await anyio.to_thread.run_sync(connection.close)
            engine.dispose()
    assert await anyio.to_thread.run_sync(stored, postgres) == []


def test_a_turn_that_others_keep(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is waited for within a bound, and then it is said who may have it."""
    monkeypatch.setattr(dialect, "TURN_PATIENCE_MS", 50)
    worker = WorkerRecord(
        id="w-1", namespace="default", host="here", pid=1, process_started="1", seen_at=datetime.now(UTC)
    )
    engine, storage = create_engine(postgres.url), postgres.storage()
    storage.open()
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({dialect.TURNS_LOCK})"))
            with pytest.raises(StorageUnavailableError, match="a migration"):
                storage.enlist(worker)
        assert storage.enlist(worker) == []
    finally:
        storage.close()
        engine.dispose()
