"""Runs that are copied at a place, and go on from there by themselves; on every storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from tests.counted import called, doubled, listed, summed, world
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import (
    Context,
    Dag,
    Err,
    Ok,
    Pipeline,
    RunHandle,
    RunState,
    Runtime,
    Signal,
    Skipped,
    branch,
    each,
    phase,
    start_child,
)
from phaseline.abc import Storage
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    EncodeError,
    PipelineFailedError,
    PipelineNotRegisteredError,
    StorageUnavailableError,
    UnknownCheckpointError,
)
from phaseline.testing import FakeClock
from phaseline.testing.checker import check
from phaseline.unit_of_work import Outcome, Unit

__all__ = ["anyio_backend"]
BOUND = 10.0
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@phase
async def shown(total: int, ctx: Context) -> str:
    called(ctx)
    if world.holds:
        world.begun.set()
        await world.open.wait()
    return f"{total}"


sums = Pipeline("sums", listed >> each(doubled) >> summed >> shown)
PLACES = ["listed", "doubled", "summed"]


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def failed(runtime: Runtime, at: str, **options: object) -> RunHandle[str]:
    """Give a run that failed in a phase, which is mended by now."""
    world.broken = {at}
    handle = await runtime.start(sums, 3, **options)  # type: ignore[arg-type]  # as each test needs them
    with pytest.raises(PipelineFailedError):
        await handle.result()
    world.broken = set()
    return handle


# --------------------------------------------------------------------- where a copy goes on
@pytest.mark.parametrize(
    ("broken", "at"),
    [
        ("listed", None),
        ("doubled[1]", None),
        ("doubled[1]", "listed"),
        ("summed", "doubled"),
        ("shown", "listed"),
    ],
)
async def test_a_copy_of_a_failed_run_gives_what_a_run_gives_that_never_failed(
    open_runtime: OpenRuntime, broken: str, at: str | None
) -> None:
    """From the last good phase on, or an earlier one; the failed run stays as it was, with its dead letter."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, broken)
        copy = await origin.fork(at)
        assert await copy.result() == "6"
        run = await copy.run()
        assert await origin.state() == RunState.FAILED
        assert len((await runtime.dead_letters.find()).letters) == 1
        await checked(runtime.runner.storage)
    again = Counter(path for path, keys in world.keys.items() for key in keys if key.startswith(copy.id))
    taken_over = {path for path, row in run.phases.items() if row.is_taken_over}
    assert {path for path in run.phases if path != "doubled"} - taken_over == set(again)
    assert set(again.values()) == {1}
    assert run.forked_from == origin.id


@BOTH_LOOPS
@pytest.mark.parametrize(("at", "by"), [("listed", "phase"), ("doubled", "checkpoint"), ("summed", "phase")])
async def test_a_completed_run_is_copied_at_any_of_its_places(
    open_runtime: OpenRuntime, at: str, by: str
) -> None:
    """By the name of a phase or the id of a checkpoint: what stands after it is done once more, under keys of the copy."""
    async with open_runtime(sums) as runtime:
        origin = await runtime.start(sums, 3)
        await origin.result()
        points = {point.phase: point.id for point in await origin.checkpoints()}
        copy = await origin.fork(at if by == "phase" else points[at], reason="again", actor="ada")
        assert await copy.result() == "6"
        assert (await copy.run()).states == (
            "IDLE", "INITIALIZING", *["LISTED", "DOUBLED", "SUMMED", "SHOWN"][PLACES.index(at) + 1 :], "COMPLETED",
        )  # fmt: skip
        assert [point.phase for point in await copy.checkpoints()] == [*PLACES, "shown"][
            PLACES.index(at) + 1 :
        ]
        await checked(runtime.runner.storage)
    assert world.calls["listed"] == 1
    assert world.calls["shown"] == 2
    assert world.keys["shown"] == [f"{origin.id}:shown:0", f"{copy.id}:shown:0"]


