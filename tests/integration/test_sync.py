"""A runtime on a thread of its own, used by threads that have no event loop: on each storage and on both loops."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from phaseline import Context, Pipeline, Runtime, Signal, phase
from phaseline._shell.loop_thread import LoopThread
from phaseline.abc import Storage
from phaseline.errors import (
    CommandRefusedError,
    DefinitionError,
    InvalidInputError,
    KeyConflictError,
    PipelineFailedError,
    PipelineNotRegisteredError,
    ResultTimeoutError,
    RunningLoopError,
    RunNotFoundError,
    RunNotVisibleError,
    RuntimeNotOpenError,
    RuntimeUsageError,
    SchemaVersionError,
    StorageUnavailableError,
)
from phaseline.storage.sql.store import SqlStorage
from phaseline.sync import SyncRuntime

SOON = timedelta(seconds=20)
APPROVED = Signal[str]("approved")
Open = Callable[..., SyncRuntime]


@phase
async def double(number: int) -> int:
    return 2 * number


@phase
def add_one(number: int) -> int:
    return number + 1


@phase
async def broken(number: int) -> int:
    raise ValueError(number)


@phase
async def signed(decided: tuple[int, str]) -> str:
    return f"{decided[0]} by {decided[1]}"


numbers = Pipeline("numbers", double >> add_one)
failing = Pipeline("failing", double >> broken)
approval = Pipeline("approval", double.wait_for(APPROVED) >> signed)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def runtime(storage: Callable[[], Storage], backend: Any) -> Iterator[SyncRuntime]:
    """One that is open, of all pipelines of these tests."""
    made = Runtime(storage(), pipelines=[numbers, failing, approval])
    with SyncRuntime(made, backend=backend) as opened:
        yield opened


# --------------------------------------------------------------------- runs
def test_runs_are_started_awaited_and_asked(runtime: SyncRuntime) -> None:
    """All in the thread that asks."""
    handle = runtime.start(numbers, 3, key="three", tags=["small"], priority=5)
    assert handle.result(SOON) == 7
    assert handle.state() == "COMPLETED"
    assert handle.wait(SOON).output == handle.run().output == 7
    assert runtime.start(numbers, 3, key="three").id == handle.id
    assert runtime.run(numbers, 4).output == 9
    assert numbers.run_sync(5).output == 11
    assert runtime.get(handle.id, numbers).result(SOON) == 7
    found = runtime.get_by_key(numbers, "three")
    assert found is not None
    assert found.result(SOON) == 7
    assert runtime.get_by_key(numbers, "four") is None
    assert [checkpoint.phase for checkpoint in handle.checkpoints()] == ["double", "add_one"]
    assert handle.export().id == handle.id
    assert runtime.call(runtime.runtime.find().count) == {"COMPLETED": 3}
    assert len(runtime.call(runtime.runtime.find, tags="small").runs) == 1


def test_runs_are_commanded(runtime: SyncRuntime) -> None:
    """Each verb does what its twin does."""
    handle = runtime.start(approval, 1)
    handle.pause(reason="lunch", actor="ann")
    assert handle.wait(SOON).state == "PAUSED"
    handle.resume()
    handle.annotate("seen", actor="ann")
    handle.signal(APPROVED, "bob", id="once", actor="bob")
    assert handle.result(SOON) == "2 by bob"

    handle.rerun_from("signed")
    assert handle.result(SOON) == "2 by bob"
    copy = handle.fork("double")
    copy.signal(APPROVED, "cid")
    assert copy.result(SOON) == "2 by cid"
    handle.rollback()
    assert handle.state() == "ROLLED_BACK"
    handle.restart()
    handle.cancel()
    with pytest.raises(CommandRefusedError):
        handle.cancel()
    notes = [event for event in handle.events() if event.type == "PIPELINE_ANNOTATED"]
    assert len(notes) == 1

    failed = runtime.start(failing, 1)
    for _ in range(2):
        with pytest.raises(PipelineFailedError) as raised:
            failed.result(SOON)
        assert raised.value.run.id == failed.id
        failed.retry()
    with pytest.raises(PipelineFailedError):
        failed.result(SOON)


def test_errors_are_those_of_the_twin(runtime: SyncRuntime) -> None:
    """They are raised in the thread that asked, and the others go on."""
    with pytest.raises(InvalidInputError):
        runtime.start(numbers, "three")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(DefinitionError):
        runtime.start(numbers, 3, priority=-1)
    with pytest.raises(RunNotFoundError):
        runtime.get("unknown")
    with pytest.raises(PipelineNotRegisteredError):
        runtime.start(Pipeline("other", double), 1)
    with pytest.raises(ResultTimeoutError):
        runtime.start(approval, 1).result(timedelta(0))
    assert runtime.run(numbers, 1).output == 3


def test_events_are_walked_through_one_by_one(runtime: SyncRuntime) -> None:
    """Those that are stored, then each as it comes; and the walk can be left."""
    handle = runtime.start(approval, 1)
    events = handle.events()
    for event in events:
        if event.type == "PHASE_COMPLETED":
            break
    handle.signal(APPROVED, "ann")
    assert [event.type for event in events][-1] == "PIPELINE_COMPLETED"
    for run in runtime.walk(runtime.runtime.find()):
        assert run.id == handle.id
        break


def test_a_stream_of_events_is_left(runtime: SyncRuntime) -> None:
    """It hears no more, and nothing is kept for it."""
    stream = runtime.runtime.events()
    handle = runtime.start(numbers, 1)
    for event in runtime.walk(stream):
        if event.type == "PIPELINE_COMPLETED":
            break
    assert event.run_id == handle.id
    assert runtime.call(anext, stream, None) is None


def test_what_is_walked_through_is_closed_where_it_is_left(runtime: SyncRuntime) -> None:
    """In the task in which it began, whose scopes it has open; what it raises comes to who walks."""
    closed = threading.Event()

    async def count() -> AsyncIterator[int]:
        try:
            with anyio.fail_after(60):
                for number in range(3):
                    await anyio.lowlevel.checkpoint()
                    yield number
            raise ValueError("over")
        finally:
            await anyio.lowlevel.checkpoint()
            closed.set()

    walk = runtime.walk(count())
    assert next(walk) == 0
    assert not closed.is_set()
    walk.close()  # type: ignore[attr-defined]  # a generator
    assert closed.wait(20)

    seen: list[int] = []
    with pytest.raises(ValueError, match="over"):
        seen.extend(runtime.walk(count()))
    assert seen == [0, 1, 2]


def test_a_view_of_another_namespace_is_on_the_same_thread(runtime: SyncRuntime) -> None:
    """Opened and closed with the one that gave it."""
    acme = runtime.within("acme")
    handle = acme.start(numbers, 3, key="three")
    assert handle.result(SOON) == 7
    assert runtime.start(numbers, 4, key="three").result(SOON) == 9
    assert acme.call(acme.runtime.find().count) == {"COMPLETED": 1}
    for verb in (acme.open, acme.__enter__, acme.close):
        with pytest.raises(RuntimeUsageError, match="is a view"):
            verb()
    assert acme.run(numbers, 1).output == 3


def test_a_view_of_an_earlier_opening_says_so(
    database: Callable[[], SqlStorage], engine: Engine, backend: Any
) -> None:
    """It said that the runtime is not open, which it was."""
    runtime = SyncRuntime(Runtime(database(), pipelines=[numbers]), backend=backend).open()
    acme = runtime.within("acme")
    handle = acme.start(numbers, 3)
    runtime.close()
    with pytest.raises(RuntimeNotOpenError, match="use it inside"):
        handle.state()
    with runtime, engine.connect() as connection:
        asks: list[Callable[[], object]] = [
            handle.state,
            lambda: acme.start(numbers, 3),
            lambda: acme.start(numbers, 3, connection=connection),
            lambda: acme.within("globex"),
            lambda: next(handle.events()),
        ]
        for ask in asks:
            with pytest.raises(
                RuntimeNotOpenError, match=r"within 'acme'\) is a view .* call within\(\) again"
            ):
                ask()
        assert runtime.within("acme").get(handle.id, numbers).result(SOON) == 7


def test_many_threads_ask_at_once(runtime: SyncRuntime) -> None:
    """As a server for WSGI has them."""
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda n: runtime.start(numbers, n).result(SOON), range(64)))
    assert found == [2 * n + 1 for n in range(64)]


# --------------------------------------------------------------------- a transaction of the caller's
@pytest.fixture
def engine(
    database: Callable[[], SqlStorage], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Engine]:
    """An engine of the host's on the same database."""
    is_file = "sqlite" in repr(database())
    url = f"sqlite:///{tmp_path / 'runs.db'}" if is_file else request.getfixturevalue("postgres").url
    made = create_engine(url)
    yield made
    made.dispose()


