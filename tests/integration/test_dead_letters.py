"""Dead letters on every storage: what they say, when they go, and commands to many of their runs at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import anyio
import pytest
from anyio import to_thread
from msgspec.structs import replace
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import (
    Abort,
    ErrorCategory,
    Pipeline,
    Retry,
    RunHandle,
    RunState,
    Runtime,
    each,
    phase,
)
from phaseline.dead_letter import DeadLetter
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    PipelineNotRegisteredError,
    RunNotFoundError,
    RuntimeNotOpenError,
)
from phaseline.testing import EventRecorder, FakeClock
from phaseline.testing.checker import InvariantError, check

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)


class Stage:
    """What bodies and tests tell each other."""

    def __init__(self) -> None:
        self.is_mended = False
        self.calls: list[int] = []


stage = Stage()


@pytest.fixture(autouse=True)
def fresh_stage() -> None:
    """A stage of its own for each test."""
    global stage  # noqa: PLW0603  # bodies are module-level functions
    stage = Stage()


@phase
async def double(number: int) -> int:
    return 2 * number


@phase(retry=Retry(attempts=2, wait=1))
async def break_down(number: int) -> int:
    stage.calls.append(number)
    if not stage.is_mended:
        raise OSError(f"no {number}")
    return number


@phase
async def give_up(number: int) -> int:
    if not stage.is_mended:
        raise Abort(f"no {number}")
    return number


@phase
async def upto(number: int) -> list[int]:
    return list(range(number))


breaking = Pipeline("breaking", double >> break_down)
refusing = Pipeline("refusing", give_up)
mapped = Pipeline("mapped", upto >> each(give_up))
collecting = Pipeline("collecting", upto >> each(give_up, on_error="collect"))
ALL = (breaking, refusing, mapped, collecting)


async def failed(
    runtime: Runtime, clock: FakeClock, pipeline: Pipeline[int, Any], value: int
) -> RunHandle[Any]:
    """Start a run, and give it once it has failed."""
    handle = await runtime.start(pipeline, value)
    await clock.advance(2 * SECOND)
    assert await handle.state() == RunState.FAILED
    return handle


async def letters(runtime: Runtime, **conditions: Any) -> list[DeadLetter]:
    """All letters, oldest first."""
    return [letter async for letter in runtime.dead_letters.find(order="oldest", **conditions)]


async def check_stored(runtime: Runtime) -> None:
    """What is stored is in order."""
    await to_thread.run_sync(check, runtime.runner.storage)


# --------------------------------------------------------------------- what they say
async def test_a_run_that_fails_leaves_a_letter(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """With its cause, how often it was tried, and where its input is; an event tells of it in the same commit."""
    async with open_runtime(*ALL) as runtime:
        with EventRecorder(runtime.bus) as recorder:
            handle = await failed(runtime, clock, breaking, 7)
        (letter,) = await letters(runtime)
        run = await handle.run()
        assert letter == DeadLetter(
            run_id=handle.id, pipeline="breaking", seq=letter.seq, phase="break_down", error=run.error or letter.error,
            attempts=2, crashes=0, input="double", at=run.ended_at or letter.at,
        )  # fmt: skip
        assert (letter.category, letter.error.message) == (ErrorCategory.SYSTEM, "no 14")
        (event,) = recorder.of("PHASE_DEAD_LETTERED")
        assert (event.seq, event.phase) == (letter.seq, "break_down")
        assert event.data == {"category": "SYSTEM", "attempts": 2, "crashes": 0, "input": "double"}
        assert recorder.types[-1] == "PIPELINE_FAILED"
        await check_stored(runtime)


async def test_where_the_input_of_a_phase_is(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """The run's own input is ``""``; what is a part of another value has no place of its own."""
    async with open_runtime(*ALL) as runtime:
        await failed(runtime, clock, refusing, 1)
        await failed(runtime, clock, mapped, 1)
        assert [(x.phase, x.input) for x in await letters(runtime)] == [
            ("give_up", ""),
            ("give_up[0]", None),
        ]


async def test_a_failure_that_a_map_collects_leaves_none(open_runtime: OpenRuntime) -> None:
    """The run did not fail."""
    async with open_runtime(*ALL) as runtime:
        await (await runtime.start(collecting, 3)).result()
        assert await letters(runtime) == []
        await check_stored(runtime)