async def test_both_runs_tell_of_the_copying(open_runtime: OpenRuntime) -> None:
    """Each names the other one; of the copy it is the first event."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown")
        copy = await origin.fork("listed", reason="a try", actor="ada")
        assert copy.is_new
        await copy.result()
        told = [[event async for event in handle.events()] for handle in (origin, copy)]
    assert (told[0][-1].type, told[0][-1].phase) == ("PIPELINE_FORKED", "listed")
    assert told[0][-1].data == {"reason": "a try", "actor": "ada", "fork": copy.id}
    assert (told[1][0].type, told[1][0].phase, told[1][0].seq) == ("PIPELINE_FORKED", "listed", 1)
    assert told[1][0].data == {"reason": "a try", "actor": "ada", "origin": origin.id}


async def test_what_a_copy_has_of_how_its_run_was_started(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """Tags, attributes, priority, timeout, a deadline to come and limits; but no idempotency key, and no dead letter."""
    async with open_runtime(sums) as runtime:
        origin = await failed(
            runtime, "shown", key="order 7", tags=["urgent"], attributes={"customer": 42}, priority=7, timeout=HOUR,
            deadline=2 * HOUR, concurrency_key="customer 42",
        )  # fmt: skip
        await clock.advance(SECOND)
        copy = await origin.fork()
        await copy.result()
        mine, theirs = [await runtime.runner.record_of(handle.id) for handle in (copy, origin)]
        run = await copy.run()
    for name in ("pipeline", "version", "fingerprint", "priority", "timeout", "deadline", "limits", "marks"):
        assert getattr(mine, name) == getattr(theirs, name)
    assert (mine.key, mine.while_open, mine.letter, mine.error, mine.epoch) == (None, False, None, None, 0)
    assert (mine.active_ms, mine.created_at) == (0, clock.now())
    assert (run.tags, run.attributes) == (("urgent",), {"customer": 42})


async def test_a_deadline_that_has_passed_is_left_behind(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """Else the copy would fail before it began."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown", deadline=5 * SECOND)
        await clock.advance(10 * SECOND)
        copy = await origin.fork()
        assert await copy.result() == "6"


# --------------------------------------------------------------------- in which state
@BOTH_LOOPS
async def test_a_run_that_goes_on_is_copied_as_far_as_it_is(open_runtime: OpenRuntime) -> None:
    """And goes on; what runs there is done in the copy too."""
    world.holds = True
    async with open_runtime(sums) as runtime:
        origin = await runtime.start(sums, 3)
        with anyio.fail_after(BOUND):
            await world.begun.wait()
        world.holds = False
        copy = await origin.fork()
        assert await copy.result() == "6"
        assert await origin.state() == "SHOWN"
        world.open.set()
        assert await origin.result() == "6"
        await checked(runtime.runner.storage)
    assert (world.calls["summed"], world.calls["shown"]) == (1, 2)


@pytest.mark.parametrize("end", ["pause", "cancel", "delay", "rollback"])
async def test_a_run_that_stands_is_copied_and_the_copy_goes_at_once(
    open_runtime: OpenRuntime, end: str
) -> None:
    """Paused, cancelled, put off, taken back: that is what befell the other one."""
    async with open_runtime(sums) as runtime:
        origin = await runtime.start(sums, 3, delay=HOUR)
        if end == "rollback":
            await origin.rollback()
        elif end != "delay":
            await runtime.control(origin.id, end)
        state = await origin.state()
        copy = await origin.fork()
        assert await copy.result() == "6"
        assert await origin.state() == state
        await checked(runtime.runner.storage)


async def test_a_copy_is_copied(open_runtime: OpenRuntime) -> None:
    """Also at a place that it took over; each is found by the run that it is a copy of."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown")
        first = await origin.fork("summed")
        await first.result()
        second = await first.fork("doubled")
        third = await second.fork("listed")
        assert [await second.result(), await third.result()] == ["6", "6"]
        copies = [run async for run in runtime.find(forked_from=origin.id)]
        assert [(run.id, run.forked_from) for run in copies] == [(first.id, origin.id)]
        assert await runtime.find(forked_from=first.id).count() == {"COMPLETED": 1}
        assert await runtime.find(forked_from=third.id).count() == {}
        await checked(runtime.runner.storage)
    assert (world.calls["listed"], world.calls["doubled[0]"], world.calls["summed"]) == (1, 2, 3)


async def test_a_copy_obeys_every_command(open_runtime: OpenRuntime) -> None:
    """Done once more it does all anew, also what it took over."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown")
        copy = await origin.fork()
        await copy.result()
        await copy.rerun_from("doubled")
        assert await copy.result() == "6"
        await copy.restart()
        assert await copy.result() == "6"
        await checked(runtime.runner.storage)
    assert (world.calls["listed"], world.calls["doubled[2]"], world.calls["shown"]) == (2, 3, 4)
    assert world.keys["doubled[2]"] == [
        f"{origin.id}:doubled[2]:0", f"{copy.id}:doubled[2]:1", f"{copy.id}:doubled[2]:2",
    ]  # fmt: skip


# --------------------------------------------------------------------- taken back
async def give_back(number: int, output: int, ctx: Context) -> None:
    world.undone.append(f"{ctx.run_id} {ctx.phase}")


