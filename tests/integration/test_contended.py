"""A run that two processes move: the one that was refused once looks before it writes again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import anyio
import pytest

from phaseline import Context, Pipeline, Runtime, Signal, phase
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.unit_of_work import Outcome, Unit

NUDGED = Signal[int]("nudged")
TURNS = 4


async def test_a_run_that_others_move_is_read_before_it_is_written(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of units that are decided on what is past the first alone is sent, and refused."""
    told, seen = [anyio.Event() for _ in range(TURNS)], [anyio.Event() for _ in range(TURNS)]

    @phase
    async def work(number: int, ctx: Context) -> int:
        for turn in range(TURNS):
            seen[turn].set()
            await told[turn].wait()
            await ctx.step(f"step {turn}", int)
        return number

    pipeline = Pipeline("contended", work.wait_for(NUDGED))
    storage, outcomes = database(), list[Outcome]()
    commit = storage.commit

    def noted(units: Sequence[Unit]) -> list[Outcome]:
        found = commit(units)
        outcomes.extend(found)
        return found

    monkeypatch.setattr(storage, "commit", noted)
    await anyio.to_thread.run_sync(storage.migrate)
    async with (
        Runtime(storage, pipelines=[pipeline]) as worker,
        Runtime(database(), pipelines=[pipeline], serve=False) as other,
    ):
        handle = await worker.start(pipeline, 7)
        elsewhere = await other.get(handle.id)
        for turn in range(TURNS):
            await seen[turn].wait()
            await elsewhere.signal(NUDGED, turn)
            told[turn].set()
        assert await handle.result() == (7, 0)
    assert [each for each in outcomes if each is not Outcome.COMMITTED] == [Outcome.STALE]


async def test_a_run_that_cannot_be_written_stops_none_of_the_others(
    database: Callable[[], SqlStorage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left as it is for a while: a sweep that ended with it left all that came after it, again and again."""

    @phase
    async def wait(number: int) -> int:
        await anyio.sleep_forever()
        return number

    pipeline = Pipeline("late", wait, timeout=timedelta(seconds=1))
    storage, stuck, refused = database(), set[str](), list[str]()
    commit = storage.commit

    def stale_for_one(units: Sequence[Unit]) -> list[Outcome]:
        left = [unit for unit in units if unit.run.id not in stuck]
        refused.extend(unit.run.id for unit in units if unit.run.id in stuck)
        outcomes = iter(commit(left) if left else [])
        return [Outcome.STALE if unit.run.id in stuck else next(outcomes) for unit in units]

    monkeypatch.setattr(storage, "commit", stale_for_one)
    async with Runtime(storage, pipelines=[pipeline], clock=clock) as runtime:
        first, *others = [await runtime.start(pipeline, number) for number in range(4)]
        await clock.settle()
        stuck.add(first.id)
        await clock.advance(timedelta(seconds=30))
        with anyio.fail_after(10):
            assert [(await other.wait()).state for other in others] == ["FAILED"] * 3
        assert refused
        stuck.clear()
        await clock.advance(timedelta(seconds=30))
        with anyio.fail_after(10):
            assert (await first.wait()).state == "FAILED"
