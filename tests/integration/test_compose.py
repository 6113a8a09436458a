"""Every shape of a graph, on every storage: forks, choices, maps in maps, graphs, races, early ends, versions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import pytest
from tests.opening import OpenRuntime

from phaseline import (
    Abort,
    Context,
    Dag,
    Err,
    Finish,
    Ok,
    PhaseState,
    Pipeline,
    Retry,
    Run,
    Runtime,
    Skip,
    Skipped,
    branch,
    each,
    parallel,
    phase,
    when,
)
from phaseline.errors import EncodeError, NoOutputError, PipelineFailedError, PipelineNotRegisteredError
from phaseline.inspection import detail_of
from phaseline.storage.sql.store import SqlStorage

COMPLETED, SKIPPED, FAILED = PhaseState.COMPLETED, PhaseState.SKIPPED, PhaseState.FAILED


@phase
async def stars(n: int) -> str:
    return "*" * n


@phase
async def double(n: int) -> int:
    return 2 * n


@phase
def length(text: str) -> int:
    return len(text)


@phase
async def numbers(n: int) -> list[int]:
    return list(range(n))


@phase
async def total(values: list[int]) -> int:
    return sum(values)


@phase
async def pair(both: tuple[str, int]) -> str:
    return f"{both[0]} {both[1]}"


def is_big(n: int) -> bool:
    return n > 3


def states_of(run: Run[Any]) -> dict[str, PhaseState]:
    return {path: row.state for path, row in run.phases.items()}


# --------------------------------------------------------------------- side by side
async def test_parallel_gives_a_tuple(open_runtime: OpenRuntime) -> None:
    """Steps side by side take the same value; what follows takes their outputs in the order of the steps."""
    joined = Pipeline("joined", numbers >> total >> parallel(stars, double) >> pair)
    bare = Pipeline("bare", parallel(stars >> length, double))
    async with open_runtime(joined, bare):
        run = await joined.run(4)
        assert (await bare.run(3)).output == (3, 6)
    assert run.output == "****** 12"
    assert run.states[-2:] == ("PAIR", "COMPLETED")


async def test_the_first_failure_ends_what_runs_beside_it(open_runtime: OpenRuntime) -> None:
    """A sibling in flight is cancelled in the commit of the failure."""
    ended: list[str] = []
    begun = anyio.Event()

    @phase
    async def broken(n: int) -> int:
        await begun.wait()
        raise Abort("no")

    @phase
    async def slow(n: int) -> int:
        begun.set()
        try:
            await anyio.sleep(60)
        finally:
            ended.append("cancelled")
        return n

    pipeline = Pipeline("siblings", parallel(slow, broken))
    async with open_runtime(pipeline):
        with pytest.raises(PipelineFailedError) as caught:
            await pipeline.run(1)
    assert states_of(caught.value.run) == {"slow": SKIPPED, "broken": FAILED}
    assert ended == ["cancelled"]


async def test_a_tuple_with_a_gap(open_runtime: OpenRuntime) -> None:
    """What takes ``X | None`` gets None for what was not handed on; what takes ``X`` is skipped."""

    @phase
    async def nothing(n: int) -> str:
        raise Skip("nothing today")

    @phase
    async def lenient(both: tuple[str | None, int]) -> str:
        return f"{both[0]} {both[1]}"

    gap = Pipeline("gap", parallel(nothing, double) >> lenient)
    strict = Pipeline("strict", parallel(nothing, double) >> pair)
    async with open_runtime(gap, strict):
        assert (await gap.run(2)).output == "None 4"
        run = await strict.run(2)
    assert states_of(run) == {"nothing": SKIPPED, "double": COMPLETED, "pair": SKIPPED}
    with pytest.raises(NoOutputError, match="pair"):
        _ = run.output


# --------------------------------------------------------------------- one way or another
async def test_when(open_runtime: OpenRuntime) -> None:
    """A step whose test does not hold is SKIPPED and hands on what it would have taken; the verdict is a row."""
    pipeline = Pipeline("maybe", when(is_big, double) >> stars)
    async with open_runtime(pipeline) as runtime:
        taken, left = await pipeline.run(4), await pipeline.run(2)
        events = [event async for event in (await runtime.get(left.id)).events()]
    assert (taken.output, left.output) == ("********", "**")
    assert states_of(taken) == {"is_big?": COMPLETED, "double": COMPLETED, "stars": COMPLETED}
    assert states_of(left) == {"is_big?": COMPLETED, "double": SKIPPED, "stars": COMPLETED}
    assert left.phases["double"].live
    assert left.phases["double"].reason == "is_big? does not hold"
    assert [e.data["held"] for e in events if e.phase == "is_big?" and "held" in e.data] == [False]


async def test_when_around_several_phases(open_runtime: OpenRuntime) -> None:
    """All of a chain is skipped together, told by one event, and its input goes on."""
    pipeline = Pipeline("chain", when(is_big, stars >> length >> double) >> numbers)
    async with open_runtime(pipeline) as runtime:
        run = await pipeline.run(2)
        events = [event async for event in (await runtime.get(run.id)).events()]
    assert run.output == [0, 1]
    skipped = [event.data for event in events if event.type == "PHASE_SKIPPED"]
    assert [(data["count"], data["paths"]) for data in skipped] == [(3, ["stars", "length", "double"])]


async def test_branch(open_runtime: OpenRuntime) -> None:
    """The arm that is not chosen is SKIPPED and hands nothing on; what follows takes the other's output."""

    @phase
    async def shown(value: str | int) -> str:
        return repr(value)

    pipeline = Pipeline("route", branch(is_big, stars, double) >> shown)
    async with open_runtime(pipeline):
        big, small = await pipeline.run(4), await pipeline.run(3)
    assert (big.output, small.output) == ("'****'", "6")
    assert (big.phases["double"].state, big.phases["double"].live) == (SKIPPED, False)
    assert (small.phases["stars"].state, small.phases["stars"].live) == (SKIPPED, False)


