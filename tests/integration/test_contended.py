"""A run that two processes move: the one that was refused once looks before it writes again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio
import pytest

from phaseline import Context, Pipeline, Runtime, Signal, phase
from phaseline.storage.sql.store import SqlStorage
from phaseline.units import Outcome, Unit

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
