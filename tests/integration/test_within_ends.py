"""How views begin and end: together with what is going on in them, and beside others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import anyio
import pytest
from anyio import to_thread
from anyio.lowlevel import checkpoint
from tests.databases import Database
from tests.loops import BOTH_LOOPS, anyio_backend
from tests.opening import OpenRuntime

from phaseline import Context, Pipeline, Runtime, phase
from phaseline.abc import Storage, WorkerRecord
from phaseline.errors import RuntimeNotOpenError, RuntimeUsageError, StorageUnavailableError
from phaseline.storage.memory import MemoryStorage
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.transport import Line
from phaseline.transports.memory import MemoryTransport
from phaseline.unit_of_work import Outcome, Unit

__all__ = ["anyio_backend"]
WAIT = timedelta(seconds=20)
user: ContextVar[str] = ContextVar("user", default="nobody")


@phase
async def child(number: int) -> int:
    return number


children = Pipeline("children", child)


class SlowToList(SqlStorage):
    """A database that takes long, or fails, where workers of one namespace are looked for."""

    pause = 0.0
    is_broken = False
    slow = "slow"

    def workers(self, namespace: str) -> Sequence[WorkerRecord]:
        if namespace == self.slow:
            time.sleep(self.pause)
            if self.is_broken:
                raise StorageUnavailableError(repr(self), "it is away", "wait")
        return super().workers(namespace)


@pytest.fixture
def slow_storage(tmp_path: Any) -> SlowToList:
    """One on a file."""
    return SlowToList(f"sqlite:///{tmp_path / 'runs.db'}")


@pytest.mark.parametrize("where", ["host", "view"])
async def test_a_body_that_is_refused_at_the_close_has_not_failed(
    database: Callable[[], SqlStorage], where: str
) -> None:
    """It is handed over, from the first moment on at which nothing is begun here any more."""
    hosts: list[Runtime] = []

    @phase
    async def starting(number: int) -> int:
        while True:
            await hosts[-1].start(children, number)

    pipeline = Pipeline("starting", starting)
    await Runtime(database()).migrate()
    for round_ in range(12):
        async with Runtime(database(), pipelines=[pipeline, children]) as runtime:
            hosts.append(runtime)
            there = await runtime.within("acme") if where == "view" else runtime
            handle = await there.start(pipeline, 1)
            await anyio.sleep(0.02 + round_ * 0.001)
        async with Runtime(database(), pipelines=[pipeline, children], serve=False) as runtime:
            there = await runtime.within("acme") if where == "view" else runtime
            found = await there.get(handle.id)
            assert await found.state() not in {"FAILED", "COMPLETED"}
            await found.cancel()


@pytest.mark.parametrize("how", ["run", "run_sync", "in a group"])
@pytest.mark.parametrize("beside", [True, False], ids=["beside another runtime", "alone"])
async def test_what_a_body_runs_in_the_drain_is_refused(
    database: Callable[[], SqlStorage], memory: MemoryStorage, how: str, beside: bool
) -> None:
    """It was run in a memory that nobody would ever look at, or failed for good, as no open runtime had registered it."""
    begun, go_on, called = threading.Event(), threading.Event(), list[int]()

    @phase
    async def waiting(number: int) -> int:
        begun.set()
        await to_thread.run_sync(go_on.wait)
        called.append(number)
        if how == "run":
            return (await children.run(number)).output
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.start, children, number)
        return number

    @phase(name="waiting")
    def waiting_in_a_thread(number: int) -> int:
        begun.set()
        assert go_on.wait(20)
        called.append(number)
        return children.run_sync(number).output

    pipeline = Pipeline("waiting", waiting_in_a_thread if how == "run_sync" else waiting)
    other = Runtime(memory, pipelines=[Pipeline("other", child)]) if beside else anyio.create_task_group()
    async with other:
        runtime = Runtime(database(), pipelines=[pipeline, children], drain=WAIT)
        await runtime.migrate()
        async with runtime:
            handle = await runtime.start(pipeline, 3)
            await to_thread.run_sync(begun.wait)

            async def go() -> None:
                while runtime.is_open:  # noqa: ASYNC110  # it has begun to close then
                    await anyio.sleep(0.001)
                go_on.set()

            runtime.runner.spawn(go)
        assert called == [3]
        async with Runtime(database(), pipelines=[pipeline, children]) as runtime:
            assert await (await runtime.get(handle.id)).result(WAIT) == 3
            assert called == [3, 3]
            assert [run.pipeline async for run in runtime.find(pipeline=children)] == ["children"]


@BOTH_LOOPS
async def test_a_view_that_opens_as_its_host_closes_is_not_open(memory: MemoryStorage) -> None:
    """It was given all the same, and said of what was asked of it that this process is a fork."""
    came_to, outlived = list[str](), list[bool]()

    async def ask(runtime: Runtime) -> None:
        try:
            view = await runtime.within("acme")
            outlived.append(view.is_open and not runtime.is_open)
            await view.start(children, 1)
        except RuntimeNotOpenError:
            came_to.append("refused")
        else:
            came_to.append("started")

    for turns in range(40):
        async with anyio.create_task_group() as tasks, Runtime(memory, pipelines=[children]) as runtime:
            tasks.start_soon(ask, runtime)
            for _ in range(turns % 8):
                await checkpoint()
    assert (len(came_to), any(outlived)) == (40, False)
    assert "refused" in came_to


@pytest.fixture
def memory() -> MemoryStorage:
    """One for all runtimes of a test."""
    return MemoryStorage()


async def test_an_opening_that_fails_leaves_nothing_behind(
    slow_storage: SlowToList,
) -> None:
    """No worker that takes permits, and no row of one; whoever asks again has it opened anew."""
    async with Runtime(slow_storage, pipelines=[children]) as runtime:
        slow_storage.is_broken = True
        for _ in range(5):
            with pytest.raises(StorageUnavailableError):
                await runtime.within("slow")
        slow_storage.is_broken = False
        assert len(runtime.runners) == 1
        assert not await runtime.runner.read(lambda: slow_storage.workers("slow"))
        slow = await runtime.within("slow")
        assert await (await slow.start(children, 3)).result(WAIT) == 3
        assert len((await slow.health()).workers) == 1


async def test_who_asked_first_may_go(slow_storage: SlowToList) -> None:
    """A request that is cut off does not cut off the opening for all others."""
    async with Runtime(slow_storage, pipelines=[children]) as runtime:
        slow_storage.pause = 0.3
        with anyio.move_on_after(0.05) as impatient:
            await runtime.within("slow")
        assert impatient.cancelled_caught
        slow = await runtime.within("slow")
        slow_storage.pause = 0
        assert await (await slow.start(children, 3)).result(WAIT) == 3
        assert len((await slow.health()).workers) == 1


async def test_a_view_that_is_open_waits_for_no_other(slow_storage: SlowToList) -> None:
    """Each is opened by itself."""
    async with Runtime(slow_storage, pipelines=[children]) as runtime:
        quick = await runtime.within("quick")
        slow_storage.pause = 1.0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.within, "slow")
            await anyio.sleep(0.1)
            begun = time.monotonic()
            assert await runtime.within("quick") is quick
            assert time.monotonic() - begun < 0.5
        slow_storage.pause = 0


async def test_the_close_does_not_wait_for_an_opening(slow_storage: SlowToList) -> None:
    """It ends that; whoever waits for it is told."""
    refused: list[RuntimeNotOpenError] = []

    async def ask() -> None:
        try:
            await runtime.within("slow")
        except RuntimeNotOpenError as error:
            refused.append(error)

    runtime = Runtime(slow_storage, pipelines=[children])
    async with anyio.create_task_group() as tasks, runtime:
        slow_storage.pause = 0.3
        tasks.start_soon(ask)
        await anyio.sleep(0.1)
    assert len(refused) == 1
    with pytest.raises(RuntimeNotOpenError):
        await runtime.within("slow")


async def test_a_view_that_is_asked_for_too_late_holds_up_no_close(open_runtime: OpenRuntime) -> None:
    """When the tasks of its host have ended by a mistake, and the host has not been told yet."""
    refused: list[RuntimeNotOpenError] = []

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True), anyio.fail_after(20):
        async with open_runtime(children) as runtime:
            with anyio.CancelScope(shield=True):
                runtime.runner.spawn(broken)
                await anyio.sleep(0.2)
                try:
                    await runtime.within("acme")
                except RuntimeNotOpenError as error:
                    refused.append(error)
            await anyio.sleep_forever()
    assert len(refused) == 1


async def test_it_runs_in_the_context_of_its_host(database: Callable[[], SqlStorage]) -> None:
    """And not in that of the request that happened to be the first to ask for it."""

    @phase
    async def who(number: int) -> str:
        return user.get()

    asking = Pipeline("asking", who)
    runtime = Runtime(database(), pipelines=[asking])
    await runtime.migrate()

    async def first() -> None:
        user.set("alice")
        await (await (await runtime.within("acme")).start(asking, 1)).result(WAIT)

    async with runtime:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
        acme = await runtime.within("acme")
        assert await (await acme.start(asking, 1)).result(WAIT) == "nobody"


async def test_a_body_runs_others_in_its_own_namespace(open_runtime: OpenRuntime) -> None:
    """``pipeline.run()`` in it means the view, and it knows whose it is."""

    @phase
    async def outer(number: int, ctx: Context) -> str:
        run = await children.run(number)
        return f"{ctx.namespace} {run.output} {ctx.tags} {dict(ctx.attributes)}"

    @phase
    def outer_sync(number: int, ctx: Context) -> str:
        return f"{ctx.namespace} {children.run_sync(number).output}"

    calling, calling_sync = Pipeline("calling", outer), Pipeline("calling-sync", outer_sync)
    async with open_runtime(calling, calling_sync, children) as runtime:
        acme = await runtime.within("acme")
        handle = await acme.start(calling, 3, tags=["red"], attributes={"age": 3})
        assert await handle.result(WAIT) == "acme 3 ('red',) {'age': 3}"
        assert (await acme.run(calling_sync, 4)).output == "acme 4"
        assert await runtime.find().count() == {}
        assert await acme.find().count() == {"COMPLETED": 4}
        assert (await calling.run(5)).output == "default 5 () {}"


async def test_a_body_asks_the_clock_of_its_runtime(open_runtime: OpenRuntime, clock: FakeClock) -> None:
    """As ``ctx.deadline`` is by it."""

    @phase
    async def telling(number: int, ctx: Context) -> datetime:
        return ctx.now()

    pipeline = Pipeline("telling", telling)
    async with open_runtime(pipeline) as runtime:
        await clock.advance(timedelta(days=3))
        assert (await runtime.run(pipeline, 1)).output == clock.now()


async def test_a_fork_is_told_that_a_runtime_is_elsewhere(
    open_runtime: OpenRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By each verb: nothing that it waited for would ever come."""
    async with open_runtime(children) as runtime:
        acme = await runtime.within("acme")
        here = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: here + 1)
        for asked in (runtime, acme):
            for call in (
                partial(asked.start, children, 1),
                partial(asked.run, children, 1),
                partial(asked.get, "x"),
                partial(asked.within, "globex"),
                asked.orphans,
            ):
                with pytest.raises(RuntimeUsageError, match="of which this one is a fork"):
                    await call()
            with pytest.raises(RuntimeUsageError, match="of which this one is a fork"):
                asked.find()
        monkeypatch.undo()
        assert (await acme.run(children, 3)).output == 3


