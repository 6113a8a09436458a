"""What phases did, undone when their run is taken back; on every storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from anyio import to_thread
from sqlalchemy import text
from tests.opening import OpenRuntime

from phaseline import (
    Again,
    Context,
    Dag,
    Finish,
    Phase,
    PhaseState,
    Pipeline,
    Retry,
    RunState,
    Runtime,
    Skip,
    each,
    phase,
    when,
)
from phaseline.abc import Storage
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    PipelineFailedError,
    PipelineRolledBackError,
)
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

BOUND = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


class World:
    """What bodies and what undoes them did."""

    def __init__(self) -> None:
        self.undone: list[tuple[str, Any, Any]] = []
        """Path of what undoes a phase, what the phase took and what it gave."""
        self.keys: list[str] = []
        self.calls: Counter[str] = Counter()
        self.broken: set[str] = set()
        self.waits = False
        self.begun = anyio.Event()
        self.open = anyio.Event()


world = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    """A world of its own for each test."""
    global world  # noqa: PLW0603  # bodies are module-level functions
    world = World()


def note(ctx: Context, took: Any, gave: Any) -> None:
    """Note that something was undone, or fail to."""
    world.calls[ctx.phase] += 1
    if ctx.phase in world.broken:
        raise ValueError(ctx.phase)
    world.undone.append((ctx.phase, took, gave))
    world.keys.append(ctx.idempotency_key)


async def unlist(number: int, numbers: list[int], ctx: Context) -> None:
    if world.waits:
        world.begun.set()
        await world.open.wait()
    note(ctx, number, numbers)


@phase(compensate=unlist)
async def listed(number: int) -> list[int]:
    return list(range(number))


def halve(number: int, twice: int, ctx: Context) -> str:
    note(ctx, number, twice)
    return "what it returns is taken by nobody"


@phase(compensate=halve)
async def doubled(number: int) -> int:
    return 2 * number


class Summed(Phase[list[int], int]):
    """Undone by a method."""

    retry = Retry(attempts=2, wait=SECOND)

    async def run(self, numbers: list[int], ctx: Context) -> int:
        return sum(numbers)

    async def compensate(self, numbers: list[int], output: int, ctx: Context) -> None:
        note(ctx, numbers, output)


@phase
async def shown(total: int) -> str:
    return f"{total}"


sums = Pipeline("sums", listed >> each(doubled) >> Summed() >> shown)
UNDONE = [
    ("summed~", [0, 2], 2), ("doubled[1]~", 1, 2), ("doubled[0]~", 0, 0), ("listed~", 2, [0, 1]),
]  # fmt: skip


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


async def test_what_was_committed_is_undone_in_the_reverse_order(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Each gets what its phase took and gave; what is done once more is undone once more, under other keys."""
    opened = storage()
    async with Runtime(opened, pipelines=[sums], clock=clock) as runtime:
        handle = await runtime.start(sums, 2)
        await handle.result()
        for times in (1, 2):
            await handle.rollback(reason="changed my mind", actor="ada")
            with pytest.raises(PipelineRolledBackError):
                await handle.result(BOUND)
            # Of what is done side by side the first to be committed is the last to be undone.
            assert sorted(world.undone) == sorted(UNDONE * times)
            assert [path for path, *_ in world.undone[-4:]][::3] == ["summed~", "listed~"]
            assert len(set(world.keys)) == 4 * times
            run = await handle.run()
            assert run.phases == {}
            assert run.states[-2:] == ("ROLLING_BACK", "ROLLED_BACK")
            await checked(opened)
            await handle.resume()
            assert await handle.result(BOUND) == "2"
        told = [event.type for event in [event async for event in handle.events()]]
        assert told.count("PHASE_COMPENSATED") == 8
        await handle.rollback("doubled")
        await handle.wait(BOUND)
        assert [path for path, *_ in world.undone[8:]] == ["summed~"]


async def test_pause_and_cancel_wait_for_a_rollback_to_finish(open_runtime: OpenRuntime) -> None:
    """They are refused with this reason; ``wait`` and ``result`` go on waiting."""
    async with open_runtime(sums) as runtime:
        handle = await runtime.start(sums, 2)
        await handle.result()
        world.waits = True
        await handle.rollback()
        with anyio.fail_after(BOUND.total_seconds()):
            await world.begun.wait()
        run = await handle.run()
        assert (run.state, run.phases["listed~"].state) == (RunState.ROLLING_BACK, PhaseState.RUNNING)
        for command in (handle.pause, handle.cancel, handle.resume, handle.rollback):
            with pytest.raises(CommandRefusedError, match="a rollback is finishing"):
                await command()
        await handle.annotate("it takes its time")
        world.open.set()
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK


