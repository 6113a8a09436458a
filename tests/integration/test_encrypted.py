"""Of what users and bodies give nothing can be read in the tables, and everything goes on as without encryption."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread
from pydantic import BaseModel
from sqlalchemy import create_engine, text
from tests.databases import TABLES, Database

from phaseline import (
    Again,
    Context,
    CustomEvent,
    Event,
    Pipeline,
    Retry,
    RunHandle,
    Runtime,
    Signal,
    each,
    phase,
    wait_for,
)
from phaseline._shell import scheduling
from phaseline._shell.paging import page_by_page
from phaseline._shell.quarantine import PAUSE
from phaseline._shell.worker import FIRST_CLAIM
from phaseline.abc import Storage
from phaseline.crypto import EncryptedCodec, encrypted
from phaseline.errors import DecryptionError, KeyConflictError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing import FakeClock
from phaseline.testing.checker import check

CANARY = "canary-7f3a"
CODEC = EncryptedCodec({"1": secrets.token_bytes(32)})
GO = Signal[str]("go")


class Seen(CustomEvent):
    what: str


class Noted(CustomEvent):
    encoded: str
    """As the field is called in which a codec's text stands."""


class Order(BaseModel):
    secret: str


@phase(retry=Retry(attempts=3, wait=timedelta(0)))
async def work(order: Order, ctx: Context) -> list[str]:
    ctx.emit(Seen(what=order.secret))
    ctx.progress(1, 2, order.secret)
    step = await ctx.step("step", lambda: order.secret)
    await ctx.save({"at": order.secret})
    if ctx.attempt == 1:
        raise Again(after=timedelta(0), reason=order.secret)
    if ctx.attempt == 2:
        raise ValueError(f"failed with {order.secret}") from RuntimeError(order.secret)
    assert (step, ctx.saved) == (order.secret, {"at": order.secret})
    return [order.secret, order.secret]


@phase
async def again(value: str) -> str:
    return value.upper()


@phase
async def fail(value: str) -> str:
    raise ValueError(value)


@phase(transactional=True)
def last(value: str, ctx: Context) -> str:
    assert ctx.connection.exec_driver_sql("SELECT 1").scalar_one() == 1
    raise ValueError(value)


@phase
async def tell(value: str, ctx: Context) -> str:
    """What it tells stays in its row, as what it failed with does."""
    ctx.progress(1, 2, value)
    return value


def like_json(text: str) -> str:
    """Make a text that looks like what a codec gives back of an event."""
    return f'{{"what": "{text}"}}'


@phase
async def emit(value: str, ctx: Context) -> str:
    ctx.emit(Seen(what=value))
    ctx.emit(Noted(encoded=like_json(value)))
    return value


@phase(retry=Retry(attempts=2, wait=timedelta(hours=1)))
async def fail_later(value: str) -> str:
    raise ValueError(value)


whole = Pipeline("whole", work >> each(again) >> wait_for(GO) >> last)


async def leave_traces(storage: Storage) -> None:
    """Have a canary pass everything that is stored."""
    async with Runtime(storage, pipelines=[whole], tracebacks=True) as runtime:
        order = Order(secret=CANARY)
        await runtime.schedules.put("nightly", whole, input=order, cron="0 3 * * *")
        handle = await runtime.start(whole, order, key="k")
        with pytest.raises(KeyConflictError):
            await runtime.start(whole, Order(secret=CANARY * 2), key="k")
        await handle.signal(GO, CANARY)
        run = await handle.wait()
        assert run.error is not None
        assert run.error.message == CANARY
        assert [event.data["what"] async for event in handle.events() if event.type == "SEEN"] == [CANARY] * 2
        copy = await handle.fork(at="work")
        await copy.signal(GO, CANARY)
        assert (await copy.wait()).error == run.error
        (letter, *_) = (await runtime.dead_letters.find()).letters
        assert letter.error.message == CANARY
        of_schedule = await runtime.schedules.trigger("nightly")
        await of_schedule.signal(GO, CANARY)
        assert (await of_schedule.wait()).error == run.error
    await to_thread.run_sync(check_all, storage)


def check_all(storage: Storage) -> None:
    storage.open()
    check(storage)
    storage.close()


