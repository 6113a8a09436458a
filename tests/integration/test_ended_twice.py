"""Runs that go on after an end: nothing of what was there before it is left in the process, on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Runtime, each, phase
from phaseline.abc import Storage
from phaseline.errors import PipelineEndedError, PipelineFailedError
from phaseline.testing import FakeClock

BOUND = timedelta(seconds=10)


class World:
    """How often the list was made, and whether an item fails."""

    def __init__(self) -> None:
        self.lists = 0
        self.broken = True


world = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    """A world of its own for each test."""
    global world  # noqa: PLW0603  # bodies are module-level functions
    world = World()


def forget(_: int, __: list[int], ctx: Context) -> None: ...


@phase(compensate=forget)
async def listed(number: int) -> list[int]:
    world.lists += 1
    return [100 * world.lists + place for place in range(number)]


@phase
async def item(number: int) -> int:
    if world.broken and number % 100 == 1:
        raise ValueError(number)
    return number


@pytest.mark.parametrize("how", ["restart", "resume"])
async def test_a_list_that_is_made_anew_has_new_items(open_runtime: OpenRuntime, how: str) -> None:
    """Those that were not taken up before it are not of the list of before."""
    pipeline = Pipeline(
        "listing", listed >> each(item, limit=1), on_failure="rollback" if how == "resume" else "stay"
    )
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 4)
        with pytest.raises(PipelineEndedError):
            await handle.result(BOUND)
        world.broken = False
        await (handle.resume() if how == "resume" else handle.restart())
        assert await handle.result(BOUND) == [200, 201, 202, 203]


async def test_who_knew_of_an_end_learns_that_the_run_goes_on(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Also where another one in the process has it go on."""
    pipeline = Pipeline("listing", listed >> each(item))
    async with Runtime(storage(), pipelines=[pipeline], clock=clock) as runtime:
        handle = await runtime.start(pipeline, 2)
        with pytest.raises(PipelineFailedError):
            await handle.result(BOUND)
        other = await runtime.get(handle.id, pipeline)
        world.broken = False
        await handle.retry()
        assert await other.result(BOUND) == [100, 101]