async def test_what_cannot_be_undone_fails_the_run_and_a_retry_goes_on(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It is tried as often as its phase would be; what was undone before is not undone again."""
    opened = storage()
    world.broken = {"summed~", "doubled[0]~"}
    async with Runtime(opened, pipelines=[sums], clock=clock) as runtime:
        handle = await runtime.start(sums, 1)
        await handle.result()
        await handle.rollback()
        await clock.advance(SECOND)
        with pytest.raises(PipelineFailedError, match="summed~") as caught:
            await handle.result(BOUND)
        assert world.calls["summed~"] == 2
        assert caught.value.run.phases["summed~"].failures == 2
        with pytest.raises(CommandRefusedError, match="unfinished; retry finishes it"):
            await handle.restart()
        await checked(opened)

        world.broken.discard("summed~")
        await handle.retry(reason="mended")
        with pytest.raises(PipelineFailedError, match=r"doubled\[0\]~"):
            await handle.result(BOUND)
        world.broken.clear()
        await handle.retry()
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert [path for path, *_ in world.undone] == ["summed~", "doubled[0]~", "listed~"]
        assert world.calls == {"summed~": 3, "doubled[0]~": 2, "listed~": 1}
        failed = [event.phase async for event in handle.events() if event.type == "PHASE_COMPENSATION_FAILED"]
        assert failed == ["summed~", "doubled[0]~"]
        await checked(opened)


async def test_a_requeue_goes_on_with_a_rollback_that_failed(
    storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """Its dead letter is of what could not be undone; it is requeued with all others, and ends as the rollback was to end."""
    opened = storage()
    world.broken = {"doubled[0]~"}
    async with Runtime(opened, pipelines=[sums], clock=clock) as runtime:
        handle = await runtime.start(sums, 1)
        await handle.result()
        await handle.rollback()
        with pytest.raises(PipelineFailedError, match=r"doubled\[0\]~"):
            await handle.result(BOUND)
        (letter,) = [letter async for letter in runtime.dead_letters.find()]
        assert (letter.run_id, letter.phase) == (handle.id, "doubled[0]~")
        world.broken.clear()
        handled = await runtime.dead_letters.find(pipeline=sums).requeue(reason="mended", actor="ada")
        assert handled.done == (handle.id,)
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert [path for path, *_ in world.undone] == ["summed~", "doubled[0]~", "listed~"]
        assert [letter async for letter in runtime.dead_letters.find()] == []
        await handle.resume()
        assert await handle.result(BOUND) == "0"
        await checked(opened)


async def test_a_worker_elsewhere_undoes_what_an_operator_takes_back(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """The process that commands needs no worker."""
    async with (
        Runtime(database(), pipelines=[sums], clock=clock) as worker,
        Runtime(database(), pipelines=[sums], clock=clock, serve=False) as operator,
    ):
        handle = await worker.start(sums, 2)
        await handle.result()
        asked = await operator.get(handle.id, sums)
        await asked.rollback("listed")
        await clock.advance(SECOND)
        assert (await asked.wait(BOUND)).state == RunState.ROLLED_BACK
        assert sorted(world.undone) == sorted(UNDONE[:3])
        await checked(operator.runner.storage)


# --------------------------------------------------------------------- what a body may do, and what it may be
async def put_off(number: int, _: int, ctx: Context) -> None:
    async def once() -> int:
        world.calls["once"] += 1
        return number

    assert await ctx.step("once", once) == number
    assert await ctx.run_input(int) == number
    if ctx.attempt == 1:
        raise Again(after=SECOND)
    raise Skip("there is nothing left to undo")


async def test_a_body_has_its_steps_and_may_come_back_or_find_nothing_to_undo(
    open_runtime: OpenRuntime, clock: FakeClock
) -> None:
    """As that of a phase."""

    @phase(compensate=put_off)
    async def same(number: int) -> int:
        return number

    alone = Pipeline("alone", same)
    async with open_runtime(alone) as runtime:
        handle = await runtime.start(alone, 7)
        await handle.result()
        await handle.rollback()
        await clock.settle()
        await clock.advance(SECOND)
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert world.calls == {"once": 1}


def is_large(number: int) -> bool:
    return number > 1


async def test_what_was_skipped_is_not_undone(open_runtime: OpenRuntime) -> None:
    """There was nothing done."""
    nested = Pipeline("inner", when(is_large, doubled) >> doubled.with_options(name="again"))
    outer = Pipeline("outer", nested >> shown)
    async with open_runtime(outer) as runtime:
        handle = await runtime.start(outer, 1)
        await handle.result()
        await handle.rollback()
        await handle.wait(BOUND)
        assert world.undone == [("inner/again~", 1, 2)]  # with shown, which has nothing that undoes it


async def unlook(number: int, gave: int | str, ctx: Context) -> None:
    note(ctx, number, gave)


@phase(may_finish=True, compensate=unlook)
async def look(number: int) -> int:
    if number > 1:
        raise Finish("there is nothing to do")
    return 10 * number


@pytest.mark.parametrize(("number", "gave"), [(1, 10), (2, "there is nothing to do")])
async def test_what_ended_the_run_is_undone_with_the_output_of_that(
    open_runtime: OpenRuntime, number: int, gave: int | str
) -> None:
    """It has no other one."""
    looking = Pipeline("looking", look >> shown)
    async with open_runtime(looking) as runtime:
        handle = await runtime.start(looking, number)
        await handle.result(BOUND)
        await handle.rollback()
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert world.undone == [("look~", number, gave)]


def test_what_undoes_a_phase_that_may_end_the_run_takes_the_output_of_that() -> None:
    """Else it could never be called."""

    @phase(may_finish=True, compensate=halve)
    async def looked(number: int) -> int:
        raise Finish("there is nothing to do")

    with pytest.raises(
        DefinitionError, match=r"takes int for what the phase gives.* by Finish.* 'looking', str"
    ):
        Pipeline("looking", looked >> shown)
    assert Pipeline("doubling", looked >> doubled).plan.undos


async def test_a_phase_of_several_values_is_undone_with_all_of_them(open_runtime: OpenRuntime) -> None:
    """In their order, the output behind them."""

    def added(first: int, second: int) -> int:
        return first + second

    def subtract(first: int, second: int, total: int) -> None:
        world.undone.append(("added~", (first, second), total))

    dag = Dag("dag", int)
    left = dag.add(doubled, dag.input)
    right = dag.add(doubled.with_options(name="right", compensate=None), dag.input)
    graph = Pipeline("graph", dag.output(dag.add(added, left, right, compensate=subtract)))
    async with open_runtime(graph) as runtime:
        handle = await runtime.start(graph, 3)
        assert await handle.result() == 12
        await handle.rollback()
        await handle.wait(BOUND)
        assert world.undone == [("added~", (6, 6), 12), ("doubled~", 3, 6)]


def unbook(number: int, _: int, ctx: Context) -> None:
    ctx.connection.execute(text("DELETE FROM booking WHERE number = :number"), {"number": number})


@phase(transactional=True, compensate=unbook)
def book(number: int, ctx: Context) -> int:
    ctx.connection.execute(text("CREATE TABLE IF NOT EXISTS booking (number INTEGER)"))
    ctx.connection.execute(text("INSERT INTO booking VALUES (:number)"), {"number": number})
    return number


@phase(transactional=True)
def booked(_: int, ctx: Context) -> int:
    return int(ctx.connection.execute(text("SELECT count(*) FROM booking")).scalar_one())


async def test_what_undoes_a_transactional_phase_is_in_a_transaction_too(
    database: Callable[[], Storage], clock: FakeClock
) -> None:
    """Its rows are gone in the commit that says so."""
    booking = Pipeline("booking", book)
    counting = Pipeline("counting", booked)
    async with Runtime(database(), pipelines=[booking, counting], clock=clock) as runtime:
        handle = await runtime.start(booking, 5)
        await handle.result()
        assert (await runtime.run(counting, 0)).output == 1
        await handle.rollback()
        assert (await handle.wait(BOUND)).state == RunState.ROLLED_BACK
        assert (await runtime.run(counting, 0)).output == 0


def undo_nothing() -> None: ...


def undo_text(_: str, __: int) -> None: ...


async def undo_connected(_: int, __: int, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("undo", "options", "problem"),
    [
        (undo_nothing, {}, "takes 0 values; it is given 2: int, int, plus a Context"),
        (undo_text, {}, "takes str for what the phase takes, which is int"),
        (undo_connected, {"transactional": True}, "make it a plain def that takes a Context"),
        ("undo", {}, "compensate='undo' is no function"),
    ],
)
def test_what_could_not_be_called_is_refused_where_it_is_composed(
    undo: Any, options: dict[str, Any], problem: str
) -> None:
    """Not when a run is taken back."""

    def same(number: int, ctx: Context) -> int:
        return number

    with pytest.raises(DefinitionError, match=problem):
        Pipeline("wrong", phase(compensate=undo, **options)(same))