async def test_a_run_whose_time_is_over_leaves_one_without_a_phase(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """Its phases were ended with it."""
    async with open_runtime(*ALL) as runtime:
        await runtime.start(breaking, 1, delay=60 * SECOND, deadline=SECOND)
        await clock.advance(SECOND)
        (letter,) = await letters(runtime)
        assert (letter.phase, letter.category, letter.attempts, letter.input) == (None, "TIMEOUT", 0, None)
        await check_stored(runtime)


# --------------------------------------------------------------------- when they go
@pytest.mark.parametrize("verb", ["retry", "rerun_from", "restart", "requeue"])
async def test_a_letter_goes_when_its_run_goes_on(
    open_runtime: OpenRuntime, clock: FakeClock, verb: str
) -> None:
    """In the same commit; where it fails again there is another one."""
    async with open_runtime(*ALL) as runtime:
        handle = await failed(runtime, clock, breaking, 7)
        (first,) = await letters(runtime)
        await handle.run()
        for is_mended in (False, True):
            stage.is_mended = is_mended
            if verb == "requeue":
                await runtime.dead_letters.requeue(handle.id, reason="again", actor="ada")
            else:
                await runtime.control(
                    handle.id, verb, **({"phase": "double"} if verb == "rerun_from" else {})
                )
            await clock.settle()
            await check_stored(runtime)
            await clock.advance(2 * SECOND)
            left = await letters(runtime)
            assert [letter.seq > first.seq for letter in left] == ([] if is_mended else [True])
        assert await handle.result() == 14
        await check_stored(runtime)


async def test_a_letter_can_be_discarded_once(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """The run stays FAILED and can be taken up again; the second one is told that somebody was faster."""
    async with open_runtime(*ALL) as runtime:
        handle = await failed(runtime, clock, refusing, 7)
        with EventRecorder(runtime.bus) as recorder:
            await runtime.dead_letters.discard(handle.id, reason="a test", actor="ada")
        assert [(e.type, e.data) for e in recorder.events] == [
            ("DEAD_LETTER_DISCARDED", {"reason": "a test", "actor": "ada"})
        ]
        assert (await letters(runtime), await handle.state()) == ([], RunState.FAILED)
        with pytest.raises(CommandRefusedError, match="its dead letter was discarded before"):
            await runtime.dead_letters.discard(handle.id)
        await check_stored(runtime)
        stage.is_mended = True
        await handle.retry()
        assert await handle.result() == 7


async def test_a_run_that_has_not_failed_has_no_letter(open_runtime: OpenRuntime) -> None:
    """Neither verb is for it, and the error names the state; nor is one for a run that is unknown."""
    stage.is_mended = True
    async with open_runtime(*ALL) as runtime:
        handle = await runtime.start(refusing, 7)
        await handle.result()
        for verb in (runtime.dead_letters.discard, runtime.dead_letters.requeue):
            with pytest.raises(CommandRefusedError, match="COMPLETED"):
                await verb(handle.id)
            for unknown in ("nobody", "\ud800"):
                with pytest.raises(RunNotFoundError):
                    await verb(unknown)


async def test_a_purged_run_takes_its_letter_with_it(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Nothing that bears its id is left."""
    async with open_runtime(*ALL) as runtime:
        await failed(runtime, clock, refusing, 7)
        assert await runtime.purge(older_than=timedelta(0)) == 1
        assert await letters(runtime) == []


# --------------------------------------------------------------------- many
async def test_letters_are_found_by_what_they_say(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """By pipeline, category, phase and time; page by page, either way."""
    async with open_runtime(*ALL) as runtime:
        ids = [(await failed(runtime, clock, refusing, n)).id for n in range(5)]
        then = clock.now()
        ids.append((await failed(runtime, clock, breaking, 5)).id)

        async def found(**conditions: Any) -> list[str]:
            return [letter.run_id for letter in await letters(runtime, **conditions)]

        assert await found() == ids
        assert await found(pipeline=breaking) == await found(since=then) == ids[5:]
        assert await found(category="PROCESSING") == await found(until=then) == ids[:5]
        assert await found(category=[ErrorCategory.SYSTEM], phase="give_up") == []
        assert await found(phase="give_up", limit=2) == ids[:2]
        walked: list[str] = []
        page = await runtime.dead_letters.find(limit=4)
        while True:
            walked += [letter.run_id for letter in page.letters]
            if page.next is None:
                break
            page = await runtime.dead_letters.find(limit=4, after=page.next)
        assert walked == ids[::-1]


@BOTH_LOOPS
async def test_many_are_taken_up_again_at_once(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Each once: what fails again meanwhile is not met a second time, and what is not asked for is left alone."""
    async with open_runtime(*ALL) as runtime:
        handles = [await runtime.start(refusing, n) for n in range(250)]
        other = await failed(runtime, clock, breaking, 5)
        handled = await runtime.dead_letters.find(pipeline=refusing).requeue(reason="try", actor="ada")
        assert (len(handled.done), handled.refused) == (250, {})
        await clock.advance(2 * SECOND)
        assert len(await letters(runtime)) == 251
        run = await handles[0].run()
        assert run.states.count("IDLE") == 2
        stage.is_mended = True
        handled = await runtime.dead_letters.find(category="PROCESSING", limit=240).requeue()
        assert len(handled.done) == 240
        await clock.advance(2 * SECOND)
        assert len(await letters(runtime, pipeline=refusing)) == 10
        assert len((await runtime.dead_letters.find().discard(reason="enough")).done) == 11
        assert (await letters(runtime), await other.state()) == ([], RunState.FAILED)
        await check_stored(runtime)


@BOTH_LOOPS
async def test_of_two_that_requeue_all_each_run_obeys_one(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """One serial order for each run: both together did all of it once, and the other is told."""
    async with open_runtime(*ALL) as one, open_runtime(*ALL, serve=False) as two:
        handles = [await one.start(refusing, n) for n in range(40)]
        for handle in handles:
            await handle.wait()
        stage.is_mended = True
        done: list[str] = []

        async def requeue(runtime: Runtime) -> None:
            handled = await runtime.dead_letters.find(order="oldest").requeue()
            assert all(isinstance(error, CommandRefusedError) for error in handled.refused.values())
            done.extend(handled.done)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(requeue, one)
            tasks.start_soon(requeue, two)
        assert sorted(done) == sorted(handle.id for handle in handles)
        # Of what the second took up, the first may learn by its sweep alone.
        await clock.advance(timedelta(seconds=1))
        for number, handle in enumerate(handles):
            assert await handle.result() == number
        await check_stored(one)


async def test_runs_of_unknown_pipelines_are_left_and_named(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """Who has not registered them cannot take them up, and learns which."""
    async with open_runtime(*ALL) as runtime:
        handle = await failed(runtime, clock, refusing, 1)
        await failed(runtime, clock, breaking, 1)
    async with open_runtime(breaking, serve=False) as runtime:
        handled = await runtime.dead_letters.find().requeue()
        assert (len(handled.done), [*handled.refused]) == (1, [handle.id])
        assert isinstance(handled.refused[handle.id], PipelineNotRegisteredError)


@pytest.mark.parametrize(
    ("conditions", "text"),
    [
        ({"category": "SISTEM"}, "there is no category SISTEM"),
        ({"category": 5}, "there is no category 5"),
        ({"since": "2030-01-01"}, "no moment"),
        ({"limit": "5"}, "limit='5'"),
        ({"after": "1.\ud800"}, "can be printed"),
        ({"since": datetime(2030, 1, 1)}, "no time zone"),  # noqa: DTZ001  # that is what is refused
        ({"limit": 0}, "ask for 1 to"),
        ({"order": "best"}, "newest"),
        ({"after": "here"}, "give page.next"),
        ({"after": f"{10**30}.x"}, "give page.next"),
    ],
)
async def test_conditions_that_make_no_sense_are_refused(conditions: dict[str, Any], text: str) -> None:
    """Where they are written."""
    runtime = Runtime()
    with pytest.raises(RuntimeNotOpenError):
        _ = runtime.dead_letters
    async with runtime:
        with pytest.raises(DefinitionError, match=text):
            runtime.dead_letters.find(**conditions)


async def test_the_checker_misses_a_letter(clock: FakeClock) -> None:
    """And finds one too many, or one that says something else."""
    async with Runtime(pipelines=ALL, clock=clock) as runtime:
        await failed(runtime, clock, refusing, 1)
        storage: Any = runtime.runner.storage
        box = storage._letters["default"]
        (letter,) = await letters(runtime)
        box.replace(letter.run_id, None)
        with pytest.raises(InvariantError, match="its dead letter is to be"):
            check(storage)
        box.replace(letter.run_id, replace(letter, attempts=5))
        with pytest.raises(InvariantError, match="says 5, and not 1"):
            check(storage)
        box.replace(letter.run_id, letter)
        box.replace("nobody", replace(letter, run_id="nobody"))
        with pytest.raises(InvariantError, match="is not stored"):
            check(storage)