@phase(compensate=give_back)
async def paid(number: int, ctx: Context) -> int:
    called(ctx)
    return number


@phase(compensate=give_back)
async def sent(number: int, ctx: Context) -> int:
    called(ctx)
    return number


async def test_a_copy_undoes_what_it_did_and_not_what_it_took_over(open_runtime: OpenRuntime) -> None:
    """The other run paid, and only it gives back."""
    buying = Pipeline("buying", paid >> sent)
    async with open_runtime(buying) as runtime:
        origin = await runtime.start(buying, 1)
        await origin.result()
        copy = await origin.fork("paid")
        await copy.result()
        await copy.rollback()
        assert (await copy.wait()).state == RunState.ROLLED_BACK
        assert world.undone == [f"{copy.id} sent~"]
        await origin.rollback()
        await origin.wait()
        assert world.undone[1:] == [f"{origin.id} sent~", f"{origin.id} paid~"]
        await copy.resume()
        assert await copy.result() == 1
        await checked(runtime.runner.storage)
    assert (world.calls["paid"], world.calls["sent"]) == (1, 3)


async def test_a_copy_is_not_taken_back_to_before_it_began(open_runtime: OpenRuntime) -> None:
    """The error says which run can be copied there."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown")
        copy = await origin.fork()
        await copy.result()
        with pytest.raises(CommandRefusedError, match=f"taken over from run {origin.id}.*fork that run"):
            await copy.rollback("listed")
        await copy.rollback("summed")
        await copy.resume()
        assert await copy.result() == "6"


async def test_amid_a_rollback_nothing_is_copied(open_runtime: OpenRuntime) -> None:
    """A part of what would be taken over is undone."""

    async def never(number: int, output: int) -> None:
        raise ValueError

    buying = Pipeline("buying", paid.with_options(compensate=never) >> sent)
    async with open_runtime(buying) as runtime:
        origin = await runtime.start(buying, 1)
        await origin.result()
        await origin.rollback()
        assert (await origin.wait()).state == RunState.FAILED
        with pytest.raises(CommandRefusedError, match="a rollback of it is unfinished") as caught:
            await origin.fork("paid")
        assert caught.value.allowed == ("retry", "annotate", "discard")


# --------------------------------------------------------------------- what is taken over
APPROVED = Signal[str]("approved")


def is_large(number: int) -> bool:
    return number > 10


@phase
async def twice(number: int) -> int:
    return 2 * number


@phase
async def nothing(number: int) -> int:
    raise AssertionError


@phase
async def slow(number: int) -> int:
    await anyio.sleep_forever()
    raise AssertionError


@phase
async def odd(number: int, ctx: Context) -> int:
    called(ctx)
    if number % 2 == 0:
        raise ValueError(number)
    return number


@phase
async def good(found: list[Ok[int] | Err | Skipped]) -> list[int]:
    return [one.value for one in found if isinstance(one, Ok)]


@phase
async def many(number: int) -> list[int]:
    return list(range(10 * number))


@phase
async def same(numbers: list[int]) -> list[int]:
    return numbers


@phase
async def told_so(given: tuple[int, str]) -> int:
    return given[0]


async def child_of(runtime: Runtime, other_than: str = "") -> str:
    """Wait until a child is stored; gives its id."""
    with anyio.fail_after(BOUND):
        while True:
            found = [run.id async for run in runtime.find(pipeline="child") if run.id != other_than]
            if found:
                return found[0]
            await anyio.sleep(0.005)


@phase
async def last(value: tuple[list[int], str], ctx: Context) -> str:
    called(ctx)
    return f"{value[1]}: {len(value[0])} of {await ctx.run_input(int)}"


def race() -> Pipeline[int, int]:
    """The first of two values, one of which never comes."""
    dag = Dag("race", int)
    never, soon = dag.add(slow, dag.input), dag.add(twice.with_options(name="soon"), dag.input)
    return dag.build(dag.add(twice.with_options(name="first"), never, soon, join="any", cancel_rest=True))


whole = Pipeline(
    "whole",
    branch(is_large, nothing, twice)
    >> race()
    >> many
    >> same
    >> each(odd, on_error="collect")
    >> good
    >> same.with_options(name="again").wait_for(APPROVED)
    >> last,
)


@pytest.mark.parametrize("at", [None, "race/first", "odd"])
async def test_every_kind_of_value_is_taken_over(open_runtime: OpenRuntime, at: str | None) -> None:
    """A choice, the first of several, a signal, a list with failures in it, what was handed on as it was."""
    async with open_runtime(whole) as runtime:
        origin = await runtime.start(whole, 5)
        await origin.signal(APPROVED, "yes")
        world.broken = {"last"}
        with pytest.raises(PipelineFailedError):
            await origin.result()
        world.broken = set()
        copy = await origin.fork(at)
        if at is not None:
            await copy.signal(APPROVED, "yes")  # what was sent to the other run is not the copy's
        assert await copy.result() == "yes: 200 of 5"
        await checked(runtime.runner.storage)


async def test_steps_of_what_is_done_anew_are_not_taken_over(open_runtime: OpenRuntime) -> None:
    """They were made for the other run, under its keys; neither is what a body saved."""
    made: list[str] = []
    seen: list[object] = []

    @phase
    async def stepping(number: int, ctx: Context) -> int:
        seen.append(ctx.saved)
        await ctx.step("once", lambda: made.append(ctx.run_id))
        await ctx.save(number)
        called(ctx)
        return number

    pipeline = Pipeline("stepping", twice >> stepping)
    async with open_runtime(pipeline) as runtime:
        world.broken = {"stepping"}
        origin = await runtime.start(pipeline, 1)
        await origin.wait()
        world.broken = set()
        copy = await origin.fork()
        assert await copy.result() == 2
    assert made == [origin.id, copy.id]
    assert seen == [None, None]


async def test_a_copy_outlives_the_run_that_it_is_one_of(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """It has values of its own: a purge of the other run takes nothing from it."""
    world.holds = True
    async with open_runtime(whole) as runtime:
        origin = await runtime.start(whole, 5)
        await origin.signal(APPROVED, "yes")
        await origin.result()
        copy = await origin.fork("good")
        await clock.advance(10 * SECOND)
        assert await runtime.purge(older_than=5 * SECOND) == 1
        await copy.signal(APPROVED, "no")
        assert await copy.result() == "no: 200 of 5"
        assert (await copy.run()).forked_from == origin.id
        await checked(runtime.runner.storage)


@pytest.mark.parametrize(("at", "families"), [(None, 1), ("twice", 2)])
async def test_the_end_of_a_child_is_taken_over_and_a_child_is_not(
    open_runtime: OpenRuntime, at: str | None, families: int
) -> None:
    """What it gave is a value; where its wait is done anew, the copy has a child of its own."""
    child = Pipeline("child", listed >> summed)
    parent = Pipeline("parent", twice >> start_child(child) >> shown)
    async with open_runtime(parent, child) as runtime:
        world.broken = {"shown"}
        origin = await runtime.start(parent, 2)
        with pytest.raises(PipelineFailedError):
            await origin.result()
        world.broken = set()
        copy = await origin.fork(at)
        assert await copy.result() == "6"
        assert await runtime.find(pipeline="child").count() == {"COMPLETED": families}
        await checked(runtime.runner.storage)


async def test_a_copy_of_a_child_is_nobodys_child(open_runtime: OpenRuntime) -> None:
    """The parent waits for the other one."""
    child = Pipeline("child", listed >> summed)
    parent = Pipeline("parent", twice >> start_child(child) >> shown)
    async with open_runtime(parent, child) as runtime:
        await (await runtime.start(parent, 2)).result()
        (origin,) = [run async for run in runtime.find(pipeline="child")]
        copy = await (await runtime.get(origin.id, child)).fork("listed")
        assert await copy.result() == 6
        assert (await runtime.runner.record_of(copy.id)).parent_id is None
        await checked(runtime.runner.storage)


@BOTH_LOOPS
async def test_a_copy_of_a_run_that_waits_for_a_child_waits_for_its_own(open_runtime: OpenRuntime) -> None:
    """Each is told of its own child's end."""
    child = Pipeline("child", twice.wait_for(APPROVED) >> told_so)
    parent = Pipeline("parent", twice >> start_child(child) >> shown)
    async with open_runtime(parent, child) as runtime:
        origin = await runtime.start(parent, 2)
        first = await child_of(runtime)
        copy = await origin.fork()
        second = await child_of(runtime, other_than=first)
        for run_id in (second, first):
            await (await runtime.get(run_id, child)).signal(APPROVED, run_id)
        assert [await copy.result(), await origin.result()] == ["8", "8"]
        await checked(runtime.runner.storage)


