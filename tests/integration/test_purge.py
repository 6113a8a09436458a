"""Runs are kept as long as their host wants, and purged as a whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from anyio import to_thread
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, phase
from phaseline._shell import retention
from phaseline.errors import DefinitionError, RunNotFoundError, StorageUnavailableError
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.testing.faults import Faults
from phaseline.testing.stored import stored_runs

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)


@phase
async def even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


checked = Pipeline("checked", even)


async def ended(runtime: Runtime, *numbers: int, **options: Any) -> list[str]:
    """Run to the end, one after another; gives the ids."""
    ids: list[str] = []
    for number in numbers:
        handle = await runtime.start(checked, number, **options)
        await handle.wait()
        ids.append(handle.id)
    return ids


async def left(runtime: Runtime) -> list[str]:
    """Ids of the runs that are there."""
    return [run.id async for run in runtime.find(order="oldest")]


def all_rows(storage: SqlStorage) -> list[object]:
    """Read all that is stored of every run."""
    return [attrs.asdict(stored, recurse=False) for stored in stored_runs(storage, "default")]


async def test_old_runs_are_purged(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Those that ended long enough ago, and of these the ones that are meant; a dry run only counts."""
    async with open_runtime(checked) as runtime:
        old = await ended(runtime, 2, 3, key=None)
        await clock.advance(3 * SECOND)
        new = await ended(runtime, 4)
        waiting = await runtime.start(checked, 6, delay=timedelta(days=1))
        assert await runtime.purge(older_than=4 * SECOND) == 0
        assert await runtime.purge(older_than=2 * SECOND, state="FAILED", dry_run=True) == 1
        assert await left(runtime) == sorted([*old, *new, waiting.id])
        assert await runtime.purge(older_than=2 * SECOND, state="FAILED") == 1
        assert await left(runtime) == sorted([old[0], *new, waiting.id])
        assert await runtime.purge(older_than=2 * SECOND, pipeline=checked) == 1
        await clock.advance(SECOND)
        assert await runtime.purge(older_than=timedelta(0), tags=["none"]) == 0
        assert await runtime.purge(older_than=timedelta(0)) == 1
        assert await runtime.purge(older_than=timedelta.max) == 0
        assert await left(runtime) == [waiting.id]


async def test_a_purged_run_is_unknown(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """To whoever asks for it, also by an old handle; its key starts another one."""
    async with open_runtime(checked) as runtime:
        handle = await runtime.start(checked, 2, key="k")
        assert await handle.result() == 2
        await clock.advance(SECOND)
        assert await runtime.purge(older_than=timedelta(0)) == 1
        for ask in (lambda: runtime.get(handle.id), handle.state, handle.run, handle.result):
            with pytest.raises(RunNotFoundError, match=handle.id):
                await ask()
        with pytest.raises(RunNotFoundError):
            await handle.cancel()
        again = await runtime.start(checked, 4, key="k")
        assert (again.id != handle.id, await again.result()) == (True, 4)


@BOTH_LOOPS
async def test_the_background_keeps_what_is_young(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """``retain=`` purges by itself, once a run has been kept long enough."""
    async with open_runtime(checked, retain=3 * SECOND) as runtime:
        await ended(runtime, 2, 3)
        waiting = await runtime.start(checked, 6, delay=timedelta(days=1))
        await clock.advance(2 * SECOND)
        young = await ended(runtime, 4)
        assert len(await left(runtime)) == 4
        await clock.advance(2.5 * SECOND)
        assert await left(runtime) == sorted([waiting.id, *young])


async def test_a_process_that_lives_shortly_purges_too(
    database: Callable[[], SqlStorage], clock: FakeClock
) -> None:
    """However long runs are kept: the first look is soon, and only those after it are an hour apart."""
    month = timedelta(days=30)
    async with Runtime(database(), pipelines=[checked], clock=clock) as runtime:
        await ended(runtime, 2)
        await clock.advance(month)
        young = await ended(runtime, 4)
    async with Runtime(database(), pipelines=[checked], clock=clock, retain=month) as runtime:
        await clock.advance(retention.FIRST_REST)
        assert await left(runtime) == young


async def test_it_goes_on_where_it_was_interrupted(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is committed by itself: what an outage stops is done by the next call."""
    storage = MemoryStorage()
    monkeypatch.setattr(retention, "BATCH", 2)
    async with Runtime(storage, pipelines=[checked], clock=clock) as runtime:
        await ended(runtime, 2, 4, 6, 8, 10)
        await clock.advance(SECOND)
        purge, calls = storage.purge, 0

        def breaking(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise StorageUnavailableError("here", "it broke", "mend it")
            return purge(*args)

        monkeypatch.setattr(storage, "purge", breaking)
        with pytest.raises(StorageUnavailableError):
            await runtime.purge(older_than=timedelta(0))
        assert len(await left(runtime)) == 3
        assert await runtime.purge(older_than=timedelta(0)) == 3


async def test_a_batch_is_purged_as_a_whole(database: Callable[[], SqlStorage], clock: FakeClock) -> None:
    """Whoever is stopped before the commit has deleted nothing; the next call deletes all."""
    storage = database()
    faults = Faults(storage)

    def stop() -> None:
        raise OSError("stopped")

    async with Runtime(storage, pipelines=[checked], clock=clock) as runtime:
        ids = await ended(runtime, 2)
        await clock.advance(SECOND)
        ids += await ended(runtime, 3)
        await clock.advance(SECOND)
    async with Runtime(
        storage, pipelines=[checked], clock=clock, serve=False
    ) as runtime:  # else a sweep is struck
        before = await to_thread.run_sync(all_rows, storage)
        faults.at("transaction.written", stop, hit=faults.passed["transaction.written"] + 1)
        with pytest.raises(OSError, match="stopped"):
            await runtime.purge(older_than=timedelta(0))
        assert faults.struck == ["transaction.written"]
        assert await to_thread.run_sync(all_rows, storage) == before
        assert await left(runtime) == ids
        assert await runtime.purge(older_than=timedelta(0)) == 2
        assert await left(runtime) == []


@BOTH_LOOPS
async def test_the_background_outlives_an_outage(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, and looks again later."""
    storage = MemoryStorage()
    async with Runtime(storage, pipelines=[checked], clock=clock, retain=SECOND) as runtime:
        await ended(runtime, 2)
        purge = storage.purge

        def broken(*_: Any) -> Any:
            raise StorageUnavailableError("here", "it broke", "mend it")

        monkeypatch.setattr(storage, "purge", broken)
        await clock.advance(2 * SECOND)
        assert "could not be purged" in caplog.text
        monkeypatch.setattr(storage, "purge", purge)
        await clock.advance(2 * SECOND)
        assert await left(runtime) == []


async def test_what_makes_no_sense_is_refused(open_runtime: OpenRuntime) -> None:
    """With what to do instead, and nothing is deleted."""
    with pytest.raises(DefinitionError, match="retain"):
        open_runtime(checked, retain=timedelta(0))
    async with open_runtime(checked) as runtime:
        await ended(runtime, 2)
        no_times: list[Any] = [5, None]
        for given in no_times:
            with pytest.raises(DefinitionError, match=r"older_than=.*has no unit"):
                await runtime.purge(older_than=given)
        with pytest.raises(DefinitionError, match="in the future"):
            await runtime.purge(older_than=-SECOND)
        with pytest.raises(DefinitionError, match=r"PAUSED.*has not ended"):
            await runtime.purge(older_than=timedelta(0), state=["PAUSED", "FAILED"])
        assert len(await left(runtime)) == 1
