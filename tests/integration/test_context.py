"""What a body may ask of its context, and what is refused at the call."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel
from tests.opening import OpenRuntime

from phaseline import Context, CustomEvent, Pipeline, Retry, each, phase
from phaseline.errors import (
    DefinitionError,
    EncodeError,
    PhaselineError,
    PipelineFailedError,
    RunningLoopError,
    RuntimeUsageError,
)
from phaseline.events import PhaseProgress

if TYPE_CHECKING:
    from uuid import UUID


class M(BaseModel):
    x: int


class Seen(CustomEvent):
    word: str


def make(x: int) -> M:
    return M(x=x)


async def make_later(x: int) -> M:
    return M(x=x)


def promise(x: int) -> Awaitable[M]:
    return make_later(x)


def start(x: int) -> Coroutine[Any, Any, M]:
    return make_later(x)


def unannotated(x):
    return M(x=x)


def anything(x: int) -> Any:
    return M(x=x)


def hidden(x: int) -> UUID:
    raise AssertionError


class Maker:
    def __call__(self, x: int) -> M:
        return M(x=x)


async def outcome(body: Callable[[Context], Awaitable[Any]]) -> Any:
    """Run an async body with its context, and give what it gives, or its error."""
    kept: list[Any] = []

    @phase
    async def only(value: int, ctx: Context) -> int:
        kept.append(await body(ctx))
        return 0

    try:
        await Pipeline("only", only).run(0)
    except PipelineFailedError as error:
        return error.__cause__
    return kept[0]


async def outcome_sync(body: Callable[[Context], Any]) -> Any:
    """Run a body in a thread with its context, and give what it gives, or its error."""
    kept: list[Any] = []

    @phase
    def only(value: int, ctx: Context) -> int:
        kept.append(body(ctx))
        return 0

    try:
        await Pipeline("only", only).run(0)
    except PipelineFailedError as error:
        return error.__cause__
    return kept[0]


def check(found: Any, kind: type[PhaselineError], *words: str) -> None:
    assert (kind, []) == (type(found), [word for word in words if word not in str(found)]), found


# --------------------------------------------------------------------- where verbs may be called
@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("step", lambda ctx: ctx.blocking.step("a", make, 1)),
        ("save", lambda ctx: ctx.blocking.save(1)),
        ("result_of", lambda ctx: ctx.blocking.result_of(phase(make_later))),
        ("run_input", lambda ctx: ctx.blocking.run_input(int)),
    ],
)
async def test_blocking_verbs_are_refused_on_the_event_loop(
    verb: str, call: Callable[[Context], Any]
) -> None:
    """They would wait for the loop that they block."""

    async def body(ctx: Context) -> Any:
        return call(ctx)

    check(await outcome(body), RunningLoopError, f"ctx.blocking.{verb}()", f"await ctx.{verb}(...)")


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("step", lambda ctx: ctx.step("a", make, 1)),
        ("save", lambda ctx: ctx.save(1)),
        ("result_of", lambda ctx: ctx.result_of(phase(make_later))),
        ("run_input", lambda ctx: ctx.run_input(int)),
    ],
)
async def test_awaitable_verbs_are_refused_in_a_thread(verb: str, call: Callable[[Context], Any]) -> None:
    """A plain function would get a coroutine that nobody awaits."""
    check(await outcome_sync(call), RuntimeUsageError, "'only'", f"ctx.blocking.{verb}(...)")


async def test_blocking_verbs_work_in_a_thread() -> None:
    """That is what they are for."""
    found = await outcome_sync(lambda ctx: (ctx.blocking.step("a", promise, 1), ctx.blocking.run_input(int)))

    assert (M(x=1), 0) == found


# --------------------------------------------------------------------- steps
@pytest.mark.parametrize(
    "fn", [make, make_later, promise, start, functools.partial(make), functools.partial(promise), Maker(), Maker().__call__]
)  # fmt: skip
async def test_steps_come_back_as_annotated(fn: Callable[..., Any]) -> None:
    """Whatever carries the annotation, the result is of that type."""

    async def body(ctx: Context) -> Any:
        return await ctx.step("a", fn, 1)

    assert M(x=1) == await outcome(body)


async def test_a_class_is_its_own_annotation() -> None:
    """To call a class makes an instance of it."""

    async def body(ctx: Context) -> Any:
        return await ctx.step("a", lambda: None), await ctx.step("b", M, x=1)

    assert (None, M(x=1)) == await outcome(body)


@pytest.mark.parametrize(
    "fn",
    [unannotated, anything, lambda x: M(x=x), functools.partial(unannotated), lambda x: [M(x=x)]],
    ids=range(5),
)
async def test_untyped_steps_give_plain_data(fn: Callable[..., Any]) -> None:
    """Without a type to read it back, a model would come back as a dict: it is refused."""

    async def body(ctx: Context) -> Any:
        return await ctx.step("a", fn, 1)

    check(await outcome(body), EncodeError, "step 'a'", "a M would come back as dict", "'-> Type'")


async def test_plain_data_needs_no_annotation() -> None:
    """JSON data comes back as it is."""

    async def body(ctx: Context) -> Any:
        return await ctx.step("a", lambda: {"a": [1, None, "b", 1.5]})

    assert {"a": [1, None, "b", 1.5]} == await outcome(body)


async def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    """It is named, and the step is not called."""

    async def body(ctx: Context) -> Any:
        return await ctx.step("a", hidden, 1)

    check(await outcome(body), DefinitionError, "step 'a'", "'UUID'", "TYPE_CHECKING")


async def test_a_key_stands_for_one_step() -> None:
    """Of two steps with one key the second would get the result of the first after a crash."""

    async def body(ctx: Context) -> Any:
        await ctx.step("a", make, 1)
        await ctx.step("a", make, 2)

    check(await outcome(body), DefinitionError, "'only'", "'a'", "a key of its own")


async def test_a_step_that_failed_may_be_tried_again() -> None:
    """Nothing was stored under its key."""

    async def body(ctx: Context) -> Any:
        with pytest.raises(ZeroDivisionError):
            await ctx.step("a", lambda: 1 / 0)
        return await ctx.step("a", make, 1)

    assert M(x=1) == await outcome(body)


async def test_keys_are_kept_across_attempts(open_runtime: OpenRuntime) -> None:
    """The next attempt may use, and should use, the keys of the one before."""
    calls: list[int] = []

    @phase(retry=Retry(attempts=2, wait=timedelta(0)))
    async def twice(value: int, ctx: Context) -> M:
        await ctx.step("a", lambda: calls.append(1))
        if ctx.attempt == 1:
            raise ValueError
        return await ctx.step("b", make, 1)

    pipeline = Pipeline("twice", twice)
    async with open_runtime(pipeline) as runtime:
        assert M(x=1) == (await runtime.run(pipeline, 0)).output
    assert [1] == calls


BAD_TEXTS = [
    ("\ud800", "lone surrogate"),
    ("a\0b", "NUL character"),
    (3, "expected text, got int"),
    (None, "expected text, got NoneType"),
]


@pytest.mark.parametrize(
    ("text", "problem"), [*BAD_TEXTS, ("", "0 characters"), ("a" * 501, "501 characters")], ids=range(6)
)
async def test_keys_are_texts_that_can_be_stored(text: Any, problem: str) -> None:
    """What the storage would not take is refused at the call."""

    async def body(ctx: Context) -> Any:
        return await ctx.step(text, make, 1)

    check(await outcome(body), EncodeError, "the key of a step of phase 'only'", problem)


# --------------------------------------------------------------------- progress
@pytest.mark.parametrize(("text", "problem"), BAD_TEXTS, ids=range(4))
async def test_notes_are_texts_that_can_be_stored(text: Any, problem: str) -> None:
    """As keys are."""

    async def body(ctx: Context) -> Any:
        ctx.progress(1, 2, text)

    check(await outcome(body), EncodeError, "progress of phase 'only'", problem)


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@pytest.mark.parametrize("bad", ["1", None, float("nan"), float("inf"), 10**400, [1]], ids=range(6))
async def test_progress_is_a_number(bad: Any) -> None:
    """What no reader could take for a number is refused at the call."""

    async def body(ctx: Context) -> Any:
        ctx.progress(bad)

    check(await outcome(body), EncodeError, "progress of phase 'only'")


async def test_progress_from_a_thread_is_told_on_the_loop(open_runtime: OpenRuntime) -> None:
    """Observers live on the event loop; numbers of other libraries become plain ones."""
    threads: list[Any] = []

    @phase
    def work(value: int, ctx: Context) -> int:
        some: Any = Index(2)
        ctx.progress(some, some, "all")
        return 0

    pipeline = Pipeline("work", work)

    def observe(events: Any) -> None:
        threads.extend(
            (threading.get_ident(), e.done, type(e.done)) for e in events if isinstance(e, PhaseProgress)
        )

    async with open_runtime(pipeline) as runtime:
        runtime.bus.observe(observe)
        await runtime.run(pipeline, 0)

    assert [(threading.get_ident(), 2, int)] == threads


async def test_progress_of_other_numbers() -> None:
    """A number that is no index is read as a float."""

    async def body(ctx: Context) -> Any:
        ctx.progress(Fraction(3, 2), Decimal(2))

    assert await outcome(body) is None


# --------------------------------------------------------------------- events
@pytest.mark.parametrize(
    ("event", "problem"),
    [("seen", "expected a CustomEvent, got str"), (Seen(word="a\0"), "NUL"), (Seen(word="\ud800"), "lone surrogate")],
    ids=range(3),
)  # fmt: skip
async def test_events_are_data_that_can_be_stored(event: Any, problem: str) -> None:
    """What would kill the writer is refused at the call."""

    async def body(ctx: Context) -> Any:
        ctx.emit(event)

    check(await outcome(body), EncodeError, "'only'", problem)


# --------------------------------------------------------------------- outputs of others
@phase
async def one(value: int) -> int:
    return value + 1


@phase
async def two(value: int) -> str:
    return str(value)


@phase
async def listed(value: int) -> list[int]:
    return [value, value]


inner = Pipeline("inner", one >> two)
chain = one >> two


async def test_result_of_a_pipeline_inside() -> None:
    """It is that of the pipeline's last phase."""

    @phase
    async def last(value: str, ctx: Context) -> tuple[str, str, int]:
        return await ctx.result_of(inner), await ctx.result_of(two), await ctx.result_of(one)

    assert ("2", "2", 2) == await Pipeline("outer", inner >> last)(1)