# --------------------------------------------------------------------- refused
async def test_a_place_that_the_run_has_not_is_told(open_runtime: OpenRuntime) -> None:
    """Unknown, of another run, inside of a map, not committed, nothing after it: nothing is stored."""
    async with open_runtime(sums) as runtime:
        origin, other = await failed(runtime, "summed"), await runtime.start(sums, 2)
        await other.result()
        foreign = (await other.checkpoints())[0].id
        for place in ("sumed", foreign, "doubled[1]", ""):
            with pytest.raises(UnknownCheckpointError) as caught:
                await origin.fork(place)
            assert caught.value.run_id == origin.id
        with pytest.raises(CommandRefusedError, match="phase 'shown' is not committed"):
            await origin.fork("shown")
        for place in (None, "shown"):
            with pytest.raises(CommandRefusedError, match="nothing left to do; name the phase"):
                await other.fork(place)
        with pytest.raises(EncodeError):
            await origin.fork(reason="\0")
        with pytest.raises(DefinitionError, match="at="):
            await origin.fork(3)  # type: ignore[arg-type]
        assert await runtime.find().count() == {"COMPLETED": 1, "FAILED": 1}


async def test_a_checkpoint_that_is_gone_is_no_place(open_runtime: OpenRuntime) -> None:
    """Its phase was done once more since."""
    async with open_runtime(sums) as runtime:
        origin = await runtime.start(sums, 3)
        await origin.result()
        gone = (await origin.checkpoints())[1].id
        await origin.rerun_from("doubled")
        await origin.result()
        with pytest.raises(UnknownCheckpointError):
            await origin.fork(gone)