def test_a_run_is_started_in_a_transaction(
    database: Callable[[], SqlStorage], engine: Engine, backend: Any
) -> None:
    """Of a Session or a Connection of the thread that asks; before its commit there is no run."""
    with SyncRuntime(Runtime(database(), pipelines=[numbers]), backend=backend) as runtime:
        with Session(engine) as session:
            handle = runtime.start(numbers, 3, connection=session, key="three")
            with pytest.raises(RunNotVisibleError):
                handle.state()
            session.commit()
            assert handle.result(SOON) == 7
            again = runtime.start(numbers, 3, connection=session, key="three")
            session.commit()
            assert (again.id, handle.is_new, again.is_new) == (handle.id, True, False)
            assert not runtime.start(numbers, 3, key="three").is_new
            gone = runtime.start(numbers, 4, connection=session)
            session.rollback()
        with pytest.raises(RunNotVisibleError):
            gone.run()
        with engine.begin() as connection:
            handle = runtime.start(numbers, 5, connection=connection)
        assert handle.result(SOON) == 11
        scoped = scoped_session(sessionmaker(engine))
        handle = runtime.start(numbers, 6, connection=scoped)
        scoped.commit()
        assert handle.result(SOON) == 13
        scoped.remove()
        with pytest.raises(RuntimeUsageError, match="belongs to an event loop"):
            runtime.start(numbers, 5, connection=_Async())
        with engine.begin() as connection, pytest.raises(InvalidInputError):
            runtime.start(numbers, "five", connection=connection)  # type: ignore[arg-type]  # what is tested


