"""Limits on what runs at once: per phase, pipeline, key and namespace, the same for all processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio import to_thread
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Again, Context, Pipeline, Rate, Retry, Runtime, each, phase
from phaseline.abc import Storage
from phaseline.errors import DefinitionError
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

__all__ = ["anyio_backend"]
SECOND = timedelta(seconds=1)


class Works:
    """Bodies that stay until they are let go, and are counted meanwhile."""

    def __init__(self, clock: FakeClock) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.begun = 0
        self._clock = clock
        self._gates: list[anyio.Event] = []

    async def stay(self, name: str) -> None:
        self.running[name] += 1
        self.begun += 1
        self.most[name] = max(self.most[name], self.running[name])
        gate = anyio.Event()
        self._gates.append(gate)
        await gate.wait()
        self.running[name] -= 1

    async def let_go(self) -> int:
        """Let go of all that stay now; gives how many that were."""
        gates, self._gates = self._gates, []
        for gate in gates:
            gate.set()
        await self._clock.advance(SECOND)  # others look by themselves within this time
        return len(gates)


@pytest.fixture
def works(clock: FakeClock) -> Works:
    return Works(clock)


def staying(works: Works, name: str = "work", **options: Any) -> Any:
    """A phase that stays."""

    async def work(number: int) -> int:
        await works.stay(name)
        return number

    return phase(name=name, **options)(work)


async def waves(works: Works, clock: FakeClock) -> list[int]:
    """How many run at once, time after time, until nothing does."""
    await clock.settle()
    found: list[int] = []
    while running := works.running.total():
        found.append(running)
        assert await works.let_go() == running
    return found


# --------------------------------------------------------------------- whose limit it is
@BOTH_LOOPS
async def test_a_phase(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """Of all runs and all items together; the phases beside it are not held up."""
    mapped = Pipeline("mapped", each(staying(works, concurrency=3)))
    async with open_runtime(mapped) as runtime:
        handles = [await runtime.start(mapped, [1, 2, 3, 4]) for _ in range(2)]
        assert await waves(works, clock) == [3, 3, 2]
        assert [await handle.result() for handle in handles] == [[1, 2, 3, 4]] * 2


async def test_a_phase_in_a_chain(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """It is taken up by a claim, wherever the one before it ended."""
    chain = Pipeline("chain", staying(works, "free") >> staying(works, "tight", concurrency=1))
    async with open_runtime(chain) as runtime:
        handles = [await runtime.start(chain, number) for number in range(3)]
        assert await waves(works, clock) == [3, 1, 1, 1]
        assert works.most == {"free": 3, "tight": 1}
        assert [await handle.result() for handle in handles] == [0, 1, 2]


async def test_a_pipeline(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """All its phases share the limit; another pipeline does not."""
    tight = Pipeline("tight", staying(works, "a") >> staying(works, "b"), concurrency=2)
    free = Pipeline("free", staying(works, "c"))
    async with open_runtime(tight, free) as runtime:
        for number in range(3):
            await runtime.start(tight, number)
            await runtime.start(free, number)
        await clock.settle()
        assert works.running == {"a": 2, "c": 3}
        assert sum(await waves(works, clock)) == 9
        assert works.most["a"] <= 2


@BOTH_LOOPS
async def test_what_undoes_a_phase(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """It counts with the bodies of that phase: both call the same from outside."""

    async def undo(number: int, given: int) -> None:
        await works.stay("work")

    undone = Pipeline("undone", staying(works, concurrency=2, compensate=undo))
    async with open_runtime(undone) as runtime:
        handles = [await runtime.start(undone, number) for number in range(4)]
        assert await waves(works, clock) == [2, 2]
        for handle in handles[:3]:
            await handle.rollback()
        handles.append(await runtime.start(undone, 4))
        assert await waves(works, clock) == [2, 2]
        states = [await handle.state() for handle in handles]
        assert states == ["ROLLED_BACK", "ROLLED_BACK", "ROLLED_BACK", "COMPLETED", "COMPLETED"]


async def test_a_key(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """Whatever the pipeline; other keys, and runs without one, are not held up."""
    one, two = (Pipeline(name, staying(works, name)) for name in ("one", "two"))
    async with open_runtime(one, two) as runtime:
        for pipeline in (one, two, one):
            await runtime.start(pipeline, 1, concurrency_key="customer 7", concurrency=2)
        await runtime.start(one, 1, concurrency_key="customer 8")
        await runtime.start(two, 1)
        await clock.settle()
        assert works.running.total() == 4  # two of the first three, and the others
        assert await waves(works, clock) == [4, 1]


async def test_a_namespace(storage: Callable[[], Storage], clock: FakeClock, works: Works) -> None:
    """Whatever is started with the cap shares it; another namespace has one of its own."""
    pipeline = Pipeline("p", staying(works))
    place, other = storage(), storage()
    options: Any = {"pipelines": [pipeline], "clock": clock, "namespace_concurrency": 2}
    async with Runtime(place, **options) as runtime, Runtime(other, namespace="else", **options) as beside:
        for number in range(3):
            await runtime.start(pipeline, number)
            await beside.start(pipeline, number)
        assert await waves(works, clock) == [4, 2]


@BOTH_LOOPS
async def test_a_limit_in_memory_without_a_runtime(works: Works) -> None:
    """A run that nobody else sees keeps to it too, and comes to its end."""
    pipeline = Pipeline("p", each(staying(works, concurrency=2)) >> phase(name="sum")(total), concurrency=3)
    async with anyio.create_task_group() as tasks:

        async def let_go() -> None:
            """Never before two are there, or the last: which task goes on first is trio's choice, by chance."""
            while True:
                if works.running["work"] == 2 or works.begun == 5:
                    for _ in range(10):  # a third one would come now
                        await anyio.lowlevel.checkpoint()
                    for gate in works._gates:
                        gate.set()
                await anyio.lowlevel.checkpoint()

        tasks.start_soon(let_go)
        with anyio.fail_after(30):
            assert (await pipeline.run([1, 2, 3, 4, 5])).output == 15
        tasks.cancel_scope.cancel()
    assert works.most == {"work": 2}


