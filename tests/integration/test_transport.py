"""Events that one process commits reach all others that listen: each run's in order, without a gap and without a repeat."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from tests.leading import FailingOver
from tests.servers import Server
from tests.servers_redis import redis as start_redis

from phaseline import Context, CustomEvent, Event, Pipeline, Runtime, phase
from phaseline._shell.positions import Positions
from phaseline._shell.relay import Relay
from phaseline.errors import DefinitionError, StorageRefusedError, StorageUnavailableError, TransportURLError
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.transport import Heard, Line, Missed, Transport
from phaseline.transports.memory import MemoryTransport
from phaseline.transports.redis import RedisTransport

PATIENCE = 20
Make = Callable[[], Transport]
Storages = Callable[[], SqlStorage]


class Counted(CustomEvent):
    number: int


@phase
async def count(value: int, ctx: Context) -> int:
    ctx.progress(1, 2)
    for number in range(value):
        ctx.emit(Counted(number=number))
    return value


@phase
async def again(value: int) -> int:
    return value


counting = Pipeline("counting", count >> again)


class Heap:
    """What a handler hears."""

    def __init__(self, runtime: Runtime, **options: Any) -> None:
        self.events: list[Event] = []
        runtime.bus.subscribe(self.hear, **options)

    async def hear(self, event: Event) -> None:
        self.events.append(event)

    async def until(self, *run_ids: str) -> dict[str, list[int]]:
        """Wait until the ends of these runs were heard; gives the numbers of stored events by run, as they came."""
        with anyio.fail_after(PATIENCE):
            while not self._has_ends(run_ids):  # noqa: ASYNC110  # an event would have to be set at each
                await anyio.sleep(0.01)
        found: dict[str, list[int]] = defaultdict(list)
        for event in self.events:
            if event.seq is not None:
                found[event.run_id].append(event.seq)
        return dict(found)

    def _has_ends(self, run_ids: Sequence[str]) -> bool:
        return set(run_ids) <= {event.run_id for event in self.events if event.type == "PIPELINE_COMPLETED"}


async def completed(runtime: Runtime, count: int = 1) -> dict[str, list[int]]:
    """Run so many to their ends; gives the numbers of their stored events, by run."""
    handles = [await runtime.start(counting, 3) for _ in range(count)]
    for handle in handles:
        await handle.result(timedelta(seconds=PATIENCE))
    return {
        handle.id: [event.seq async for event in handle.events() if event.seq is not None]
        for handle in handles
    }


@asynccontextmanager
async def two(storage: Storages, transport: Transport | str) -> AsyncGenerator[tuple[Runtime, Runtime]]:
    """One that asks and carries nothing out, and one that works."""
    options: dict[str, Any] = {"pipelines": [counting], "transport": transport}
    async with (
        Runtime(storage(), serve=False, **options) as asking,
        Runtime(storage(), **options) as working,
    ):
        yield asking, working


@pytest.fixture(params=["memory", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Make transports of one place."""
    if request.param == "memory":
        transport = MemoryTransport()
        return lambda: transport
    server: Server = request.getfixturevalue("redis_server")
    return lambda: RedisTransport(server.url)


async def test_every_process_hears_what_any_of_them_commits(sqlite_storage: Storages, make: Make) -> None:
    """Handlers and walks, progress included; a handler that acts hears of its own process alone."""
    runtimes = [
        Runtime(sqlite_storage(), pipelines=[counting], transport=make(), serve=serve, namespace="every")
        for serve in (False, True, True)
    ]
    async with runtimes[0] as asking, runtimes[1] as first, runtimes[2] as second:
        heap, own, stream = Heap(asking), Heap(asking, own=True), asking.events()
        expected = await completed(first, 5) | await completed(second, 5)
        assert expected == await heap.until(*expected)
        with anyio.fail_after(PATIENCE):
            walked = [await anext(stream) for _ in heap.events]

    assert walked == heap.events
    assert len(expected) == sum(event.type == "PHASE_PROGRESS" for event in heap.events)
    assert [] == own.events


