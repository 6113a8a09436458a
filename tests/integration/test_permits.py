from __future__ import annotations

import anyio
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline.queues.inprocess import InProcessQueue


@pytest.fixture
def storage(sqlite_storage):
    """A file that two runtimes open."""
    return sqlite_storage


async def test_a_full_worker_looks_again_when_it_has_room(storage, clock):
    """A permit that came while all seats were taken is not forgotten: nobody else may have had room."""
    free = anyio.Event()

    @phase
    async def work(number: int) -> int:
        if number == 0:
            await free.wait()
        return number

    pipeline, queue = Pipeline("work", work), InProcessQueue()
    async with (
        Runtime(storage(), pipelines=[pipeline], clock=clock, queue=queue, concurrency=1) as worker,
        Runtime(storage(), pipelines=[pipeline], clock=clock, queue=queue, serve=False) as client,
    ):
        first = await worker.start(pipeline, 0)
        await clock.settle()
        second = await client.start(pipeline, 1)
        await clock.settle()
        assert "IDLE" == await second.state()
        free.set()
        with anyio.fail_after(5):  # the clock stands, so that no sweep comes
            assert [0, 1] == [await first.result(), await second.result()]