class Sheet(BaseModel):
    title: str


class SheetWithNote(Sheet):
    """As a later version of a host has it."""

    note: str = ""


@phase(name="draw")
async def draw(sheet: Sheet) -> str:
    return sheet.title


@phase(name="draw")
async def draw_with_note(sheet: SheetWithNote) -> str:
    return sheet.title + sheet.note


def test_a_key_in_a_transaction_after_a_deploy(database: Callable[[], SqlStorage], engine: Engine) -> None:
    """What is compared with the stored input is what the pipeline here makes of that."""
    before, after = Pipeline("drawn", draw), Pipeline("drawn", draw_with_note)
    with SyncRuntime(Runtime(database(), pipelines=[before])) as runtime:
        first = runtime.start(before, Sheet(title="tea"), key="k")
    with SyncRuntime(Runtime(database(), pipelines=[after])) as runtime:
        with engine.begin() as connection:
            assert (
                runtime.start(after, SheetWithNote(title="tea"), key="k", connection=connection).id
                == first.id
            )
        other = SheetWithNote(title="tea", note="!")
        with engine.begin() as connection, pytest.raises(KeyConflictError):
            runtime.start(after, other, key="k", connection=connection)


class _Async:
    async def run_sync(self, _work: object) -> None:
        raise AssertionError


