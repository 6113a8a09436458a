"""Pausing, resuming and cancelling runs that are going on, from this process and from others, on every storage."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from msgspec.structs import replace
from tests.opening import OpenRuntime

from phaseline import Context, PhaseState, Pipeline, Retry, RunHandle, RunState, Runtime, each, phase
from phaseline.abc import HeldPhase, Storage
from phaseline.control import ACTIVE, STATES, TABLE, Verb, allowed_in, kind_of
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    EncodeError,
    PipelineCancelledError,
    RunNotFoundError,
    StorageUnavailableError,
)
from phaseline.rows import ENDED_STATES
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import EventRecorder, FakeClock
from phaseline.testing.checker import check
from phaseline.unit_of_work import Outcome, Unit

BOUND = 10.0
"""Real seconds in which a thing happens that happens at all."""


class Stage:
    """What bodies and tests tell each other."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.open = anyio.Event()
        self.stopped = anyio.Event()
        self.late = 0
        self.starts: list[str] = []
        self.contexts: list[Context] = []
        self.gates: dict[int, anyio.Event] = {}


stage = Stage()


@pytest.fixture(autouse=True)
def fresh_stage() -> Stage:
    """A stage of its own for each test."""
    global stage  # noqa: PLW0603  # bodies are module-level functions
    stage = Stage()
    return stage


@phase
async def wait_long(number: int) -> int:
    stage.starts.append("wait_long")
    stage.begun.set()
    try:
        await stage.open.wait()
    except anyio.get_cancelled_exc_class():
        stage.stopped.set()
        raise
    return number


@phase
async def double(number: int) -> int:
    stage.starts.append("double")
    return 2 * number


slow = Pipeline("slow", wait_long >> double)


async def begun(runtime: Runtime, pipeline: Pipeline[int, Any] = slow) -> RunHandle[Any]:
    """Start a run, and give it once its first body is under way."""
    handle = await runtime.start(pipeline, 1)
    with anyio.fail_after(BOUND):
        await stage.begun.wait()
    return handle


async def until(what: Callable[[], object]) -> None:
    """Wait for something that nobody tells."""
    with anyio.fail_after(BOUND):
        while not what():  # noqa: ASYNC110  # bodies in threads tell nobody
            await anyio.sleep(0.005)


