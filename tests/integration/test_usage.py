"""What runs use is stored with what it was used for, and a budget fails a run before it is passed; on every storage."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import anyio
import pytest
from anyio import to_thread
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Budget, Context, Pipeline, Retry, RunState, Runtime, Usage, each, phase
from phaseline._values.markup import escaped
from phaseline.errors import BudgetExceededError, EncodeError, PipelineFailedError, RuntimeUsageError
from phaseline.events import UsageRecorded
from phaseline.rows import ErrorCategory
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

__all__ = ["anyio_backend"]
CALL = Usage(requests=1, input_tokens=100, output_tokens=20, cost=Decimal("0.25"))
AT_ONCE = Retry(attempts=3, wait=timedelta(0))


class Provider:
    """Is paid for each call, and notes how many there were."""

    def __init__(self) -> None:
        self.calls = 0

    async def call(self, ctx: Context, key: str, at_most: Usage = CALL) -> int:
        async def paid() -> int:
            await ctx.reserve(key, at_most)
            self.calls += 1
            ctx.spend(key, CALL)
            return self.calls

        return await ctx.step(key, paid)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@BOTH_LOOPS
async def test_a_call_is_paid_once(open_runtime: OpenRuntime, provider: Provider) -> None:
    """A step that is stored uses nothing again; what an attempt used before it failed was used all the same."""

    @phase(retry=AT_ONCE)
    async def ask(value: int, ctx: Context) -> int:
        await provider.call(ctx, "one")
        ctx.spend("outside of a step", CALL)
        if ctx.attempt < 3:
            msg = "the provider is away"
            raise OSError(msg)
        return await provider.call(ctx, "two")

    asking = Pipeline("asking", ask)
    async with open_runtime(asking) as runtime:
        handle = await runtime.start(asking, 1)
        run = await handle.wait()
        told = [(fact.key, fact.usage) async for fact in handle.events() if isinstance(fact, UsageRecorded)]
        summed = await runtime.find(pipeline="asking").usage()
        nothing = await runtime.find(state="FAILED").usage()
        exported = await handle.export()
        await to_thread.run_sync(check, runtime.runner.storage)
    assert (run.state, provider.calls) == (RunState.COMPLETED, 2)
    outside = ("outside of a step", CALL)
    assert sorted(told, key=str) == sorted([("one", CALL), ("two", CALL), *[outside] * 3], key=str)
    assert run.usage == run.usage_by_phase["ask"] == summed == CALL + CALL + CALL + CALL + CALL
    assert nothing == Usage()
    assert (exported.usage.cost, exported.usage_by_phase["ask"].requests) == (Decimal("1.25"), 5)
    assert escaped(str(run.usage)) in exported.to_markdown()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_budget_fails_a_run_before_it_is_passed(
    open_runtime: OpenRuntime, provider: Provider
) -> None:
    """However many bodies ask at once; with a larger budget the run goes on where it failed."""

    @phase
    async def listed(count: int) -> list[int]:
        return [*range(count)]

    @phase
    async def ask(number: int, ctx: Context) -> int:
        await provider.call(ctx, "call")
        return number

    def pipeline(budget: Budget) -> Pipeline[int, list[int]]:
        return Pipeline("asking", listed >> each(ask), budget=budget)

    small, large = pipeline(Budget(cost=Decimal("1.1"))), pipeline(Budget(cost=Decimal("2.5")))
    async with open_runtime(small, concurrency=8) as runtime:
        handle = await runtime.start(small, 10)
        failed = await handle.wait()
    assert failed.state == RunState.FAILED
    assert failed.error is not None
    assert (failed.error.type, failed.error.category) == ("BudgetExceededError", ErrorCategory.STATE)
    assert "beyond its pipeline's budget of a cost of 1.1 by its cost" in failed.error.message
    assert failed.usage.cost <= Decimal("1.1")
    assert provider.calls <= 4
    async with open_runtime(large, concurrency=8) as runtime:
        handle = await runtime.get(failed.id, large)
        await handle.retry()
        run = await handle.wait()
        await to_thread.run_sync(check, runtime.runner.storage)
    assert run.output == [*range(10)]
    assert run.usage.requests == provider.calls
    assert run.usage.cost == provider.calls * CALL.cost <= Decimal("2.5")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_processes_share_a_budget(database: Callable[[], SqlStorage]) -> None:
    """What one is about to use, the other one has no more."""
    both, calls = anyio.Event(), 0
    refusals: list[BudgetExceededError] = []

    @phase
    async def listed(count: int) -> list[int]:
        return [*range(count)]

    @phase
    async def ask(number: int, ctx: Context) -> str:
        nonlocal calls
        try:
            await ctx.reserve("call", CALL)
        except BudgetExceededError as error:
            refusals.append(error)
            both.set()
            return "refused"
        calls += 1
        await both.wait()
        ctx.spend("call", CALL)
        return "paid"

    asking = Pipeline("asking", listed >> each(ask), budget=Budget(requests=1))
    async with (
        Runtime(database(), pipelines=[asking], concurrency=1) as one,
        Runtime(database(), pipelines=[asking], concurrency=1),
    ):
        with anyio.fail_after(20):
            run = await (await one.start(asking, 2)).wait()
    assert sorted(run.output) == ["paid", "refused"]
    assert (calls, run.usage) == (1, CALL)
    (refused,) = refusals
    assert (refused.bounds, refused.at_most, refused.used) == (("requests",), CALL, Usage())
    assert (refused.reserved, refused.cut_off, refused.budget) == (CALL, Usage(), Budget(requests=1))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_calls_that_take_too_long_do_not_pass_the_budget() -> None:
    """What a timeout stops may have been paid for: the attempts after it have so much less."""
    clock, calls = FakeClock(), 0

    @phase(retry=Retry(attempts=9, wait=timedelta(0)), timeout=timedelta(seconds=1))
    async def ask(value: int, ctx: Context) -> int:
        nonlocal calls
        await ctx.reserve("call", CALL)
        calls += 1
        await anyio.sleep_forever()
        raise AssertionError  # pragma: no cover  # it is never awake

    asking = Pipeline("asking", ask, budget=Budget(requests=2))
    async with Runtime("memory", pipelines=[asking], clock=clock) as runtime:
        handle = await runtime.start(asking, 1)
        for _ in range(3):
            await clock.advance(timedelta(seconds=1))
        run = await handle.wait()
        check(runtime.runner.storage)
    assert run.error is not None
    assert (run.error.type, calls, run.phases["ask"].attempt) == ("BudgetExceededError", 2, 3)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_was_undone_was_used_all_the_same(open_runtime: OpenRuntime, provider: Provider) -> None:
    """A rollback gives nothing back; a copy has used nothing yet."""

    @phase
    async def ask(value: int, ctx: Context) -> int:
        return await provider.call(ctx, "call")

    @phase
    async def tell(answer: int) -> int:
        return answer

    asking = Pipeline("asking", ask >> tell)
    async with open_runtime(asking) as runtime:
        handle = await runtime.start(asking, 1)
        await handle.result()
        copy = await handle.fork(at="ask")
        await handle.restart()
        run, other = await handle.wait(), await copy.wait()
        await to_thread.run_sync(check, runtime.runner.storage)
    assert (run.usage, other.usage) == (CALL + CALL, Usage())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_is_refused_is_told_what_will_not_come_back(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """What is reserved by a call that was cut off, apart from that by calls on their way; and which steps are stored."""
    steps: list[bool] = []
    refusals: list[BudgetExceededError] = []
    reserved = anyio.Event()

    @phase(retry=AT_ONCE, timeout=timedelta(seconds=10))
    async def ask(value: int, ctx: Context) -> int:
        steps.append(ctx.has_step("call"))
        await ctx.step("call", lambda: 1)
        steps.append(ctx.has_step("call"))
        try:
            await ctx.reserve("two", Usage(requests=ctx.attempt))
        except BudgetExceededError as error:
            refusals.append(error)
            raise
        reserved.set()
        await anyio.sleep_forever()
        return value

    asking = Pipeline("asking", ask, budget=Budget(requests=2))
    async with open_runtime(asking) as runtime:
        handle = await runtime.start(asking, 1)
        await reserved.wait()
        await clock.advance(timedelta(seconds=11))
        with pytest.raises(PipelineFailedError):
            await handle.result()
    (told,) = refusals
    assert (told.reserved, told.cut_off) == (Usage(), Usage(requests=1))
    assert "beyond its pipeline's budget of 2 requests by its requests" in str(told)
    assert steps == [False, True, True, True]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_bodies_in_threads(open_runtime: OpenRuntime) -> None:
    """They have the same verbs; a transactional one stores what it used with its output, and cannot reserve."""

    @phase
    def ask(value: int, ctx: Context) -> int:
        with pytest.raises(RuntimeUsageError, match=r"ctx\.blocking\.reserve"):
            ctx.reserve("call", CALL)
        assert ctx.budget == Budget(tokens=120)
        ctx.blocking.reserve("call", CALL)
        ctx.spend("call", CALL)
        return value

    @phase
    def badly(value: int, ctx: Context) -> int:
        ctx.spend("", CALL)
        return value

    asking, bad = Pipeline("asking", ask, budget=Budget(tokens=120)), Pipeline("bad", badly)
    async with open_runtime(asking, bad) as runtime:
        run = await runtime.run(asking, 1)
        assert run.usage == CALL
        with pytest.raises(PipelineFailedError) as caught:
            await runtime.run(bad, 1)
        assert isinstance(caught.value.__cause__, EncodeError)
