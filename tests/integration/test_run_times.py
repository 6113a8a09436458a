"""The timeout and the deadline of a run, on every storage: what counts, who ends it, and what comes after."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import (
    Abort,
    Context,
    Dag,
    ErrorCategory,
    PhaseState,
    Pipeline,
    Retry,
    RetryAfter,
    Run,
    RunHandle,
    RunState,
    Runtime,
    each,
    phase,
)
from phaseline.errors import DefinitionError, PipelineFailedError
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)
BOUND = 10.0


class Stage:
    """What bodies and tests tell each other."""

    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.deadlines: list[datetime | None] = []
        self.failures = 0
        self.open = anyio.Event()


stage = Stage()


@pytest.fixture(autouse=True)
def fresh_stage() -> None:
    """A stage of its own for each test."""
    global stage  # noqa: PLW0603  # bodies are module-level functions
    stage = Stage()


@phase
async def hold(number: int, ctx: Context) -> int:
    stage.begun += 1
    stage.deadlines.append(ctx.deadline)
    try:
        await stage.open.wait()
    except anyio.get_cancelled_exc_class():
        stage.cancelled += 1
        raise
    return number


@phase(retry=Retry(attempts=3, wait=timedelta(seconds=100)))
async def stumble(number: int) -> int:
    stage.failures += 1
    if stage.failures == 1:
        raise RetryAfter(timedelta(seconds=100))
    return number


held = Pipeline("held", hold, timeout=10 * SECOND)
free = Pipeline("free", hold)
stumbling = Pipeline("stumbling", stumble >> hold, timeout=10 * SECOND)


async def begun(count: int = 1) -> None:
    """Wait until so many bodies are under way."""
    with anyio.fail_after(BOUND):
        while stage.begun < count:  # noqa: ASYNC110  # bodies tell nobody
            await anyio.sleep(0.002)


async def state_after(clock: FakeClock, handle: RunHandle[Any], seconds: float) -> str:
    """Let time pass, and give the state then."""
    await clock.advance(seconds * SECOND)
    return await handle.state()


def check_timed_out(run: Run[Any]) -> None:
    """It failed as a whole, by its time."""
    assert run.state == RunState.FAILED
    assert run.error is not None
    assert (run.error.category, run.error.phase) == (ErrorCategory.TIMEOUT, None)


# --------------------------------------------------------------------- what counts
@BOTH_LOOPS
async def test_a_run_that_is_active_for_too_long_fails(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """At its timeout and not before; its body is cancelled, its phases are skipped, and who waits is told."""
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 1)
        await begun()
        assert await state_after(clock, handle, 9.999) == "HOLD"
        assert await state_after(clock, handle, 0.001) == RunState.FAILED
        with pytest.raises(PipelineFailedError, match="not over after 10 s") as caught:
            await handle.result()
        run = caught.value.run
        check_timed_out(run)
        assert run.phases["hold"].state is PhaseState.SKIPPED
        assert (stage.cancelled, run.ended_at) == (1, run.created_at + 10 * SECOND)
        assert stage.deadlines == [run.ended_at]
        await to_thread.run_sync(check, runtime.runner.storage)


async def test_pauses_do_not_count(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Neither the time before nor after them is lost."""
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 1)
        await begun()
        await clock.advance(6 * SECOND)
        await handle.pause()
        assert await state_after(clock, handle, 60) == RunState.PAUSED
        await handle.resume()
        assert await state_after(clock, handle, 3.5) == "HOLD"
        assert await state_after(clock, handle, 1) == RunState.FAILED