def test_a_start_that_waits_for_a_lock_holds_up_nobody_else(
    postgres_storage: Callable[[], SqlStorage], postgres: Any, backend: Any
) -> None:
    """It waits for another transaction with that key, which may itself wait for the thread that carries runs forward."""
    engine, begun = create_engine(postgres.url), threading.Event()
    with SyncRuntime(Runtime(postgres_storage(), pipelines=[numbers]), backend=backend) as runtime:

        def start_again() -> str:
            with engine.begin() as connection:
                begun.set()
                return runtime.start(numbers, 3, key="three", connection=connection).id

        with ThreadPoolExecutor(1) as threads, engine.connect() as connection:
            with connection.begin():
                first = runtime.start(numbers, 3, key="three", connection=connection)
                waiting = threads.submit(start_again)
                assert begun.wait(20)
                until = time.monotonic() + 20
                while not _waits_for_a_lock(engine):
                    assert time.monotonic() < until
                    time.sleep(0.01)
                assert not waiting.done()
                assert runtime.run(numbers, 4).output == 9
            assert waiting.result(20) == first.id
    engine.dispose()


def _waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(found.scalar())


# --------------------------------------------------------------------- open and close
def test_it_is_open_between_open_and_close(backend: Any) -> None:
    """Again and again; what is asked outside says so."""
    runtime = SyncRuntime(Runtime(pipelines=[numbers]), backend=backend)
    runtime.close()
    for _ in range(2):
        with pytest.raises(RuntimeNotOpenError):
            runtime.start(numbers, 1)
        assert runtime.open() is runtime
        with pytest.raises(RuntimeUsageError, match="open already"):
            runtime.open()
        handle = runtime.start(numbers, 1)
        assert handle.result(SOON) == 3
        runtime.close()
        runtime.close()
        with pytest.raises(RuntimeNotOpenError):
            handle.state()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("phaseline")]


def test_run_sync_on_a_loop_that_has_ended(backend: Any) -> None:
    """A runtime that is closed between the choice and the call is not open any more, on either loop."""

    async def token() -> anyio.lowlevel.EventLoopToken:
        return anyio.lowlevel.current_token()

    ended = anyio.run(token, backend=backend)
    with SyncRuntime(Runtime(pipelines=[numbers]), backend=backend) as runtime:
        runtime.runtime._token, kept = ended, runtime.runtime._token
        with pytest.raises(RuntimeNotOpenError) as raised:
            numbers.run_sync(1)
        assert isinstance(raised.value.__cause__, anyio.RunFinishedError)
        runtime.runtime._token = kept


def test_run_sync_while_a_runtime_opens(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on where it has chosen to: in memory, and not on what another thread has opened since."""
    runtime, run = SyncRuntime(Runtime(pipelines=[numbers]), backend=backend), anyio.run

    def open_first(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        runtime.open()
        return run(*args, **options)

    monkeypatch.setattr(anyio, "run", open_first)
    try:
        assert numbers.run_sync(1).output == 3
        assert runtime.call(runtime.runtime.find().count) == {}
    finally:
        runtime.close()


def test_what_opening_raises_is_raised_as_it_is(tmp_path: Path, backend: Any) -> None:
    """And not in a group; it can be opened later."""
    runtime = SyncRuntime(Runtime(f"sqlite:///{tmp_path}/none/runs.db", pipelines=[numbers]), backend=backend)
    with pytest.raises(StorageUnavailableError):
        runtime.open()
    (tmp_path / "none").mkdir()
    with runtime:
        assert runtime.run(numbers, 1).output == 3


def test_what_the_host_raises_is_raised_as_it_is(backend: Any) -> None:
    """The runtime is closed in order."""
    with pytest.raises(KeyError), SyncRuntime(Runtime(pipelines=[numbers]), backend=backend) as runtime:
        raise KeyError
    with pytest.raises(RuntimeNotOpenError):
        runtime.run(numbers, 1)


def test_whoever_waits_while_it_is_closed_is_told(backend: Any) -> None:
    """A wait for a result, a call of any other kind, and a walk."""
    runtime = SyncRuntime(Runtime(pipelines=[approval]), backend=backend).open()
    handle = runtime.start(approval, 1)

    async def endless() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep_forever()

    with ThreadPoolExecutor(3) as threads:
        walked: list[int] = []

        def walk() -> None:
            walked.extend(runtime.walk(endless()))

        waits = [
            threads.submit(handle.result),
            threads.submit(runtime.call, anyio.sleep_forever),
            threads.submit(walk),
        ]
        until = time.monotonic() + 20
        while not walked or any(not wait.running() for wait in waits):
            assert time.monotonic() < until
            time.sleep(0.01)
        runtime.close()
        for wait in waits:
            with pytest.raises(RuntimeNotOpenError):
                wait.result(20)


def test_bodies_go_on_within_the_drain(backend: Any, tmp_path: Path) -> None:
    """One that asks the runtime for something, which takes no more, is called again when it does: it has not failed."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    @phase
    def slow(number: int) -> int:
        begun.release()
        assert go_on.wait(20)
        return number

    @phase
    def start_another(number: int) -> int:
        begun.release()
        assert go_on.wait(20)
        return runtime.start(numbers, number).result(SOON)

    slowly, asking = Pipeline("slowly", slow), Pipeline("asking", start_another)
    made = Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[slowly, asking, numbers])
    runtime = SyncRuntime(made, backend=backend).open()
    ids = runtime.start(slowly, 1).id, runtime.start(asking, 1).id
    assert all(begun.acquire(timeout=20) for _ in ids)
    with ThreadPoolExecutor(1) as threads:
        closed = threads.submit(runtime.close)
        time.sleep(0.1)
        assert not closed.done()
        go_on.set()
        closed.result(20)
    with runtime:
        done, again = (runtime.get(run_id).wait(SOON) for run_id in ids)
        assert (done.output, again.output) == (1, 3)
        (row,) = again.phases.values()
        assert (row.attempt, row.failures, row.crashes) == (2, 0, 0)