async def test_result_of_one_of_two_pipelines() -> None:
    """A phase that stands twice is told apart by the pipeline it stands in."""
    other = Pipeline("other", one)

    @phase
    async def last(value: str, ctx: Context) -> tuple[int, str]:
        return await ctx.result_of(other), await ctx.result_of(inner)

    assert (2, "3") == await Pipeline("outer", other >> inner >> last)(1)


async def test_result_of_a_chain() -> None:
    """It is that of its last part."""

    @phase
    async def last(value: str, ctx: Context) -> str:
        return await ctx.result_of(chain)

    assert "2" == await Pipeline("outer", chain >> last)(1)


async def test_result_of_a_map() -> None:
    """It is the whole list."""
    mapped = each(one)

    @phase
    async def last(value: list[int], ctx: Context) -> list[int]:
        return await ctx.result_of(mapped)

    assert [2, 2] == await Pipeline("outer", listed >> mapped >> last)(1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (two, "is not upstream of it"),
        (listed, "does not stand in pipeline 'outer'"),
        (5, r"result_of\(5\): give a phase, chain or pipeline"),
    ],
    ids=["downstream", "elsewhere", "nothing"],
)
async def test_result_of_what_is_not_upstream(asked: Any, words: str) -> None:
    """What has no output yet, or never, is refused by name."""

    @phase
    async def first(value: int, ctx: Context) -> int:
        return await ctx.result_of(asked)

    with pytest.raises(PipelineFailedError, match=words):
        await Pipeline("outer", first >> two).run(1)