async def test_a_test_that_raises_fails_the_run(open_runtime: OpenRuntime) -> None:
    """A test is code of the user's: it may raise, or answer something else than yes or no."""

    def broken(n: int) -> bool:
        msg = f"cannot judge {n}"
        raise ValueError(msg)

    def vague(n: int) -> bool:
        return "perhaps"  # type: ignore[return-value]  # the mistake under test

    raising, answering = Pipeline("raising", when(broken, double)), Pipeline("vague", when(vague, double))
    async with open_runtime(raising, answering):
        with pytest.raises(PipelineFailedError, match=r"'broken\?'.*cannot judge 1"):
            await raising.run(1)
        with pytest.raises(PipelineFailedError, match="True or False") as caught:
            await answering.run(1)
    assert isinstance(caught.value.__cause__, EncodeError)


async def test_a_verdict_is_never_asked_for_again(open_runtime: OpenRuntime, clock: Any) -> None:
    """A phase that is tried again goes the way that was decided, whatever the test would say by now."""
    asked: list[int] = []

    def only_once(n: int) -> bool:
        asked.append(n)
        return len(asked) == 1

    @phase(retry=Retry(attempts=3, wait=timedelta(seconds=1)))
    async def flaky(n: int, ctx: Context) -> int:
        if ctx.attempt < 3:
            msg = "not yet"
            raise OSError(msg)
        return 100 + n

    pipeline = Pipeline("once", when(only_once, flaky))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 7)
        await clock.advance(timedelta(seconds=5))
        assert await handle.result(timedelta(seconds=5)) == 107
    assert asked == [7]


# --------------------------------------------------------------------- maps
@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 3], [2, 2]])
async def test_maps_in_maps(open_runtime: OpenRuntime, sizes: list[int]) -> None:
    """A map may stand in a map: paths have an index for each, order is kept, empty lists are lists."""
    pipeline = Pipeline("nested", each(Pipeline("row", numbers >> each(double, limit=2)), limit=3))
    async with open_runtime(pipeline):
        run = await pipeline.run(sizes)
    assert run.output == [[2 * n for n in range(size)] for size in sizes]
    inner = {path for path in run.phases if path.count("[") == 2}
    assert inner == {f"row[{i}]/double[{j}]" for i, size in enumerate(sizes) for j in range(size)}