# --------------------------------------------------------------------- cancel
async def test_cancel_ends_a_run_at_once_and_its_body_gets_a_cancellation(open_runtime: OpenRuntime) -> None:
    """State, rows and events are those of the cancel's own commit; who waits for the result is told."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        with EventRecorder(runtime.bus) as recorder:
            await handle.cancel(reason="wrong order", actor="ada")
            assert await handle.state() == RunState.CANCELLED
            with anyio.fail_after(BOUND):
                await stage.stopped.wait()
            with pytest.raises(PipelineCancelledError) as caught:
                await handle.result()
        run = caught.value.run
        assert run.states == ("IDLE", "INITIALIZING", "WAIT_LONG", "CANCELLED")
        assert f"run {handle.id} of 'slow' was cancelled by ada: wrong order" == str(caught.value)
        told = [(move.reason, move.actor) for move in run.history]
        assert told == [("", ""), ("", ""), ("wrong order", "ada")]
        assert {row.state for row in run.phases.values()} == {PhaseState.SKIPPED}
        assert run.phases["wait_long"].fence == 2
        assert recorder.types == ["PHASE_SKIPPED", "PIPELINE_CANCELLED"]
        assert recorder.events[-1].data == {"reason": "wrong order", "actor": "ada", "epoch": 1}
        assert stage.starts == ["wait_long"]


async def test_every_row_of_a_map_ends_with_its_run(open_runtime: OpenRuntime) -> None:
    """Items that run, that wait, and that have not come up yet."""
    many = Pipeline("many", each(wait_long, limit=3))
    async with open_runtime(many, concurrency=2) as runtime:
        handle = await runtime.start(many, list(range(9)))
        with anyio.fail_after(BOUND):
            await stage.begun.wait()
        await handle.cancel()
        run = await handle.wait()
        assert len(run.phases) == 4
        assert {row.state for row in run.phases.values()} == {PhaseState.SKIPPED}
        assert all(row.worker is None for row in run.phases.values())
        await until(lambda: runtime.runner.is_vacant)  # both seats are free again


@phase
async def ignore_all(number: int) -> int:
    stage.begun.set()
    while not stage.open.is_set():
        try:
            await anyio.sleep(0.01)
        except anyio.get_cancelled_exc_class():  # this is what the test is about
            stage.stopped.set()
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.001)
    stage.late += 1
    return number


async def test_a_body_that_ignores_it_changes_nothing_any_more(open_runtime: OpenRuntime) -> None:
    """The run is CANCELLED before the body ends, and what the body gives later is refused."""
    stubborn = Pipeline("stubborn", ignore_all >> double)
    async with open_runtime(stubborn) as runtime:
        handle = await begun(runtime, stubborn)
        with anyio.fail_after(BOUND):
            await handle.cancel()
            assert (await handle.wait()).state == RunState.CANCELLED
            await stage.stopped.wait()
        assert stage.late == 0
        events = [event async for event in handle.events()]
        stage.open.set()
        await until(lambda: stage.late)
        await until(lambda: runtime.runner.is_vacant)
        assert [event async for event in handle.events()] == events
        assert stage.starts == []


@phase
def watch_flag(number: int, ctx: Context) -> int:
    stage.starts.append("watch_flag")
    until = time.monotonic() + BOUND
    while not ctx.cancelled and time.monotonic() < until:
        time.sleep(0.002)
    stage.late = 1 if ctx.cancelled else -1
    return number


async def test_a_sync_body_sees_that_it_was_cancelled(open_runtime: OpenRuntime) -> None:
    """``ctx.cancelled`` turns true in its thread."""
    watching = Pipeline("watching", watch_flag)
    async with open_runtime(watching) as runtime:
        handle = await runtime.start(watching, 1)
        await until(lambda: stage.starts)
        await handle.cancel()
        await until(lambda: stage.late)
        assert stage.late == 1
        assert await handle.state() == RunState.CANCELLED


@phase(retry=Retry(attempts=5, wait=timedelta(seconds=1)))
async def fail_always(number: int) -> int:
    stage.starts.append("fail_always")
    raise ValueError(number)


async def test_what_waits_for_its_next_attempt_never_gets_it(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """A run can be cancelled between two attempts, and before its first."""
    failing = Pipeline("failing", fail_always)
    async with open_runtime(failing) as runtime:
        later = await runtime.start(failing, 1, delay=timedelta(seconds=1))
        handle = await runtime.start(failing, 2)
        await clock.settle()
        await handle.cancel()
        await later.cancel()
        await clock.advance(timedelta(seconds=2))
        assert [await handle.state(), await later.state()] == [RunState.CANCELLED] * 2
        assert stage.starts == ["fail_always"]


async def test_a_key_that_is_held_while_open_is_free_after_a_cancel(open_runtime: OpenRuntime) -> None:
    """The end of a run is the end of its hold on the key."""
    async with open_runtime(slow) as runtime:
        first = await runtime.start(slow, 1, key="k", while_open=True)
        await first.cancel()
        second = await runtime.start(slow, 1, key="k", while_open=True)
        assert first.id != second.id
        await second.cancel()


# --------------------------------------------------------------------- pause and resume
async def test_a_paused_run_ends_what_it_does_and_begins_nothing(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """The body in flight is committed; its successor starts when the run is resumed; ``result`` waits through."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        await handle.pause(reason="lunch", actor="bob")
        assert (await handle.wait()).state == RunState.PAUSED
        stage.open.set()
        await clock.advance(timedelta(seconds=1))
        run = await handle.run()
        assert (run.state, run.phases["wait_long"].state) == (RunState.PAUSED, PhaseState.COMPLETED)
        assert stage.starts == ["wait_long"]

        await handle.resume()
        assert await handle.result() == 2
        run = await handle.run()
        assert run.states == (
            "IDLE", "INITIALIZING", "WAIT_LONG", "PAUSED", "DOUBLE", "COMPLETED",
        )  # fmt: skip
        told = [event async for event in handle.events()]
        assert [e.data for e in told if e.type == "PIPELINE_PAUSED"] == [{"reason": "lunch", "actor": "bob"}]


