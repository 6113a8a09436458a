"""The whole path, from ``run()`` to committed facts, on every storage."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel
from tests.opening import OpenRuntime

from phaseline import (
    Abort,
    Again,
    Context,
    CustomEvent,
    Dep,
    Err,
    Ok,
    Phase,
    PhaseState,
    Pipeline,
    Retry,
    RunState,
    Runtime,
    Skip,
    Skipped,
    each,
    phase,
)
from phaseline.errors import (
    DefinitionError,
    EncodeError,
    InvalidInputError,
    MissingDependencyError,
    NoOutputError,
    PipelineFailedError,
    PipelineNotRegisteredError,
    RunNotFoundError,
    RuntimeNotOpenError,
)
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock


class Doc(BaseModel):
    text: str


class WordSeen(CustomEvent):
    word: str


class Split(Phase[Doc, list[str]]):
    async def run(self, doc: Doc, ctx: Context) -> list[str]:
        words = doc.text.split()
        for word in words:
            ctx.emit(WordSeen(word=word))
        return words


@phase
async def size(word: str) -> int:
    return len(word)


@phase
def total(sizes: list[int]) -> int:
    return sum(sizes)


count_letters = Pipeline("count-letters", Split() >> each(size) >> total)
DOC = Doc(text="to be or not")


async def test_runs_in_memory_without_a_runtime() -> None:
    """With no runtime open, run() works in memory and gives all that happened."""
    run = await count_letters.run(DOC)
    assert run.output == 9
    assert run.states == ("IDLE", "INITIALIZING", "SPLIT", "SIZE", "TOTAL", "COMPLETED")
    assert [p for p, row in run.phases.items() if row.state is PhaseState.COMPLETED] == [
        "split", "size", "size[0]", "size[1]", "size[2]", "size[3]", "total",
    ]  # fmt: skip
    assert [checkpoint.phase for checkpoint in run.checkpoints] == ["split", "size", "total"]
    assert await count_letters(DOC) == 9


async def test_a_run_in_memory_leaves_nothing_to_the_collector() -> None:
    """What held a run in memory is freed with it: the collector, which the whole process waits for, has no part in it."""

    def storages() -> int:
        # By its type: isinstance() asks each object for its class, and those of other libraries may raise.
        return sum(issubclass(type(each), MemoryStorage) for each in gc.get_objects())

    line = Pipeline("line", size)
    await line.run("to")
    gc.collect()
    gc.disable()
    try:
        before = storages()
        await line.run("be")
        assert storages() == before
    finally:
        gc.enable()


async def test_runs_on_each_storage(open_runtime: OpenRuntime) -> None:
    """The same pipeline runs on an open runtime, and its events are stored without a gap."""
    async with open_runtime(count_letters) as runtime:
        run = await count_letters.run(DOC)
        assert run.output == 9
        handle = await runtime.get(run.id, count_letters)
        events = [event async for event in handle.events()]
        again = await handle.run()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert again.output == 9
    assert again.history == run.history
    assert again.checkpoints == run.checkpoints
    assert [e.data for e in events if e.type == "WORD_SEEN"] == [{"word": w} for w in DOC.text.split()]
    assert again.phases == run.phases


def test_run_sync() -> None:
    """run_sync() gives the same from code without a loop."""
    assert count_letters.run_sync(DOC).output == 9


async def test_wrong_input_is_refused_before_anything_is_stored(open_runtime: OpenRuntime) -> None:
    """Input of the wrong type names the pydantic path, and no run exists afterwards."""
    async with open_runtime(count_letters) as runtime:
        with pytest.raises(InvalidInputError, match="text"):
            await runtime.start(count_letters, {"txt": 1})  # type: ignore[arg-type]  # the mistake under test
        assert not runtime.runner.live
        with pytest.raises(RunNotFoundError):
            await runtime.get("nope", count_letters)


async def test_input_that_does_not_fit_is_not_told_as_one_that_cannot_be_stored() -> None:
    """Both are refused, each by its own words."""
    with pytest.raises(
        InvalidInputError, match=r"input of pipeline 'count-letters' does not fit: text: Field required"
    ):
        await count_letters.run({})  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(InvalidInputError, match=r"cannot be stored: text: the NUL character"):
        await count_letters.run(Doc(text="\0"))


WRONG_CALLS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda runtime: runtime.start("count_letters", DOC), "'count_letters' is only a name"),
    (lambda runtime: runtime.start(size, "a"), r"is no pipeline yet; .*Pipeline\('name', size\)"),
    (lambda runtime: runtime.start(None, "a"), "None is no pipeline"),
    (
        lambda runtime: runtime.start(count_letters, DOC, delay=5),
        r"delay=5 has no unit.*timedelta\(seconds=5\)",
    ),
    (lambda runtime: runtime.start(count_letters, DOC, delay=timedelta(-1)), "negative"),
    (
        lambda runtime: runtime.start(count_letters, DOC, key=5),
        "the key of a run cannot be stored: expected text",
    ),
    (lambda runtime: runtime.start(count_letters, DOC, key=""), "0 characters"),
    (lambda runtime: runtime.start(count_letters, DOC, priority=1.5), "priority=1.5 is no whole number"),
    (lambda runtime: runtime.start(count_letters, DOC, priority=True), "priority=True"),
    (lambda runtime: runtime.start(count_letters, DOC, priority=1_000), "outside"),
    (lambda runtime: runtime.get(5), r"runtime.get\(5\): the id of a run is a text"),
    (lambda runtime: runtime.get("a", "count_letters"), "'count_letters' is only a name"),
    (lambda runtime: runtime.control(5, "pause"), r"runtime.control\(5\)"),
]


@pytest.mark.parametrize(("call", "words"), WRONG_CALLS, ids=range(len(WRONG_CALLS)))
async def test_wrong_arguments_are_refused_before_anything_is_stored(
    open_runtime: OpenRuntime, call: Callable[[Any], Any], words: str
) -> None:
    """By an error of ours, which says what to write."""
    async with open_runtime(count_letters) as runtime:
        with pytest.raises((DefinitionError, EncodeError), match=words):
            await call(runtime)
        assert {} == await runtime.find().count()


async def test_a_wait_has_a_unit(open_runtime: OpenRuntime) -> None:
    """A bare number is refused, and the run goes on."""
    seconds: Any = 0.1
    async with open_runtime(count_letters) as runtime:
        handle = await runtime.start(count_letters, DOC)
        for verb in (handle.result, handle.wait):
            with pytest.raises(DefinitionError, match=r"timeout=0.1 has no unit.*timedelta\(seconds=0.1\)"):
                await verb(seconds)
        assert 9 == await handle.result(timedelta(seconds=30))


async def test_a_fresh_run_of_another_version_is_told_otherwise_than_a_stored_one(
    open_runtime: OpenRuntime,
) -> None:
    """The one needs to be registered, of the other its old definition is missing."""
    other = Pipeline("count-letters", size, version="2")
    async with open_runtime(count_letters) as runtime:
        with pytest.raises(
            PipelineNotRegisteredError, match=r"another version.*register this one too"
        ) as caught:
            await runtime.start(other, "a")
    assert "the run began under" not in str(caught.value)


async def test_each_over_nothing(open_runtime: OpenRuntime) -> None:
    """A map over an empty list completes with an empty list."""
    async with open_runtime(count_letters):
        run = await count_letters.run(Doc(text=""))
    assert run.output == 0
    assert run.phases["size"].state is PhaseState.COMPLETED


class Calls:
    """Counts what bodies do, outside of the library."""

    def __init__(self) -> None:
        self.log: list[str] = []


CALLS = Dep[Calls]("calls")


async def test_retry_waits_for_its_stored_time(open_runtime: OpenRuntime, clock: Any) -> None:
    """A failed attempt is stored as RETRYING with its due time, and succeeds after it."""
    calls = Calls()

    @phase(retry=Retry(attempts=3, wait=timedelta(seconds=10)))
    async def flaky(n: int) -> int:
        calls.log.append("call")
        if len(calls.log) < 3:
            msg = "not yet"
            raise OSError(msg)
        return n

    pipeline = Pipeline("flaky", flaky)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        await clock.settle()
        row = (await handle.run()).phases["flaky"]
        assert (row.state, row.failures) == (PhaseState.RETRYING, 1)
        assert row.available_at == clock.now() + timedelta(seconds=10)
        await clock.advance(timedelta(seconds=9))
        assert len(calls.log) == 1
        await clock.advance(timedelta(seconds=12))
        assert await handle.result(timedelta(seconds=5)) == 7
    assert len(calls.log) == 3


async def test_failure_for_good(open_runtime: OpenRuntime) -> None:
    """A phase that fails for good fails the run; the error has the run, the phase and the cause."""

    @phase
    async def broken(n: int) -> int:
        msg = f"cannot do {n}"
        raise RuntimeError(msg)

    pipeline = Pipeline("broken", broken >> total_of)
    async with open_runtime(pipeline):
        with pytest.raises(PipelineFailedError, match="cannot do 3") as caught:
            await pipeline.run(3)
    assert caught.value.run.state == RunState.FAILED
    assert caught.value.run.phases["broken"].state is PhaseState.FAILED
    assert "total_of" not in caught.value.run.phases
    assert isinstance(caught.value.__cause__, RuntimeError)


@phase
async def total_of(n: int) -> int:
    return n + 1


async def test_an_output_of_the_wrong_type_fails_its_phase(open_runtime: OpenRuntime) -> None:
    """What cannot be encoded fails the phase that returned it, and is named."""

    @phase
    async def liar(n: int) -> int:
        return "text"  # type: ignore[return-value]  # the mistake under test

    pipeline = Pipeline("liar", liar >> total_of)
    async with open_runtime(pipeline):
        with pytest.raises(PipelineFailedError, match="liar") as caught:
            await pipeline.run(1)
    assert isinstance(caught.value.__cause__, EncodeError)
    assert caught.value.error is not None
    assert caught.value.error.category == "VALIDATION"


async def test_one_failed_item_ends_its_siblings(open_runtime: OpenRuntime) -> None:
    """Under on_error='fail' the first failed item fails the run; bodies in flight are cancelled."""
    begun: list[int] = []
    ended: list[str] = []

    @phase
    async def item(n: int) -> int:
        if n == 1:
            while len(begun) < 2:  # noqa: ASYNC110  # tasks begin in any order
                await anyio.sleep(0.001)
            msg = "bad item"
            raise ValueError(msg)
        try:
            begun.append(n)
            await anyio.sleep(60)
        finally:
            ended.append("cancelled")
        return n

    pipeline = Pipeline("siblings", numbers >> each(item) >> total)
    async with open_runtime(pipeline):
        with pytest.raises(PipelineFailedError) as caught:
            await pipeline.run(3)
    states = {path: row.state for path, row in caught.value.run.phases.items()}
    assert states == {
        "numbers": PhaseState.COMPLETED, "item": PhaseState.FAILED, "item[0]": PhaseState.SKIPPED,
        "item[1]": PhaseState.FAILED, "item[2]": PhaseState.SKIPPED,
    }  # fmt: skip
    assert ended == ["cancelled"] * 2


@phase
async def numbers(n: int) -> list[int]:
    return list(range(n))


async def test_collect(open_runtime: OpenRuntime) -> None:
    """Under on_error='collect' the list tells of each item how it ended."""

    @phase
    async def item(n: int) -> int:
        if n == 1:
            msg = "bad item"
            raise ValueError(msg)
        if n == 2:
            raise Skip("not today", output=20)
        if n == 3:
            raise Abort("never")
        return n

    pipeline = Pipeline("collect", numbers >> each(item, on_error="collect", limit=2))
    async with open_runtime(pipeline):
        output = (await pipeline.run(5)).output
    assert output == [
        Ok[int](value=0),
        Err(category="PROCESSING", type="ValueError", message="bad item"),
        Ok[int](value=20),
        Err(category="PROCESSING", type="Abort", message="never"),
        Ok[int](value=4),
    ]


async def test_skipped_items_without_a_value(open_runtime: OpenRuntime) -> None:
    """An item that hands nothing on is left out under 'fail', and Skipped under 'collect'."""

    @phase
    async def text_of(n: int) -> str:
        if n % 2:
            raise Skip("odd")
        return str(n)

    @phase
    async def joined(texts: list[str]) -> str:
        return "".join(texts)

    left_out = Pipeline("left-out", numbers >> each(text_of) >> joined)
    collected = Pipeline("collected", numbers >> each(text_of, on_error="collect"))
    async with open_runtime(left_out, collected):
        assert await left_out(5) == "024"
        assert (await collected.run(3)).output == [
            Ok[str](value="0"),
            Skipped(reason="odd"),
            Ok[str](value="2"),
        ]


async def test_a_skip_that_hands_nothing_on_skips_what_follows(open_runtime: OpenRuntime) -> None:
    """Everything behind a dead edge is skipped, one state after the other; the run has no output."""

    @phase
    async def maybe(n: int) -> str:
        raise Skip("nothing to do")

    @phase
    async def after(text: str) -> str:
        return text

    pipeline = Pipeline("dead", maybe >> after)
    async with open_runtime(pipeline):
        run = await pipeline.run(1)
    assert run.states == ("IDLE", "INITIALIZING", "MAYBE", "AFTER", "COMPLETED")
    with pytest.raises(NoOutputError, match="after"):
        _ = run.output


async def test_again_is_not_a_failure(open_runtime: OpenRuntime, clock: Any) -> None:
    """A body that asks to come back later is called again after its pause."""
    seen: list[int] = []

    @phase
    async def patient(n: int, ctx: Context) -> int:
        seen.append(ctx.attempt)
        if ctx.attempt < 3:
            raise Again(timedelta(seconds=30), "not there yet")
        return n

    pipeline = Pipeline("patient", patient)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(timedelta(seconds=61))
        run = await handle.wait(timedelta(seconds=5))
    assert (run.output, seen, run.phases["patient"].failures) == (1, [1, 2, 3], 0)


async def test_timeout(open_runtime: OpenRuntime, clock: Any) -> None:
    """An attempt that overruns its timeout is cancelled and fails with TIMEOUT."""

    @phase(timeout=timedelta(seconds=5))
    async def slow(n: int) -> int:
        await anyio.sleep_forever()
        return n

    pipeline = Pipeline("slow", slow)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(timedelta(seconds=6))
        run = await handle.wait(timedelta(seconds=5))
    assert run.error is not None
    assert (run.state, run.error.category) == (RunState.FAILED, "TIMEOUT")


async def test_steps_are_not_repeated(open_runtime: OpenRuntime, clock: Any) -> None:
    """A step's stored result is given to the next attempt without a call; sync bodies have the same verb."""
    calls: list[str] = []

    def pay(amount: int) -> str:
        calls.append("pay")
        return f"paid {amount}"

    @phase(retry=Retry(attempts=2, wait=timedelta(seconds=1)))
    async def checkout(n: int, ctx: Context) -> str:
        receipt = await ctx.step("pay", pay, n)
        if ctx.attempt == 1:
            msg = "after the payment"
            raise OSError(msg)
        return receipt

    @phase(retry=Retry(attempts=2, wait=timedelta(seconds=1)))
    def checkout_sync(text: str, ctx: Context) -> str:
        receipt = ctx.blocking.step("pay", pay, len(text))
        if ctx.attempt == 1:
            msg = "after the payment"
            raise OSError(msg)
        return f"{text}, {receipt}"

    pipeline = Pipeline("checkout", checkout >> checkout_sync)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 5)
        await clock.advance(timedelta(seconds=5))
        assert await handle.result(timedelta(seconds=5)) == "paid 5, paid 6"
    assert calls == ["pay", "pay"]


