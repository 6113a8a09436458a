"""Runs that nobody goes on with are listed, with the reason and the remedy; on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.opening import OpenRuntime

from phaseline import Pipeline, Runtime, Signal, phase
from phaseline.errors import RuntimeNotOpenError
from phaseline.runs import STRIDE
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock


@phase
async def halve(number: int) -> int:
    return number // 2


@phase
async def again(number: int) -> int:
    return number


@phase
async def told(decided: tuple[int, int]) -> int:
    return decided[1]


first = Pipeline("numbers", halve)
changed = Pipeline("numbers", halve >> again)
second = Pipeline("numbers", halve >> again, version="2")
other = Pipeline("other", again)


async def test_orphans_are_listed_by_definition(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Those of a shape that was changed, and those of a pipeline that is gone; not what is over, or is known."""
    async with open_runtime(first, second, other, serve=False) as runtime:
        ids: list[str] = []
        for pipeline in (first, first, second, other):
            ids.append((await runtime.start(pipeline, 4)).id)
            await clock.advance(timedelta(seconds=1))  # so that one is the oldest
        await (await runtime.start(first, 4)).cancel()
        assert await runtime.orphans() == []
    async with open_runtime(changed, second) as runtime:
        await clock.settle()
        found = await runtime.orphans()
        assert [(o.pipeline, o.version, o.count, o.first, o.is_changed) for o in found] == [
            ("numbers", "1", 2, ids[0], True),
            ("other", "1", 1, ids[3], False),
        ]
        assert found[0].fingerprint == first.plan.fingerprint
        assert "give the new one another version=" in found[0].remedy
        assert "'other', version '1', is not registered" in found[1].remedy
        assert await (await runtime.get(ids[2], second)).result() == 2


async def test_the_remedy_helps(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Side by side with the new version, the runs of the old one go on."""
    async with open_runtime(first, serve=False) as runtime:
        run_id = (await runtime.start(first, 4)).id
    async with open_runtime(changed) as runtime:
        await clock.settle()
        assert len(await runtime.orphans()) == 1
    async with open_runtime(first, second) as runtime:
        assert await (await runtime.get(run_id, first)).result() == 2
        assert await runtime.orphans() == []


async def test_all_pages_are_read(open_runtime: OpenRuntime) -> None:
    """More runs than are read at once."""
    async with open_runtime(other, serve=False) as runtime:
        for number in range(STRIDE + 1):
            await runtime.start(other, number)
    async with open_runtime(first) as runtime:
        (found,) = await runtime.orphans()
        assert found.count == STRIDE + 1


async def test_a_closed_runtime_is_told_so(open_runtime: OpenRuntime) -> None:
    """As with every verb."""
    with pytest.raises(RuntimeNotOpenError):
        await open_runtime(first).orphans()


async def test_who_changes_a_shape_under_open_runs_is_told(
    database: Callable[[], SqlStorage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Also of runs that wait for somebody, of which nothing is due: once, and not of other versions, which is as it should be."""
    approved = Signal[int]("approved")
    waiting = Pipeline("asked", halve.wait_for(approved))
    anew = Pipeline("asked", halve.wait_for(approved) >> told)
    later = Pipeline("asked", halve.wait_for(approved) >> told, version="2")
    async with Runtime(database(), pipelines=[waiting], clock=clock) as runtime:
        handle = await runtime.start(waiting, 4)
        await clock.settle()
        assert await handle.state() == "WAIT_FOR_APPROVED"
    caplog.clear()
    async with Runtime(database(), pipelines=[later], clock=clock):
        await clock.advance(timedelta(seconds=20))
    assert "another shape" not in caplog.text
    async with Runtime(database(), pipelines=[anew], clock=clock):
        await clock.advance(timedelta(seconds=20))
    (record,) = [each for each in caplog.records if "another shape" in each.getMessage()]
    assert f"run {handle.id} began under" in record.getMessage()
    assert "give the new one another version=" in record.getMessage()


async def test_a_run_that_cannot_be_read_keeps_no_worker_from_opening(
    database: Callable[[], SqlStorage], clock: FakeClock
) -> None:
    """That it is compared with what is registered is a hint, and no more."""
    async with Runtime(database(), pipelines=[first], clock=clock, serve=False) as runtime:
        await runtime.start(first, 4)
        storage = runtime.runner.storage
        assert isinstance(storage, SqlStorage)
        await runtime.runner.write(
            lambda: storage._write_transaction(
                lambda ask: ask.changed("UPDATE phaseline_pipeline_run SET spending = 'garbage'", ())
            )
        )
    async with Runtime(database(), pipelines=[first], clock=clock) as runtime:
        await clock.advance(timedelta(seconds=20))
        assert runtime.runner.swept_at == clock.now()
