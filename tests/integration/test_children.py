"""Runs that start runs, on every storage: nothing of the one is kept while the other goes on, and each end is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import anyio
import pytest
from anyio import to_thread
from tests.opening import OpenRuntime

from phaseline import (
    Dag,
    Err,
    ErrorCategory,
    Finish,
    Ok,
    PhaseState,
    Pipeline,
    RunHandle,
    RunState,
    RunSummary,
    Runtime,
    Signal,
    Skip,
    branch,
    each,
    parallel,
    phase,
    start_child,
)
from phaseline._engine.commands import Command
from phaseline._shell import children
from phaseline._shell.controlling import carry_out
from phaseline._shell.live import LiveRun
from phaseline._shell.outbox import PAGE, Outbox
from phaseline._shell.runner import Runner
from phaseline.abc import Storage
from phaseline.errors import (
    DefinitionError,
    NoOutputError,
    PipelineCancelledError,
    PipelineFailedError,
    RuntimeUsageError,
)
from phaseline.rows import WaitKind
from phaseline.testing import EventRecorder, FakeClock
from phaseline.testing.checker import check

SECOND = timedelta(seconds=1)
GO = Signal[bool]("go")


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
async def show(number: int) -> str:
    return f"<{number}>"


@phase
async def fail(number: int) -> int:
    raise ValueError(f"not {number}")


@phase
async def when_told(given: tuple[int, bool]) -> int:
    number, well = given
    if not well:
        raise ValueError(f"not {number}")
    return number + 1


@phase
async def odd_fails(number: int) -> int:
    if number % 2:
        raise ValueError("odd")
    return number


@phase
async def tell(given: tuple[int, str]) -> str:
    return f"{given}"


@phase
async def skips(number: int) -> str:
    raise Skip("no")


worker = Pipeline("worker", double)
patient = Pipeline("patient", double.wait_for(GO) >> when_told)
boss = Pipeline("boss", double.with_options(name="begin") >> start_child(worker) >> show)
lord = Pipeline("lord", double.with_options(name="begin") >> start_child(patient) >> show)
laid_back = Pipeline("laid-back", start_child(patient, close="abandon") >> show)


FLAWS: list[str] = []


@phase
async def flawed(number: int) -> int:
    FLAWS.append("tried")
    if len(FLAWS) == 1:
        raise ValueError("not yet")
    return number + 1


frail = Pipeline("frail", double >> flawed)
keeper = Pipeline("keeper", start_child(frail) >> show)
moody = Pipeline("moody", flawed.wait_for(GO) >> when_told)
stubborn = Pipeline("stubborn", start_child(moody) >> show)


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def children_of(runtime: Runtime, handle: RunHandle[Any]) -> Sequence[RunSummary]:
    """The runs that a run has started, the oldest first."""
    return [run async for run in runtime.find(parent=handle.id, order="oldest")]


async def only_child(runtime: Runtime, handle: RunHandle[Any]) -> RunHandle[Any]:
    """A handle on the one run that a run has started."""
    (child,) = await children_of(runtime, handle)
    return await runtime.get(child.id)


async def waiting(
    runtime: Runtime, clock: FakeClock, pipeline: Pipeline[int, Any], value: int = 5, **options: Any
) -> tuple[RunHandle[Any], RunHandle[Any]]:
    """A run that waits for its child, and the child, which waits for a signal."""
    handle = await runtime.start(pipeline, value, **options)
    await clock.settle()
    return handle, await only_child(runtime, handle)


# --------------------------------------------------------------------- a child and its end
async def test_a_run_goes_on_with_the_output_of_its_child(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Its row says what it waits for, and the child's who waits for it; the two have histories of their own."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord, priority=7)
        row = (await handle.run()).phases["patient"]
        assert (row.state, row.wait_kind, row.wait_key) == (PhaseState.RUNNING, WaitKind.CHILD, child.id)
        assert (row.worker, row.lease_expires, row.due_at) == (None, None, None)
        run = await child.run()
        assert (run.parent_id, run.parent_path, run.state) == (handle.id, "patient", "WAIT_FOR_GO")
        export = await child.export()
        assert (export.parent_id, export.parent_path) == (handle.id, "patient")
        assert f"| started by | {handle.id} |" in export.to_markdown()
        assert (await children_of(runtime, handle))[0].priority == 7
        await checked(opened)
        with EventRecorder(runtime.bus) as recorder:
            await child.signal(GO, True)
            assert await handle.result() == "<21>"
        (told,) = [event async for event in handle.events() if event.type == "CHILD_STARTED"]
        assert (told.phase, told.data["child"], told.data["child_pipeline"]) == (
            "patient",
            child.id,
            "patient",
        )
        assert "PIPELINE_COMPLETED" in recorder.types
        assert (await handle.run()).states == (
            "IDLE", "INITIALIZING", "BEGIN", "PATIENT", "SHOW", "COMPLETED",
        )  # fmt: skip
        assert await child.result() == 21
        await checked(opened)


async def test_nothing_of_a_waiting_run_is_kept(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """No body, no seat, no lease, and, after a while, no memory."""
    async with Runtime(storage(), pipelines=[lord, patient], clock=clock, concurrency=1) as runtime:
        handle, child = await waiting(runtime, clock, lord)
        await clock.advance(3 * SECOND)
        assert (dict(runtime.runner.live), runtime.runner.seats) == ({}, 1)
        await child.signal(GO, True)
        assert await handle.result() == "<21>"


async def test_a_child_may_have_nothing_to_do(open_runtime: OpenRuntime) -> None:
    """It ends in the commit that starts it; and a child may wait for one of its own."""
    nothing = Pipeline("nothing", each(double))
    outer = Pipeline("outer", start_child(nothing))
    outermost = Pipeline("outermost", start_child(outer))
    async with open_runtime(nothing, outer, outermost) as runtime:
        assert await (await runtime.start(outermost, [])).result() == []
        assert await (await runtime.start(outermost, [1, 2])).result() == [2, 4]


async def test_children_of_a_map_go_on_side_by_side(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """One for each item, in the order of the items; a failure is that item's."""
    some = Pipeline("some", double)
    picky = Pipeline("picky", odd_fails)
    many = Pipeline("many", each(start_child(picky), limit=2, on_error="collect"))
    strict = Pipeline("strict", each(start_child(some)))
    opened = storage()
    async with Runtime(opened, pipelines=[some, picky, many, strict], clock=clock) as runtime:
        assert await (await runtime.start(strict, [3, 1, 2])).result() == [6, 2, 4]
        handle = await runtime.start(many, [2, 3, 4])
        first, failed, last = await handle.result()
        assert (first, last) == (Ok(value=2), Ok(value=4))
        assert isinstance(failed, Err)
        assert (failed.category, failed.type) == (ErrorCategory.PROCESSING, "ChildRunError")
        runs = [await (await runtime.get(run.id)).run() for run in await children_of(runtime, handle)]
        assert {run.parent_path for run in runs} == {"picky[0]", "picky[1]", "picky[2]"}
        await checked(opened)