async def total(numbers: list[int]) -> int:
    return sum(numbers)


# --------------------------------------------------------------------- who holds a slot
async def test_who_waits_holds_none(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """Between two attempts, put off, and paused."""

    @phase(concurrency=1, retry=Retry(attempts=2, wait=timedelta(seconds=9)))
    async def shaky(number: int, ctx: Context) -> int:
        if ctx.attempt == 1 and number == 0:
            raise OSError("the first try fails")
        if ctx.attempt == 1 and number == 1:
            raise Again(after=timedelta(seconds=9))
        await works.stay("shaky")
        return number

    pipeline = Pipeline("p", shaky)
    async with open_runtime(pipeline) as runtime:
        handles = [await runtime.start(pipeline, number) for number in (0, 1, 2)]
        paused = await runtime.start(pipeline, 3, delay=timedelta(seconds=2))
        await paused.pause()
        await clock.settle()
        assert works.running == {"shaky": 1}
        assert await works.let_go() == 1
        assert works.running.total() == 0
        await clock.advance(timedelta(seconds=9))
        assert await waves(works, clock) == [1, 1]
        await paused.resume()
        assert await waves(works, clock) == [1]
        assert [await handle.result() for handle in (*handles, paused)] == [0, 1, 2, 3]


@BOTH_LOOPS
async def test_who_is_cancelled_holds_none(open_runtime: OpenRuntime, clock: FakeClock, works: Works) -> None:
    """The next one begins at once."""
    pipeline = Pipeline("p", staying(works, concurrency=1))
    async with open_runtime(pipeline) as runtime:
        first = await runtime.start(pipeline, 0)
        await clock.settle()
        second = await runtime.start(pipeline, 1)
        await clock.settle()
        await first.cancel()
        await clock.advance(SECOND)
        assert (await first.state(), works._gates[-1].is_set()) == ("CANCELLED", False)
        assert await works.let_go() == 2  # that of the first is let go of by nobody else
        assert await second.result() == 1


async def test_who_is_taken_back_holds_none(
    storage: Callable[[], Storage], clock: FakeClock, works: Works
) -> None:
    """The next one begins at once, and the first one waits for its slot when it goes on."""
    pipeline = Pipeline("p", staying(works, concurrency=1))
    place = storage()
    async with Runtime(place, pipelines=[pipeline], clock=clock) as runtime:
        first = await runtime.start(pipeline, 0)
        await clock.settle()
        second = await runtime.start(pipeline, 1)
        await first.rollback()
        await clock.advance(SECOND)
        assert [await handle.state() for handle in (first, second)] == ["ROLLED_BACK", "WORK"]
        await first.resume()
        await clock.advance(SECOND)
        assert await first.state() == "IDLE"
        assert await works.let_go() == 2  # that of the first is let go of by nobody else
        assert await second.result() == 1
        assert await works.let_go() == 1
        assert await first.result() == 0
        await checked(place)


async def test_two_processes_share_a_limit(
    database: Callable[[], Storage], clock: FakeClock, works: Works
) -> None:
    """Neither takes more than there is, together they take all."""
    pipeline = Pipeline("p", staying(works, concurrency=3))
    place, options = database(), {"pipelines": [pipeline], "clock": clock, "concurrency": 2}
    async with Runtime(place, **options) as runtime, Runtime(database(), **options):
        handles = [await runtime.start(pipeline, number) for number in range(7)]
        await clock.advance(SECOND)
        assert await waves(works, clock) == [3, 3, 1]
        assert [await handle.result() for handle in handles] == [*range(7)]
        await to_thread.run_sync(check, place)


# --------------------------------------------------------------------- how many begin in a time
PER = 10 * SECOND
TWO = Rate(2, per=PER)


@pytest.mark.parametrize("where", ["phase", "pipeline", "key", "namespace"])
async def test_a_rate(storage: Callable[[], Storage], clock: FakeClock, works: Works, where: str) -> None:
    """Of a phase, a pipeline, a key or a namespace: what is over it begins when its time has come, and not before."""
    work = staying(works, rate=TWO if where == "phase" else None)
    pipeline = Pipeline("p", work, rate=TWO if where == "pipeline" else None)
    place = storage()
    options: dict[str, Any] = {"namespace_rate": TWO} if where == "namespace" else {}
    given: dict[str, Any] = {"concurrency_key": "customer 7", "rate": TWO} if where == "key" else {}
    async with Runtime(place, pipelines=[pipeline], clock=clock, **options) as runtime:
        begin = clock.now()
        handles = [await runtime.start(pipeline, number, **given) for number in range(5)]
        await clock.settle()
        assert works.begun == 2
        await clock.advance(PER - SECOND)
        states = sorted([await handle.state() for handle in handles])
        assert (works.begun, states) == (2, ["IDLE"] * 3 + ["WORK"] * 2)
        await clock.advance(SECOND)
        assert works.begun == 4
        await clock.advance(PER)
        assert works.begun == 5
        await works.let_go()
        assert [await handle.result() for handle in handles] == [*range(5)]
        started = [(await handle.run()).phases["work"].started_at or begin for handle in handles]
        assert sorted(started) == [begin + n // 2 * PER for n in range(5)]
        await checked(place)


async def test_each_attempt_is_begun(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """A retry waits for its time as a first attempt does."""
    at: list[timedelta] = []
    begin = clock.now()

    @phase(rate=Rate(1, per=PER), retry=Retry(attempts=3, wait=SECOND))
    async def shaky(number: int, ctx: Context) -> int:
        at.append(clock.now() - begin)
        if ctx.attempt < 3:
            raise OSError("not yet")
        return number

    pipeline = Pipeline("p", shaky)
    async with open_runtime(pipeline) as runtime:
        handle = await runtime.start(pipeline, 1)
        await clock.advance(3 * PER)
        assert await handle.result() == 1
    assert at == [timedelta(0), PER, 2 * PER]


@BOTH_LOOPS
async def test_two_processes_share_a_rate(
    database: Callable[[], Storage], clock: FakeClock, works: Works
) -> None:
    """Together they begin as many as it says, and each is at its time."""
    pipeline = Pipeline("p", staying(works, rate=TWO))
    place, options = database(), {"pipelines": [pipeline], "clock": clock, "concurrency": 1}
    async with Runtime(place, **options) as runtime, Runtime(database(), **options):
        handles = [await runtime.start(pipeline, number) for number in range(6)]
        await clock.advance(SECOND)
        for expected in (2, 4, 6):
            assert works.begun == expected
            await works.let_go()
            await clock.advance(PER)
        assert [await handle.result() for handle in handles] == [*range(6)]
        await checked(place)


async def test_what_is_taken_up_again_at_once_keeps_to_both(
    storage: Callable[[], Storage], clock: FakeClock, works: Works
) -> None:
    """Dead letters by the dozen, whose first attempts count as well: of none more run, and none begin sooner."""
    runs, at_once, rate = 14, 2, Rate(6, per=PER)
    mended = False

    @phase
    async def work(number: int) -> int:
        if not mended:
            raise ValueError(number)
        await works.stay("work")
        return number

    pipeline, place = Pipeline("p", work, concurrency=at_once, rate=rate), storage()
    async with Runtime(place, pipelines=[pipeline], clock=clock) as runtime:
        handles = [await runtime.start(pipeline, number) for number in range(runs)]
        await clock.advance(3 * PER)
        mended = True
        begin = clock.now()
        handled = await runtime.dead_letters.find().requeue(reason="mended")
        assert (len(handled.done), handled.refused) == (runs, {})
        while clock.now() < begin + 3 * PER:
            await works.let_go()
        assert works.most == {"work": at_once}
        assert [await handle.result() for handle in handles] == [*range(runs)]
        started = sorted([(await handle.run()).phases["work"].started_at or begin for handle in handles])
        assert min(late - first for first, late in zip(started, started[6:], strict=False)) >= PER
        assert (await runtime.dead_letters.find()).letters == ()
        await checked(place)


async def checked(storage: Storage) -> None:
    """Hold what is stored against the promises, off the loop if the storage blocks."""
    if storage.blocking:
        await to_thread.run_sync(check, storage)
    else:
        check(storage)


# --------------------------------------------------------------------- what is refused
def test_a_limit_lets_something_run() -> None:
    """A limit of 0, and what is no number, is refused where it is written."""
    body = phase(name="total")(total)
    for bad, told in (
        (0, "would let nothing run"),
        (-1, "is no number of bodies"),
        (True, "is no number"),
        (1.5, "is no"),
    ):
        given: Any = bad
        for write in (
            lambda value: phase(concurrency=value)(total),
            lambda value: Pipeline("p", body, concurrency=value),
            lambda value: Runtime(namespace_concurrency=value),
        ):
            with pytest.raises(DefinitionError, match=told):
                write(given)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ((0, SECOND), "would let nothing run"),
        ((-1, SECOND), "is no number of bodies"),
        ((True, SECOND), "is no number of bodies"),
        ((10_001, SECOND), "over 10,000"),
        ((1, timedelta(0)), "is no time"),
        ((1, -SECOND), "is no time"),
        ((1, timedelta(days=4_000)), "is no time"),
        ((1, 60), "has no unit"),
    ],
)
def test_a_rate_lets_something_begin(bad: tuple[Any, Any], told: str) -> None:
    """What is none is refused where it is written."""
    starts, per = bad
    with pytest.raises(DefinitionError, match=told):
        Rate(starts, per=per)


@pytest.mark.parametrize("bad", [10, "10/m"])
async def test_what_is_no_rate_is_refused(bad: Any) -> None:
    """Wherever one can be given."""
    told = r"write .*Rate\(10, per=timedelta"
    body = phase(name="total")(total)
    for write in (
        lambda: phase(rate=bad)(total),
        lambda: Pipeline("p", body, rate=bad),
        lambda: Runtime(namespace_rate=bad),
    ):
        with pytest.raises(DefinitionError, match=told):
            write()
    async with Runtime(pipelines=[pipeline := Pipeline("p", body)]) as runtime:
        with pytest.raises(DefinitionError, match=told):
            await runtime.start(pipeline, [1], concurrency_key="k", rate=bad)
        assert dict(await runtime.find().count()) == {}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": Rate(1, per=SECOND)}, "give concurrency_key too"),
        ({"concurrency_key": "k", "concurrency": 0}, "would let nothing run"),
        ({"concurrency": 2}, "give concurrency_key too"),
        ({"concurrency_key": ""}, "1 to 200 characters"),
        ({"concurrency_key": "k" * 201}, "1 to 200 characters"),
        ({"concurrency_key": "a\nb"}, "can be printed"),
        ({"concurrency_key": 7}, "is no text"),
        ({"delay": -SECOND}, "is negative"),
        ({"priority": 1_000}, "outside of 0"),
        ({"priority": -1}, "outside of 0"),
    ],
)
async def test_a_start_is_refused_before_anything_is_stored(given: dict[str, Any], told: str) -> None:
    """Each with what is wrong and what to do."""
    pipeline = Pipeline("p", phase(name="total")(total))
    async with Runtime(pipelines=[pipeline]) as runtime:
        with pytest.raises(ValueError, match=told):
            await runtime.start(pipeline, [1], **given)
        assert dict(await runtime.find().count()) == {}