async def test_a_map_of_maps_of_one_phase(open_runtime: OpenRuntime) -> None:
    """The length of an inner list is in no row: a worker counts it."""
    pipeline = Pipeline("matrix", each(each(double)))
    async with open_runtime(pipeline):
        run = await pipeline.run([[1, 2], [], [3]])
    assert run.output == [[2, 4], [], [6]]
    assert run.phases["double[0]"].total == 2
    assert "double[0][1]" in run.phases


async def test_maps_behind_choices(open_runtime: OpenRuntime) -> None:
    """A map may stand in a branch and behind one, and an item may choose its way."""

    def many(values: list[int]) -> bool:
        return len(values) > 2

    @phase
    async def negated(values: list[int]) -> list[int]:
        return [-n for n in values]

    item = Pipeline("item", when(is_big, double))
    pipeline = Pipeline("ways", numbers >> branch(many, each(item), negated) >> when(many, each(plus_one)))
    async with open_runtime(pipeline):
        assert (await pipeline.run(6)).output == [1, 2, 3, 4, 9, 11]
        assert (await pipeline.run(2)).output == [0, -1]


@phase
async def plus_one(n: int) -> int:
    return n + 1


async def test_collecting_inside_of_items(open_runtime: OpenRuntime) -> None:
    """A failure in an inner map fails the outer item that collects it, and ends what runs beside it there."""

    @phase
    async def picky(n: int) -> int:
        if n == 2:
            msg = "two"
            raise ValueError(msg)
        if n == 3:
            raise Skip("three")
        return n

    row = Pipeline("row", parallel(numbers >> each(picky), double))
    pipeline = Pipeline("outer", each(row, on_error="collect"))
    async with open_runtime(pipeline):
        run = await pipeline.run([1, 3, 2])
    assert run.output == [
        Ok(value=([0], 2)),
        Err(category="PROCESSING", type="ValueError", message="two"),
        Ok(value=([0, 1], 4)),
    ]
    assert run.phases["row[1]/picky"].state is FAILED
    assert run.phases["row"].state is COMPLETED


async def test_items_without_a_value_in_a_fork(open_runtime: OpenRuntime) -> None:
    """An item that hands nothing on is left out, or told, also where its output is a tuple."""
    left_out = Pipeline("left-out", each(Pipeline("item", parallel(text_if_even, double))))
    told = Pipeline("told", each(Pipeline("item", parallel(text_if_even, double)), on_error="collect"))
    async with open_runtime(left_out, told):
        assert (await left_out.run([1, 2])).output == [("2", 4)]
        assert (await told.run([1, 2])).output == [Skipped(reason="odd"), Ok(value=("2", 4))]


@phase
async def text_if_even(n: int) -> str:
    if n % 2:
        raise Skip("odd")
    return str(n)


@pytest.mark.parametrize("size", [0, 1, 2, 100])
@pytest.mark.parametrize("limit", [None, 1])
async def test_a_map_of_any_size(open_runtime: OpenRuntime, size: int, limit: int | None) -> None:
    """One over nothing completes at once; the outputs come in the order of the items."""
    pipeline = Pipeline("sizes", numbers >> each(double, limit=limit))
    async with open_runtime(pipeline) as runtime:
        run = await runtime.run(pipeline, size)
    assert run.output == [2 * number for number in range(size)]
    assert [path for path in run.phases if "[" in path] == [f"double[{number}]" for number in range(size)]


async def test_a_large_map() -> None:
    """Ten thousand items come back in order."""
    pipeline = Pipeline("large", numbers >> each(double) >> total)
    assert (await pipeline.run(10_000)).output == 10_000 * 9_999