def read_all(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def dumped(database: Database) -> str:
    """All that is in the tables."""
    engine = create_engine(database.url)
    with engine.connect() as connection:
        rows = [
            str(tuple(row))
            for table in TABLES
            for row in connection.execute(text(f'SELECT * FROM "{database.schema}".{table}'))  # noqa: S608  # names of ours
        ]
    engine.dispose()
    return "\n".join(rows)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_no_canary_is_in_a_file(tmp_path: Path, is_encrypted: bool) -> None:
    """But for its name, nothing tells what it is; without encryption it is there, so the search finds it."""
    storage: Storage = SqlStorage(f"sqlite:///{tmp_path / 'runs.db'}")
    await leave_traces(encrypted(storage, CODEC) if is_encrypted else storage)
    octets = await to_thread.run_sync(read_all, tmp_path)
    assert len(octets) > 10_000
    assert (CANARY.encode() in octets or CANARY.upper().encode() in octets) == (not is_encrypted)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_no_canary_is_in_tables(postgres: Database, is_encrypted: bool) -> None:
    """As in a file."""
    storage: Storage = postgres.storage()
    await leave_traces(encrypted(storage, CODEC) if is_encrypted else storage)
    told = (await to_thread.run_sync(dumped, postgres)).lower()
    assert len(told) > 10_000
    assert (CANARY in told) == (not is_encrypted)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_key_that_is_gone_holds_up_no_other_run(
    sqlite_storage: Callable[[], Storage],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither where work is claimed, nor where schedules are fired, by the page; a list shows all that it can, and a schedule can be deleted."""
    monkeypatch.setattr(scheduling, "PAGE", 1)
    hello, failing, second = Pipeline("hello", again), Pipeline("failing", fail), timedelta(seconds=1)
    async with Runtime(
        encrypted(sqlite_storage(), CODEC), pipelines=[hello, failing], clock=clock
    ) as runtime:
        failed = await runtime.start(failing, "old")
        await failed.wait()
        old = await runtime.start(hello, "old", delay=second)
        await runtime.schedules.put("a", hello, input="old", every=9 * second)
    other = encrypted(sqlite_storage(), EncryptedCodec({"2": secrets.token_bytes(32)}))
    async with Runtime(other, pipelines=[hello], clock=clock) as runtime:
        new = await runtime.start(hello, "new", delay=second)
        await runtime.schedules.put("b", hello, input="new", every=9 * second)
        await clock.advance(9 * second)
        assert await new.result() == "NEW"
        runs = (await runtime.find()).runs
        assert sorted(run.state for run in runs) == ["COMPLETED", "COMPLETED", "FAILED", "IDLE"]
        told = "(what is stored cannot be decrypted: the key '1' is not there"
        assert [run.error.message[: len(told)] for run in runs if run.error is not None] == [told]
        (letter,) = (await runtime.dead_letters.find()).letters
        assert (letter.run_id, letter.error.message[: len(told)]) == (failed.id, told)
        await runtime.schedules.delete("a")
        assert ["b"] == [schedule.name for schedule in await runtime.schedules.list()]
    assert f"run {old.id} is left alone: what is stored cannot be decrypted: the key '1'" in caplog.text
    assert (
        "schedule 'a' is due, and left to other processes: what is stored cannot be decrypted: the key '1'"
        in caplog.text
    )


async def left_behind(
    storage: Callable[[], Storage], clock: FakeClock, hello: Pipeline[str, str], many: int
) -> Storage:
    """So many runs, due in a second, whose key the storage that this gives has not."""
    async with Runtime(encrypted(storage(), CODEC), pipelines=[hello], clock=clock) as runtime:
        for _ in range(many):
            await runtime.start(hello, "old", delay=timedelta(seconds=1))
    return encrypted(storage(), EncryptedCodec({"2": secrets.token_bytes(32)}))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("concurrency", [None, 1])
async def test_many_runs_of_a_key_that_is_gone_hold_up_no_other(
    database: Callable[[], Storage],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    concurrency: int | None,
) -> None:
    """More than a claim takes, or than there are slots; each is told once, and looked at again after a while."""
    many = 2 * FIRST_CLAIM + 1
    hello = Pipeline("hello", again, concurrency=concurrency)
    other = await left_behind(database, clock, hello, many)
    async with Runtime(other, pipelines=[hello], clock=clock) as runtime:
        new = await runtime.start(hello, "new", delay=timedelta(seconds=2))
        await clock.advance(timedelta(seconds=3))
        with anyio.fail_after(20):
            assert await new.result() == "NEW"
        assert caplog.text.count("is left alone") == many
        await clock.advance(PAUSE)
        with anyio.fail_after(20):
            while caplog.text.count("is left alone") < 2 * many:  # noqa: ASYNC110  # a log record
                await anyio.sleep(0.01)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_more_runs_than_can_be_passed_over_are_no_endless_work(
    database: Callable[[], Storage],
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What waits behind them is not begun, which is told; there is one look with each sweep."""
    monkeypatch.setattr("phaseline._shell.quarantine.MOST", FIRST_CLAIM + 10)
    hello = Pipeline("hello", again)
    other = await left_behind(database, clock, hello, 2 * FIRST_CLAIM + 20)
    async with Runtime(other, pipelines=[hello], clock=clock):
        with anyio.fail_after(20):
            await clock.advance(timedelta(seconds=3))
    assert 0 < caplog.text.count(f"more than {FIRST_CLAIM + 10} runs cannot be carried on") <= 10


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_many_are_commanded_though_one_cannot_be_read(
    sqlite_storage: Callable[[], Storage], clock: FakeClock
) -> None:
    """It is named with the reason, and the others obey."""
    later, failing = Pipeline("later", fail_later), Pipeline("failing", fail)
    pipelines, ids = [later, failing], list[str]()
    other = EncryptedCodec({"2": secrets.token_bytes(32)})
    for codec in (CODEC, other):
        storage = encrypted(sqlite_storage(), codec)
        async with Runtime(storage, pipelines=pipelines, clock=clock) as runtime:
            failed = await runtime.start(failing, "value")
            await failed.wait()
            ids += [failed.id, (await runtime.start(later, "value")).id]
            await clock.settle()
    async with Runtime(encrypted(sqlite_storage(), other), pipelines=pipelines, clock=clock) as runtime:
        handled = await runtime.dead_letters.find().requeue()
        assert (len(handled.done), [*handled.refused]) == (1, [ids[0]])
        told = await runtime.find(pipeline=later).control("cancel")
        assert (told.done, [*told.refused]) == ((ids[3],), [ids[1]])
        assert isinstance(told.refused[ids[1]], DecryptionError)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nor_where_they_come_to_their_time(
    sqlite_storage: Callable[[], Storage], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deadlines and waits: more of them than are read at once."""
    second = timedelta(seconds=1)
    for module in ("due_scan", "wait_timers"):
        monkeypatch.setattr(f"phaseline._shell.{module}.page_by_page", partial(page_by_page, size=2))
    late, asleep = Pipeline("late", fail_later), Pipeline("asleep", tell.sleep_for(second))

    async def started(runtime: Runtime, value: str) -> tuple[RunHandle[str], RunHandle[str]]:
        started = await runtime.start(late, value, deadline=second), await runtime.start(asleep, value)
        await clock.settle()
        return started

    async with Runtime(encrypted(sqlite_storage(), CODEC), pipelines=[late, asleep], clock=clock) as runtime:
        for _ in range(3):
            await started(runtime, "old")
    other = encrypted(sqlite_storage(), EncryptedCodec({"2": secrets.token_bytes(32)}))
    async with Runtime(other, pipelines=[late, asleep], clock=clock) as runtime:
        overdue, sleeping = await started(runtime, "new")
        await clock.advance(5 * second)
        with anyio.fail_after(20):
            assert await sleeping.result() == "new"
            assert (await overdue.wait()).state == "FAILED"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_key_that_is_gone(sqlite_storage: Callable[[], Storage]) -> None:
    """Says which one, to whoever reads the run; runs of other keys go on."""
    hello = Pipeline("hello", again)
    async with Runtime(encrypted(sqlite_storage(), CODEC), pipelines=[hello]) as runtime:
        old = await runtime.start(hello, "old")
        assert await old.result() == "OLD"
    other = EncryptedCodec({"2": secrets.token_bytes(32)})
    async with Runtime(encrypted(sqlite_storage(), other), pipelines=[hello]) as runtime:
        with pytest.raises(DecryptionError, match="the key '1' is not there"):
            await (await runtime.get(old.id, hello)).result()
        assert await (await runtime.start(hello, "new")).result() == "NEW"


def emitted(events: Iterable[Event]) -> list[dict[str, Any]]:
    """What bodies emitted."""
    return [event.data for event in events if event.type in ("SEEN", "NOTED")]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_was_stored_before_there_was_encryption(storage: Callable[[], Storage]) -> None:
    """Is read as it is where that is asked for, events and exports too, beside what is encrypted; else it is refused."""
    pipeline, key = (
        Pipeline("emitting", emit >> wait_for(GO) >> emit.with_options(name="emit_more")),
        {"1": secrets.token_bytes(32)},
    )
    async with Runtime(storage(), pipelines=[pipeline]) as runtime:
        run_id = (await runtime.start(pipeline, "plain")).id
        with anyio.fail_after(10):
            async for event in runtime.events(after={run_id: 0}, run=run_id):
                if event.type == "NOTED":
                    break
    lenient = encrypted(storage(), EncryptedCodec(key, reads_plain=True))
    async with Runtime(lenient, pipelines=[pipeline]) as runtime:
        handle = await runtime.get(run_id, pipeline)
        await handle.signal(GO, "later")
        assert await handle.result() == "later"
        told = [
            {"what": "plain"}, {"encoded": like_json("plain")}, {"what": "later"}, {"encoded": like_json("later")},
        ]  # fmt: skip
        assert emitted([event async for event in handle.events()]) == told
        exported = (await handle.export()).events
        assert [event.data for event in exported if event.type in ("SEEN", "NOTED")] == told
    async with Runtime(encrypted(storage(), EncryptedCodec(key)), pipelines=[pipeline]) as runtime:
        with pytest.raises(DecryptionError, match="it is not encrypted"):
            emitted([event async for event in (await runtime.get(run_id)).events()])
