"""What bodies save of themselves is handed to the next attempt of their phase, and to nobody else; on every storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import anyio
import pytest
from anyio import to_thread
from pydantic import BaseModel
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Again, Context, Pipeline, Retry, RunState, Runtime, Skip, each, phase
from phaseline._engine.commands import Command
from phaseline._shell.live import LiveRun
from phaseline._shell.runner import Runner
from phaseline.abc import Storage
from phaseline.errors import (
    DecodeError,
    EncodeError,
    LeaseLostError,
    PipelineFailedError,
    RuntimeUsageError,
    StorageRefusedError,
)
from phaseline.rows import PhaseRecord
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.unit_of_work import KEPT

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)
AT_ONCE = Retry(attempts=5, wait=timedelta(0))


class Cursor(BaseModel):
    page: int


def kept(storage: Storage, run_id: str, path: str = "body", generation: int = 0) -> str | None:
    """What is stored of what a body saved."""
    return storage.steps("default", run_id, path, generation).get(KEPT)


# --------------------------------------------------------------------- handed on
@pytest.mark.parametrize("interval", [timedelta(0), timedelta(hours=1)], ids=["each", "the last"])
async def test_a_failed_attempt_hands_on_what_it_saved_last(
    open_runtime: OpenRuntime, interval: timedelta
) -> None:
    """Also what came too soon to be stored at once: it is stored with the failure."""
    seen: list[Any] = []
    stored: list[bool] = []

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> int:
        seen.append((ctx.saved, ctx.saved_as(Cursor)))
        if ctx.attempt < 3:
            stored.extend([await ctx.save(Cursor(page=10 * ctx.attempt + page)) for page in (1, 2, 3)])
            raise OSError
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline, checkpoint_interval=interval) as runtime:
        run = await runtime.run(pipeline, 7)

    assert seen == [(None, None), ({"page": 13}, Cursor(page=13)), ({"page": 23}, Cursor(page=23))]
    assert stored == ([True] * 6 if interval == timedelta(0) else [True, False, False] * 2)
    assert run.output == 7


@BOTH_LOOPS
async def test_plain_functions_save_too(open_runtime: OpenRuntime) -> None:
    """From their thread, by the blocking verb."""
    seen: list[Any] = []

    @phase(retry=AT_ONCE)
    def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        if ctx.attempt == 1:
            ctx.blocking.save([1, "two", None])
            raise OSError
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 7)

    assert seen == [None, [1, "two", None]]


async def test_at_most_one_is_stored_in_an_interval(
    open_runtime: OpenRuntime, storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Counted from the one that was stored before."""
    told: list[bool] = []
    turn, done = anyio.Event(), anyio.Event()

    @phase
    async def body(value: int, ctx: Context) -> int:
        nonlocal turn
        for number in range(5):
            told.append(await ctx.save(number))
            await turn.wait()
            turn = anyio.Event()
        done.set()
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline, checkpoint_interval=10 * SECOND) as runtime:
        handle = await runtime.start(pipeline, 1)
        for _ in range(4):
            await clock.advance(4 * SECOND)
            turn.set()
        await clock.settle()
        assert told == [True, False, False, True, False]
        assert await runtime.runner.read(lambda: kept(runtime.runner.storage, handle.id)) == "3"
        turn.set()
        await done.wait()
        await handle.result()


async def test_asked_to_come_back_a_body_finds_what_it_saved(open_runtime: OpenRuntime) -> None:
    """``Again`` ends an attempt as a failure does."""
    seen: list[Any] = []

    @phase
    async def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        if len(seen) < 3:
            await ctx.save(len(seen))
            await ctx.save(10 * len(seen))
            raise Again(after=timedelta(0))
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 7)

    assert seen == [None, 10, 20]


