"""Log records tell of the run in which they were made, whichever logger they come from."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.loops import BOTH_LOOPS, anyio_backend  # noqa: F401  # the fixture
from tests.opening import OpenRuntime

import phaseline
from phaseline import Again, Context, Pipeline, Retry, Runtime, each, phase
from phaseline.abc import Storage
from phaseline.errors import PipelineFailedError
from phaseline.logs import RunContext
from phaseline.testing import FakeClock

library = logging.getLogger("a.library")


class Kept(logging.Handler):
    """A handler of the host's."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[object, ...]] = []
        self.addFilter(RunContext())

    def emit(self, record: logging.LogRecord) -> None:
        told = vars(record)
        self.records.append(
            (record.getMessage(), told["pipeline"], told["phase"], told["attempt"], told["run_id"])
        )


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept()
    for logger in (library, logging.getLogger("phaseline.phase")):
        logger.addHandler(handler)
    yield handler
    for logger in (library, logging.getLogger("phaseline.phase")):
        logger.removeHandler(handler)


@phase
async def loud(value: int) -> int:
    library.warning("in a task")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(louder)
    return value


async def louder() -> None:
    library.warning("in a task of its own")


@phase
def threaded(value: int, ctx: Context) -> int:
    library.warning("in a thread")
    ctx.log.warning("by the context")
    return value


inner = Pipeline("inner", loud)


@phase
async def nesting(value: int) -> int:
    await inner.run(value)
    library.warning("after another run")
    return value


outer = Pipeline("outer", threaded >> nesting)


@BOTH_LOOPS
@pytest.mark.parametrize("is_in_memory", [True, False])
async def test_records_tell_of_the_run_in_which_they_were_made(kept: Kept, *, is_in_memory: bool) -> None:
    """In tasks, in threads, in a run within a run; and of none outside of bodies."""
    if is_in_memory:
        run = await outer.run(1)
    else:
        async with Runtime(pipelines=[outer, inner]) as runtime:
            run = await runtime.run(outer, 1)
    library.warning("outside")
    assert [
        ("in a thread", "outer", "threaded", 1),
        ("by the context", "outer", "threaded", 1),
        ("in a task", "inner", "loud", 1),
        ("in a task of its own", "inner", "loud", 1),
        ("after another run", "outer", "nesting", 1),
        ("outside", None, None, None),
    ] == [record[:4] for record in kept.records]
    ids = [record[4] for record in kept.records]
    assert {run.id} == {ids[0], ids[1], ids[4]}
    assert ids[2] == ids[3] != run.id
    assert None is ids[5]


def test_the_filter_lets_every_record_through_and_changes_none_that_knows_better() -> None:
    """A host may have fields of that name."""
    record = logging.makeLogRecord({"phase": "of the moon"})
    assert RunContext().filter(record)
    assert ("of the moon", None) == (vars(record)["phase"], vars(record)["run_id"])


async def test_what_is_logged_of_another_run_is_not_said_of_the_one_in_whose_body_it_is() -> None:
    """Neither its pipeline, nor its phase, belong to it."""
    told: list[dict[str, Any]] = []

    @phase
    async def telling(value: int) -> int:
        for fields in ({"run_id": "another"}, {}):
            record = logging.makeLogRecord(fields)
            RunContext().filter(record)
            told.append(vars(record))
        return value

    run = await Pipeline("telling", telling).run(1)
    assert ("another", None, None) == (told[0]["run_id"], told[0]["pipeline"], told[0]["attempt"])
    assert (run.id, "telling", 1) == (told[1]["run_id"], told[1]["pipeline"], told[1]["attempt"])


