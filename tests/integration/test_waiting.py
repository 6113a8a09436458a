"""Who waits for a run is told of what is done here, and looks for what is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import anyio
import pytest

from phaseline import Pipeline, RunHandle, RunState, Runtime, Signal, phase
from phaseline._shell import waiting
from phaseline.bus import EventBus
from phaseline.errors import StorageUnavailableError
from phaseline.queues.inprocess import InProcessQueue
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.unit_of_work import RunRows
from phaseline.watches import Watch


@phase
async def double(n: int) -> int:
    return 2 * n


@phase(queue="elsewhere")
async def negate(n: int) -> int:
    return -n


@phase
async def added(both: tuple[int, int]) -> int:
    return sum(both)


here = Pipeline("here", double)
onward = Pipeline("onward", double >> negate)


@pytest.fixture(autouse=True)
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be found by a later look."""
    monkeypatch.setattr(waiting, "POLL", 3600)
    monkeypatch.setattr(waiting, "SLOW_POLL", 3600)


async def test_what_is_done_here_is_not_looked_for(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage is not asked how a run stands that this process carries forward."""
    asked: list[str] = []
    monkeypatch.setattr(waiting, "FIRST_POLL", 0)
    monkeypatch.setattr(SqlStorage, "head", lambda _storage, _namespace, run_id: asked.append(run_id))
    async with Runtime(database(), pipelines=[here]) as runtime:
        for number in range(20):
            assert 2 * number == (await runtime.run(here, number)).output
    assert [] == asked


async def test_what_goes_on_elsewhere_is_looked_for_at_once(database: Callable[[], SqlStorage]) -> None:
    """A run that leaves this process says so to who waits for it here."""
    async with (
        Runtime(database(), pipelines=[onward], queues={"elsewhere"}),
        Runtime(database(), pipelines=[onward], queues={"pipeline"}) as first,
    ):
        with anyio.fail_after(20):
            assert (await first.run(onward, 3)).output == -6


async def test_who_was_not_told_looks_again(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it came about that nobody told it: all who wait look again together, now and then."""
    monkeypatch.setattr(waiting, "POLL", 0.05)
    monkeypatch.setattr(waiting, "SLOW_POLL", 0.05)
    monkeypatch.setattr(Watch, "tell", lambda _watch, _events: None)
    monkeypatch.setattr(EventBus, "wake", lambda _bus, _run_id: None)
    async with Runtime(database(), pipelines=[here]) as runtime:
        with anyio.fail_after(20):
            assert (await runtime.run(here, 4)).output == 8


@pytest.mark.parametrize("first", ["pause", "wait"])
async def test_a_pause_that_another_process_commands_is_seen_while_a_body_goes_on(
    database: Callable[[], SqlStorage], monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    """By who waits in the process that calls the body, whichever comes first: the pause, or the wait for it."""
    monkeypatch.setattr(waiting, "POLL", 0.05)
    monkeypatch.setattr(waiting, "SLOW_POLL", 0.05)
    begun, may_end = anyio.Event(), anyio.Event()

    @phase
    async def slow(n: int) -> int:
        begun.set()
        await may_end.wait()
        return n

    slowly = Pipeline("slowly", slow >> double)
    async with (
        Runtime(database(), pipelines=[slowly]) as worker,
        Runtime(database(), pipelines=[slowly], serve=False) as operator,
    ):
        handle = await worker.start(slowly, 2)
        with anyio.fail_after(20):
            await begun.wait()
            if first == "pause":
                await (await operator.get(handle.id)).pause()
                assert (await handle.wait()).state == RunState.PAUSED
            else:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(handle.wait)
                    await anyio.sleep(0.2)
                    await (await operator.get(handle.id)).pause()
            assert (await handle.run()).state == RunState.PAUSED
            await (await operator.get(handle.id)).resume()
            may_end.set()
            assert await handle.result() == 4


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look as often as ever, but where nobody else is known to be."""
    monkeypatch.setattr(waiting, "POLL", 0.05)
    monkeypatch.setattr(waiting, "RARE_POLL", 3600)


@pytest.mark.usefixtures("often")
async def test_a_run_of_another_runtime_on_the_same_memory(clock: FakeClock) -> None:
    """Nothing is told by one to the other: who waited for such a run waited for ever, and so did who followed it."""
    memory = MemoryStorage()
    async with (
        Runtime(memory, pipelines=[here], clock=clock) as one,
        Runtime(memory, pipelines=[here], clock=clock) as other,
        anyio.create_task_group() as tasks,
    ):
        run = await one.start(here, 4, delay=timedelta(seconds=1))
        handle = await other.get(run.id, here)
        tasks.start_soon(clock.advance, timedelta(seconds=2))
        with anyio.fail_after(20):
            events = [event.type async for event in handle.events()]
            assert events[-1] == "PIPELINE_COMPLETED"
            assert await (await one.start(here, 5)).result() == 10
        again = await one.start(here, 6, delay=timedelta(seconds=1))
        tasks.start_soon(clock.advance, timedelta(seconds=2))
        with anyio.fail_after(20):
            assert await (await other.get(again.id)).result() == 12


@pytest.mark.usefixtures("often")
async def test_a_run_that_another_runtime_on_the_same_memory_goes_on_with() -> None:
    """Also one that is known where it is waited for, as it was before."""
    memory, go = MemoryStorage(), Signal[int]("go")
    sent = Pipeline("sent", double.wait_for(go) >> added)
    async with (
        Runtime(memory, pipelines=[sent]) as one,
        Runtime(memory, pipelines=[sent]) as other,
        anyio.create_task_group() as tasks,
    ):
        for wait in (result, last_of_events):
            run = await one.start(sent, 4)
            tasks.start_soon((await other.get(run.id)).signal, go, 1)
            with anyio.fail_after(20):
                assert await wait(run) in {9, "PIPELINE_COMPLETED"}


async def result(run: RunHandle[int]) -> object:
    return await run.result()


async def last_of_events(run: RunHandle[int]) -> object:
    return [event.type async for event in run.events()][-1]


@pytest.mark.usefixtures("often")
async def test_a_run_that_goes_from_one_runtime_to_another_on_the_same_memory() -> None:
    """Who waits while a body is called here is told when the next one is called there."""
    memory, queue = MemoryStorage(), InProcessQueue()
    async with (
        Runtime(memory, queue=queue, pipelines=[onward], queues={"elsewhere"}),
        Runtime(memory, queue=queue, pipelines=[onward], queues={"pipeline"}) as first,
    ):
        with anyio.fail_after(20):
            assert (await first.run(onward, 3)).output == -6


async def until(test: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not test():  # noqa: ASYNC110  # of whatever sort it is
            await anyio.sleep(0.001)


async def test_commands_of_another_runtime_on_the_same_memory(clock: FakeClock) -> None:
    """As of another process: a body that is not wanted any more is interrupted, and what is known of the run is what is stored."""
    memory, begun, stopped = MemoryStorage(), list[int](), list[int]()

    @phase
    async def stay(number: int) -> int:
        begun.append(number)
        try:
            await anyio.sleep_forever()
        finally:
            stopped.append(number)
        return number

    staying = Pipeline("staying", stay)
    async with (
        Runtime(memory, pipelines=[staying], clock=clock) as worker,
        Runtime(memory, pipelines=[staying], serve=False) as operator,
    ):
        handle = await worker.start(staying, 1)
        await until(lambda: begun == [1])
        same = await operator.get(handle.id)
        await same.pause()
        assert (await handle.state(), (await handle.run()).state) == ("PAUSED", "PAUSED")
        await handle.resume()
        assert (await same.state(), stopped) == ("STAY", [])
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(handle.wait)
                await anyio.sleep(0.1)
                await same.cancel(reason="enough")
            await until(lambda: stopped == [1])
        assert (await handle.state()) == "CANCELLED"


async def test_work_that_another_runtime_leaves_on_the_same_memory_is_taken_up() -> None:
    """Though each has a queue of its own, by which the other one is not woken."""
    memory = MemoryStorage()
    async with (
        Runtime(memory, pipelines=[here]),
        Runtime(memory, pipelines=[here], serve=False) as client,
    ):
        await anyio.sleep(0.1)
        with anyio.fail_after(20):
            assert await (await client.start(here, 4)).result() == 8


async def test_times_that_another_runtime_leaves_on_the_same_memory_are_met(clock: FakeClock) -> None:
    """A wait that has its time, and a run that has."""
    memory = MemoryStorage()
    waiting_ = Pipeline(
        "waiting", double.wait_for(Signal[int]("go"), timeout=timedelta(seconds=5), default=1) >> added
    )
    late = Pipeline("late", double.wait_for(Signal[int]("go")) >> added, timeout=timedelta(days=1))
    async with (
        Runtime(memory, pipelines=[waiting_, late], clock=clock),
        Runtime(memory, pipelines=[waiting_, late], clock=clock, serve=False) as client,
    ):
        run = await client.start(waiting_, 4)
        failing = await client.start(late, 4, deadline=timedelta(seconds=8))
        await clock.advance(timedelta(seconds=10))
        assert (await run.state(), await failing.state()) == ("COMPLETED", "FAILED")


async def test_a_run_that_is_cancelled_elsewhere_holds_up_no_drain() -> None:
    """Also then another runtime on the same memory is heard."""
    memory, begun, go = MemoryStorage(), anyio.Event(), anyio.Event()

    @phase
    async def stay(number: int) -> int:
        begun.set()
        await anyio.sleep_forever()
        return number

    staying = Pipeline("staying", stay)
    with anyio.fail_after(20):
        async with (
            Runtime(memory, pipelines=[staying], serve=False) as operator,
            anyio.create_task_group() as tasks,
        ):

            async def serve() -> None:
                async with Runtime(memory, pipelines=[staying], drain=timedelta(hours=1)) as worker:
                    await worker.start(staying, 1)
                    await begun.wait()
                    tasks.start_soon(cancel, worker)

            async def cancel(worker: Runtime) -> None:
                await until(lambda: not worker.is_open)
                async for run in operator.find():
                    await (await operator.get(run.id)).cancel()
                go.set()

            tasks.start_soon(serve)
            await go.wait()


async def test_who_hears_of_a_commit_and_cannot_read_it_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """On trio an error in a callback would end the event loop."""
    broken, ok = FailingToLoad(), list[int]()
    async with (
        Runtime(broken, pipelines=[here]) as one,
        Runtime(broken, pipelines=[here], serve=False) as other,
    ):
        handle = await one.start(here, 4, delay=timedelta(hours=1))
        await one.runner.hold(handle.id)
        broken.is_away = True
        await (await other.get(handle.id)).annotate("told")
        await until(lambda: "cannot be read now" in caplog.text)
        broken.is_away = False
        ok.append((await one.run(here, 3)).output)
    assert ok == [6]


class FailingToLoad(MemoryStorage):
    """One that cannot be read at times, as one that decrypts."""

    is_away = False

    def load(self, namespace: str, run_id: str, since: int = 0) -> RunRows | None:
        if self.is_away and since:
            raise StorageUnavailableError(repr(self), "it is away", "wait")
        return super().load(namespace, run_id, since)


async def test_who_is_alone_on_a_memory_hardly_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run that rests nobody else could tell; a runtime that is opened later is found out all the same."""
    monkeypatch.setattr(waiting, "RARE_POLL", 0.05)
    memory, go = MemoryStorage(), Signal[int]("go")
    sent = Pipeline("sent", double.wait_for(go) >> added)
    async with Runtime(memory, pipelines=[sent]) as one, anyio.create_task_group() as tasks:
        run = await one.start(sent, 4)

        async def send() -> None:
            await anyio.sleep(0.1)
            async with Runtime(memory, pipelines=[sent]) as other:
                await (await other.get(run.id)).signal(go, 1)
                await run.result()

        tasks.start_soon(send)
        with anyio.fail_after(20):
            assert await run.result() == 9