async def test_a_run_that_several_processes_move_on_is_told_in_order(
    sqlite_storage: Storages, make: Make
) -> None:
    """To each of them, its own part and those of the others."""
    options: dict[str, Any] = {"pipelines": [counting], "namespace": "several"}
    async with (
        Runtime(sqlite_storage(), serve=False, transport=make(), **options) as asking,
        Runtime(sqlite_storage(), transport=make(), **options) as working,
    ):
        heaps = [Heap(asking), Heap(working)]
        handle = await asking.start(counting, 2, delay=timedelta(seconds=0.2))
        for number in range(5):
            await handle.annotate(f"{number}")
            await (await working.get(handle.id)).annotate(f"and {number}")
        await handle.result(timedelta(seconds=PATIENCE))
        found = [await heap.until(handle.id) for heap in heaps]
        stored = [event.seq async for event in handle.events()]

    assert [{handle.id: stored}] * 2 == found


async def test_namespaces_hear_nothing_of_each_other(sqlite_storage: Storages, make: Make) -> None:
    """On one storage and one transport."""
    options: dict[str, Any] = {"pipelines": [counting]}
    async with (
        Runtime(sqlite_storage(), namespace="acme", transport=make(), **options) as acme,
        Runtime(sqlite_storage(), namespace="globex", transport=make(), **options) as globex,
    ):
        heaps = {"acme": Heap(acme), "globex": Heap(globex)}
        of_acme, of_globex = await completed(acme), await completed(globex)
        assert of_acme == await heaps["acme"].until(*of_acme)
        assert of_globex == await heaps["globex"].until(*of_globex)


class Meddler(Transport):
    """Loses, doubles and mixes up what it carries."""

    def __init__(self) -> None:
        self._inner = MemoryTransport()
        self.fates: dict[str, int] = defaultdict(int)
        self.missed: list[Missed] = []

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        held: list[Sequence[Event]] = []
        count = [0]

        def hear(events: Sequence[Event]) -> None:
            count[0] += 1
            fate = ("lost", "doubled", "held", "carried", "held")[count[0] % 5]
            self.fates[fate] += 1
            if fate == "held":
                held.append(events)
            elif fate != "lost":
                heard(events)
                if fate == "doubled":
                    heard(events)
                while held:  # after what came later
                    heard(held.pop())

        self.missed.append(missed)
        return self._inner.join(namespace, hear, missed)


async def test_a_transport_that_mixes_everything_up_is_set_right(sqlite_storage: Storages) -> None:
    """What is missing is read from the storage, what was told is passed over, and what comes too early waits."""
    meddler = Meddler()
    async with two(sqlite_storage, meddler) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working, 10)
        meddler.missed[0](timedelta(seconds=PATIENCE))
        found = await heap.until(*expected)

    assert expected == found
    assert {"lost", "doubled", "held", "carried"} == set(meddler.fates)


class Cut(Transport):
    """Carries all but the ends of runs."""

    def __init__(self) -> None:
        self._inner = MemoryTransport()
        self.cut = 0

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        def hear(events: Sequence[Event]) -> None:
            if any(event.type == "PIPELINE_COMPLETED" for event in events):
                self.cut += 1
            else:
                heard(events)

        return self._inner.join(namespace, hear, missed)