def test_what_is_logged_of_a_run_has_its_id() -> None:
    """For whoever looks for all lines of a run: no text that names one goes without ``extra``."""
    calls = [
        (path.name, call.lineno, ast.unparse(call.args[0]), {each.arg for each in call.keywords})
        for path in sorted(Path(phaseline.__file__).parent.rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and call.args and ast.unparse(call.func).startswith("log.")
    ]
    of_runs = [call for call in calls if re.search(r"\brun %|^LEFT$", call[2])]
    assert len(of_runs) > 20
    assert [] == [call[:3] for call in of_runs if "extra" not in call[3]]


async def test_what_an_observer_raises_is_logged_with_the_run(kept: Kept) -> None:
    """As one example of what is logged outside of bodies."""

    def mistaken(_: object) -> None:
        raise LookupError

    logger = logging.getLogger("phaseline.bus")
    logger.addHandler(kept)
    try:
        async with Runtime(pipelines=[outer, inner]) as runtime:
            runtime.bus.subscribe(mistaken, types=["PIPELINE_COMPLETED"])
            run = await runtime.run(inner, 1)
    finally:
        logger.removeHandler(kept)
    assert [run.id] == [each[4] for each in kept.records if "handler raised" in str(each[0])]


# --------------------------------------------------------------------- what phaseline logs of failures
WORDS = "of whom it is not said"
TWICE = Retry(attempts=2, wait=5)


class RefusedCardError(Exception):
    """What bodies fail with; its words are not for the log."""


@phase(retry=TWICE)
async def charge(amount: int) -> int:
    if amount:
        raise RefusedCardError(WORDS)
    return amount


@phase(retry=TWICE)
def charge_in_thread(amount: int) -> int:
    raise RefusedCardError(WORDS)


def failures(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "phaseline.failure"]


@pytest.mark.parametrize(
    ("name", "body"), [("charge", charge), ("charge_in_thread", charge_in_thread)], ids=["task", "thread"]
)
async def test_each_failed_attempt_is_a_line(
    open_runtime: OpenRuntime, clock: FakeClock, caplog: pytest.LogCaptureFixture, name: str, body: Any
) -> None:
    """Where it is tried again and where it failed for good: run, phase, attempt, and of the exception its name alone."""
    pipeline = Pipeline("shop", body)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(timedelta(0))
        again_at = clock.now() + timedelta(seconds=5)
        await clock.advance(timedelta(seconds=5))
        with pytest.raises(PipelineFailedError):
            await handle.result()
    told = failures(caplog)
    where = f"phase '{name}' of run {handle.id}"
    when = again_at.isoformat(" ", "milliseconds")
    assert [
        (
            logging.WARNING,
            f"{where}: attempt 1 failed with RefusedCardError; it is tried again at {when}",
        ),
        (logging.ERROR, f"{where} failed for good in attempt 2 with RefusedCardError, and the run with it"),
    ] == [(record.levelno, record.getMessage()) for record in told]
    fields = [(vars(record)["run_id"], vars(record)["attempt"], record.exc_info) for record in told]
    assert [(handle.id, 1, None), (handle.id, 2, None)] == fields
    assert WORDS not in caplog.text


async def test_a_failure_that_a_map_collects_is_a_warning(
    open_runtime: OpenRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on."""

    @phase(retry=Retry(attempts=1))
    async def pay(amount: int) -> int:
        if amount:
            raise RefusedCardError(WORDS)
        return amount

    @phase
    async def amounts(most: int) -> list[int]:
        return list(range(most))

    pipeline = Pipeline("all", amounts >> each(pay, on_error="collect"))
    async with open_runtime(pipeline) as runtime:
        await runtime.run(pipeline, 2)
    (record,) = failures(caplog)
    assert logging.WARNING == record.levelno
    assert "failed for good in attempt 1 with RefusedCardError; 'pay' collects that, and the run goes on" in (
        record.getMessage()
    )


async def test_a_run_of_a_pipeline_alone_is_told_of_too(caplog: pytest.LogCaptureFixture) -> None:
    """In memory, where nobody serves it."""

    @phase
    async def pay(amount: int) -> int:
        raise RefusedCardError(WORDS)

    with pytest.raises(PipelineFailedError, match=r"Runtime\(tracebacks=True\) keeps where it was raised"):
        await Pipeline("alone", pay).run(1)
    assert [logging.ERROR] == [record.levelno for record in failures(caplog)]


async def test_who_keeps_tracebacks_has_them_logged(
    open_runtime: OpenRuntime, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the exception itself, for each attempt; and the error says no more how to have them kept."""
    pipeline = Pipeline("shop", charge)
    async with open_runtime(pipeline, tracebacks=True) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(timedelta(0))
        await clock.advance(timedelta(seconds=5))
        with pytest.raises(PipelineFailedError) as caught:
            await handle.result()
    assert "tracebacks=True" not in str(caught.value)
    logged = [record.exc_info[1] for record in failures(caplog) if record.exc_info]
    assert [RefusedCardError, RefusedCardError] == [type(error) for error in logged]
    assert "in charge" in caplog.text


async def test_what_is_not_committed_is_not_told(
    open_runtime: OpenRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that fails after its run was cancelled."""
    begun, gate = anyio.Event(), anyio.Event()

    @phase
    async def late(amount: int) -> int:
        begun.set()
        try:
            await gate.wait()
        finally:
            raise RefusedCardError(WORDS)

    pipeline = Pipeline("late", late)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await begun.wait()
        await handle.cancel()
    assert [] == failures(caplog)


async def test_who_asks_for_the_result_again_learns_as_much(
    open_runtime: OpenRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    """The exception itself, in the process where it was raised; another one after a retry."""

    @phase
    async def pay(amount: int) -> int:
        raise RefusedCardError(WORDS)

    pipeline = Pipeline("again", pay)
    causes: list[BaseException | None] = []
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        for is_retried in (False, False, True):
            if is_retried:
                await handle.retry()
            with pytest.raises(PipelineFailedError) as caught:
                await handle.result()
            causes.append(caught.value.__cause__)
    assert [RefusedCardError] * 3 == [type(cause) for cause in causes]
    assert causes[0] is causes[1] is not causes[2]


async def test_a_body_that_asks_to_be_called_again_for_ever_is_told_of(
    open_runtime: OpenRuntime, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails by that; each time before is no failure."""
    monkeypatch.setattr("phaseline._shell.invoke.MAX_POSTPONED", 2)

    @phase
    async def later(amount: int) -> int:
        raise Again(timedelta(0))

    pipeline = Pipeline("later", later)
    async with open_runtime(pipeline) as runtime:
        with pytest.raises(PipelineFailedError) as caught:
            await runtime.run(pipeline, 1)
    assert "tracebacks=True" not in str(caught.value)
    (record,) = failures(caplog)
    assert "failed for good in attempt 3 with Again, and the run with it" in record.getMessage()


async def test_a_failure_of_another_process_has_no_cause_here(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """Nor that of the failure before it, which was raised here."""
    busy, gate = anyio.Event(), anyio.Event()

    @phase
    async def pay(amount: int) -> int:
        if not amount:
            busy.set()
            await gate.wait()
        raise RefusedCardError(WORDS)

    pipeline = Pipeline("elsewhere", pay)
    async with Runtime(database(), pipelines=[pipeline], clock=clock, concurrency=1) as here:
        handle = await here.start(pipeline, 1)
        with pytest.raises(PipelineFailedError) as first:
            await handle.result()
        await here.start(pipeline, 0)
        await busy.wait()
        async with Runtime(database(), pipelines=[pipeline], clock=clock) as elsewhere:
            other = await elsewhere.get(handle.id, pipeline)
            await other.retry()
            with pytest.raises(PipelineFailedError):
                await other.result()
        with pytest.raises(PipelineFailedError) as second:
            await handle.result()
        gate.set()
    assert [RefusedCardError, type(None)] == [type(each.value.__cause__) for each in (first, second)]
