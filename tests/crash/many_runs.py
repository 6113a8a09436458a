"""Thousands of runs are commanded at once: ``python -m nox -s crash``, too long for the suite."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from tests.crash.scene import Scene

from phaseline import Pipeline, Rate, Runtime, phase

RUNS, AT_ONCE = 4_000, 64
MOST_KEPT = 2_000
"""Runs that the process may hold in its memory afterwards."""
LETTERS, LIMIT, RATE = 1_000, 10, Rate(500, per=timedelta(seconds=2))


@phase
async def same(number: int) -> int:
    return number


WAITING = Pipeline("waiting", same)


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """One will do: it is about the number, and takes a minute on each database."""
    backend: str = request.param
    return backend


@pytest.mark.timeout(900)
async def test_thousands_at_once(scene: Scene) -> None:
    """Each obeys, and few of them are kept in memory."""
    async with Runtime(scene.database.storage(), pipelines=[WAITING]) as runtime:
        await begin_many(runtime, WAITING, RUNS, timedelta(hours=1))
        handled = await runtime.find().control("cancel", reason="enough")
        assert len(handled.done) == RUNS
        assert await runtime.find().count() == {"CANCELLED": RUNS}
        assert len(runtime.runner.live) <= MOST_KEPT
    await to_thread.run_sync(scene.check)


async def begin_many(runtime: Runtime, pipeline: Pipeline[int, int], count: int, delay: timedelta) -> None:
    """Start runs, some at a time."""

    async def begin(number: int) -> None:
        await runtime.start(pipeline, number, delay=delay)

    for first in range(0, count, AT_ONCE):
        async with anyio.create_task_group() as tasks:
            for number in range(first, min(first + AT_ONCE, count)):
                tasks.start_soon(begin, number)


@pytest.mark.timeout(300)
async def test_thousands_are_taken_up_again_under_limits(scene: Scene) -> None:
    """No more run at once, and none begin sooner, than the limits let; and all of them end in a time."""
    mended, running, most = False, 0, 0

    @phase
    async def shaky(number: int) -> int:
        nonlocal running, most
        if not mended:
            raise ValueError(number)
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        return number

    pipeline = Pipeline("shaky", shaky, concurrency=LIMIT, rate=RATE)
    async with Runtime(scene.database.storage(), pipelines=[pipeline]) as runtime:
        await begin_many(runtime, pipeline, LETTERS, timedelta(0))
        await counted(runtime, {"FAILED": LETTERS})
        mended = True
        handled = await runtime.dead_letters.find().requeue(reason="mended")
        assert (len(handled.done), handled.refused) == (LETTERS, {})
        await counted(runtime, {"COMPLETED": LETTERS})
        assert 1 < most <= LIMIT
        assert (await runtime.dead_letters.find()).letters == ()
    await to_thread.run_sync(scene.check)  # also when which was begun


async def counted(runtime: Runtime, expected: dict[str, int]) -> None:
    """Wait until the runs are in these states, as long as the slowest machine may take."""
    with anyio.fail_after(120):
        while await runtime.find().count() != expected:  # noqa: ASYNC110  # of what is stored nothing tells
            await anyio.sleep(0.2)