@BOTH_LOOPS
async def test_handed_over_at_the_close_it_goes_on_elsewhere(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """What was saved last is stored when the worker gives the phase back."""
    seen: list[Any] = []
    saved = anyio.Event()

    @phase
    async def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        if ctx.attempt == 1:
            await ctx.save(1)
            await ctx.save(2)
            saved.set()
            await anyio.sleep_forever()
        return value

    pipeline = Pipeline("saves", body)
    async with Runtime(storage(), pipelines=[pipeline], clock=clock, drain=timedelta(0)) as runtime:
        handle = await runtime.start(pipeline, 7)
        await saved.wait()
    async with Runtime(storage(), pipelines=[pipeline], clock=clock) as runtime:
        assert await (await runtime.get(handle.id, pipeline)).result() == 7

    assert seen == [None, 2]


async def test_a_retry_of_the_run_hands_it_on(open_runtime: OpenRuntime) -> None:
    """As it does steps; beside them, and not in their way."""
    seen: list[Any] = []
    calls: list[int] = []

    @phase
    async def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        await ctx.step("once", lambda: calls.append(1))
        if len(seen) == 1:
            await ctx.save({"at": 1})
            raise OSError
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        with pytest.raises(PipelineFailedError):
            await handle.result()
        await handle.retry()
        assert await handle.result() == 7

    assert (seen, calls) == ([None, {"at": 1}], [1])


async def test_each_item_of_a_map_has_its_own(open_runtime: OpenRuntime) -> None:
    """As each has its own attempts."""
    seen: dict[int, Any] = {}

    @phase
    async def numbers(value: int) -> list[int]:
        return list(range(value))

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await ctx.save(value)
            raise OSError
        seen[value] = ctx.saved
        return value

    pipeline = Pipeline("saves", numbers >> each(body))
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 3)

    assert seen == {0: 0, 1: 1, 2: 2}


# --------------------------------------------------------------------- let go of
@pytest.mark.parametrize("how", ["returns", "skips", "in a later attempt"])
async def test_a_committed_phase_keeps_nothing_that_it_saved(open_runtime: OpenRuntime, how: str) -> None:
    """Steps stay; nobody asks for what was saved any more."""

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await ctx.step("once", int)
            await ctx.save("x" * 1_000)
            if how == "in a later attempt":
                raise OSError
            if how == "skips":
                raise Skip("enough", output=3)
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        run = await runtime.run(pipeline, 7)
        found = await runtime.runner.read(lambda: runtime.runner.storage.steps("default", run.id, "body", 0))

    assert dict(found) == {"once": "0"}


@pytest.mark.parametrize("verb", ["restart", "rerun_from", "rollback"])
async def test_done_once_more_a_phase_finds_nothing(open_runtime: OpenRuntime, verb: str) -> None:
    """What was saved belongs to one generation of the phase: its commit is undone, and it begins anew."""
    seen: list[Any] = []

    @phase
    async def first(value: int) -> int:
        return value

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        if ctx.attempt == 1:
            await ctx.save(value)
            raise OSError
        return value

    pipeline = Pipeline("saves", first >> body)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        await handle.result()
        if verb == "restart":
            await handle.restart()
        elif verb == "rerun_from":
            await handle.rerun_from("body")
        else:
            await handle.rollback("first")
            await handle.resume()
        await handle.result()

    assert seen == [None, 7, None, 7]