async def test_an_end_that_nobody_could_send_is_found(
    sqlite_storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies right after a commit sends nothing more: runs that are silent are looked at."""
    monkeypatch.setattr("phaseline._shell.relay.AUDIT", 0.05)
    transport = Cut()
    async with two(sqlite_storage, transport) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working, 3)
        assert expected == await heap.until(*expected)

    assert transport.cut >= 3


class Deaf(SqlStorage):
    """Does not give events, where that is wanted."""

    refusal: Exception | None = None
    refused = 0

    def events(self, *args: Any, **options: Any) -> Sequence[Event]:
        if self.refusal is not None:
            self.refused += 1
            raise self.refusal
        return super().events(*args, **options)

    async def has_refused(self, times: int = 1) -> None:
        """Wait until it has done so as often as that, from now on."""
        wanted = self.refused + times
        with anyio.fail_after(PATIENCE):
            while self.refused < wanted:  # noqa: ASYNC110  # threads count
                await anyio.sleep(0.01)


class Outage(Transport):
    """Loses everything for a while, and says so afterwards."""

    def __init__(self) -> None:
        self._inner = MemoryTransport()
        self._began = 0.0
        self.is_away = False
        self.lost = 0
        self._missed: list[Missed] = []

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        def hear(events: Sequence[Event]) -> None:
            self.lost += self.is_away
            if not self.is_away:
                heard(events)

        self._missed.append(missed)
        return self._inner.join(namespace, hear, missed)

    def begin(self) -> None:
        self._began, self.is_away = time.monotonic(), True

    def end(self, *, tell: bool = True) -> None:
        self.is_away = False
        for missed in self._missed if tell else ():
            missed(timedelta(seconds=time.monotonic() - self._began))


async def test_an_outage_is_made_up_for_although_runs_were_forgotten(
    sqlite_storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was told of more runs than it remembers takes what was lost for no older than it is."""
    monkeypatch.setattr("phaseline._shell.relay.Positions", partial(Positions, 3))
    monkeypatch.setattr("phaseline._shell.relay.MARGIN", timedelta(0))
    transport = Outage()
    async with two(sqlite_storage, transport) as (asking, working):
        heap = Heap(asking)
        before = await completed(working, 6)
        await heap.until(*before)
        transport.begin()
        expected = await completed(working, 8)
        transport.end()
        assert before | expected == await heap.until(*expected)

    assert transport.lost


async def annotate(runtime: Runtime, runs: Mapping[str, list[int]]) -> None:
    """Have one more event of each run, and note its number."""
    for run_id, seqs in runs.items():
        await (await runtime.get(run_id)).annotate("once more")
        seqs.append(seqs[-1] + 1)


async def test_what_is_found_after_an_outage_hides_nothing_else_that_is(
    sqlite_storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More runs than are remembered are found, in the order of their ids: the first of them went on last."""
    monkeypatch.setattr("phaseline._shell.relay.Positions", partial(Positions, 3))
    monkeypatch.setattr("phaseline._shell.relay.MARGIN", timedelta(0))
    transport = Outage()
    async with two(sqlite_storage, transport) as (asking, working):
        heap = Heap(asking)
        transport.begin()
        expected = await completed(working, 8)
        await annotate(working, dict([next(iter(expected.items()))]))
        transport.end()
        assert expected == await heap.until(*expected)
        await annotate(working, expected)
        expected |= (last := await completed(working))
        assert expected == await heap.until(*last)


async def test_an_end_during_an_outage_is_told_however_old_the_run(
    sqlite_storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began before this process did, and nothing of it was told here."""
    monkeypatch.setattr("phaseline._shell.relay.MARGIN", timedelta(0))
    transport = Outage()
    options: dict[str, Any] = {"pipelines": [counting], "transport": transport}
    async with Runtime(sqlite_storage(), **options) as working:
        handle = await working.start(counting, 3, delay=timedelta(seconds=0.5))
        async with Runtime(sqlite_storage(), serve=False, **options) as asking:
            heap = Heap(asking)
            transport.begin()
            await handle.result(timedelta(seconds=PATIENCE))
            transport.end()
            await heap.until(handle.id)

    assert transport.lost


async def test_what_found_no_room_while_the_storage_was_away_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it was away: what was lost is looked for from the first batch on that found none."""
    monkeypatch.setattr("phaseline._shell.relay.MARGIN", timedelta(0))
    monkeypatch.setattr("phaseline._shell.relay.MOST_WAITING", 3)
    transport, url = Outage(), f"sqlite:///{tmp_path / 'runs.db'}"
    deaf = Deaf(url)
    options: dict[str, Any] = {"pipelines": [counting], "transport": transport}
    async with Runtime(deaf, serve=False, **options) as asking, Runtime(url, **options) as working:
        heap = Heap(asking)
        first = await completed(working)
        handle = await working.get(next(iter(first)))
        transport.begin()
        await handle.annotate("lost on the way")
        transport.end(tell=False)
        deaf.refusal = StorageUnavailableError("it", "it is away", "wait")
        await handle.annotate("what comes after a gap")
        expected = await completed(working, 6)
        await deaf.has_refused()
        deaf.refusal = None
        assert expected.items() <= (await heap.until(*expected)).items()


class Late(Transport):
    """Brings nothing until it is told to."""

    def __init__(self) -> None:
        self._inner = MemoryTransport()
        self._held: list[Callable[[], object]] = []

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        return self._inner.join(namespace, lambda events: self._held.append(partial(heard, events)), missed)

    def bring(self) -> None:
        for hear in self._held:
            hear()


async def test_what_found_no_room_is_read_however_late_it_came(
    sqlite_storage: Storages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for from when it came about."""
    monkeypatch.setattr("phaseline._shell.relay.MARGIN", timedelta(0))
    monkeypatch.setattr("phaseline._shell.relay.MOST_WAITING", 0)
    transport = Late()
    async with two(sqlite_storage, transport) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working, 3)
        transport.bring()
        assert expected == await heap.until(*expected)


async def test_a_loss_is_as_long_ago_as_when_it_was_told(
    sqlite_storage: Storages, lost: list[datetime]
) -> None:
    """An event loop that is busy just then does not come to it at once."""
    meddler = Meddler()
    async with two(sqlite_storage, meddler) as (asking, _):
        meddler.missed[0](timedelta(0))
        told_at = asking.runner.clock.now()
        while asking.runner.clock.now() == told_at:
            pass
        with anyio.fail_after(PATIENCE):
            while not lost:  # noqa: ASYNC110  # the runtime notes it
                await anyio.sleep(0.01)

    assert lost[0] <= told_at


async def test_events_that_cannot_be_read_end_no_runtime(tmp_path: Path) -> None:
    """Neither where a gap is found nor after a loss: it is said, and they are told once they can be."""
    url, meddler = f"sqlite:///{tmp_path / 'runs.db'}", Meddler()
    storage = Deaf(url)
    async with (
        Runtime(storage, pipelines=[counting], transport=meddler, serve=False) as asking,
        Runtime(url, pipelines=[counting], transport=meddler) as working,
    ):
        heap = Heap(asking)
        storage.refusal = ValueError("a row that nobody can read")
        expected = await completed(working, 5)
        await storage.has_refused(0 if storage.refused else 1)
        meddler.missed[0](timedelta(seconds=PATIENCE))
        await storage.has_refused()
        storage.refusal = None
        meddler.missed[0](timedelta(seconds=PATIENCE))
        assert expected == await heap.until(*expected)


async def test_a_silent_run_that_cannot_be_read_ends_no_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at again, until it can be."""
    monkeypatch.setattr("phaseline._shell.relay.AUDIT", 0.05)
    url, transport = f"sqlite:///{tmp_path / 'runs.db'}", Cut()
    storage = Deaf(url)
    async with (
        Runtime(storage, pipelines=[counting], transport=transport, serve=False) as asking,
        Runtime(url, pipelines=[counting], transport=transport) as working,
    ):
        heap = Heap(asking)
        storage.refusal = StorageRefusedError("here", "it is not read")
        expected = await completed(working, 2)
        await storage.has_refused(3)
        storage.refusal = None
        assert expected == await heap.until(*expected)


class Broken(Transport):
    """Of somebody who did not read that sending never raises."""

    def __init__(self) -> None:
        self.sent = 0

    def join(self, namespace: str, heard: Heard, missed: Missed) -> Line:
        broken = self

        class BrokenLine(Line):
            def send(self, events: Sequence[Event]) -> None:
                broken.sent += 1
                raise OSError("no way out")

            def close(self) -> None:
                pass

        return BrokenLine()


async def test_a_transport_that_raises_changes_nothing_about_runs(
    sqlite_storage: Storages, caplog: pytest.LogCaptureFixture
) -> None:
    """The commit stands, this process is told of it, and the error is in the log."""
    transport = Broken()
    async with Runtime(sqlite_storage(), pipelines=[counting], transport=transport) as runtime:
        heap = Heap(runtime)
        expected = await completed(runtime, 2)
        assert expected == await heap.until(*expected)

    assert transport.sent
    assert "no way out" in caplog.text


async def test_a_sender_without_a_thread_is_refused_at_the_opening(
    sqlite_storage: Storages, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not amid the first commit; nothing is left behind."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "phaseline-events-out":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        async with Runtime(sqlite_storage(), pipelines=[counting], transport=redis_server.url):
            pass
    with anyio.fail_after(PATIENCE):
        while any(thread.name == "phaseline-events-in" for thread in threading.enumerate()):  # noqa: ASYNC110  # a thread ends
            await anyio.sleep(0.01)


@pytest.fixture
def server() -> Iterator[Server]:
    """A Redis of this test's own, which may be killed."""
    with start_redis() as started:
        yield started


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """From when on something may be missing, as often as a transport says that."""
    noted: list[datetime] = []
    lose = Relay._lose
    monkeypatch.setattr(Relay, "_lose", lambda relay, since: (noted.append(since), lose(relay, since)))
    return noted


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_redis_that_is_killed_costs_nothing_but_time(
    sqlite_storage: Storages, server: Server, lost: list[datetime]
) -> None:
    """Runs go on without it; once it is back, empty, all that was committed meanwhile is told.

    That something it had taken may be missing is told, too: here nothing was.
    """
    async with two(sqlite_storage, server.url) as (asking, working):
        heap = Heap(asking)
        before = await completed(working)
        assert before == await heap.until(*before)
        await anyio.to_thread.run_sync(lambda: server.stop(immediate=True))
        began = time.monotonic()
        meanwhile = await completed(working, 10)
        took = time.monotonic() - began
        assert set(meanwhile).isdisjoint(event.run_id for event in heap.events), "it was not killed"
        away = await asking.health()
        await anyio.to_thread.run_sync(server.start)
        after = await completed(working)
        found = await heap.until(*meanwhile, *after)
        back = await asking.health()

    assert before | meanwhile | after == found
    assert lost, "who listens was not told of the outage"
    assert took < PATIENCE / 4
    assert (False, None) == (away.transport is None, back.transport)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_had_to_be_dropped_is_read(
    sqlite_storage: Storages, server: Server, lost: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender keeps so many batches while Redis is away; a jump in their numbers tells the others of the rest."""
    monkeypatch.setattr("phaseline.transports.redis.sending.MOST_WAITING", 2)
    async with two(sqlite_storage, server.url) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working)
        assert expected == await heap.until(*expected)
        client = redis.Redis.from_url(server.url)
        await anyio.to_thread.run_sync(lambda: client.client_pause(500, all=False))  # reading goes on
        expected |= await completed(working, 5)
        await anyio.to_thread.run_sync(client.client_unpause)
        assert expected == await heap.until(*expected)
        client.close()

    assert lost, "nothing had to be dropped"


class Forgetful:
    """Has Redis forget everything in the moment in which it takes batches, before anybody can read them.

    Before it takes any all of them come together, so that none is left by which another one would be missed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = self.takes = False
        self.forgotten = 0
        pipeline = redis.Redis.pipeline

        def forgetting(client: redis.Redis, **options: Any) -> Any:
            if not self.is_on:
                return pipeline(client, **options)
            if not self.takes:
                raise redis.ConnectionError("the test waits until all is there")
            made = pipeline(client, transaction=True)
            execute = made.execute

            def flush() -> object:
                made.flushall()
                told = execute()
                self.is_on, self.forgotten = False, self.forgotten + 1
                return told

            made.execute = flush
            return made

        monkeypatch.setattr(redis.Redis, "pipeline", forgetting)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_a_redis_that_forgets_everything_is_made_up_for(
    sqlite_storage: Storages, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLUSHALL amid the work: what the readers had not read yet comes from the storage, with the next batch or without one."""
    forgetful = Forgetful(monkeypatch)
    async with two(sqlite_storage, server.url) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working)
        assert expected == await heap.until(*expected)
        for times, is_followed in enumerate((True, False), 1):
            forgetful.is_on, forgetful.takes = True, False
            expected |= await completed(working, 2)
            forgetful.takes = True
            with anyio.fail_after(PATIENCE):
                while forgetful.forgotten < times:  # noqa: ASYNC110  # a thread counts
                    await anyio.sleep(0.01)
            if is_followed:
                expected |= await completed(working)
            assert expected == await heap.until(*expected)


@pytest.mark.parametrize("is_of_use", [True, False])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_redis_that_only_reads_any_more_is_left_for_the_new_primary(
    sqlite_storage: Storages, failing_over: FailingOver, is_of_use: bool
) -> None:
    """After a failover the old one may live on as a replica, which answers, that it takes nothing: the name leads elsewhere."""
    demote = partial(failing_over.demote, is_of_use=is_of_use)
    async with two(sqlite_storage, failing_over.url) as (asking, working):
        heap = Heap(asking)
        expected = await completed(working)
        assert expected == await heap.until(*expected)
        await anyio.to_thread.run_sync(demote)
        expected |= await completed(working)
        runtimes = [working] if is_of_use else [working, asking]
        await until_trouble(runtimes, is_there=True)
        failing_over.lead_to_new()
        expected |= await completed(working)
        assert expected == await heap.until(*expected)
        await until_trouble(runtimes, is_there=False)


async def until_trouble(runtimes: Sequence[Runtime], *, is_there: bool) -> None:
    """Wait until the transport of each is in trouble, or in none any more."""
    with anyio.fail_after(PATIENCE):
        for runtime in runtimes:
            while ((await runtime.health()).transport is not None) != is_there:  # noqa: ASYNC110  # a thread notes it
                await anyio.sleep(0.01)


async def test_a_redis_that_is_not_there_is_no_hindrance(
    sqlite_storage: Storages, caplog: pytest.LogCaptureFixture
) -> None:
    """A runtime opens, works and closes; it is said once."""
    transport = RedisTransport("redis://:secret@127.0.0.1:1/0")
    async with Runtime(sqlite_storage(), pipelines=[counting], transport=transport) as runtime:
        heap = Heap(runtime)
        expected = await completed(runtime, 3)
        assert expected == await heap.until(*expected)
        health = await runtime.health()

    assert health.transport is not None
    assert ["the transport of events does not answer"] == [text.partition(",")[0] for text in health.problems]
    warnings = [record.getMessage() for record in caplog.records if record.name == "phaseline.transport"]
    assert ["cannot be heard", "cannot be sent"] == sorted(
        part for part in ("cannot be sent", "cannot be heard") if sum(part in text for text in warnings) == 1
    )
    assert "secret" not in caplog.text + repr(transport)


@pytest.mark.parametrize(
    ("transport", "error"),
    [
        (3, DefinitionError),
        ("rabbit://host", TransportURLError),
        ("redis://host:port/0", TransportURLError),
        ("", TransportURLError),
    ],
    ids=range(4),
)
def test_what_is_no_transport_is_refused(transport: Any, error: type[Exception]) -> None:
    """Before anything is opened."""
    with pytest.raises(error):
        Runtime(MemoryStorage(), transport=transport)


def test_a_number_of_batches_is_kept() -> None:
    """At least one."""
    with pytest.raises(DefinitionError, match="kept=0"):
        RedisTransport("redis://host", kept=0)