async def test_children_stand_wherever_phases_do(open_runtime: OpenRuntime) -> None:
    """Beside others, in a branch, in a graph, and several of one pipeline under names of their own."""

    def small(number: int) -> bool:
        return number < 10

    def add(left: int, right: int) -> int:
        return left + right

    beside = Pipeline("beside", parallel(start_child(worker), double))
    either = Pipeline("either", branch(small, start_child(worker), show))
    dag = Dag("graph", int)
    left = dag.add(start_child(worker, name="left"), dag.input)
    right = dag.add(start_child(worker, name="right"), left, after=[left])
    graph = dag.build(dag.add(add, left, right))
    async with open_runtime(worker, beside, either, graph) as runtime:
        assert (await beside.run(3, runtime=runtime)).output == (6, 6)
        assert [(await either.run(n, runtime=runtime)).output for n in (3, 30)] == [6, "<30>"]
        assert (await graph.run(3, runtime=runtime)).output == 6 + 12


# --------------------------------------------------------------------- other ends
@pytest.mark.parametrize("end", ["FAILED", "CANCELLED", "ROLLED_BACK"])
async def test_a_child_that_ends_otherwise_fails_the_phase(
    storage: Callable[[], Storage], clock: FakeClock, end: str
) -> None:
    """The error names the child and how it ended."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
        match end:
            case "FAILED":
                await child.signal(GO, False)
            case "CANCELLED":
                await child.cancel()
            case _:
                await child.rollback()
        with pytest.raises(PipelineFailedError) as raised:
            await handle.result()
        error = raised.value.error
        assert error is not None
        assert (error.category, error.type, error.phase) == (
            ErrorCategory.PROCESSING, "ChildRunError", "patient",
        )  # fmt: skip
        assert f"child run {child.id} of pipeline 'patient' is {end}" in error.message
        assert ("ValueError: not 20" in error.message) == (end == "FAILED")
        await checked(opened)


async def test_a_child_without_an_output_fails_the_phase(open_runtime: OpenRuntime) -> None:
    """It completed, and what would give its output was skipped."""
    leaves_out = Pipeline("leaves-out", skips)
    pipeline = Pipeline("asks", start_child(leaves_out))
    async with open_runtime(leaves_out, pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        with pytest.raises(PipelineFailedError, match="is COMPLETED, phase 'skips' no; a retry"):
            await handle.result()
        with pytest.raises(NoOutputError):
            await (await only_child(runtime, handle)).result()


async def test_what_the_child_does_not_take_starts_none(open_runtime: OpenRuntime) -> None:
    """The phase fails with VALIDATION."""

    @phase
    async def anything(number: int) -> Any:
        return f"no {number}"

    pipeline = Pipeline("anything-goes", anything >> start_child(worker))
    async with open_runtime(worker, pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        with pytest.raises(PipelineFailedError) as raised:
            await handle.result()
        assert raised.value.error is not None
        assert raised.value.error.category == ErrorCategory.VALIDATION
        assert await children_of(runtime, handle) == []


# --------------------------------------------------------------------- commands
async def test_a_parent_that_ends_has_its_child_cancelled(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Whoever ends it: a person, a sibling that fails, its deadline; also the child of the child."""
    over = Pipeline("over", start_child(lord))
    sibling = Pipeline("sibling", parallel(start_child(patient), double.sleep_for(SECOND) >> fail))
    opened = storage()
    async with Runtime(opened, pipelines=[over, lord, patient, sibling], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, over)
        grandchild = await only_child(runtime, child)
        await handle.cancel()
        for run in (child, grandchild):
            with pytest.raises(PipelineCancelledError):
                await run.result()
        reasons = [event.data.get("reason") async for event in child.events()]
        assert reasons[-1] == f"its parent, run {handle.id}, does not wait for it any more"
        for pipeline, options in ((sibling, {}), (lord, {"deadline": SECOND})):
            handle, child = await waiting(runtime, clock, pipeline, **options)
            await clock.advance(2 * SECOND)
            assert (await handle.state(), await child.state()) == (RunState.FAILED, RunState.CANCELLED)
        await checked(opened)


