"""When failed phases are tried again, and what the host may say about it."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from tests.opening import OpenRuntime

from phaseline import (
    Context,
    ErrorCategory,
    Phase,
    PhaseState,
    Pipeline,
    Retry,
    RetryAfter,
    RunState,
    Runtime,
    Usage,
    phase,
)
from phaseline.errors import DefinitionError, LeaseLostError, StorageUnavailableError
from phaseline.events import Event, PhaseProgress
from phaseline.machine import Transitions
from phaseline.storage.memory import MemoryStorage
from phaseline.testing import FakeClock

SECOND = timedelta(seconds=1)


class Order(BaseModel):
    id: int


in_memory = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
"""For what no storage and no event loop decides."""


def runtime_in_memory(clock: FakeClock, *pipelines: Pipeline[Any, Any], **options: Any) -> Runtime:
    return Runtime(MemoryStorage(), pipelines=pipelines, clock=clock, **options)


def raising(error: BaseException, **options: Any) -> Pipeline[int, int]:
    """A pipeline of one phase that raises always."""

    @phase(name="bad", **options)
    async def bad(n: int) -> int:
        raise error

    return Pipeline("bad", bad)


async def test_a_carried_delay_is_stored(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """The due time that an exception names is in the row, and survives the process that met it."""
    pipeline = raising(RetryAfter(timedelta(seconds=4), "rate limited"), retry=Retry(2, wait=1))
    begun = clock.now()
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.settle()
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.get(handle.id, pipeline)
        row = (await handle.run()).phases["bad"]
        assert (PhaseState.RETRYING, begun + timedelta(seconds=4)) == (row.state, row.available_at)
        await clock.advance(3 * SECOND)
        assert 1 == (await handle.run()).phases["bad"].attempt
        await clock.advance(2 * SECOND)
        run = await handle.wait(5 * SECOND)
    assert (RunState.FAILED, 2) == (run.state, run.phases["bad"].failures)
    assert run.error is not None
    assert ("RetryAfter", "rate limited") == (run.error.type, run.error.message)


@pytest.mark.parametrize(
    ("of_phase", "of_pipeline", "of_runtime", "attempts"),
    [
        (Retry(2), Retry(3), Retry(4), 2),
        (None, Retry(3), Retry(4), 3),
        (None, None, Retry(4), 4),
        (None, None, None, 1),
    ],
)
@in_memory
async def test_which_policy(
    clock: FakeClock, of_phase: Any, of_pipeline: Any, of_runtime: Any, attempts: int
) -> None:
    """The phase's own, else the pipeline's, else the runtime's, else one attempt."""

    @phase(retry=of_phase)
    async def bad(n: int) -> int:
        raise ArithmeticError

    pipeline = Pipeline("bad", bad, retry=of_pipeline)
    async with runtime_in_memory(clock, pipeline, retry=of_runtime) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(timedelta(minutes=5))
        assert attempts == (await handle.run()).phases["bad"].failures


CATEGORIES = [
    (ValueError(), ErrorCategory.PROCESSING),
    (TimeoutError(), ErrorCategory.TIMEOUT),
    (OSError(), ErrorCategory.SYSTEM),
    (MemoryError(), ErrorCategory.SYSTEM),
    (StorageUnavailableError("here", "gone", "wait"), ErrorCategory.SYSTEM),
]


@pytest.mark.parametrize(("error", "category"), CATEGORIES, ids=lambda of: type(of).__name__)
@in_memory
async def test_categories_that_are_retried(clock: FakeClock, error: Exception, category: str) -> None:
    """What may go better next time is tried again, if there is a policy."""
    pipeline = raising(error, retry=Retry(2, wait=0))
    async with runtime_in_memory(clock, pipeline) as runtime:
        run = await (await runtime.start(pipeline, 1)).wait(5 * SECOND)
    row = run.phases["bad"]
    assert row.error is not None
    assert (category, 2) == (row.error.category, row.failures)


