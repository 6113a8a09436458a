"""Runs that are undone by themselves when they fail, on every storage: a saga whose end needs nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest
from anyio import to_thread
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, RunState, Runtime, each, phase, start_child
from phaseline.abc import Storage
from phaseline.errors import DefinitionError, PipelineFailedError, PipelineRolledBackError
from phaseline.inspection import detail_of
from phaseline.metrics import RUNS_ENDED, Sample, counted
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

BOUND = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


class World:
    """What was booked and given back, and what goes wrong."""

    def __init__(self) -> None:
        self.undone: list[str] = []
        self.broken = {"ship"}
        self.hangs = False
        self.begun = anyio.Event()


world = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    """A world of its own for each test."""
    global world  # noqa: PLW0603  # bodies are module-level functions
    world = World()


def undo(_: int, __: int, ctx: Context) -> None:
    if ctx.phase in world.broken:
        raise ValueError(ctx.phase)
    world.undone.append(ctx.phase)


@phase(compensate=undo)
async def reserve(number: int) -> int:
    return number


@phase(compensate=undo)
async def charge(number: int, ctx: Context) -> int:
    if ctx.phase in world.broken:
        raise ValueError("no money")
    return 3 * number


@phase
async def ship_or_not(number: int) -> int:
    return number


@phase
async def ship(number: int, ctx: Context) -> str:
    if world.hangs:
        world.begun.set()
        await anyio.sleep_forever()
    if ctx.phase in world.broken:
        raise ValueError("no truck")
    return f"{number}"


orders = Pipeline("orders", reserve >> charge >> ship, on_failure="rollback")


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def test_a_run_that_fails_is_undone_before_its_caller_is_told(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """The error tells what it failed with; nobody has to see to it, and it can go on from there."""
    opened = storage()
    async with Runtime(opened, pipelines=[orders], clock=clock) as runtime:
        handle = await runtime.start(orders, 5)
        with pytest.raises(
            PipelineRolledBackError, match="for it failed in phase 'ship': ValueError: no truck"
        ) as told:
            await handle.result(BOUND)
        assert world.undone == ["charge~", "reserve~"]
        assert isinstance(told.value.__cause__, ValueError)
        run = told.value.run
        assert run.states[-4:] == ("SHIP", "FAILED", "ROLLING_BACK", "ROLLED_BACK")
        assert run.error is not None
        assert told.value.error == run.error
        assert (run.error.type, run.error.phase) == ("ValueError", "ship")
        exported, shown = await handle.export(), await detail_of(runtime, handle.id)
        assert exported.error is not None
        assert shown.error is not None
        assert exported.error.type == shown.error.type == "ValueError"
        assert [letter async for letter in runtime.dead_letters.find()] == []
        await checked(opened)

        world.broken.clear()
        await handle.resume()
        assert await handle.result(BOUND) == "15"
        assert (await handle.run()).error is None
        await handle.rollback("charge")
        assert (await handle.wait(BOUND)).error is None, "it had not failed"
        await checked(opened)


async def test_whoever_knows_the_run_by_its_id_alone_is_told_the_same(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """From what is stored."""
    async with Runtime(database(), pipelines=[orders], clock=clock) as runtime:
        handle = await runtime.start(orders, 5)
        await handle.wait(BOUND)
        async with Runtime(database(), pipelines=[orders], clock=clock, serve=False) as other:
            with pytest.raises(PipelineRolledBackError, match="failed in phase 'ship': ValueError: no truck"):
                await (await other.get(handle.id, orders)).result(BOUND)


async def test_where_nothing_is_to_be_undone_a_run_stays_failed(open_runtime: OpenRuntime) -> None:
    """What failed was the first that has a compensation."""
    world.broken = {"charge"}
    early = Pipeline("early", ship_or_not >> charge, on_failure="rollback")
    async with open_runtime(early) as runtime:
        handle = await runtime.start(early, 5)
        with pytest.raises(PipelineFailedError):
            await handle.result(BOUND)
        assert [letter.run_id async for letter in runtime.dead_letters.find()] == [handle.id]


@pytest.mark.parametrize("bound", ["timeout", "deadline"])
async def test_a_run_whose_time_is_over_is_undone(
    storage: Callable[[], Storage], clock: FakeClock, bound: str
) -> None:
    """What undoes it has the time of a run again; a deadline that is over is over for good."""
    timeout = SECOND if bound == "timeout" else None
    slow = Pipeline("slow", reserve >> charge >> ship, timeout=timeout, on_failure="rollback")
    world.hangs = True
    opened = storage()
    async with Runtime(opened, pipelines=[slow], clock=clock) as runtime:
        deadline = clock.now() + SECOND if bound == "deadline" else None
        handle = await runtime.start(slow, 5, deadline=deadline)
        with anyio.fail_after(BOUND.total_seconds()):
            await world.begun.wait()
        await clock.advance(2 * SECOND)
        with pytest.raises(PipelineRolledBackError, match="for it failed"):
            await handle.result(BOUND)
        assert world.undone == ["charge~", "reserve~"]
        await checked(opened)
        world.hangs, world.broken = False, set()
        await handle.resume()
        assert await handle.result(BOUND) == "15"
        await checked(opened)


async def test_what_cannot_be_undone_is_a_dead_letter(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """And a requeue goes on with it."""
    world.broken |= {"charge~"}
    opened = storage()
    async with Runtime(opened, pipelines=[orders], clock=clock) as runtime:
        handle = await runtime.start(orders, 5)
        with pytest.raises(PipelineFailedError, match="in phase 'charge~'"):
            await handle.result(BOUND)
        await checked(opened)
        world.broken.discard("charge~")
        assert (await runtime.dead_letters.find().requeue()).done == (handle.id,)
        with pytest.raises(PipelineRolledBackError, match="failed in phase 'ship': ValueError: no truck"):
            await handle.result(BOUND)
        assert world.undone == ["charge~", "reserve~"]
        await checked(opened)


async def test_a_run_without_a_runtime_is_undone(anyio_backend: str) -> None:
    """In memory, for one call."""
    with pytest.raises(PipelineRolledBackError, match="no truck"):
        await orders.run(5)
    assert world.undone == ["charge~", "reserve~"]


async def test_a_child_that_was_undone_tells_why_and_is_begun_anew(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """The phase that waits for it fails with that; where it is tried again, another run begins."""
    buying = Pipeline("buying", start_child(orders))
    opened = storage()
    async with Runtime(opened, pipelines=[orders, buying], clock=clock) as runtime:
        handle = await runtime.start(buying, 5)
        with pytest.raises(PipelineFailedError, match="is ROLLED_BACK in phase 'ship': ValueError: no truck"):
            await handle.result(BOUND)
        world.broken.clear()
        await handle.retry()
        assert await handle.result(BOUND) == "15"
        found = [run.state async for run in runtime.find(pipeline=orders)]
        assert sorted(found) == [RunState.COMPLETED, RunState.ROLLED_BACK]
        assert world.undone == ["charge~", "reserve~"]
        await checked(opened)


async def test_it_comes_to_one_end(storage: Callable[[], Storage], clock: FakeClock) -> None:
    """As it is counted: that it failed is not an end that it stays at."""
    counts: list[Sample] = []
    async with Runtime(storage(), pipelines=[orders], clock=clock) as runtime:
        runtime.observers.observe(lambda *commit: counts.extend(counted(*commit)))
        await (await runtime.start(orders, 5)).wait(BOUND)
    assert [(value, labels) for metric, value, labels in counts if metric is RUNS_ENDED] == [
        (1, ("orders", "rolled_back"))
    ]


async def test_a_child_of_an_unknown_shape_tells_its_parent_all_the_same(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """What it failed with stands in its history, and needs no plan."""

    def started(kid: Pipeline[int, str]) -> Pipeline[int, str]:
        return Pipeline("buying", start_child(kid))

    old = Pipeline(
        "kid", reserve.with_options(queue="kids") >> ship.with_options(queue="kids"), on_failure="rollback"
    )
    new = Pipeline("kid", reserve >> charge >> ship, on_failure="rollback")
    async with Runtime(
        database(), pipelines=[started(old), old], queues=["pipeline"], clock=clock
    ) as runtime:
        handle = await runtime.start(started(old), 5)
        await clock.settle()
        (kid,) = [run.id async for run in runtime.find(pipeline="kid")]
    async with Runtime(database(), pipelines=[old], queues=["kids"], clock=clock) as runtime:
        await clock.advance(SECOND)
        assert (await (await runtime.get(kid, old)).wait(BOUND)).state == RunState.ROLLED_BACK
    async with Runtime(database(), pipelines=[started(new), new], clock=clock) as runtime:
        asked = await runtime.get(handle.id)
        await clock.advance(SECOND)
        with pytest.raises(PipelineFailedError, match="is ROLLED_BACK in phase 'ship': ValueError: no truck"):
            await asked.result(BOUND)


async def test_items_that_a_map_collects_fail_no_run(open_runtime: OpenRuntime) -> None:
    """Nothing is undone, then."""
    many = Pipeline("many", each(Pipeline("one", charge >> ship), on_error="collect"), on_failure="rollback")
    async with open_runtime(many) as runtime:
        results = await (await runtime.start(many, [1, 2])).result(BOUND)
        assert len(results) == 2
        assert world.undone == []


def test_what_could_undo_nothing_is_refused_where_it_is_composed() -> None:
    """As is what is no way to fail."""
    with pytest.raises(DefinitionError, match="no phase of it has a compensation"):
        Pipeline("plain", ship, on_failure="rollback")
    with pytest.raises(DefinitionError, match=r"known are 'stay' and 'rollback'.*did you mean 'rollback'"):
        Pipeline("plain", reserve, on_failure="roll_back")  # type: ignore[arg-type]  # as users without a checker write it
