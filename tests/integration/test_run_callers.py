"""What ``pipeline.run`` promises its caller, and those beside him, on every storage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.loops import anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Runtime, phase
from phaseline.errors import PipelineCancelledError

__all__ = ["anyio_backend"]
WAIT = timedelta(seconds=30)


@phase
async def double(number: int) -> int:
    return 2 * number


doubled = Pipeline("doubled", double)


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
    """It is stopped where it waits next, and its output is wanted no more."""
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
    """To any depth, as long as there are seats."""

    @phase
    async def descend(number: int) -> int:
        return 0 if number == 0 else 1 + (await deep.run(number - 1)).output

    deep = Pipeline("deep", descend)
    async with open_runtime(deep, concurrency=200):
        assert (await deep.run(100)).output == 100