class Away(SqlStorage):
    """One that takes nothing from a moment on."""

    is_away = False

    def commit(self, units: Sequence[Unit]) -> Sequence[Outcome]:
        if self.is_away:
            raise StorageUnavailableError(repr(self), "it is away", "wait")
        return super().commit(units)


async def test_there_is_one_drain(tmp_path: Any) -> None:
    """However many views there are, and whatever is left of bodies."""
    storage = Away(f"sqlite:///{tmp_path / 'runs.db'}")

    @phase
    async def short(number: int) -> int:
        await anyio.sleep(0.2)
        return number

    pipeline = Pipeline("short", short)
    async with Runtime(storage, pipelines=[pipeline], drain=timedelta(seconds=2)) as runtime:
        await runtime.within("acme")
        await runtime.start(pipeline, 1)
        await anyio.sleep(0.1)
        storage.is_away = True
        await anyio.sleep(0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 2 + 2 + 1  # the drain, the end of bodies by force, and some


class Ending(MemoryTransport):
    """One whose line of a namespace cannot be closed."""

    def join(self, namespace: str, heard: Any, missed: Any) -> Line:
        line = super().join(namespace, heard, missed)
        if namespace == "acme":
            close = line.close

            def broken() -> None:
                close()
                raise OSError("the line of acme")

            line.close = broken
        return line


async def test_what_cannot_be_closed_is_raised_as_it_is(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """And told with the namespace."""
    with pytest.raises(OSError, match="the line of acme"):
        async with Runtime(
            f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[children], transport=Ending()
        ) as runtime:
            await runtime.within("acme")
    assert "namespace 'acme' could not be closed in order" in caplog.text


async def test_workers_of_many_tenants_share_connections_and_threads(postgres: Database) -> None:
    """Also such as serve: what they hear comes in on one connection, and their leases are extended by a few threads."""
    storage: Storage = postgres.storage()
    async with Runtime(storage, pipelines=[children]) as runtime:
        await anyio.sleep(0.2)
        threads = threading.active_count()
        views = [await runtime.within(f"tenant-{number}") for number in range(30)]
        for number, view in enumerate(views):
            assert await (await view.start(children, number)).result(WAIT) == number
        names = [thread.name for thread in threading.enumerate()]
        assert (names.count("phaseline-listener"), names.count("phaseline-renewer")) == (
            1,
            4,
        )  # eight workers each
        assert (
            threading.active_count() <= threads + 7
        )  # those that read, the one that tells, and three that renew
