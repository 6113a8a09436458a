"""What ``pipeline.run`` promises is the same on every storage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.loops import anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Retry, Runtime, phase
from phaseline.errors import PipelineCancelledError, PipelineFailedError

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)
WAIT = timedelta(seconds=30)


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
async def wait_a_little(number: int) -> int:
    await anyio.sleep(0.01)
    return number


doubled = Pipeline("doubled", double)
both = Pipeline("both", double >> wait_a_little >> double.with_options(name="again"))


async def test_others_get_a_turn_beside_who_runs_one_after_another(anyio_backend: Any) -> None:
    """However short the runs are."""
    turns: list[int] = []

    async def take_turns() -> None:
        while True:
            turns.append(1)
            await anyio.lowlevel.checkpoint()

    async with Runtime(pipelines=[doubled]), anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        for _ in range(100):
            await doubled.run(1)
        tasks.cancel_scope.cancel()
    assert len(turns) > 5


async def test_a_caller_who_gives_up_does_not_end_the_run(open_runtime: OpenRuntime) -> None:
    """It goes on where it was, to its end."""
    gate, begun = anyio.Event(), anyio.Event()

    @phase
    async def wait(number: int) -> int:
        begun.set()
        await gate.wait()
        return number

    pipeline = Pipeline("waiting", wait >> double)
    async with open_runtime(pipeline) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run, 1)
        await begun.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            (found,) = [run async for run in runtime.find()]
            assert found.state == "WAIT"
            gate.set()
            assert await (await runtime.get(found.id, pipeline)).result(WAIT) == 2


async def test_a_body_cancels_its_own_run(open_runtime: OpenRuntime) -> None:
    """Also in its first turn: it is stopped where it waits next, and its output is wanted no more."""
    gone_on: list[bool] = []

    @phase
    async def give_up(number: int, ctx: Context) -> int:
        await (await runtime.get(ctx.run_id)).cancel()
        await anyio.sleep_forever()
        gone_on.append(True)
        return number

    pipeline = Pipeline("given-up", give_up)
    async with open_runtime(pipeline) as runtime:
        for _ in range(3):
            with anyio.fail_after(WAIT.total_seconds()), pytest.raises(PipelineCancelledError):
                await pipeline.run(1)
        assert not gone_on


async def test_what_a_body_runs_is_run_beside_it(open_runtime: OpenRuntime) -> None:
    """To any depth: a body that waits for a run of its own does not carry it out in its own turn."""

    @phase
    async def descend(number: int) -> int:
        return 0 if number == 0 else 1 + (await deep.run(number - 1)).output

    deep = Pipeline("deep", descend)
    async with open_runtime(deep, concurrency=200):
        assert (await deep.run(100)).output == 100


async def test_a_seat_must_be_free(open_runtime: OpenRuntime) -> None:
    """As many bodies as ever run at once, and the others wait for their turn."""
    running, most = list[int](), list[int]()

    @phase
    async def count(number: int) -> int:
        running.append(1)
        most.append(len(running))
        await anyio.sleep(0.005)
        running.pop()
        return number

    pipeline = Pipeline("counted", count)
    async with open_runtime(pipeline, concurrency=3), anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(pipeline.run, number)
    assert max(most) == 3
    assert len(most) == 12


async def test_a_phase_is_bounded_from_its_first_turn(open_runtime: OpenRuntime, clock: Any) -> None:
    """Its time runs also for a body that was begun at once; the retry of it, too."""
    calls: list[int] = []

    @phase(timeout=SECOND, retry=Retry(2, wait=SECOND))
    async def hang(number: int) -> int:
        calls.append(number)
        await anyio.sleep_forever()
        return number

    pipeline = Pipeline("hanging", hang)
    async with open_runtime(pipeline), anyio.create_task_group() as tasks:
        failed = anyio.Event()

        async def run() -> None:
            with pytest.raises(PipelineFailedError, match="did not return within 1 s"):
                await pipeline.run(1)
            failed.set()

        tasks.start_soon(run)
        while not failed.is_set():
            await anyio.sleep(0.001)  # a body of a database's is called by another task
            await clock.advance(SECOND)
    assert calls == [1, 1]


async def test_phases_that_wait_and_that_do_not(open_runtime: OpenRuntime) -> None:
    """Many at once, each with what is its own."""
    found: dict[int, int] = {}

    async def run(number: int) -> None:
        found[number] = (await both.run(number)).output

    async with open_runtime(both), anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(run, number)
    assert found == {number: 4 * number for number in range(40)}