async def test_beside_an_event_loop_it_is_refused() -> None:
    """It would block that one; but it can be opened there, and closed, as where a server imports an application in its loop."""
    runtime = SyncRuntime(Runtime(pipelines=[numbers]))
    runtime.open()
    try:
        walk = await anyio.to_thread.run_sync(lambda: runtime.walk(runtime.runtime.find()))
        for ask in (lambda: next(walk), lambda: runtime.walk(runtime.runtime.find()), runtime.migrate):
            with pytest.raises(RunningLoopError):
                ask()
        handle = await anyio.to_thread.run_sync(runtime.start, numbers, 1)
        inner = runtime.runtime
        named: dict[str, Callable[[], object]] = {
            "runtime.start": lambda: runtime.start(numbers, 1),
            "runtime.get": lambda: runtime.call(partial(partial(inner.get), handle.id)),
            "handle.result": handle.result,
            "runtime.find(...).count": lambda: runtime.call(inner.find().count),
            "sleep": lambda: runtime.call(anyio.sleep, 0),
        }
        for name, ask in named.items():
            with pytest.raises(RunningLoopError) as raised:
                ask()
            assert str(raised.value).startswith(f"a call of {name} would block the event loop")
            assert str(raised.value).endswith(f"use 'await {name}(...)' here")
        with pytest.raises(RunningLoopError, match=r"^start\(\) would .* 'await runtime\.start\(\.\.\.\)'"):
            runtime.start(numbers, 1, connection=object())
    finally:
        runtime.close()


def test_what_gives_nothing_to_await_is_refused(backend: Any) -> None:
    """It was a TypeError of the interpreter's."""
    with SyncRuntime(Runtime(pipelines=[numbers]), backend=backend) as runtime:
        wake: Any = runtime.runtime.wake
        for function in (wake, partial(wake)):
            with pytest.raises(RuntimeUsageError, match=r"call\(runtime\.wake\): .* gave NoneType"):
                runtime.call(function)


def test_a_body_on_its_loop_is_refused_too(backend: Any) -> None:
    """It would wait for itself."""

    @phase
    async def ask(number: int, ctx: Context) -> int:
        return runtime.get(ctx.run_id).run().output or number

    asking = Pipeline("asking", ask)
    with SyncRuntime(Runtime(pipelines=[asking]), backend=backend) as runtime:
        with pytest.raises(PipelineFailedError) as raised:
            runtime.run(asking, 1)
        assert isinstance(raised.value.__cause__, RunningLoopError)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, pytest.fail.Exception])