async def test_a_pause_that_comes_before_the_first_claim_holds_it_back(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """A run that had not begun is IDLE again when it is resumed."""
    async with open_runtime(slow) as runtime:
        handle = await runtime.start(slow, 1, delay=timedelta(seconds=1))
        await handle.pause()
        await clock.advance(timedelta(seconds=2))
        assert stage.starts == []
        stage.open.set()
        await handle.resume()
        assert await handle.result() == 2
        assert (await handle.run()).states[1:3] == ("PAUSED", "IDLE")


async def test_a_run_whose_last_phase_ended_in_a_pause_completes_when_it_is_resumed(
    open_runtime: OpenRuntime,
) -> None:
    """There is nothing left to do, and no worker is needed for it."""
    alone = Pipeline("alone", wait_long)
    async with open_runtime(alone) as runtime:
        handle = await begun(runtime, alone)
        await handle.pause()
        stage.open.set()
        await until(lambda: runtime.runner.is_vacant)
        assert await handle.state() == RunState.PAUSED
        await handle.resume()
        assert await handle.state() == RunState.COMPLETED
        assert await handle.result() == 1


async def test_another_wait_looks_at_the_run_anew(open_runtime: OpenRuntime) -> None:
    """Who was told of a pause once is not told of it again after it is over."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        other = await runtime.get(handle.id, slow)
        await handle.pause()
        assert (await other.wait()).state == RunState.PAUSED
        await handle.resume()
        stage.open.set()
        assert (await other.wait()).state == RunState.COMPLETED
        assert await other.result() == 2


# --------------------------------------------------------------------- errors
async def test_a_command_that_the_state_does_not_allow_names_what_is_allowed(
    open_runtime: OpenRuntime,
) -> None:
    """State, command and the commands that would do stand in the message and in attributes; nothing changed."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        with pytest.raises(
            CommandRefusedError, match=r"is WAIT_LONG, where resume .* takes: .*pause, cancel"
        ):
            await handle.resume()
        stage.open.set()
        await handle.result()
        before = await handle.run()
        with pytest.raises(CommandRefusedError) as caught:
            await handle.cancel(reason="too late")
        error = caught.value
        assert (error.run_id, error.command, error.state) == (handle.id, "cancel", "COMPLETED")
        assert "cancel" not in error.allowed
        assert await handle.run() == before


async def test_of_two_commands_at_once_the_loser_is_told(open_runtime: OpenRuntime) -> None:
    """They have one order, and the second meets the state that the first left."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        told: list[object] = []

        async def cancel() -> None:
            try:
                told.append(await handle.cancel())
            except CommandRefusedError as error:
                told.append(error.state)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(cancel)
        assert sorted(map(str, told)) == ["CANCELLED", "CANCELLED", "None"]


async def test_what_is_told_of_a_command_is_checked_before_anything_is_done(
    open_runtime: OpenRuntime,
) -> None:
    """A text that cannot be stored, a verb and a run that there are not."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        with pytest.raises(EncodeError, match="reason of cancel"):
            await handle.cancel(reason="\0")
        with pytest.raises(DefinitionError, match="did you mean 'pause'"):
            await runtime.control(handle.id, "pose")
        with pytest.raises(DefinitionError, match="no command 5"):
            await runtime.control(handle.id, 5)  # type: ignore[arg-type]  # it is what is refused
        for unknown in ("nobody", "\ud800", "a\0"):
            with pytest.raises(RunNotFoundError):
                await runtime.control(unknown, "pause")
        assert await handle.state() == "WAIT_LONG"
        await runtime.control(handle.id, "cancel", reason="by its id")
        assert await handle.state() == RunState.CANCELLED


@pytest.mark.parametrize("note", ["", "x" * 2_001], ids=["empty", "long"])
async def test_a_note_says_something_and_is_kept_whole(open_runtime: OpenRuntime, note: str) -> None:
    """By whichever way it comes; a reason stands beside what was done, and may be left out, and cut."""
    async with open_runtime(slow) as runtime:
        handle = await begun(runtime)
        for annotate in (
            partial(handle.annotate, note),
            partial(runtime.control, handle.id, "annotate", note=note),
            partial(runtime.find().control, "annotate", note=note),
        ):
            with pytest.raises(EncodeError, match="1 to 2,000 are allowed"):
                await annotate()
        await handle.annotate("x" * 2_000, reason="x" * 2_001)
        await handle.cancel()
        notes = [event.data["note"] async for event in handle.events() if event.type == "PIPELINE_ANNOTATED"]
        assert ["x" * 2_000] == notes