async def test_taken_back_before_its_commit_a_phase_goes_on(open_runtime: OpenRuntime) -> None:
    """Nothing that was committed is undone by this rollback, so the phase keeps its key, its steps and what it saved."""
    seen: list[Any] = []

    @phase
    async def first(value: int) -> int:
        return value

    @phase
    async def body(value: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        if len(seen) == 1:
            await ctx.save(value)
            raise OSError
        return value

    pipeline = Pipeline("saves", first >> body)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        await handle.wait()
        await handle.rollback("first")
        await handle.resume()
        await handle.result()

    assert seen == [None, 7]


# --------------------------------------------------------------------- refused
@BOTH_LOOPS
async def test_who_no_longer_holds_the_phase_saves_nothing(open_runtime: OpenRuntime) -> None:
    """A cancelled run takes nothing from a body that goes on in its thread."""
    begun, go, refused = threading.Event(), threading.Event(), threading.Event()

    @phase
    def body(value: int, ctx: Context) -> int:
        ctx.blocking.save(1)
        begun.set()
        go.wait(20)
        with pytest.raises(LeaseLostError):
            ctx.blocking.save(2)
        refused.set()
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline, checkpoint_interval=timedelta(0)) as runtime:
        handle = await runtime.start(pipeline, 7)
        await to_thread.run_sync(begun.wait, 20)
        await handle.cancel()
        go.set()
        assert await to_thread.run_sync(refused.wait, 20)
        assert await handle.state() == RunState.CANCELLED
        assert await runtime.runner.read(lambda: kept(runtime.runner.storage, handle.id)) == "1"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "nan is no JSON number"),
        (object(), "object"),
        ("\0", "NUL"),
        ("x" * (17 << 20), "the limit is"),
    ],
    ids=["nan", "object", "nul", "large"],
)
async def test_what_cannot_be_stored_is_refused_at_the_call(
    open_runtime: OpenRuntime, value: object, problem: str
) -> None:
    """Before anything is stored, and also where it would not have been stored yet."""
    told: list[str] = []

    @phase
    async def body(given: int, ctx: Context) -> int:
        for _ in range(2):
            with pytest.raises(EncodeError, match=problem) as caught:
                await ctx.save(value)
            told.append(str(caught.value))
            await ctx.save(1)
        return given

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 7)

    assert len(told) == 2
    assert all("what phase 'body' saved" in text for text in told)


async def test_what_was_saved_is_of_the_type_that_is_asked_for(open_runtime: OpenRuntime) -> None:
    """Or it is said that it is not."""

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            await ctx.save({"page": "three"})
            raise OSError
        with pytest.raises(DecodeError, match="what phase 'body' saved"):
            ctx.saved_as(Cursor)
        assert ctx.saved_as(dict[str, str]) == {"page": "three"}
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 7)


async def test_a_transactional_phase_cannot_save(database: Callable[[], SqlStorage]) -> None:
    """Everything of it is stored together, at its end."""

    @phase(transactional=True)
    def body(value: int, ctx: Context) -> int:
        assert ctx.saved is None
        with pytest.raises(RuntimeUsageError, match="'body' is transactional"):
            ctx.blocking.save(1)
        return value

    pipeline = Pipeline("saves", body)
    async with Runtime(database(), pipelines=[pipeline]) as runtime:
        assert (await runtime.run(pipeline, 7)).output == 7


async def test_a_save_of_an_attempt_that_is_over_is_refused(open_runtime: OpenRuntime) -> None:
    """Whoever kept the context learns of it: nothing would store what he saves."""
    contexts: list[Context] = []

    @phase
    async def body(value: int, ctx: Context) -> int:
        contexts.append(ctx)
        await ctx.save(1)
        return value

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 7)
        with pytest.raises(LeaseLostError, match="'body'"):
            await contexts[0].save(2)


async def test_a_save_that_the_storage_refuses_takes_no_other_with_it(
    open_runtime: OpenRuntime, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was saved before it, and was not stored yet, is stored with the end of the attempt."""
    refused: list[int] = []

    @phase(retry=AT_ONCE)
    async def body(value: int, ctx: Context) -> object:
        if ctx.attempt > 1:
            return ctx.saved
        assert await ctx.save(1)
        assert not await ctx.save(2)
        await clock.sleep_until(clock.now() + timedelta(minutes=2))
        submit = Runner.submit

        async def refuse(runner: Runner, live: LiveRun, command: Command) -> Sequence[PhaseRecord]:
            monkeypatch.setattr(Runner, "submit", submit)
            refused.append(1)
            raise StorageRefusedError("storage", "not this value")

        monkeypatch.setattr(Runner, "submit", refuse)
        with pytest.raises(StorageRefusedError):
            await ctx.save(3)
        raise OSError

    pipeline = Pipeline("saves", body)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        await clock.settle()
        await clock.advance(timedelta(minutes=3))
        assert await handle.result() == 2
    assert refused == [1]
