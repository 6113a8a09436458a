"""Runs that are undone by a compensation that only some of the processes have, as while one is deployed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Pipeline, RunState, Runtime, parallel, phase
from phaseline.abc import Storage
from phaseline.errors import CompensationNotRegisteredError
from phaseline.testing import FakeClock

BOUND = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


class World:
    """How far the bodies are."""

    def __init__(self) -> None:
        self.slow_began = anyio.Event()
        self.slow_was_stopped = anyio.Event()
        self.undoing = anyio.Event()
        self.may_undo = anyio.Event()


world = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    """A world of its own for each test."""
    global world  # noqa: PLW0603  # bodies are module-level functions
    world = World()


async def give_back(_: int, __: int) -> None:
    world.undoing.set()
    await world.may_undo.wait()


@phase(name="pay", queue="b")
async def pay(order: int) -> int:
    return order


@phase(queue="a")
async def slow(order: int) -> int:
    world.slow_began.set()
    try:
        await anyio.sleep_forever()
    finally:
        world.slow_was_stopped.set()
    return order


@phase(queue="b")
async def broken(order: int) -> int:
    await world.slow_began.wait()
    raise ValueError(order)


@phase(queue="a")
async def other(order: int) -> int:
    return order


without = Pipeline("saga", pay >> parallel(slow, broken))
having = Pipeline(
    "saga", pay.with_options(compensate=give_back) >> parallel(slow, broken), on_failure="rollback"
)
others = Pipeline("others", other)


def test_a_compensation_is_not_part_of_the_shape() -> None:
    """So both processes take themselves for the right ones."""
    assert having.plan.fingerprint == without.plan.fingerprint


async def test_a_process_without_it_leaves_the_run_alone_and_goes_on_with_others(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """Also where a body of that run was called there when it was taken back."""
    async with (
        Runtime(database(), pipelines=[having], queues=["b"], clock=clock) as newer,
        Runtime(database(), pipelines=[without, others], queues=["a"], clock=clock) as older,
    ):
        handle = await newer.start(having, 1)
        with anyio.fail_after(10):
            while not world.undoing.is_set():
                await clock.advance(SECOND)
            while not world.slow_was_stopped.is_set():
                await clock.advance(SECOND)
        assert await (await older.start(others, 2)).result(BOUND) == 2

        with pytest.raises(CompensationNotRegisteredError, match=rf"{handle.id}.*'pay~'.*compensate="):
            await older.get(handle.id)
        settled = await older.start(others, 3)
        told = await older.find().control("annotate", note="seen")
        assert settled.id in told.done
        assert isinstance(told.refused[handle.id], CompensationNotRegisteredError)
        assert set(told.refused) == {handle.id}

        world.may_undo.set()
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert await (await older.get(handle.id)).state() == RunState.ROLLED_BACK


async def test_a_runtime_without_it_leaves_the_run_to_one_that_has_it(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """Nothing of it is begun, and nothing is taken for undone."""
    world.slow_began.set()
    async with open_runtime(having, drain=timedelta(0)) as newer:
        run_id = (await newer.start(having, 1)).id
        with anyio.fail_after(10):
            await world.undoing.wait()
    async with open_runtime(without, others) as older:
        with pytest.raises(CompensationNotRegisteredError):
            await older.get(run_id)
        assert await (await older.start(others, 2)).result(BOUND) == 2
    world.may_undo.set()
    async with open_runtime(having) as newer:
        handle = await newer.get(run_id, having)
        await clock.settle()
        run = await handle.wait(BOUND)
        assert (run.state, run.states[-2]) == (RunState.ROLLED_BACK, RunState.ROLLING_BACK)
