"""How a runtime says how it is; and what its worker does about work that nobody takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar

import anyio
import attrs
import pytest

from phaseline import Pipeline, Runtime, phase
from phaseline._shell import checkup
from phaseline.abc import Queue, Storage
from phaseline.errors import QueueUnavailableError, RuntimeUsageError
from phaseline.health import Health, ThreadsHealth
from phaseline.pipeline import open_hosts
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage

SECOND = timedelta(seconds=1)


@phase
async def echo(number: int) -> int:
    return number


@phase(queue="mails")
async def mail(number: int) -> int:
    return number


echoing, mailing = Pipeline("echoing", echo), Pipeline("mailing", mail)


class Lossy(Queue):
    """A broker that loses everything, and keeps count."""

    crosses_processes: ClassVar[bool] = True

    def __init__(self) -> None:
        self.lost: list[str] = []

    def put(self, queue: str) -> None:
        self.lost.append(queue)

    def listen(self, wake: Callable[[str], bool], queues: Iterable[str]) -> Callable[[], None]:
        return lambda: None

    def ping(self) -> None:
        raise QueueUnavailableError("lossy", "it is away")


async def test_all_is_well_where_nothing_waits(open_runtime):
    """Whatever the storage, open or not."""
    async with open_runtime(echoing) as runtime:
        await runtime.run(echoing, 1)
        health = await runtime.health()
    assert ((), (), (), None, None) == (
        health.problems, health.queues, health.unknown, health.storage, health.broker,
    )  # fmt: skip
    assert ThreadsHealth(limit=32, busy=0, abandoned=0) == health.threads
    closed = await open_runtime(echoing).health()
    assert (True, None) == (closed.ok, closed.threads)


async def test_a_phase_whose_worker_is_gone_is_a_problem_where_no_other_takes_it_up(
    database, clock, monkeypatch
):
    """It waits for no worker, so that all was well as long as none looked for what was lost."""
    begun, end = anyio.Event(), anyio.Event()

    @phase
    async def last(number: int) -> int:
        begun.set()
        await end.wait()
        return number

    lasting = Pipeline("lasting", last)
    client = Runtime(database(), pipelines=[lasting], clock=clock, serve=False)
    async with Runtime(database(), pipelines=[lasting], clock=clock) as runtime, client:
        handle = await runtime.start(lasting, 1)
        await begun.wait()
        assert (0, ()) == ((await client.health()).lost, (await client.health()).problems)
        with monkeypatch.context() as patch:
            patch.setattr(checkup, "is_gone", lambda *_: True)
            health = await client.health()
        assert (1, 1) == (health.lost, len(health.problems))
        assert "no worker is alive" in health.problems[0]
        end.set()
        await handle.result()


async def test_who_looks_at_a_runtime_that_drains_closes_nothing_under_it(storage, clock):
    """What a body came to could not be stored any more, and it was called again."""
    begun, end, looked = anyio.Event(), anyio.Event(), list[bool]()
    calls = 0

    @phase
    async def last(number: int) -> int:
        nonlocal calls
        calls += 1
        begun.set()
        await end.wait()
        return number

    lasting = Pipeline("lasting", last)
    place = storage()
    runtime = Runtime(place, pipelines=[lasting], clock=clock, drain=30 * SECOND)

    async def look() -> None:
        while runtime.is_open:  # noqa: ASYNC110  # nobody tells of the beginning of the drain
            await anyio.sleep(0.001)
        looked.append((await runtime.health()).ok)
        end.set()

    async with anyio.create_task_group() as tasks, runtime:
        handle = await runtime.start(lasting, 1)
        await begun.wait()
        tasks.start_soon(look)
    async with Runtime(place, pipelines=[lasting], clock=clock, serve=False) as client:
        state = await (await client.get(handle.id)).state()
    assert ([True], 1, "COMPLETED") == (looked, calls, state)


async def test_who_looks_at_the_client_of_an_open_runtime_closes_nothing_under_that(open_runtime):
    """The two have one storage."""
    runtime = open_runtime(echoing)
    client = runtime.client()
    async with runtime:
        assert (await client.health()).ok
        with anyio.fail_after(20):
            assert 1 == (await runtime.run(echoing, 1)).output


async def test_who_looks_at_a_runtime_that_opens_closes_nothing_under_it(open_runtime):
    """Whether he came just before or while it opens; and several who look do not close it under each other."""
    runtime, opened, looked = open_runtime(echoing), anyio.Event(), list[str | None]()

    async def look() -> None:
        while not opened.is_set():
            looked.append((await runtime.health()).storage)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(look)
        while len(looked) < 9:  # noqa: ASYNC110  # they go on until it is open
            await anyio.sleep(0.001)
        assert {None} == set(looked)
        with anyio.fail_after(20):
            async with runtime:
                opened.set()
                assert 1 == (await runtime.run(echoing, 1)).output


async def test_a_storage_that_is_open_and_away_is_asked_once(
    database: Callable[[], Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a runtime that is not open, through one that is: there is no opening to wait for."""
    examine, asked = checkup.examine, list[int]()

    def away(*given: Any, **more: Any) -> Health:
        asked.append(1)
        return attrs.evolve(examine(*given, **more), storage="it is away")

    serving = Runtime(database(), pipelines=[echoing])
    await serving.migrate()
    client = serving.client()
    async with serving:
        monkeypatch.setattr(checkup, "examine", away)
        assert (await client.health()).storage == "it is away"
    assert asked == [1]