# --------------------------------------------------------------------- from another process
@asynccontextmanager
async def worker_and_operator(
    database: Callable[[], Storage], clock: FakeClock
) -> AsyncGenerator[tuple[Runtime, Runtime]]:
    """Open a runtime that calls bodies, and one on the same database that only asks and commands."""
    async with (
        Runtime(database(), pipelines=[slow], clock=clock) as worker,
        Runtime(database(), pipelines=[slow], clock=clock, serve=False) as operator,
    ):
        yield worker, operator


async def test_a_cancel_from_elsewhere_reaches_a_body_within_a_sweep(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """A process that only asks commands; the one that calls the body learns of it though the body commits nothing."""
    async with worker_and_operator(database, clock) as (worker, operator):
        handle = await begun(worker)
        await operator.control(handle.id, "cancel")
        assert not stage.stopped.is_set()
        await clock.advance(worker.runner.options.sweep_interval)
        with anyio.fail_after(BOUND):
            await stage.stopped.wait()
        await until(lambda: worker.runner.is_vacant)
        assert (await handle.wait()).state == RunState.CANCELLED


async def test_a_pause_from_elsewhere_holds_back_what_follows_here(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """A worker that knows nothing of the pause yet starts nothing after it, and goes on after the other's resume."""
    async with worker_and_operator(database, clock) as (worker, operator):
        handle = await begun(worker)
        await operator.control(handle.id, "pause")
        stage.open.set()
        await clock.advance(timedelta(seconds=2))
        assert await handle.state() == RunState.PAUSED
        assert stage.starts == ["wait_long"]
        await operator.control(handle.id, "resume")
        await clock.advance(timedelta(seconds=2))
        assert await handle.result() == 2


async def test_a_command_is_judged_by_what_is_stored_and_not_by_what_this_process_knows(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """The process that carries the run has not heard of the other's pause, and resumes it all the same."""
    async with worker_and_operator(database, clock) as (worker, operator):
        handle = await begun(worker)
        await operator.control(handle.id, "pause")
        await handle.resume()
        assert await handle.state() == "WAIT_LONG"
        await operator.control(handle.id, "cancel")
        with pytest.raises(CommandRefusedError, match="is CANCELLED"):
            await handle.pause()


class Unrenewing(SqlStorage):
    """Renews nothing once it is told so."""

    silent = False

    def renew(self, namespace: str, worker_id: str, now: datetime, until: datetime) -> Any | list[HeldPhase]:
        if self.silent:
            raise StorageUnavailableError(repr(self), "away", "wait")
        return super().renew(namespace, worker_id, now, until)


@phase
async def keep_context(number: int, ctx: Context) -> int:
    stage.contexts.append(ctx)
    stage.begun.set()
    await stage.open.wait()
    return number


async def test_a_body_whose_lease_ran_out_unrenewed_is_told_so(tmp_path: Any, clock: FakeClock) -> None:
    """``ctx.cancelled`` is true as long as nobody can say whether others took the phase over, and no longer."""
    keeping = Pipeline("keeping", keep_context)
    storage = Unrenewing(f"sqlite:///{tmp_path / 'runs.db'}")
    async with Runtime(storage, pipelines=[keeping], clock=clock, lease=timedelta(seconds=3)) as runtime:
        handle = await begun(runtime, keeping)
        (ctx,) = stage.contexts
        await clock.advance(timedelta(seconds=10))
        storage.silent = True
        await clock.advance(timedelta(seconds=2))
        assert not ctx.cancelled
        await clock.advance(timedelta(seconds=2))
        assert ctx.cancelled
        storage.silent = False
        stage.open.set()
        assert await handle.result(timedelta(seconds=BOUND)) == 1


# --------------------------------------------------------------------- the table
@phase
async def as_told(what: str) -> str:
    if what == "FAILED":
        raise ValueError(what)
    if what == ACTIVE:
        await stage.open.wait()
    return what


async def hold_back(what: str, _: str) -> None:
    if what == "ROLLING_BACK":
        await stage.open.wait()


@phase(compensate=hold_back)
async def repeat(what: str) -> str:
    return what


told = Pipeline("told", as_told >> repeat)


async def put(runtime: Runtime, state: str) -> RunHandle[str]:
    """Bring a run into a state."""
    begins = state in (ACTIVE, "COMPLETED", "FAILED", "ROLLING_BACK", "ROLLED_BACK")
    handle = await runtime.start(told, state, delay=timedelta() if begins else timedelta(hours=1))
    if state == ACTIVE:
        await until(lambda: handle.id in runtime.runner.live)
    elif begins:
        await handle.wait()
        if state in ("ROLLING_BACK", "ROLLED_BACK"):
            await handle.rollback("as_told")
        if state == "ROLLED_BACK":
            await handle.wait()
        if state == "ROLLING_BACK":  # else the claim of what undoes it comes while the row is compared
            live = runtime.runner.live
            await until(lambda: handle.id in live and "repeat~" in live[handle.id].jobs)
    elif state in ("PAUSED", "CANCELLED"):
        await runtime.control(handle.id, "pause" if state == "PAUSED" else "cancel")
    elif state != "IDLE":  # no command leaves a run there: it passes through
        await moved(runtime, handle.id, state)
    assert kind_of(await handle.state()) == state
    return handle


async def moved(runtime: Runtime, run_id: str, state: str) -> None:
    """Write a state as a commit of another process would."""
    runner = runtime.runner
    run = (await runner.load(run_id)).snapshot.run
    ended_at = run.updated_at if state in ENDED_STATES else None
    run = replace(run, state=state, revision=run.revision + 1, ended_at=ended_at)
    unit = Unit(
        run=run, expected=run.revision - 1, input=None, inserted=(), updated=(), outputs={}, events=(), steps=(),
        commit_id=1,
    )  # fmt: skip
    assert await runner.write(lambda: runner.storage.commit([unit])) == [Outcome.COMMITTED]
    runner.live.pop(run_id, None)


@pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"])
async def test_every_cell_of_the_table_is_as_it_says(open_runtime: OpenRuntime) -> None:
    """Each command in each state leads where the table says, or is refused and changes nothing."""
    wrong: list[str] = []
    async with open_runtime(told, concurrency=1_000) as runtime:
        for state in STATES:
            for verb in Verb:
                handle = await put(runtime, state)
                before = await runtime.runner.record_of(handle.id)
                try:
                    if verb is Verb.FORK:
                        at = "as_told" if state == "COMPLETED" else None  # of all nothing would be left to do
                        await handle.fork(at, reason="table", actor="ada")
                    else:
                        await runtime.control(
                            handle.id, verb, reason="table", actor="ada", phase="as_told", note="seen"
                        )
                except CommandRefusedError as error:
                    same = await runtime.runner.record_of(handle.id) == before
                    right = same and state not in TABLE[verb] and error.allowed == allowed_in(state)
                else:
                    right = kind_of(await handle.state()) in TABLE[verb].get(state, ())
                if not right:
                    wrong.append(f"{verb} in {state}: now {await handle.state()}")
        stage.open.set()
    assert wrong == []


# --------------------------------------------------------------------- races
RACES = 300


@phase
async def until_told(number: int) -> int:
    stage.gates[number] = anyio.Event()
    await stage.gates[number].wait()
    return number


racing = Pipeline("racing", until_told)


async def test_cancels_race_completions_and_each_run_has_one_end(storage: Callable[[], Storage]) -> None:
    """Of 300 runs each has exactly one end, and every caller's answer agrees with it."""
    opened = storage()
    answers: dict[str, str] = {}

    async def race(number: int, handle: RunHandle[int]) -> None:
        stage.gates[number].set()
        for _ in range(
            number % 12
        ):  # the body is one turn of the loop away from its end, its commit some more
            await checkpoint()
        try:
            await handle.cancel()
        except CommandRefusedError as error:
            answers[handle.id] = error.state
        else:
            answers[handle.id] = "CANCELLED"

    async with Runtime(opened, pipelines=[racing], concurrency=RACES) as runtime:
        handles: list[RunHandle[int]] = []

        async def start(number: int) -> None:
            handles.append(await runtime.start(racing, number))

        async with anyio.create_task_group() as tasks:
            for number in range(RACES):
                tasks.start_soon(start, number)
        await until(lambda: len(stage.gates) == RACES)
        async with anyio.create_task_group() as tasks:
            for number, handle in enumerate(handles):
                tasks.start_soon(race, number, handle)
        await until(lambda: runtime.runner.is_vacant)

        def look() -> dict[str, str]:
            check(opened)
            return {run.id: run.state for run in opened.find("default", limit=RACES)}

        assert answers == (await to_thread.run_sync(look) if opened.blocking else look())
    assert len(answers) == RACES
    assert set(answers.values()) == {"COMPLETED", "CANCELLED"}, "there was no race"