# --------------------------------------------------------------------- graphs
async def test_a_graph_of_references(open_runtime: OpenRuntime) -> None:
    """Functions of several values take them in the order of their references; ``after`` only orders."""
    order: list[str] = []

    @phase
    async def late(n: int) -> int:
        order.append("late")
        return n + 1

    @phase
    async def early(n: int) -> int:
        await anyio.sleep(0.01)
        order.append("early")
        return n

    async def report(n: int, text: str, more: int, ctx: Context) -> str:
        return f"{n} {text} {more} {ctx.phase}"

    def note(text: str, n: int) -> int:
        order.append(f"note {text} {n}")
        return 0

    dag = Dag("report", int)
    first = dag.add(early, dag.input)
    text = dag.add(stars, dag.input)
    more = dag.add(late, dag.input, after=[first])
    side = dag.add(note, text, more, name="side")
    pipeline = dag.build(dag.add(report, dag.input, text, more), also=[side])
    async with open_runtime(pipeline):
        run = await pipeline.run(2)
    assert run.output == "2 ** 3 report"
    assert order == ["early", "late", "note ** 3"]


async def test_the_first_wins(open_runtime: OpenRuntime) -> None:
    """With join='any' the first value is taken; with cancel_rest the others are ended in the same commit."""
    ended: list[str] = []
    begun = anyio.Event()

    @phase
    async def slow(n: int) -> int:
        begun.set()
        try:
            await anyio.sleep(60)
        finally:
            ended.append("cancelled")
        return n

    @phase
    async def behind(n: int) -> int:
        return n

    @phase
    async def quick(n: int) -> int:
        await begun.wait()
        return 2 * n

    dag = Dag("race", int)
    loser = dag.add(slow >> behind, dag.input)
    winner = dag.add(quick, dag.input)
    pipeline = dag.build(dag.add(stars, loser, winner, join="any", cancel_rest=True))
    async with open_runtime(pipeline):
        run = await pipeline.run(2)
    assert run.output == "****"
    assert ended == ["cancelled"]
    assert states_of(run) == {"slow": SKIPPED, "behind": SKIPPED, "quick": COMPLETED, "stars": COMPLETED}


async def test_who_came_first_is_stored(open_runtime: OpenRuntime, clock: Any) -> None:
    """A later attempt takes the value that came first, though the other one is there by now."""
    tried = anyio.Event()

    @phase
    async def second(n: int) -> int:
        await tried.wait()
        return -1

    @phase(retry=Retry(attempts=2, wait=timedelta(seconds=10)))
    async def taker(n: int, ctx: Context) -> int:
        if ctx.attempt == 1:
            tried.set()
            msg = "again"
            raise OSError(msg)
        return n

    dag = Dag("race", int)
    refs = dag.add(second, dag.input), dag.add(double, dag.input)
    pipeline = dag.build(dag.add(taker, *refs, join="any"))
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 2)
        await clock.settle()
        assert (await handle.run()).phases["second"].state is COMPLETED
        await clock.advance(timedelta(seconds=11))
        assert await handle.result(timedelta(seconds=5)) == 4


# --------------------------------------------------------------------- the end, and versions
async def test_a_body_may_finish_the_run(open_runtime: OpenRuntime) -> None:
    """An early end is COMPLETED with the output given; all that is unfinished is skipped in that commit."""

    @phase(may_finish=True)
    async def search(n: int) -> int:
        if n == 1:
            raise Finish(41)
        await anyio.sleep(60)
        return n

    pipeline = Pipeline("search", numbers >> each(search) >> total)
    async with open_runtime(pipeline) as runtime:
        run = await pipeline.run(3)
        stored = await (await runtime.get(run.id, pipeline)).run()
    assert (run.output, stored.output, run.state) == (41, 41, "COMPLETED")
    assert states_of(run) == {
        "numbers": COMPLETED, "search": SKIPPED, "search[0]": SKIPPED, "search[1]": COMPLETED, "search[2]": SKIPPED,
        "total": SKIPPED,
    }  # fmt: skip