async def test_a_run_of_another_shape_is_not_copied(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """A pipeline was changed under its version: the remedy is told."""
    changed = Pipeline("sums", listed >> summed)
    async with Runtime(storage(), pipelines=[sums], clock=clock) as runtime:
        origin = await failed(runtime, "shown")
    async with Runtime(storage(), pipelines=[changed], clock=clock) as runtime:
        with pytest.raises(PipelineNotRegisteredError, match="version '1'"):
            await (await runtime.get(origin.id)).fork("listed")


async def test_many_are_not_copied_at_once(open_runtime: OpenRuntime) -> None:
    """The copies would be found, and copied in turn."""
    async with open_runtime(sums) as runtime:
        await failed(runtime, "shown")
        with pytest.raises(DefinitionError, match=r"handle.fork\(\)"):
            await runtime.find(state="FAILED").control("fork")
        assert await runtime.find().count() == {"FAILED": 1}


async def test_a_copy_is_not_made_where_its_id_would_be_lost(open_runtime: OpenRuntime) -> None:
    """Commands by name have no answer; the error says what has one."""
    async with open_runtime(sums) as runtime:
        origin = await failed(runtime, "shown")
        with pytest.raises(DefinitionError, match=r"use \(await runtime.get\(run_id\)\).fork\(\)"):
            await runtime.control(origin.id, "fork", to="listed")
        with pytest.raises(DefinitionError, match="needs at="):
            await origin.fork(3)  # type: ignore[arg-type]  # the mistake under test
        assert await runtime.find().count() == {"FAILED": 1}


# --------------------------------------------------------------------- elsewhere
@BOTH_LOOPS
async def test_another_process_copies_a_run(database: Callable[[], Storage], clock: FakeClock) -> None:
    """One that carries nothing out itself."""
    async with Runtime(database(), pipelines=[sums], clock=clock) as worker:
        origin = await failed(worker, "shown")
        async with Runtime(database(), pipelines=[sums], clock=clock, serve=False) as client:
            copy = await (await client.get(origin.id, sums)).fork()
        mine = await worker.get(copy.id, sums)
        await clock.advance(SECOND)
        assert await mine.result() == "6"
        await checked(worker.runner.storage)


async def test_a_copy_whose_commit_was_not_heard_of_is_made_once(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """The answer is lost after the commit: it is found, and nothing is copied again."""
    async with Runtime(database(), pipelines=[sums], clock=clock) as runtime:
        origin = await failed(runtime, "shown")
        commit, lost = runtime.runner.storage.commit, 0

        def commit_and_lose(units: Sequence[Unit]) -> list[Outcome]:
            nonlocal lost
            outcomes = commit(units)
            if any(other.run.forked_from for unit in units for other in unit.begins) and not lost:
                lost += 1
                raise StorageUnavailableError("the storage", "its answer is lost", "try again")
            return outcomes

        runtime.runner.storage.commit = commit_and_lose  # type: ignore[method-assign]  # a fault
        copy = await origin.fork()
        assert await copy.result() == "6"
        assert lost == 1
        assert await runtime.find().count() == {"COMPLETED": 1, "FAILED": 1}
        await checked(runtime.runner.storage)
