"""The clock for tests moves far in little time, and misses nothing on the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from tests.opening import OpenRuntime

import phaseline.testing
from phaseline import Pipeline, Retry, Runtime, phase
from phaseline._shell.worker import FORGOTTEN_AFTER
from phaseline.abc import Storage
from phaseline.errors import DefinitionError
from phaseline.testing import FakeClock

WEEK, SECOND, LEASE = timedelta(weeks=1), timedelta(seconds=1), timedelta(seconds=30)


class NotingClock(FakeClock):
    """Notes the looks of those who rest between two."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[datetime] = []

    async def rest(self, span: timedelta) -> None:
        await super().rest(span)
        self.looks.append(self.now())


@phase(retry=Retry(attempts=9, wait=timedelta(days=1)))
async def insist(days: int) -> int:
    tried.append(days)
    if len(tried) < days:
        raise OSError
    return days


@phase
async def double(n: int) -> int:
    return 2 * n


tried: list[int] = []
insistent, doubled = Pipeline("insistent", insist), Pipeline("doubled", double)


async def test_a_week_costs_a_few_looks(database: Callable[[], Storage]) -> None:
    """Where nothing happens, the runtimes look for work ever more rarely."""
    clock = NotingClock()
    async with Runtime(database(), pipelines=[doubled], clock=clock, retain=WEEK, age_after=WEEK):
        await clock.advance(WEEK)
    assert 10 < len(clock.looks) < 200


async def test_a_week_with_views_costs_as_few(database: Callable[[], Storage]) -> None:
    """They serve other namespaces, and are no workers to each other."""
    clock = NotingClock()
    async with Runtime(database(), pipelines=[doubled], clock=clock, namespaces=["acme", "globex"]):
        await clock.advance(WEEK)
    assert len(clock.looks) < 200


async def test_each_moment_is_met_that_somebody_waits_for(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """However long the looks in between are put off."""
    tried.clear()
    began = clock.now()
    async with open_runtime(insistent) as runtime:
        handle = await runtime.start(insistent, 6)
        await clock.advance(WEEK)
        run = await handle.run()
    assert ("COMPLETED", timedelta(days=5)) == (run.state, (run.ended_at or began) - began)


async def test_what_another_runtime_leaves_is_found_soon(database: Callable[[], Storage]) -> None:
    """A look that leads to something is followed by one after the shortest time."""
    clock = FakeClock()
    async with (
        Runtime(database(), pipelines=[doubled], clock=clock, serve=False) as client,
        Runtime(database(), pipelines=[doubled], clock=clock),
    ):
        await clock.advance(WEEK)
        handle = await client.start(doubled, 1)
        await clock.advance(2 * SECOND)
        assert "COMPLETED" == await handle.state()


async def test_leases_are_renewed_on_the_way(database: Callable[[], Storage]) -> None:
    """As long as a body runs the looks are not put off so long that its lease could run out."""
    clock, released = NotingClock(), anyio.Event()

    @phase
    async def hold(n: int) -> int:
        await released.wait()
        return n

    held = Pipeline("held", hold)
    async with Runtime(database(), pipelines=[held], clock=clock, lease=LEASE) as runtime:
        handle = await runtime.start(held, 7)
        began = clock.now()
        await clock.advance(10 * LEASE)
        released.set()
        assert 7 == await handle.result()
    looks = sorted({began, *clock.looks})
    assert LEASE / 3 >= max(later - earlier for earlier, later in pairwise(looks))
    assert began + 9 * LEASE < looks[-1]


async def test_workers_know_of_each_other_all_the_way(database: Callable[[], Storage]) -> None:
    """None is so long without a look that the other would take it for gone."""
    clock = NotingClock()
    async with (
        Runtime(database(), pipelines=[doubled], clock=clock, lease=LEASE) as one,
        Runtime(database(), pipelines=[doubled], clock=clock, lease=LEASE),
    ):
        began = clock.now()
        await clock.advance(120 * LEASE)
        assert 2 == len((await one.health()).workers)
    looks = sorted({began, *clock.looks})
    assert FORGOTTEN_AFTER * LEASE / 2 >= max(later - earlier for earlier, later in pairwise(looks))


def test_a_clock_that_lacks_something_is_refused() -> None:
    """A runtime would wait for ever."""

    class Old:
        now = sql_now = follow = sleep_until = FakeClock.now

    with pytest.raises(DefinitionError, match="it lacks rest"):
        Runtime(clock=Old())  # type: ignore[arg-type]  # that is the mistake


async def test_the_fixture_opens_a_database_too(
    phaseline_runtime: phaseline.testing.OpenRuntime, phaseline_clock: FakeClock, tmp_path: Path
) -> None:
    """With the tables in it, on the clock of the test; two of them share it."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    async with phaseline_runtime(doubled, storage=url, serve=False) as client:
        handle = await client.start(doubled, 2, delay=WEEK)
        async with phaseline_runtime(doubled, storage=url):
            await phaseline_clock.advance(WEEK + SECOND)
            assert 4 == await handle.result()