def test_whatever_a_call_raises_comes_to_who_has_called(backend: Any, error: type[BaseException]) -> None:
    """And to nobody else: the others go on."""

    async def fail() -> None:
        raise error("out of luck")

    with SyncRuntime(Runtime(pipelines=[numbers]), backend=backend) as runtime:
        with pytest.raises(error):
            runtime.call(fail)
        assert runtime.run(numbers, 1).output == 3


def test_what_was_given_to_a_call_that_raised_is_freed_at_once(backend: Any) -> None:
    """And not by the collector: a host may have turned that off, or its arguments may be large."""

    class Large:
        pass

    async def fail(_: Large) -> None:
        raise ValueError("too large")

    async def fail_later(_: Large) -> AsyncIterator[int]:
        yield 1
        raise ValueError("too large")

    def given(ask: Callable[[Large], object]) -> ReferenceType[Large]:
        large = Large()
        with pytest.raises(ValueError, match="too large"):
            ask(large)
        return ref(large)

    with SyncRuntime(Runtime(pipelines=[numbers]), backend=backend) as runtime:
        gc.collect()
        gc.disable()
        try:
            for ask in (
                lambda large: runtime.call(fail, large),
                lambda large: [*runtime.walk(fail_later(large))],
            ):
                known = given(ask)
                until = time.monotonic() + 20
                while known() is not None:  # the thread may not be done with it yet
                    assert time.monotonic() < until
                    time.sleep(0.01)
        finally:
            gc.enable()


def test_a_call_that_meets_the_end_is_told_so(backend: Any) -> None:
    """Also one that comes after the last turn of the loop, which drops what is posted then."""
    runtime = SyncRuntime(Runtime(pipelines=[numbers]), backend=backend).open()
    thread = runtime._thread
    assert thread is not None
    thread._post = lambda _: True  # as a loop does that is about to be closed
    with ThreadPoolExecutor(2) as threads:
        waits = [
            threads.submit(runtime.start, numbers, 1),
            threads.submit(lambda: list(runtime.walk(runtime.runtime.find()))),
        ]
        until = time.monotonic() + 20
        while len(thread._calls or ()) < len(waits):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert thread._closing is not None
        anyio.from_thread.run_sync(thread._closing.set, token=runtime.runtime.token)
        for lost in waits:
            with pytest.raises(RuntimeNotOpenError):
                lost.result(20)


def test_an_interrupt_of_the_close_leaves_it_to_be_closed(backend: Any) -> None:
    """It goes on being closed, is not opened beside that, and can be waited for again."""
    begun, go_on = threading.Event(), threading.Event()

    @phase
    def slow(number: int) -> int:
        begun.set()
        assert go_on.wait(20)
        return number

    pipeline = Pipeline("slow", slow)
    runtime = SyncRuntime(Runtime(pipelines=[pipeline]), backend=backend).open()
    runtime.start(pipeline, 1)
    assert begun.wait(20)
    with ThreadPoolExecutor(1) as threads:
        closed = threads.submit(runtime.close)  # whoever is interrupted in it leaves this behind
        time.sleep(0.05)
        with pytest.raises(RuntimeUsageError, match="not closed yet"):
            runtime.open()
        go_on.set()
        runtime.close()
        closed.result(20)
    with runtime:
        assert runtime.run(pipeline, 2).output == 2


