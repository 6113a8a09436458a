"""A caller is cancelled wherever it waits: nothing is left open, and every run that came to be ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.databases import Database

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import RuntimeNotOpenError
from phaseline.rows import ENDED_STATES, PhaseState
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.checker import check

PATIENCE = 30
ENDLESS = 20_000
"""Runs that take much longer to start than a caller waits here."""
MANY = 200
"""Suspensions by which every call must have run through."""


class Stepper:
    """Awaits a call, and does something to it when it is suspended for the k-th time."""

    def __init__(self, call: Coroutine[Any, Any, Any], k: int) -> None:
        self._call, self._k = call, k
        self.cancel: Callable[[], object] = lambda: None
        self.suspensions = 0

    @property
    def struck(self) -> bool:
        """Whether there was a k-th suspension."""
        return self.suspensions >= self._k

    def __await__(self) -> Generator[Any, Any, Any]:
        call = self._call.__await__()
        step: Callable[[], Any] = lambda: call.send(None)  # noqa: E731  # replaced at each suspension
        while True:
            try:
                waits_for = step()
            except StopIteration as stop:
                return stop.value
            self.suspensions += 1
            if self.suspensions == self._k:
                self.cancel()
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # it is the call's to handle
                step = lambda error=error: call.throw(error)  # noqa: E731  # as above
            else:
                step = lambda sent=sent: call.send(sent)  # noqa: E731  # as above


async def by_scope(stepper: Stepper) -> None:
    """Cancel as anyio and trio do."""
    with anyio.CancelScope() as scope:
        stepper.cancel = scope.cancel
        await stepper


async def by_task(stepper: Stepper) -> None:
    """Cancel as asyncio's own timeouts, task groups and web servers do; a scope's shield does not keep that off."""

    async def call() -> None:
        await stepper

    task = asyncio.create_task(call())
    stepper.cancel = task.cancel
    with suppress(asyncio.CancelledError):
        await task


# --------------------------------------------------------------------- calls that wait
@phase
async def add(number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return number + 1


@phase
def double(number: int) -> int:
    return number * 2


SUM = Pipeline("sum", add >> double)


async def start(runtime: Runtime, number: int) -> None:
    await runtime.start(SUM, number)


async def start_keyed(runtime: Runtime, number: int) -> None:
    await runtime.start(SUM, 1, key=f"k{number % 2}")


async def result(runtime: Runtime, number: int) -> None:
    handle = await runtime.start(SUM, number)
    await handle.result()


async def run(runtime: Runtime, number: int) -> None:
    await SUM.run(number, runtime=runtime)


CALLS = [start, start_keyed, result, run]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty one, of each kind."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'runs.db'}", "phaseline")
    found: Database = request.getfixturevalue("postgres")
    return found


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[tuple[Runtime, SqlStorage]]:
    """An open runtime, and its storage."""
    storage = database.storage()
    async with Runtime(storage, pipelines=[SUM]) as opened:
        yield opened, storage


async def cancel_everywhere(
    runtime: Runtime, call: Callable[[Runtime, int], Coroutine[Any, Any, None]], way: Any
) -> int:
    """Cancel a call at its first suspension, then at its second, …; gives how many it had when it ran through."""
    for k in count(1):
        stepper = Stepper(call(runtime, k), k)
        with anyio.fail_after(PATIENCE):
            await way(stepper)
        if not stepper.struck:
            return k - 1
        assert k < MANY, "it never runs through"
    raise AssertionError


async def until(condition: Callable[[SqlStorage], bool], storage: SqlStorage) -> None:
    with anyio.fail_after(PATIENCE):
        while not await anyio.to_thread.run_sync(condition, storage):  # noqa: ASYNC110  # nothing tells it
            await anyio.sleep(0.02)


async def check_afterwards(storage: SqlStorage) -> None:
    """Every run ends, and nobody holds a connection or a transaction."""
    await until(all_ended, storage)
    await until(no_connection_in_use, storage)
    await anyio.to_thread.run_sync(check, storage)
    if storage.dialect.name == "postgres":
        await until(no_transaction_open, storage)


def all_ended(storage: SqlStorage) -> bool:
    runs = storage.find("default", limit=1_000)
    return bool(runs) and all(run.state in ENDED_STATES for run in runs)


def no_connection_in_use(storage: SqlStorage) -> bool:
    """Whether none is checked out but the one that writes; the sweep takes one for a moment each time."""
    assert storage._engine is not None
    pool: Any = storage._engine.pool
    return bool(pool.checkedout() == (storage._writer is not None))


def no_transaction_open(storage: SqlStorage) -> bool:
    """Whether no connection has begun a transaction and does nothing in it; a claim is between two statements at times."""
    statement = "SELECT query FROM pg_stat_activity WHERE left(state, 19) = 'idle in transaction'"
    with storage._reading() as ask:
        return ask.connection.exec_driver_sql(statement).fetchone() is None


@pytest.mark.parametrize("call", CALLS)
async def test_cancelled_by_a_scope(runtime: tuple[Runtime, SqlStorage], call: Any) -> None:
    """Wherever a scope is cancelled that a caller waits in."""
    opened, storage = runtime
    assert await cancel_everywhere(opened, call, by_scope) > 0
    await check_afterwards(storage)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
@pytest.mark.parametrize("call", CALLS)
async def test_cancelled_by_its_task(runtime: tuple[Runtime, SqlStorage], call: Any) -> None:
    """Wherever asyncio cancels the task of a caller."""
    opened, storage = runtime
    assert await cancel_everywhere(opened, call, by_task) > 0
    await check_afterwards(storage)


@pytest.mark.parametrize("way", [by_scope, by_task])
@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_cancelled_in_memory(way: Any) -> None:
    """A run in memory ends with its caller, and leaves nothing that hangs or complains."""

    async def call(_: Runtime, number: int) -> None:
        await SUM.run(number)

    assert await cancel_everywhere(None, call, way) > 0  # type: ignore[arg-type]  # it needs none


@phase
async def linger(number: int) -> int:
    await anyio.sleep(0.3)
    return number


SLOW = Pipeline("slow", linger)


async def start_slow(runtime: Runtime, number: int) -> None:
    await runtime.start(SLOW, number)


@pytest.mark.parametrize("way", [by_scope, by_task])
@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_what_was_started_is_drained(database: Database, way: Any) -> None:
    """A runtime that closes waits for the bodies of all runs, also of those whose callers have gone."""
    storage = database.storage()
    async with Runtime(storage, pipelines=[SLOW]) as runtime:
        stepper = Stepper(start_slow(runtime, 1), 2)
        await way(stepper)
        assert stepper.struck
        await until(any_stored, storage)
    assert await anyio.to_thread.run_sync(ends_of, database) == ["COMPLETED"]


def any_stored(storage: SqlStorage) -> bool:
    return bool(storage.find("default", limit=1))


def ends_of(database: Database) -> list[str]:
    storage = database.storage()
    storage.open()
    states = [run.state for run in storage.find("default", limit=1_000)]
    storage.close()
    return states


async def test_a_cancelled_host_drains(database: Database) -> None:
    """The scope around a runtime is cancelled: bodies have the drain all the same, and what they come to is stored."""
    storage = database.storage()
    with anyio.CancelScope() as scope:
        async with Runtime(storage, pipelines=[SLOW]) as runtime:
            await runtime.start(SLOW, 1)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await anyio.to_thread.run_sync(ends_of, database) == ["COMPLETED"]


async def test_a_cancelled_host_hands_over(database: Database) -> None:
    """What the drain is too short for is given back: another process takes it up at once, and no crash is counted."""
    storage = database.storage()
    with anyio.CancelScope() as scope:
        async with Runtime(storage, pipelines=[SLOW], drain=timedelta(0)) as runtime:
            await runtime.start(SLOW, 1)
            scope.cancel()
            await anyio.sleep_forever()
    assert await anyio.to_thread.run_sync(row_of, database) == (PhaseState.RETRYING, 0, 0)


def row_of(database: Database) -> tuple[PhaseState, int, int]:
    """State, failures and crashes of the one phase of the one run."""
    storage = database.storage()
    storage.open()
    (run,) = storage.find("default", limit=2)
    rows = storage.load("default", run.id)
    storage.close()
    assert rows is not None
    (row,) = rows.phases
    return row.state, row.failures, row.crashes


@pytest.mark.timeout(20)  # what hangs here is shielded
@pytest.mark.parametrize("url", ["memory", "sqlite:///{}/runs.db"])
async def test_a_runtime_that_is_opened_in_a_cancelled_scope_is_left(url: str, tmp_path: Path) -> None:
    """Wherever that meets it: in memory nothing waits before its own tasks are there."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with Runtime(url.format(tmp_path), pipelines=[SUM]):
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_a_start_that_comes_too_late_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits behind a write that lasts longer than the close is never written, and its caller told so: nothing hangs."""
    storage = database.storage()
    hung = Hung(storage.commit)
    monkeypatch.setattr(storage, "commit", hung)
    refused: dict[int, RuntimeNotOpenError] = {}

    async def start_late(runtime: Runtime, number: int) -> None:
        try:
            await runtime.start(SUM, number)
        except RuntimeNotOpenError as error:
            refused[number] = error

    with anyio.fail_after(PATIENCE):
        async with (
            anyio.create_task_group() as callers,
            Runtime(storage, pipelines=[SUM], serve=False, drain=timedelta(0)) as runtime,
        ):
            callers.start_soon(start_late, runtime, 1)
            await anyio.to_thread.run_sync(hung.begun.wait, PATIENCE)
            for number in range(2, 4):  # one more than there are batches on their way
                callers.start_soon(start_late, runtime, number)
                await anyio.wait_all_tasks_blocked()
            threading.Timer(4, hung.go_on.set).start()
    assert refused[1].waiting_for in await anyio.to_thread.run_sync(ids_of, database)
    assert refused[3].waiting_for is None


def ids_of(database: Database) -> list[str]:
    storage = database.storage()
    storage.open()
    ids = [run.id for run in storage.find("default", limit=1_000)]
    storage.close()
    return ids


class Hung:
    """A call that takes until somebody lets it go on."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *args: Any) -> Any:
        self.begun.set()
        assert self.go_on.wait(PATIENCE)
        return self._call(*args)


@pytest.mark.parametrize("url", ["memory", "sqlite:///{}/runs.db"])
async def test_who_starts_runs_without_end_is_cancelled(url: str, tmp_path: Path) -> None:
    """Starts are shielded while they are written, and wait for nothing in memory; between them a caller is cancelled."""
    started = 0
    with anyio.move_on_after(0.2) as scope:
        async with Runtime(url.format(tmp_path), pipelines=[SUM]) as runtime:
            while started < ENDLESS:
                await runtime.start(SUM, 1)
                started += 1
    assert scope.cancelled_caught