async def test_context(open_runtime: OpenRuntime) -> None:
    """A body sees its run, its dependencies, upstream results and the run's input."""

    @phase(requires=(CALLS,))
    async def first(n: int, ctx: Context) -> str:
        ctx.dep(CALLS).log.append(ctx.phase)
        return f"first of {n}"

    @phase
    async def second(text: str, ctx: Context) -> str:
        before = await ctx.result_of(first)
        return f"{text}|{before}|{await ctx.run_input(int)}|{ctx.phase}|{ctx.attempt}|{ctx.pipeline}"

    pipeline = Pipeline("context", first >> second)
    calls = Calls()
    async with open_runtime(pipeline, deps={CALLS: calls}):
        run = await pipeline.run(4)
    assert run.output == "first of 4|first of 4|4|second|1|context"
    assert calls.log == ["first"]


async def test_who_serves_a_phase_has_its_dependencies(
    database: Callable[[], SqlStorage], clock: FakeClock
) -> None:
    """A runtime without them does not open, for it would fail what others could do; who does not call the body needs none."""

    @phase(requires=(CALLS,), queue="calls")
    async def call(n: int, ctx: Context) -> int:
        ctx.dep(CALLS).log.append(ctx.phase)
        return n

    @phase
    async def double(n: int) -> int:
        return 2 * n

    pipeline = Pipeline("calling", double >> call)

    def opened(**options: Any) -> Runtime:
        return Runtime(database(), pipelines=[pipeline], clock=clock, **options)

    for queues in (None, {"calls"}):
        with pytest.raises(MissingDependencyError, match="phase 'call' needs the dependency 'calls'"):
            async with opened(queues=queues):
                pass
    calls = Calls()
    async with (
        opened(serve=False) as client,
        opened(queues={"pipeline"}),
        opened(queues={"calls"}, deps={CALLS: calls}),
    ):
        handle = await client.start(pipeline, 2)
        for _ in range(4):  # on SQLite each learns by its sweep of what another one left
            await clock.advance(timedelta(seconds=1))
        assert 4 == await handle.result()
    assert calls.log == ["call"]