async def test_a_finish_that_cannot_be(open_runtime: OpenRuntime) -> None:
    """The output must be the pipeline's, and the phase must have said that it may."""

    @phase(may_finish=True)
    async def wrong(n: int) -> int:
        raise Finish("text")

    @phase
    async def silent(n: int) -> int:
        raise Finish(1)

    pipelines = Pipeline("wrong", wrong), Pipeline("silent", silent)
    async with open_runtime(*pipelines):
        with pytest.raises(PipelineFailedError, match="output of pipeline 'wrong'"):
            await pipelines[0].run(1)
        with pytest.raises(PipelineFailedError, match="may_finish=True"):
            await pipelines[1].run(1)


@phase(name="search", may_finish=True)
async def found_at_once(n: int) -> int:
    raise Finish(f"there are {n}")


async def test_an_end_that_is_declared_by_one_process_alone(database: Callable[[], SqlStorage]) -> None:
    """As while may_finish= is deployed: the other process, which only reads, gives the same output, also to the web."""
    searching = Pipeline("search", found_at_once >> stars)
    before = Pipeline("search", found_at_once.with_options(may_finish=False) >> stars)
    assert before.plan.fingerprint == searching.plan.fingerprint
    async with (
        Runtime(database(), pipelines=[searching]),
        Runtime(database(), pipelines=[before], serve=False) as reader,
    ):
        handle = await reader.start(before, 3)
        assert await handle.result(timedelta(seconds=10)) == "there are 3"
        assert (await detail_of(reader, handle.id)).output == "there are 3"


async def test_versions_side_by_side(open_runtime: OpenRuntime, clock: Any) -> None:
    """Each run goes on under the definition it began under; one that is not registered is left alone."""

    @phase(name="work")
    async def old(n: int) -> str:
        return f"old {n}"

    @phase(name="work")
    async def new(n: int) -> str:
        return f"new {n}"

    first, second = Pipeline("work", old, version="1"), Pipeline("work", new, version="2")
    async with open_runtime(first, second) as runtime:
        later = timedelta(seconds=10)
        handles = [await runtime.start(one, 1, delay=later) for one in (first, second)]
        await clock.advance(timedelta(seconds=11))
        assert [await handle.result(timedelta(seconds=5)) for handle in handles] == ["old 1", "new 1"]
        third = Pipeline("work", old >> length, version="1")
        with pytest.raises(PipelineNotRegisteredError):
            await runtime.start(third, 1)


async def test_labels_that_change_places_under_a_run(open_runtime: OpenRuntime) -> None:
    """They are no part of the shape: the run goes on from where its phases are, whatever it was called there."""
    begun = anyio.Event()

    @phase
    async def first(n: int) -> int:
        if not begun.is_set():
            begun.set()
            await anyio.sleep_forever()
        return n

    def labelled(*labels: str) -> Pipeline[int, int]:
        a, b, c = labels
        second = double.with_options(name="second", label=b)
        return Pipeline(
            "places", first.with_options(label=a) >> second >> double.with_options(name="third", label=c)
        )

    before, after = labelled("X", "Y", "Z"), labelled("Y", "Z", "X")
    assert before.plan.fingerprint == after.plan.fingerprint
    async with open_runtime(before, drain=timedelta(0)) as runtime:
        handle = await runtime.start(before, 1)
        with anyio.fail_after(10):
            await begun.wait()
        assert await handle.state() == "X"
    async with open_runtime(after) as runtime:
        goes_on = await runtime.get(handle.id, after)
        assert await goes_on.result(timedelta(seconds=10)) == 4
        assert (await goes_on.run()).states[-3:] == ("Z", "X", "COMPLETED")


async def test_more_items_than_threads_and_claims(open_runtime: OpenRuntime) -> None:
    """What waits for a thread is left until one is free; looking for it all the while would stop everything else."""
    pipeline = Pipeline("many", each(length))
    async with open_runtime(pipeline, sync_threads=2) as runtime:
        handle = await runtime.start(pipeline, ["*" * number for number in range(150)])
        assert await handle.result() == [*range(150)]