async def test_an_item_that_fails_closes_the_children_of_the_others(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """With the run that fails by it; where failures are collected, the others go on."""
    strict = Pipeline("strict", each(start_child(patient)))
    lenient = Pipeline("lenient", each(start_child(patient), on_error="collect"))
    opened = storage()
    async with Runtime(opened, pipelines=[strict, lenient, patient], clock=clock) as runtime:
        for pipeline, state in ((strict, RunState.CANCELLED), (lenient, "WAIT_FOR_GO")):
            handle = await runtime.start(pipeline, [1, 2, 3])
            await clock.settle()
            first, *others = await children_of(runtime, handle)
            await (await runtime.get(first.id)).signal(GO, False)
            await clock.settle()
            assert [await (await runtime.get(run.id)).state() for run in others] == [state] * 2
            assert (await handle.state() == RunState.FAILED) == (pipeline is strict)
        for run in others:
            await (await runtime.get(run.id)).signal(GO, True)
        assert sorted(item.status for item in await handle.result()) == ["error", "ok", "ok"]
        await checked(opened)


async def test_a_child_may_be_left_alone(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """Then it goes on by itself, and nobody waits for it."""
    opened = storage()
    async with Runtime(opened, pipelines=[laid_back, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, laid_back)
        await handle.cancel()
        await clock.settle()
        assert await child.state() == "WAIT_FOR_GO"
        await child.signal(GO, True)
        assert await child.result() == 11
        await clock.settle()
        assert await handle.state() == RunState.CANCELLED
        await checked(opened)


async def test_a_run_that_goes_another_way_closes_its_child(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """One that finishes early, and a race that another one has won."""

    @phase(may_finish=True)
    async def finishes(number: int) -> str:
        raise Finish(f"early {number}")

    @phase
    async def pick(number: int) -> str:
        return f"picked {number}"

    early = Pipeline("early", parallel(start_child(patient), double.sleep_for(SECOND) >> finishes) >> tell)
    dag = Dag("race", int)
    slow = dag.add(start_child(patient), dag.input)
    fast = dag.add(double.sleep_for(SECOND), dag.input)
    race = dag.build(dag.add(pick, slow, fast, join="any", cancel_rest=True))
    opened = storage()
    async with Runtime(opened, pipelines=[early, race, patient], clock=clock) as runtime:
        for pipeline, output in ((early, "early 10"), (race, "picked 10")):
            handle, child = await waiting(runtime, clock, pipeline)
            await clock.advance(2 * SECOND)
            assert await handle.result() == output
            assert await child.state() == RunState.CANCELLED
        await checked(opened)


async def test_a_parent_that_is_paused_still_waits(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """Its child goes on; what comes after it begins when the parent goes on too."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
        await handle.pause()
        await child.signal(GO, True)
        assert await child.result() == 21
        await clock.settle()
        run = await handle.run()
        assert (run.state, run.phases["patient"].state) == (RunState.PAUSED, PhaseState.COMPLETED)
        assert run.phases["show"].state is PhaseState.PENDING
        await handle.resume()
        assert await handle.result() == "<21>"
        await checked(opened)


# --------------------------------------------------------------------- once more
async def test_a_retry_retries_the_child_that_failed(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It is the same run, and goes on where it failed."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
        await child.signal(GO, False)
        with pytest.raises(PipelineFailedError):
            await handle.result()
        before = (await child.run()).phases["double"].epoch
        await handle.retry()
        await clock.settle()
        assert (await only_child(runtime, handle)).id == child.id  # tried again, and failed again
        assert await handle.state() == RunState.FAILED
        run = await child.run()
        assert (run.phases["double"].epoch, run.phases["when_told"].epoch) == (before, 1)
        await checked(opened)


@pytest.mark.parametrize("by_hand", [False, True])
async def test_a_retry_comes_to_the_output_of_a_run_that_never_failed(
    storage: Callable[[], Storage], clock: FakeClock, by_hand: bool
) -> None:
    """With the child that failed, whether it is retried with the parent, or was before, by somebody."""
    FLAWS.clear()
    opened = storage()
    async with Runtime(opened, pipelines=[keeper, frail], clock=clock) as runtime:
        handle = await runtime.start(keeper, 5)
        with pytest.raises(PipelineFailedError, match="a retry of this run retries it"):
            await handle.result()
        child = await only_child(runtime, handle)
        if by_hand:
            await child.retry()
            assert await child.result() == 11
            await clock.settle()
            assert await handle.state() == RunState.FAILED
        await handle.retry()
        assert await handle.result() == "<11>"
        assert (await only_child(runtime, handle)).id == child.id
        assert FLAWS == ["tried"] * 2
        await checked(opened)


async def test_a_retry_starts_another_child_in_place_of_one_that_was_cancelled(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """That one can do nothing more."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
        await child.cancel()
        with pytest.raises(PipelineFailedError, match="a retry of this run starts another one"):
            await handle.result()
        await handle.retry()
        await clock.settle()
        (second,) = {run.id for run in await children_of(runtime, handle)} - {child.id}
        await (await runtime.get(second)).signal(GO, True)
        assert await handle.result() == "<21>"
        await checked(opened)


async def test_a_retry_starts_another_child_beside_one_that_is_being_undone(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """That one comes to nothing but the failure it had."""
    FLAWS.clear()
    undoing, may_undo, tries = anyio.Event(), anyio.Event(), list[int]()

    async def undo(_: int, __: int) -> None:
        undoing.set()
        await may_undo.wait()

    @phase
    async def beside(number: int) -> int:
        await undoing.wait()
        tries.append(number)
        if len(tries) == 1:
            raise ValueError("beside it")
        return number

    careful = Pipeline("careful", double.with_options(compensate=undo) >> flawed, on_failure="rollback")
    both = Pipeline("both", parallel(start_child(careful), beside))
    opened = storage()
    async with Runtime(opened, pipelines=[both, careful], clock=clock) as runtime:
        handle = await runtime.start(both, 5)
        with pytest.raises(PipelineFailedError, match="beside it"):
            await handle.result()
        first = await only_child(runtime, handle)
        await clock.settle()
        assert await first.state() == RunState.ROLLING_BACK
        await handle.retry()
        with anyio.fail_after(10):
            assert await handle.result() == (11, 5)
        may_undo.set()
        assert (await first.wait()).state == RunState.ROLLED_BACK
        assert {run.state for run in await children_of(runtime, handle)} == {
            RunState.ROLLED_BACK,
            RunState.COMPLETED,
        }
        await checked(opened)


async def test_a_child_that_is_to_be_cancelled_is_not_taken_up_again(
    storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is started, however late the first one learns that nobody waits for it any more."""
    deliver, held = Outbox._deliver_all, [True]  # there is no other way to be late

    async def late(outbox: Outbox) -> None:
        if not held:
            await deliver(outbox)

    monkeypatch.setattr(Outbox, "_deliver_all", late)
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, first = await waiting(runtime, clock, lord)
        await handle.rollback("begin")
        await handle.resume()
        await clock.settle()
        (second,) = [run for run in await children_of(runtime, handle) if run.id != first.id]
        held.clear()
        await clock.advance(5 * SECOND)
        assert await first.state() == RunState.CANCELLED
        assert (await handle.run()).phases["patient"].wait_key == second.id
        await (await runtime.get(second.id)).signal(GO, True)
        assert await handle.result() == "<21>"
        await checked(opened)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_child_that_is_retried_for_a_parent_that_is_cancelled_meanwhile_is_cancelled_too(
    storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch, elsewhere: bool
) -> None:
    """The cancel comes between the retry of the child and the wait for it, from here or from another process."""
    FLAWS.clear()
    cancelled: list[str] = []
    opened = storage()
    async with (
        Runtime(opened, pipelines=[stubborn, moody], clock=clock) as runtime,
        Runtime(storage(), pipelines=[stubborn, moody], clock=clock, serve=False)
        if elsewhere and opened.shared
        else nullcontext(runtime) as other,
    ):
        handle = await runtime.start(stubborn, 1)
        await clock.settle()
        child = await only_child(runtime, handle)
        assert (await handle.state(), await child.state()) == (RunState.FAILED, RunState.FAILED)

        async def then_cancelled(runner: Runner, run_id: str, order: Command) -> LiveRun:
            live = await carry_out(runner, run_id, order)
            if not cancelled:
                cancelled.append(run_id)
                await (await other.get(handle.id)).cancel()
            return live

        monkeypatch.setattr(children, "carry_out", then_cancelled)
        await handle.retry()
        await clock.settle()
        await clock.advance(SECOND)
        assert cancelled == [child.id]
        assert (await handle.state(), await child.state()) == (RunState.CANCELLED, RunState.CANCELLED)
        await checked(opened)


async def test_a_child_that_is_retried_for_a_parent_that_is_undone_meanwhile_is_cancelled(
    storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is not there yet, and nobody would wait for the child any more."""
    FLAWS.clear()
    undone, taken_back = anyio.Event(), list[str]()

    async def undo(_: int, __: int) -> None:
        await undone.wait()

    careful = Pipeline(
        "careful", double.with_options(name="before", compensate=undo) >> start_child(moody) >> show
    )
    opened = storage()
    async with Runtime(opened, pipelines=[careful, moody], clock=clock) as runtime:
        handle = await runtime.start(careful, 1)
        await clock.settle()
        child = await only_child(runtime, handle)

        async def then_taken_back(runner: Runner, run_id: str, order: Command) -> LiveRun:
            live = await carry_out(runner, run_id, order)
            if not taken_back:
                taken_back.append(run_id)
                await (await runtime.get(handle.id)).rollback()
            return live

        monkeypatch.setattr(children, "carry_out", then_taken_back)
        await handle.retry()
        with anyio.fail_after(10):
            while await child.state() != RunState.CANCELLED:
                await clock.advance(SECOND)
        assert taken_back == [child.id]
        assert await handle.state() == RunState.ROLLING_BACK
        undone.set()
        assert (await handle.wait()).state == RunState.ROLLED_BACK
        await checked(opened)


async def test_a_retry_waits_on_for_a_child_that_was_left_alone(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It goes on all the time, and there is no second one."""
    opened = storage()
    async with Runtime(opened, pipelines=[laid_back, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, laid_back, deadline=SECOND)
        await clock.advance(2 * SECOND)
        assert (await handle.state(), await child.state()) == (RunState.FAILED, "WAIT_FOR_GO")
        await handle.retry()
        await clock.settle()
        assert (await handle.run()).phases["patient"].wait_key == child.id
        await child.signal(GO, True)
        assert await handle.result() == "<11>"
        assert (await only_child(runtime, handle)).id == child.id
        await checked(opened)


async def test_what_is_done_once_more_starts_another_child(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Also where the first one completed: what it did is done once more. A rollback leaves it as it is."""
    opened = storage()
    async with Runtime(opened, pipelines=[boss, worker], clock=clock) as runtime:
        handle = await runtime.start(boss, 5)
        assert await handle.result() == "<20>"
        await handle.rerun_from("worker")
        assert await handle.result() == "<20>"
        await handle.restart()
        assert await handle.result() == "<20>"
        await handle.rollback("begin")
        await clock.settle()
        assert [run.state for run in await children_of(runtime, handle)] == ["COMPLETED"] * 3
        await handle.resume()
        assert await handle.result() == "<20>"
        assert len(await children_of(runtime, handle)) == 4
        await checked(opened)


async def test_a_copy_has_children_of_its_own(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """Those that had completed it takes over as values; nobody waits for the copy of a child."""
    twice = Pipeline("twice", start_child(worker) >> start_child(patient) >> show)
    opened = storage()
    async with Runtime(opened, pipelines=[twice, worker, patient], clock=clock) as runtime:
        handle = await runtime.start(twice, 5)
        await clock.settle()
        (child,) = [run.id for run in await children_of(runtime, handle) if run.pipeline == "patient"]
        copy = await handle.fork()
        await clock.settle()
        other = await only_child(runtime, copy)
        assert (other.id != child, (await other.run()).pipeline) == (True, "patient")
        third = await (await runtime.get(child)).fork()
        assert (await third.run()).parent_id is None
        for run_id in (child, other.id, third.id):
            await (await runtime.get(run_id)).signal(GO, True)
        assert [await run.result() for run in (handle, copy)] == ["<21>", "<21>"]
        await checked(opened)


# --------------------------------------------------------------------- several runtimes
async def test_an_end_is_told_when_somebody_comes_who_knows_the_parent(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Until then nobody purges the child, for its output is still to be read; afterwards it may go."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
    opened = storage()
    async with Runtime(opened, pipelines=[patient], clock=clock) as runtime:
        await (await runtime.get(child.id)).signal(GO, True)
        await clock.advance(SECOND)
        assert (await runtime.get(child.id, patient)).id == child.id
        assert await runtime.purge(older_than=timedelta(0)) == 0
        (left,) = await runtime.orphans()
        assert (left.pipeline, left.count) == ("lord", 1)
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        assert await (await runtime.get(handle.id, lord)).result() == "<21>"
        await clock.settle()
        assert await runtime.purge(older_than=timedelta(0), pipeline=patient) == 1
        assert (await (await runtime.get(handle.id, lord)).run()).output == "<21>"


async def test_what_cannot_be_told_hides_nothing(
    storage: Callable[[], Storage], clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The ends of children whose definition is not known here any more wait until it is, and others are told."""
    newer = Pipeline("patient", double.wait_for(GO) >> when_told, version="2")
    many, again = Pipeline("many", each(start_child(patient))), Pipeline("many", each(start_child(newer)))

    async def tell_all(runtime: Runtime, parent: str) -> None:
        async for run in runtime.find(parent=parent):
            await (await runtime.get(run.id)).signal(GO, True)
        await clock.settle()

    opened = storage()
    async with Runtime(opened, pipelines=[many, patient], clock=clock) as runtime:
        left = await runtime.start(many, [*range(PAGE + 6)])
        await clock.settle()
    opened = storage()
    async with Runtime(opened, pipelines=[patient], clock=clock) as runtime:
        await tell_all(runtime, left.id)
    opened = storage()
    async with Runtime(opened, pipelines=[again, newer], clock=clock) as runtime:
        handle = await runtime.start(again, [1, 2])
        await clock.settle()
        await tell_all(runtime, handle.id)
        assert await handle.result() == [3, 5]
        assert await (await runtime.get(left.id)).state() == "PATIENT"
        await clock.advance(2 * SECOND)
    told = [record.message for record in caplog.records if record.name == "phaseline.outbox"]
    assert len(told) == PAGE + 6  # of each once
    assert all("pipeline 'patient', version '1', is not registered" in text for text in told)
    opened = storage()
    async with Runtime(opened, pipelines=[many, patient], clock=clock) as runtime:
        assert await (await runtime.get(left.id, many)).result() == [2 * n + 1 for n in range(PAGE + 6)]
        await checked(opened)


async def test_a_child_is_cancelled_when_somebody_comes_who_can(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Whoever ended the parent may have died the moment after."""
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        handle, child = await waiting(runtime, clock, lord)
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock, serve=False) as runtime:
        await (await runtime.get(handle.id)).cancel()
        await clock.advance(SECOND)
        assert await (await runtime.get(child.id)).state() == "WAIT_FOR_GO"
    opened = storage()
    async with Runtime(opened, pipelines=[lord, patient], clock=clock) as runtime:
        await clock.advance(SECOND)
        assert await (await runtime.get(child.id)).state() == RunState.CANCELLED
        await checked(opened)


# --------------------------------------------------------------------- without a runtime, and mistakes
async def test_a_pipeline_runs_in_memory_with_its_children() -> None:
    """They need not be named; but one that nobody could signal is refused."""
    assert (await boss.run(5)).output == "<20>"
    assert await Pipeline("all", each(start_child(boss)))([1, 2]) == ["<4>", "<8>"]
    with pytest.raises(RuntimeUsageError, match="waits at 'wait_for_go'"):
        await lord.run(5)


def test_a_child_must_be_registered_too() -> None:
    """In the shape in which it would be started; the error says what to write."""
    with pytest.raises(
        DefinitionError,
        match=r"starts runs of 'worker', version '1', at 'worker'.*pipelines=\[boss, worker\]",
    ):
        Runtime(pipelines=[boss])
    with pytest.raises(DefinitionError, match="not registered in this shape"):
        Runtime(pipelines=[boss, Pipeline("worker", double >> double.with_options(name="again"))])