async def test_a_storage_that_begins_to_be_closed_amid_a_look_is_waited_for(
    database: Callable[[], Storage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be asked when the look began, and could no more when it was asked: that is nothing to be told."""
    examine, asked = checkup.examine, list[bool]()

    def closed_meanwhile(*given: Any, **more: Any) -> Health:
        assert serving._use is not None
        asked.append(serving._use.is_open)
        if len(asked) == 1:
            serving._use.is_open = False
            return attrs.evolve(examine(*given, **more), storage="it is not open")
        serving._use.is_open = True
        return examine(*given, **more)

    serving = Runtime(database(), pipelines=[echoing])
    await serving.migrate()
    client = serving.client()
    async with serving:
        monkeypatch.setattr(checkup, "examine", closed_meanwhile)
        assert (await client.health()).storage is None
    assert asked == [True, False]


@pytest.mark.parametrize("verb", ["open", "close"])
async def test_who_looks_at_a_runtime_that_just_opens_or_closes_waits_for_it(
    database, clock, monkeypatch, verb
):
    """The storage has no connection then, which is nothing that a probe should restart the process for."""
    place, began, go_on = database(), threading.Event(), threading.Event()
    runtime, found, do = (
        Runtime(place, pipelines=[echoing], clock=clock),
        list[str | None](),
        getattr(place, verb),
    )

    def slow():
        if verb == "close":
            do()
        began.set()
        go_on.wait(10)
        monkeypatch.undo()
        if verb == "open":
            do()

    async def look() -> None:
        found.append((await runtime.health()).storage)

    async def enter() -> None:
        async with runtime:
            pass

    monkeypatch.setattr(place, verb, slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await anyio.to_thread.run_sync(began.wait)
        tasks.start_soon(look)
        await anyio.sleep(0.05)
        assert [] == found
        go_on.set()
    assert [None] == found


async def test_a_runtime_whose_opening_takes_too_long_is_a_problem(database, clock, monkeypatch):
    """Who looks is told so, and does not wait for what may never come."""
    place, began, go_on = database(), threading.Event(), threading.Event()
    runtime, do = Runtime(place, pipelines=[echoing], clock=clock), place.open

    def slow():
        began.set()
        go_on.wait(10)
        do()

    async def enter() -> None:
        async with runtime:
            pass

    monkeypatch.setattr(place, "open", slow)
    monkeypatch.setattr(checkup, "MOMENT", 0.05)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await anyio.to_thread.run_sync(began.wait)
        assert "it is not open" in ((await runtime.health()).storage or "")
        go_on.set()


async def test_a_runtime_opens_when_a_look_at_its_storage_has_ended(database, clock, monkeypatch):
    """The look would close it under the runtime. Who looks from then on sees that it is not open yet."""
    place, began, go_on = database(), threading.Event(), threading.Event()
    runtime, found, now = Runtime(place, pipelines=[echoing], clock=clock), list[bool](), place.now

    def slow():
        began.set()
        go_on.wait(10)
        return now()

    async def look() -> None:
        found.append((await runtime.health()).ok)

    async def enter() -> None:
        async with runtime:
            with anyio.fail_after(20):
                assert 1 == (await runtime.run(echoing, 1)).output

    monkeypatch.setattr(place, "now", slow)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.to_thread.run_sync(began.wait)
        monkeypatch.undo()
        tasks.start_soon(enter)
        await anyio.sleep(0.02)
        await look()
        assert runtime not in open_hosts
        go_on.set()
    assert [True, True] == found


async def test_what_waits_is_told_and_becomes_a_problem(storage, clock):
    """After the patience of who asks."""
    async with Runtime(storage(), pipelines=[echoing, mailing], clock=clock, serve=False) as client:
        await client.start(mailing, 1)
        await clock.advance(10 * SECOND)
        await client.start(echoing, 1)
        health = await client.health(patience=5 * SECOND)

    assert [("mails", 10 * SECOND), ("pipeline", 0 * SECOND)] == [(q.queue, q.waited) for q in health.queues]
    (problem,) = health.problems
    assert problem.startswith("on queue 'mails' a phase waits for a worker since 2030-01-01")
    assert problem.endswith("(10 s), of: mailing 1")
    assert ["mails", "pipeline"] == [queue["queue"] for queue in health.to_dict()["queues"]]


async def test_a_schedule_that_nobody_fires_becomes_a_problem(storage, clock):
    """Not one that waits for the end of a run of its own."""
    gate = anyio.Event()

    @phase
    async def hold(number: int) -> int:
        await gate.wait()
        return number

    holding = Pipeline("holding", hold)
    place = storage()
    async with Runtime(place, pipelines=[echoing, holding], clock=clock, serve=False) as client:
        await client.schedules.put("nightly", echoing, input=1, every=10 * SECOND)
        await client.schedules.put("held", holding, input=1, every=10 * SECOND, overlap="queue")
        await clock.advance(16 * SECOND)
        health = await client.health(patience=5 * SECOND)
        assert [("held", 6 * SECOND), ("nightly", 6 * SECOND)] == sorted(
            (schedule.name, schedule.waited) for schedule in health.schedules
        )
        assert health.problems[0].startswith(
            "schedule 'held' is due since 2030-01-01 00:00:10 UTC (6 s), and"
        )
        assert not health.ok
    async with Runtime(place, pipelines=[echoing, holding], clock=clock) as runtime:
        await clock.advance(30 * SECOND)
        assert () == (await runtime.health(patience=5 * SECOND)).schedules
        gate.set()


async def test_a_schedule_that_catches_up_is_no_problem(storage, clock):
    """However far it is behind: something was decided of it just now."""
    place = storage()
    async with Runtime(place, pipelines=[echoing], clock=clock, serve=False) as client:
        await client.schedules.put("often", echoing, input=1, every=SECOND, catch_up="all")
        await clock.advance(400 * SECOND)
        assert 1 == len((await client.health()).schedules)
    async with Runtime(place, pipelines=[echoing], clock=clock) as runtime:
        await clock.settle()
        schedule = await runtime.schedules.get("often")
        assert schedule.next_at is not None
        assert schedule.next_at < clock.now() - 60 * SECOND
        assert () == (await runtime.health()).schedules


async def test_a_storage_that_keeps_no_schedules_is_asked_for_none(clock, caplog):
    """Neither by who fires them nor by who asks whether all is well; who wants to store one is told."""

    class Without(MemoryStorage):
        keeps_schedules = False
        timetable = Storage.timetable

    async with Runtime(Without(), pipelines=[echoing], clock=clock) as runtime:
        await clock.advance(60 * SECOND)
        assert (await runtime.health()).ok
        with pytest.raises(RuntimeUsageError, match="keeps no schedules"):
            _ = runtime.schedules
    assert [] == caplog.messages


async def test_workers_are_told_with_their_signs_of_life(database, clock):
    """One that gave none for a lease is not alive, whatever its process does."""
    worker = Runtime(database(), pipelines=[echoing], clock=clock, lease=10 * SECOND)
    async with (
        worker,
        Runtime(database(), pipelines=[echoing], clock=clock, serve=False, lease=10 * SECOND) as client,
    ):
        await clock.advance(SECOND)
        health = await client.health()
        assert [(True, clock.now())] == [(each.alive, each.seen_at) for each in health.workers]
        assert (None, clock.now()) == (health.last_sweep, (await worker.health()).last_sweep)
        assert [True] == [each["alive"] for each in health.to_dict()["workers"]]


async def test_a_worker_that_is_gone_is_not_alive(database, clock):
    """Phases that wait meanwhile are a problem at once."""
    async with Runtime(database(), pipelines=[echoing], clock=clock, serve=False) as client:
        async with Runtime(database(), pipelines=[echoing], clock=clock) as worker:
            (record,) = await client.runner.read(lambda: client.runner.storage.workers("default"))
            assert worker.runner.worker_id == record.id
        gone = record.__class__(
            id="w-elsewhere",
            namespace="default",
            host="another",
            pid=1,
            process_started="",
            seen_at=clock.now(),
        )
        await client.runner.write(lambda: client.runner.storage.enlist(gone))
        await client.start(echoing, 1)
        assert (await client.health()).ok
        await clock.advance(40 * SECOND)
        (problem,) = (await client.health()).problems
        assert problem.startswith("phases wait, and no worker is alive")


async def test_where_no_worker_has_ever_come_what_waits_becomes_a_problem(database, clock):
    """After some seconds, in which the first may come."""
    async with Runtime(database(), pipelines=[echoing], clock=clock, serve=False) as client:
        await client.start(echoing, 1)
        await clock.advance(10 * SECOND)
        assert (await client.health()).ok
        await clock.advance(SECOND)
        (problem,) = (await client.health()).problems
        assert "phases wait, and no worker is alive; phaseline worker MODULE:NAME starts one" == problem


async def test_a_storage_and_a_broker_that_are_away_are_problems(tmp_path):
    """Told, not raised."""
    storage = SqlStorage(f"sqlite:///{tmp_path}/nowhere/runs.db")
    health = await Runtime(storage, pipelines=[echoing], queue=Lossy()).health()

    assert (None, False) == (health.at, health.ok)
    (first, second) = health.problems
    assert first.startswith("the storage does not answer: ")
    assert second.startswith("the broker does not answer, and workers find work by looking only: ")


async def test_threads_that_were_given_up_are_counted_until_they_return(sqlite_storage, clock):
    """At the limit no phase that needs one is started, and health says so."""
    free = threading.Event()

    @phase(timeout=SECOND)
    def stuck(number: int) -> int:
        free.wait(30)
        return number

    async def state() -> ThreadsHealth | None:
        return (await runtime.health()).threads

    pipeline = Pipeline("stuck", stuck)
    async with Runtime(sqlite_storage(), pipelines=[pipeline], clock=clock, sync_threads=1) as runtime:
        first = await runtime.start(pipeline, 1)
        await clock.advance(2 * SECOND)
        assert "FAILED" == await first.state()
        second = await runtime.start(pipeline, 2)
        await clock.advance(SECOND)
        assert "IDLE" == await second.state()
        assert ThreadsHealth(limit=1, busy=1, abandoned=1) == await state()
        (problem,) = (await runtime.health()).problems
        assert problem.startswith("all 1 threads of this process are held")

        free.set()
        with anyio.fail_after(10):
            while await state() != ThreadsHealth(limit=1, busy=0, abandoned=0):  # noqa: ASYNC110  # a thread returns
                await anyio.sleep(0.01)
        await clock.advance(SECOND)
        assert 2 == await second.result()


async def test_a_worker_leaves_what_it_does_not_know_and_says_so_once(database, clock, caplog):
    """In the log and in its health; another one takes it."""
    async with (
        Runtime(database(), pipelines=[echoing], clock=clock) as first,
        Runtime(database(), pipelines=[mailing], clock=clock, serve=False) as client,
    ):
        handle = await client.start(mailing, 7)
        with caplog.at_level(logging.WARNING, "phaseline.worker"):
            for _ in range(4):
                await clock.advance(5 * SECOND)
        told = [each.message for each in caplog.records if "does not know that definition" in each.message]
        assert ["'mailing' version '1' wait on queue 'mails'"] == [text[17:60] for text in told]
        assert [("mailing", "1")] == [each[:2] for each in (await first.health()).unknown]
        assert "IDLE" == await handle.state()

        async with Runtime(database(), pipelines=[mailing], clock=clock):
            await clock.advance(SECOND)
            assert 7 == await handle.result()
        assert () == (await first.health()).unknown


async def test_a_permit_that_the_broker_lost_is_sent_again(database, clock):
    """By a worker that cannot take the work itself, for one that can and did not hear of it."""
    queue = Lossy()
    worker = Runtime(database(), pipelines=[echoing, mailing], queues=["pipeline"], clock=clock, queue=queue)
    async with (
        worker,
        Runtime(database(), pipelines=[mailing], clock=clock, queue=queue, serve=False) as client,
    ):
        await clock.advance(SECOND)
        await client.start(mailing, 1)
        sent = len(queue.lost)
        await clock.advance(10 * SECOND)

        assert {"mails"} == set(queue.lost)
        assert 1 <= len(queue.lost) - sent <= 2


async def test_what_a_worker_takes_itself_needs_no_permit(database, clock):
    """It has room, and finds the work by looking."""
    queue = Lossy()
    async with (
        Runtime(database(), pipelines=[echoing], clock=clock, queue=queue),
        Runtime(database(), pipelines=[echoing], clock=clock, queue=queue, serve=False) as client,
    ):
        handle = await client.start(echoing, 1)
        sent = len(queue.lost)
        await clock.advance(10 * SECOND)
        assert 1 == await handle.result()
        assert sent == len(queue.lost)


@pytest.mark.parametrize("patience", [0 * SECOND, timedelta.max])
async def test_patience_may_be_none_or_endless(open_runtime, patience):
    """It is compared, and no more."""
    async with open_runtime(echoing) as runtime:
        assert (await runtime.health(patience=patience)).ok