async def test_delay_and_priority(open_runtime: OpenRuntime, clock: Any) -> None:
    """A delayed run starts at its time; of those that wait, the lower priority number goes first."""
    order: list[int] = []

    @phase
    async def note(n: int) -> int:
        order.append(n)
        return n

    pipeline = Pipeline("note", note)
    async with open_runtime(pipeline, concurrency=1) as runtime:
        delay = timedelta(seconds=30)
        handles = [
            await runtime.start(pipeline, n, priority=priority, delay=delay)
            for n, priority in ((1, 300), (2, 5), (3, 100))
        ]
        await clock.advance(timedelta(seconds=29))
        assert order == []
        assert await handles[0].state() == RunState.IDLE
        await clock.advance(timedelta(seconds=2))
        for handle in handles:
            await handle.result(timedelta(seconds=5))
    assert order == [2, 3, 1]


async def test_limit_of_a_map(open_runtime: OpenRuntime) -> None:
    """No more items run at once than the limit says, and the order of the input is kept."""
    running = 0
    most = 0

    @phase
    async def item(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.001 * (10 - n))
        running -= 1
        return n * n

    pipeline = Pipeline("limited", numbers >> each(item, limit=3))
    async with open_runtime(pipeline):
        assert await pipeline(10) == [n * n for n in range(10)]
    assert most == 3