@in_memory
async def test_categories_that_are_not_retried(clock: FakeClock) -> None:
    """Bad data stays bad, and a move that the table refuses stays refused; a policy may say otherwise."""

    @phase
    async def validate(n: int) -> int:
        return Order.model_validate({"id": "no number"}).id

    @phase
    async def move(n: int) -> int:
        from phaseline import StateMachine  # noqa: PLC0415  # what this phase is about

        StateMachine(Transitions({"A": ["B"], "B": []}, initial="A")).to("A")
        return n

    for body, category in ((validate, ErrorCategory.VALIDATION), (move, ErrorCategory.STATE)):
        for policy, failures in ((Retry(3, wait=0), 1), (Retry(3, wait=0, retry=lambda _: True), 3)):
            pipeline = Pipeline("p", body, retry=policy)
            async with runtime_in_memory(clock, pipeline) as runtime:
                run = await (await runtime.start(pipeline, 1)).wait(5 * SECOND)
            (row,) = run.phases.values()
            assert row.error is not None
            assert (category, failures) == (row.error.category, row.failures)


@in_memory
async def test_the_host_classifies(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Its word counts before ours; None, what is no category, and an error of its own leave ours."""

    def classify(error: BaseException) -> ErrorCategory | None:
        match str(error):
            case "bad card":
                return ErrorCategory.VALIDATION
            case "mistake":
                raise LookupError
            case "leave":
                raise SystemExit
            case "no category":
                return "ODD"  # type: ignore[return-value]  # the mistake under test
            case _:
                return None

    expected = {
        "bad card": (ErrorCategory.VALIDATION, 1),
        "anything": (ErrorCategory.PROCESSING, 2),
        "mistake": (ErrorCategory.PROCESSING, 2),
        "leave": (ErrorCategory.PROCESSING, 2),
        "no category": (ErrorCategory.PROCESSING, 2),
    }
    found: dict[str, Any] = {}
    for text in expected:
        pipeline = raising(ValueError(text), retry=Retry(2, wait=0))
        async with runtime_in_memory(clock, pipeline, classify=classify) as runtime:
            run = await (await runtime.start(pipeline, 1)).wait(5 * SECOND)
        assert run.error is not None
        found[text] = run.error.category, run.phases["bad"].failures
    assert expected == found
    told = [record.getMessage() for record in caplog.records if "classif" in record.getMessage()]
    assert ["classify(ValueError) gave no category; it is classified as without it"] * 6 == told


def test_a_runtime_refuses_what_is_no_policy() -> None:
    """With what to write instead."""
    with pytest.raises(DefinitionError, match=r"Runtime: retry=3 .*Retry\(attempts=3\)"):
        Runtime(retry=3)  # type: ignore[arg-type]  # the mistake under test


async def test_a_silent_body_is_given_up(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A body that gives signs of life may take as long as it likes; one that falls silent is interrupted."""
    told: list[str] = []

    @phase(heartbeat=2 * SECOND, retry=Retry(2, wait=0))
    async def slow(n: int, ctx: Context) -> int:
        for told_life in (ctx.heartbeat, partial(ctx.progress, 1), partial(ctx.step, "s", lambda: 1)):
            await clock.sleep_until(clock.now() + 1.5 * SECOND)
            if (awaitable := told_life()) is not None:
                await awaitable
        told.append("alive after 4.5 s")
        if ctx.attempt == 1:
            await anyio.sleep_forever()
        return n

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(4.5 * SECOND)
        assert 1 == (await handle.run()).phases["slow"].attempt
        await clock.advance(1.9 * SECOND)
        assert 1 == (await handle.run()).phases["slow"].attempt
        await clock.advance(0.2 * SECOND)
        row = (await handle.run()).phases["slow"]
        assert (2, 1) == (row.attempt, row.failures)
        await clock.advance(5 * SECOND)
        run = await handle.wait(5 * SECOND)
    assert (RunState.COMPLETED, 2) == (run.state, len(told))


@in_memory
async def test_a_silent_body_in_a_thread() -> None:
    """The phase ends without its thread, which learns that it works in vain, and counts as busy until it returns."""
    over = threading.Event()
    seen: list[bool] = []

    @phase(heartbeat=0.05 * SECOND)
    def slow(n: int, ctx: Context) -> int:
        ctx.heartbeat()
        over.wait(10)
        seen.append(ctx.cancelled)
        return n

    pipeline = Pipeline("slow", slow)
    async with Runtime(pipelines=[pipeline], sync_threads=1) as runtime:
        run = await (await runtime.start(pipeline, 1)).wait(5 * SECOND)
        assert run.error is not None
        assert "phase 'slow' gave no sign of life for 0.05 s" == run.error.message
        assert (ErrorCategory.TIMEOUT, 0) == (run.error.category, runtime.runner.free_threads)
        over.set()
        while not runtime.runner.free_threads:  # noqa: ASYNC110  # nothing tells that a thread is free
            await anyio.sleep(0.001)
    assert [True] == seen


async def test_what_goes_on_in_its_thread_has_no_effect_elsewhere(open_runtime: OpenRuntime) -> None:
    """No step is called, no reserve allows anything, and no progress is told, once the attempt is over."""
    begun, over = threading.Event(), threading.Event()
    called: list[int] = []
    told: list[float] = []
    came_to: list[str] = []

    def call(number: int) -> None:
        called.append(number)

    @phase
    def slow(n: int, ctx: Context) -> int:
        ctx.blocking.step("in time", call, 1)
        begun.set()
        over.wait(10)
        ctx.progress(2)
        for verb in (
            lambda: ctx.blocking.step("late", call, 2),
            partial(ctx.blocking.reserve, "late", Usage(requests=1)),
        ):
            try:
                verb()
            except LeaseLostError as error:
                came_to.append(error.phase)
        came_to.append("end")
        return n

    async def hear(event: Event) -> None:
        if isinstance(event, PhaseProgress):
            told.append(event.done)

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        runtime.bus.subscribe(hear)
        handle = await runtime.start(pipeline, 1)
        await anyio.to_thread.run_sync(begun.wait, 10)
        await handle.cancel()
        over.set()
        with anyio.fail_after(10):
            while "end" not in came_to:  # noqa: ASYNC110  # nobody is told that a thread goes on
                await anyio.sleep(0.001)
        await runtime.bus.drain(5)
    assert ["slow", "slow", "end"] == came_to
    assert ([1], []) == (called, told)


async def test_a_body_that_is_cancelled_calls_no_step_while_it_tidies_up(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """An async body too comes to places where it could."""
    called: list[int] = []
    refused: list[str] = []

    def call(number: int) -> None:
        called.append(number)

    @phase(timeout=2 * SECOND)
    async def slow(n: int, ctx: Context) -> int:
        try:
            await anyio.sleep_forever()
        finally:
            try:
                await ctx.step("late", call, 1)
            except LeaseLostError as error:
                refused.append(error.phase)
        return n

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND)
        assert RunState.FAILED == (await handle.wait(5 * SECOND)).state
    assert (["slow"], []) == (refused, called)


@in_memory
async def test_class_phases_have_policies(clock: FakeClock) -> None:
    """As class attribute, with the same meaning."""
    pipeline = Pipeline("classy", Classy())
    async with runtime_in_memory(clock, pipeline) as runtime:
        run = await (await runtime.start(pipeline, 1)).wait(5 * SECOND)
    assert 4 == run.phases["classy"].failures


class Classy(Phase[int, int]):
    retry = Retry(attempts=4, wait=0)

    async def run(self, value: int, ctx: Context) -> int:
        raise ArithmeticError


@pytest.mark.parametrize("asked", [True, False])
async def test_tracebacks_are_stored_where_they_are_asked_for(open_runtime: OpenRuntime, asked: bool) -> None:
    """They come back from the storage with the failure; by default none is kept."""
    pipeline = raising(ValueError("bad card"))
    async with open_runtime(pipeline, tracebacks=asked) as runtime:
        run = await (await runtime.start(pipeline, 1)).wait()
    error = run.phases["bad"].error

    assert error is not None
    assert asked is (error.traceback is not None and error.traceback.endswith("ValueError: bad card\n"))
    assert asked is (error.traceback is not None)