def test_an_interrupt_of_the_opening_leaves_nothing_open(
    backend: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is being opened is closed as soon as it is."""
    runtime = SyncRuntime(Runtime(f"sqlite:///{tmp_path / 'runs.db'}", pipelines=[numbers]), backend=backend)

    def interrupted(_: LoopThread) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(LoopThread, "wait_until_open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            runtime.open()
    runtime.close()
    with runtime:
        assert runtime.run(numbers, 1).output == 3


def test_a_loop_that_is_not_there_is_refused() -> None:
    """Before anything is opened."""
    with pytest.raises(DefinitionError, match="'asyncio' and 'trio'"):
        SyncRuntime(Runtime(), backend="curio")  # type: ignore[arg-type]  # what is tested


def test_tables_are_made(postgres_server: Any, backend: Any) -> None:
    """Before it is opened, as a server's have to be."""
    url = f"{postgres_server.url}"
    storage = SqlStorage(url, schema=f"sync_{backend}_{time.monotonic_ns()}")
    runtime = SyncRuntime(Runtime(storage, pipelines=[numbers]), backend=backend)
    with pytest.raises(SchemaVersionError):
        runtime.open()
    runtime.migrate()
    with runtime:
        assert runtime.run(numbers, 1).output == 3


# --------------------------------------------------------------------- processes
PROGRAM = """
import atexit, os, signal, sys, threading
from phaseline import Pipeline, Runtime, phase
from phaseline.errors import RuntimeUsageError
from phaseline.sync import SyncRuntime

@phase
async def double(number: int) -> int:
    return 2 * number

numbers = Pipeline("numbers", double)
runtime = SyncRuntime(Runtime("sqlite:///runs.db", pipelines=[numbers])).open()
"""


def ended(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM + code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.parametrize("close", ["", "atexit.register(runtime.close)"])
def test_a_process_that_does_not_close_it_ends(close: str, tmp_path: Path) -> None:
    """With ``atexit`` in order."""
    done = ended(f"{close}\nprint(runtime.run(numbers, 3).output)", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")


def test_a_fork_is_told_that_the_thread_is_elsewhere(tmp_path: Path) -> None:
    """As where a server opens it and then forks its workers; it can close what it has of it, which does nothing."""
    code = """
if os.fork() == 0:
    try:
        runtime.start(numbers, 1)
    except RuntimeUsageError as error:
        print(error, flush=True)
    runtime.close()
    os._exit(0)
os.wait()
print(runtime.run(numbers, 3).output)
runtime.close()
"""
    done = ended(code, tmp_path)
    assert done.returncode == 0, done.stderr
    told, found = done.stdout.splitlines()
    assert "of which this one is a fork" in told
    assert found == "6"


def test_an_interrupt_ends_the_wait(tmp_path: Path) -> None:
    """And cancels what was waited for; then all is closed in order."""
    code = """
import anyio
cancelled = []
async def wait():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await anyio.sleep_forever()
    finally:
        cancelled.append(True)
try:
    with runtime_of(runtime):
        runtime.call(wait)
except KeyboardInterrupt:
    print(cancelled, threading.active_count())
"""
    done = ended(code.replace("runtime_of(runtime)", "__import__('contextlib').closing(runtime)"), tmp_path)
    assert (done.returncode, done.stdout) == (0, "[True] 1\n"), done.stderr


@pytest.mark.parametrize(
    "waits", ["runtime.call(strike)", "next(runtime._thread.walk(struck(), lambda: None))"]
)
def test_a_signal_that_reaches_another_thread_is_heard(waits: str, tmp_path: Path) -> None:
    """As is one that comes in the moment in which the wait begins: nothing ends that wait then but its own time."""
    code = f"""
import anyio
async def strike():
    await anyio.sleep(0.2)
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    await anyio.sleep_forever()
async def struck():
    await strike()
    yield
try:
    {waits}
except KeyboardInterrupt:
    print("heard")
runtime.close()
"""
    done = ended(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_a_failure_of_the_thread_is_told(
    backend: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To the log, and to who closes it."""
    leave = Runtime.__aexit__

    async def fail(runtime: Runtime, *given: Any) -> None:
        await leave(runtime, *given)
        raise OSError("out of luck")

    monkeypatch.setattr(Runtime, "__aexit__", fail)
    runtime = SyncRuntime(Runtime(pipelines=[numbers]), backend=backend).open()
    with pytest.raises(OSError, match="out of luck"):
        runtime.close()
    assert "ends with an error" in caplog.text
