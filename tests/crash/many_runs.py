"""Thousands of runs are commanded at once: ``python -m nox -s crash``, too long for the suite."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from tests.crash.scene import Scene

from phaseline import Pipeline, Runtime, phase

RUNS, AT_ONCE = 4_000, 64
MOST_KEPT = 2_000
"""Runs that the process may hold in its memory afterwards."""


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
        for first in range(0, RUNS, AT_ONCE):
            async with anyio.create_task_group() as tasks:
                for number in range(first, min(first + AT_ONCE, RUNS)):
                    tasks.start_soon(begin, runtime, number)
        handled = await runtime.find().control("cancel", reason="enough")
        assert len(handled.done) == RUNS
        assert await runtime.find().count() == {"CANCELLED": RUNS}
        assert len(runtime.runner.live) <= MOST_KEPT
    await to_thread.run_sync(scene.check)


async def begin(runtime: Runtime, number: int) -> None:
    """Start a run that waits."""
    await runtime.start(WAITING, number, delay=timedelta(hours=1))