async def test_delays_do_not_count(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Neither that of the start nor that before the next attempt."""
    async with open_runtime(stumbling) as runtime:
        handle = await runtime.start(stumbling, 1, delay=60 * SECOND)
        await clock.advance(61 * SECOND)
        assert stage.failures == 1
        await clock.advance(100 * SECOND)
        assert (stage.failures, stage.begun) == (2, 1)
        assert await state_after(clock, handle, 8) == "HOLD"
        assert await state_after(clock, handle, 3) == RunState.FAILED


async def test_waiting_for_a_worker_counts(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A phase that could run, and does not, is active: a run that nobody takes up is not forgotten."""
    async with open_runtime(held, concurrency=1) as runtime:
        first = await runtime.start(held, 1, timeout=timedelta(hours=1))
        await begun()
        second = await runtime.start(held, 2)
        assert await state_after(clock, second, 11) == RunState.FAILED
        assert (await first.state(), stage.begun) == ("HOLD", 1)
        await first.cancel()


async def test_items_of_a_map_count_as_long_as_one_is_active(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """However many there are, and in whatever order they end."""
    many = Pipeline("many", each(hold, limit=2), timeout=10 * SECOND)
    async with open_runtime(many) as runtime:
        handle = await runtime.start(many, [1, 2, 3])
        await begun(2)
        assert await state_after(clock, handle, 11) == RunState.FAILED
        with anyio.fail_after(BOUND):
            while stage.cancelled < 2:  # noqa: ASYNC110  # as above
                await anyio.sleep(0.002)


async def test_the_nearest_timeout_counts(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """That of the start, else of the pipeline, else of the runtime."""
    by_dag = Dag("by_dag", int)
    dag = by_dag.build(by_dag.add(hold, by_dag.input), timeout=30 * SECOND)
    async with open_runtime(held, free, dag, timeout=20 * SECOND) as runtime:
        handles = [
            await runtime.start(held, 1, timeout=5 * SECOND),
            await runtime.start(held, 1),
            await runtime.start(free, 1),
            await runtime.start(dag, 1),
        ]
        await begun(4)
        start = clock.now()
        assert sorted(stage.deadlines, key=str) == [start + s * SECOND for s in (5, 10, 20, 30)]
        await clock.advance(40 * SECOND)
        for handle, seconds in zip(handles, (5, 10, 20, 30), strict=True):
            assert (await handle.run()).ended_at == start + seconds * SECOND


@BOTH_LOOPS
async def test_a_run_in_memory_is_bounded_too() -> None:
    """Also one that would need no tasks without a timeout."""
    with pytest.raises(PipelineFailedError, match=r"not over after 0\.01 s"):
        await Pipeline("brief", hold, timeout=timedelta(milliseconds=10)).run(1)
    assert stage.cancelled == 1


# --------------------------------------------------------------------- deadlines
@pytest.mark.parametrize("relative", [True, False])
async def test_a_deadline_is_of_the_wall_clock(
    open_runtime: OpenRuntime, clock: FakeClock, relative: bool
) -> None:
    """Pauses count; ``ctx.deadline`` is the earliest end there is."""
    zone = timezone(timedelta(hours=3))
    deadline = 8 * SECOND if relative else (clock.now() + 8 * SECOND).astimezone(zone)
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 1, deadline=deadline)
        await begun()
        assert stage.deadlines == [clock.now() + 8 * SECOND]
        await handle.pause()
        assert await state_after(clock, handle, 7.9) == RunState.PAUSED
        assert await state_after(clock, handle, 0.2) == RunState.FAILED
        run = await handle.run()
        check_timed_out(run)
        assert run.states[-2:] == ("PAUSED", "FAILED")


@BOTH_LOOPS
async def test_an_attempts_own_timeout_may_be_earlier(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Then that is what the context shows."""

    @phase(timeout=3 * SECOND)
    async def short(number: int, ctx: Context) -> int:
        stage.deadlines.append(ctx.deadline)
        return number

    pipeline = Pipeline("short", short, timeout=10 * SECOND)
    async with open_runtime(pipeline) as runtime:
        start = clock.now()
        await (await runtime.start(pipeline, 1)).result()
        assert stage.deadlines == [start + 3 * SECOND]


async def test_a_run_that_nobody_carries_is_ended_all_the_same(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """Its time passes while no process is there; the next one that comes ends it, and calls no body."""
    async with open_runtime(held, serve=False) as runtime:
        ids = [
            (await runtime.start(held, 1, deadline=20 * SECOND, delay=timedelta(hours=1))).id,
            (await runtime.start(held, 1)).id,
            (await runtime.start(held, 1, delay=timedelta(hours=1))).id,
        ]
    await clock.advance(60 * SECOND)
    async with open_runtime(held, serve=True) as runtime:
        await clock.advance(SECOND)
        states = [await (await runtime.get(run_id)).state() for run_id in ids]
        assert states == [RunState.FAILED, RunState.FAILED, RunState.IDLE]
        assert stage.begun == 0
        await to_thread.run_sync(check, runtime.runner.storage)


async def test_what_ends_in_time_is_left_alone(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Whatever becomes of the clock afterwards."""
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 7, deadline=20 * SECOND)
        await begun()
        await clock.advance(9 * SECOND)
        stage.open.set()
        assert await handle.result() == 7
        assert await state_after(clock, handle, 100) == RunState.COMPLETED


# --------------------------------------------------------------------- afterwards
@pytest.mark.parametrize("verb", ["retry", "restart", "rerun_from"])
async def test_who_takes_a_run_up_again_gets_the_whole_time_again(
    open_runtime: OpenRuntime, clock: FakeClock, verb: str
) -> None:
    """The count begins anew; a deadline that has passed is let go of, one to come still holds."""
    async with open_runtime(held) as runtime:
        handle = await runtime.start(held, 1, deadline=9 * SECOND)
        other = await runtime.start(held, 1, deadline=40 * SECOND)
        await begun(2)
        assert await state_after(clock, handle, 30) == await other.state() == RunState.FAILED
        for each_handle in (handle, other):
            details = {"phase": "hold"} if verb == "rerun_from" else {}
            await runtime.control(each_handle.id, verb, **details)
        await begun(4)
        moment = clock.now()
        assert sorted(stage.deadlines[2:], key=str) == [moment + 10 * SECOND] * 2
        assert await state_after(clock, handle, 9.5) == await other.state() == "HOLD"
        await other.pause()
        stage.open.set()
        assert await handle.result() == 1
        assert await state_after(clock, other, 0.4) == RunState.PAUSED
        assert await state_after(clock, other, 0.2) == RunState.FAILED


async def test_a_failure_before_the_time_is_that_failure(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """And nothing ends the run a second time."""

    @phase
    async def give_up(number: int) -> int:
        raise Abort(str(number))

    pipeline = Pipeline("give_up", give_up, timeout=SECOND)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await handle.wait()
        await clock.advance(10 * SECOND)
        run = await handle.run()
        assert run.error is not None
        assert (run.error.type, len(run.history)) == ("Abort", 3)


# --------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"deadline": datetime(2031, 1, 1)}, "has no time zone; give a timedelta"),  # noqa: DTZ001  # that is what is refused
        ({"deadline": datetime(2029, 1, 1, tzinfo=UTC)}, "has passed before the start"),
        ({"deadline": 5}, r"no moment; give a timedelta from now on, .* datetime.now\(UTC\) \+ timedelta"),
        ({"deadline": timedelta(0)}, "has passed before the start"),
        ({"deadline": -SECOND}, "has passed before the start"),
        ({"timeout": timedelta(0)}, "would end it before it began"),
        ({"timeout": -SECOND}, "would end it before it began"),
        ({"timeout": 5}, "has no unit; write timeout=timedelta"),
        ({"delay": -SECOND}, "is negative"),
    ],
)
async def test_times_that_make_no_sense_are_refused(
    open_runtime: OpenRuntime, options: dict[str, Any], text: str
) -> None:
    """Before anything is stored."""
    async with open_runtime(held) as runtime:
        with pytest.raises(ValueError, match=text):
            await runtime.start(held, 1, **options)
        assert await runtime.find().count() == {}


@pytest.mark.parametrize("timeout", [5, timedelta(0), timedelta(days=40_000)])
def test_a_pipelines_timeout_is_a_span(timeout: Any) -> None:
    """Told where it is written."""
    with pytest.raises(DefinitionError, match="timeout"):
        Pipeline("p", hold, timeout=timeout)
    with pytest.raises(DefinitionError, match="timeout"):
        Runtime(timeout=timeout)
