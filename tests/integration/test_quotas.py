"""What all runs of a namespace together may have: refused before anything is stored, on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from blockbuster import BlockBuster
from tests.blocking import allowed
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Budget, Context, Pipeline, Quota, RunState, Runtime, Signal, Usage, phase, wait_for
from phaseline.errors import (
    DefinitionError,
    InvalidInputError,
    NamespaceFullError,
    PipelineFailedError,
    QuotaExceededError,
    TooManyOpenRunsError,
)
from phaseline.rows import ErrorCategory
from phaseline.testing import FakeClock

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)
SPAN = 6 * SECOND
GO = Signal[int]("go")
CALL = Usage(requests=1, input_tokens=10, cost=Decimal("0.50"))


@phase
async def ask(number: int, ctx: Context) -> int:
    await ctx.reserve("model", CALL)
    ctx.spend("model", CALL)
    return number


@phase
async def use(number: int, ctx: Context) -> int:
    ctx.spend("model", CALL)
    return number


asking = Pipeline("asking", ask)
using = Pipeline("using", use)
waiting = Pipeline("waiting", wait_for(GO))


async def runs_of(runtime: Runtime) -> int:
    return sum((await runtime.find().count()).values())


@BOTH_LOOPS
async def test_a_quota_that_is_used_up_starts_nothing(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Until the runs that used it were created long enough ago; whose key is known is given its run."""
    quota = Quota(Budget(cost=Decimal(1)), per=SPAN)
    async with open_runtime(using, namespace_quota=quota) as runtime:
        first = await runtime.start(using, 1, key="one")
        await first.wait()
        await runtime.run(using, 2)
        await clock.advance(SECOND)
        with pytest.raises(QuotaExceededError) as caught:
            await runtime.start(using, 3)
        assert (caught.value.namespace, caught.value.bounds, caught.value.used) == (
            "default",
            ("cost",),
            CALL + CALL,
        )
        assert caught.value.at_most is None
        assert "has used 2 requests, 20 tokens, cost 1 by runs that were created within 0:00:06" in str(
            caught.value
        )
        assert await runs_of(runtime) == 2
        assert (await runtime.start(using, 1, key="one")).id == first.id
        with pytest.raises(QuotaExceededError):
            await runtime.start(using, 1, key="another")
        await clock.advance(SPAN)
        assert (await runtime.run(using, 3)).state == RunState.COMPLETED


async def test_a_body_may_reserve_what_is_left(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """And no more; its run fails as with a budget, and goes on when there is room."""
    quota = Quota(Budget(cost=Decimal("0.75")), per=SPAN)
    async with open_runtime(asking, namespace_quota=quota) as runtime:
        await runtime.run(asking, 1)
        await clock.advance(SECOND)
        handle = await runtime.start(asking, 2)
        run = await handle.wait()
        assert run.error is not None
        assert (run.error.category, run.error.type) == (ErrorCategory.STATE, "QuotaExceededError")
        assert run.usage == Usage()
        await clock.advance(SPAN)
        await handle.retry()
        assert (await handle.wait()).state == RunState.COMPLETED


async def test_only_so_many_runs_are_open(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Those that wait count, and those that are over do not; an input that does not fit is not stored either."""
    async with open_runtime(waiting, using, namespace_open_runs=2) as runtime:
        handles = [await runtime.start(waiting, 1) for _ in range(2)]
        await clock.settle()
        with pytest.raises(TooManyOpenRunsError) as caught:
            await runtime.start(using, 1)
        assert (caught.value.open_runs, caught.value.most) == (2, 2)
        assert "cancel those that nobody needs" in str(caught.value)
        assert await runs_of(runtime) == 2
        await handles[0].cancel()
        assert (await runtime.run(using, 1)).state == RunState.COMPLETED
        with pytest.raises(InvalidInputError):
            await runtime.start(using, "one")  # type: ignore[arg-type]  # what is refused


async def test_no_more_open_runs_are_counted_than_there_may_be(open_runtime: OpenRuntime) -> None:
    """Each start asks, however many others have begun."""
    async with open_runtime(waiting) as free:
        for number in range(3):
            await free.start(waiting, number)
    async with open_runtime(waiting, namespace_open_runs=2) as full:
        with pytest.raises(TooManyOpenRunsError, match="has 2 or more runs that are not over") as caught:
            await full.start(waiting, 4)
        assert caught.value.open_runs == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_it_holds_for_a_start_in_a_transaction_of_the_hosts(
    database: Callable[[], Any], no_blocking_calls: BlockBuster
) -> None:
    """Nothing is written on it."""
    storage = database()
    async with Runtime(storage, pipelines=[waiting], namespace_open_runs=1) as runtime:
        await runtime.start(waiting, 1)
        with allowed(no_blocking_calls), storage._engine.connect() as connection:
            with pytest.raises(NamespaceFullError):
                await runtime.start(waiting, 2, connection=connection)
            assert not connection.in_transaction()


async def test_others_are_not_in_it(open_runtime: OpenRuntime) -> None:
    """Neither runs of another namespace nor a runtime that was given none."""
    async with open_runtime(waiting, namespace_open_runs=1) as full:
        await full.start(waiting, 1)
    async with open_runtime(waiting, namespace="else", namespace_open_runs=1) as other:
        await other.start(waiting, 1)
    async with open_runtime(waiting) as free:
        await free.start(waiting, 2)
        with pytest.raises(PipelineFailedError):
            await _fail(free)


async def _fail(runtime: Runtime) -> None:
    handle = await runtime.start(waiting, 3, deadline=SECOND)
    runner = runtime.runner
    assert isinstance(runner.clock, FakeClock)
    await runner.clock.advance(2 * SECOND)
    await handle.result()


@pytest.mark.parametrize("per", [timedelta(0), -SPAN, timedelta(days=4_000)])
def test_a_quota_is_of_some_time(per: timedelta) -> None:
    """What is none is refused where it is written."""
    with pytest.raises(DefinitionError, match="is no time of up to ten years"):
        Quota(Budget(requests=1), per=per)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"namespace_quota": Budget(requests=1)}, "is no quota; write namespace_quota=Quota"),
        ({"namespace_open_runs": 0}, "is no number of runs, of at least 1"),
        ({"namespace_open_runs": 1.5}, "is no number of runs"),
    ],
)
def test_what_is_none_is_refused(options: dict[str, Any], problem: str) -> None:
    """Where the runtime is made, with what to write instead."""
    with pytest.raises(DefinitionError, match=problem):
        Runtime(**options)
