"""Bodies that go on although they were stopped: their phases go on without them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeAlias

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import Context, ErrorCategory, PhaseState, Pipeline, Retry, RunState, Runtime, phase
from phaseline._shell.abandoned import TIDYING
from phaseline.errors import LeaseLostError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock

SECOND = timedelta(seconds=1)
BOUND = 20
Unheeding: TypeAlias = Callable[[anyio.Event], Awaitable[None]]


async def shields(over: anyio.Event) -> None:
    """Wait as ``anyio.to_thread.run_sync`` does, by default."""
    with anyio.CancelScope(shield=True):
        await over.wait()


async def swallows(over: anyio.Event) -> None:
    while not over.is_set():
        try:
            await anyio.sleep(0.001)
        except anyio.get_cancelled_exc_class():  # this is what the tests are about
            pass
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.001)


unheeding = pytest.mark.parametrize("goes_on", [shields, swallows])
BOUNDS = [{"timeout": 2 * SECOND}, {"heartbeat": 2 * SECOND}]


async def until(reached: Callable[[], object]) -> None:
    with anyio.fail_after(BOUND):
        while not reached():  # noqa: ASYNC110  # nobody is told
            await anyio.sleep(0.001)


@unheeding
@pytest.mark.parametrize("bound", BOUNDS, ids=["timeout", "heartbeat"])
async def test_the_next_attempt_is_made_beside_it(
    open_runtime: OpenRuntime,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    goes_on: Unheeding,
    bound: dict[str, Any],
) -> None:
    """It has its seat until it returns; what it gives then, and what it would store before, is ignored."""
    over, refused = anyio.Event(), list[str]()
    caplog.set_level("INFO", "phaseline.runner")

    @phase(retry=Retry(2, wait=0), **bound)
    async def slow(number: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await goes_on(over)
            try:
                await ctx.save(1)
            except LeaseLostError as error:
                refused.append(error.phase)
        return ctx.attempt

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline, concurrency=2) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND)
        row = (await handle.run()).phases["slow"]
        assert (PhaseState.RUNNING, 1) == (row.state, row.attempt)  # it may be tidying up
        await clock.advance(TIDYING)
        run = await handle.wait(5 * SECOND)
        row = run.phases["slow"]
        assert (RunState.COMPLETED, 2, 2, 1) == (run.state, run.output, row.attempt, row.failures)
        assert not over.is_set()
        assert 1 == runtime.runner.seats
        events = [event async for event in handle.events()]
        over.set()
        await until(lambda: runtime.runner.is_vacant)
        assert ["slow"] == refused
        assert events == [event async for event in handle.events()]
        assert not [record for record in caplog.records if "taken over" in record.message]  # committed once
        (told,) = [record.message for record in caplog.records if record.name == "phaseline.failure"]
        assert "attempt 1 failed with TimeoutError; it is tried again at " in told


@unheeding
async def test_without_another_seat_the_next_attempt_waits_for_it(
    open_runtime: OpenRuntime, clock: FakeClock, goes_on: Unheeding
) -> None:
    """A worker calls no more at once than it may; its phase is free for others."""
    over = anyio.Event()

    @phase(timeout=2 * SECOND, retry=Retry(2, wait=0))
    async def slow(number: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await goes_on(over)
        return ctx.attempt

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline, concurrency=1) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND + TIDYING)
        row = (await handle.run()).phases["slow"]
        assert (PhaseState.RETRYING, 1, None) == (row.state, row.failures, row.worker)
        over.set()
        assert 2 == (await handle.wait(5 * SECOND)).output
        await until(lambda: runtime.runner.is_vacant)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_one_that_cancels_its_task_in_the_end(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Its seat is free all the same."""
    over = anyio.Event()

    @phase(timeout=2 * SECOND)
    async def slow(number: int) -> int:
        await shields(over)
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return number

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND + TIDYING)
        assert RunState.FAILED == (await handle.wait(5 * SECOND)).state
        over.set()
        await until(lambda: runtime.runner.is_vacant)


async def test_a_run_fails_without_it(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Where the policy allows no other attempt the run is over, and who waits for it is told."""
    over = anyio.Event()

    @phase(timeout=2 * SECOND)
    async def slow(number: int) -> int:
        await shields(over)
        return number

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND + TIDYING)
        run = await handle.wait(5 * SECOND)
        over.set()
    assert run.error is not None
    assert ("phase 'slow' did not return within 2 s", ErrorCategory.TIMEOUT) == (
        run.error.message,
        run.error.category,
    )


async def test_who_tidies_up_has_the_time(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """The next attempt begins when it is through."""
    tidied = anyio.Event()
    seen: list[str] = []

    @phase(timeout=2 * SECOND, retry=Retry(2, wait=0))
    async def slow(number: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await tidied.wait()
                seen.append("tidied")
        seen.append("called")
        return number

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(1.9 * SECOND + TIDYING)
        tidied.set()
        await handle.wait(5 * SECOND)
    assert ["tidied", "called"] == seen


@unheeding
async def test_at_the_close_it_is_handed_over(database: Callable[[], SqlStorage], goes_on: Unheeding) -> None:
    """Another process goes on at once, and counts no crash; the close itself waits for the body, which is this process's own."""
    begun, over, closed = anyio.Event(), anyio.Event(), anyio.Event()

    @phase
    async def slow(number: int, ctx: Context) -> int:
        if not begun.is_set():
            begun.set()
            await goes_on(over)
        return ctx.attempt

    pipeline = Pipeline("slow", slow)

    async def serve() -> None:
        async with Runtime(database(), pipelines=[pipeline], drain=timedelta(0)):
            await begun.wait()
        closed.set()

    async with (
        Runtime(database(), pipelines=[pipeline], serve=False) as client,
        anyio.create_task_group() as tasks,
    ):
        handle = await client.start(pipeline, 1)
        tasks.start_soon(serve)
        with anyio.fail_after(BOUND):
            await begun.wait()
            while (row := (await handle.run()).phases["slow"]).state is PhaseState.RUNNING:  # noqa: ASYNC110  # as above
                await anyio.sleep(0.01)
        left = (row.state, row.reason, row.failures, row.crashes, row.worker)
        assert (PhaseState.RETRYING, "handed_over", 0, 0, None) == left
        async with Runtime(database(), pipelines=[pipeline]):
            assert 2 == (await handle.wait(BOUND * SECOND)).output
        assert not closed.is_set()
        over.set()
        with anyio.fail_after(BOUND):
            await closed.wait()