async def test_a_map_over_a_nested_pipeline(open_runtime: OpenRuntime) -> None:
    """An item may run through a pipeline of its own; paths tell item and phase."""
    inner = Pipeline("inner", total_of >> total_of_text)
    pipeline = Pipeline("outer", numbers >> each(inner, limit=2))
    async with open_runtime(pipeline):
        run = await pipeline.run(3)
    assert run.output == ["1", "2", "3"]
    assert "inner[2]/total_of_text" in run.phases


@phase
async def total_of_text(n: int) -> str:
    return str(n)


async def test_waiting_ends_when_the_runtime_closes(open_runtime: OpenRuntime) -> None:
    """Whoever waits for a run, or follows its events, is told that its runtime was closed before the end."""
    refused: list[str | None] = []

    async def wait_for(waiting: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(RuntimeNotOpenError) as caught:
            await waiting()
        refused.append(caught.value.waiting_for)

    async with (
        anyio.create_task_group() as tasks,
        open_runtime(count_letters, drain=timedelta(0)) as runtime,
    ):
        handle = await runtime.start(count_letters, DOC, delay=timedelta(hours=1))

        async def follow() -> None:
            async for _ in handle.events():
                pass

        for waiting in (handle.result, handle.wait, follow):
            tasks.start_soon(wait_for, waiting)
        await anyio.wait_all_tasks_blocked()
    assert refused == [handle.id] * 3


@pytest.mark.parametrize("has_factory", [False, True])
@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_a_body_that_cancels_its_own_task_fails(
    waits: bool, has_factory: bool, open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It itself, and nothing else: not what follows it, and no other run; trio cancels by scopes alone."""

    @phase
    async def leave(number: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        if number:
            task.cancel()
        if waits:
            await anyio.lowlevel.checkpoint()
        return number

    @phase
    async def follow(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return number

    pipeline = Pipeline("leave", leave >> follow)
    if has_factory:
        monkeypatch.setattr(asyncio.get_running_loop(), "_task_factory", _made)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        with pytest.raises(PipelineFailedError, match="the body of phase 'leave' cancelled the task"):
            await handle.result(timedelta(seconds=30))
        assert 0 == (await runtime.run(pipeline, 0)).output


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_a_cancellation_that_a_body_swallowed_is_over(open_runtime: OpenRuntime) -> None:
    """Some libraries cancel the task for their timeouts, catch that, and do not take it back."""
    seen: list[int] = []

    @phase
    async def swallow(number: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await anyio.lowlevel.checkpoint()
        return number

    @phase
    async def look(number: int) -> int:
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())
        return number

    pipeline = Pipeline("swallow", swallow >> look)
    async with open_runtime(pipeline) as runtime:
        assert 1 == (await runtime.run(pipeline, 1)).output
    assert [0] == seen


def _made(loop: asyncio.AbstractEventLoop, call: Any, **rest: Any) -> asyncio.Task[Any]:
    return asyncio.Task(call, loop=loop, **rest)
