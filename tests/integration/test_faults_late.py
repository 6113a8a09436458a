"""Commits that land after all: their connection was lost, the run was read without them, and then they are there."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from phaseline import Context, Pipeline, Runtime, phase
from phaseline._definition.context import CustomEvent
from phaseline.errors import StorageUnavailableError
from phaseline.storage.sql.store import SqlStorage
from phaseline.testing.checker import check
from phaseline.unit_of_work import Outcome, Unit

PATIENCE = 30
in_thread = anyio.to_thread.run_sync
SHORT = timedelta(seconds=1)


class Paid(CustomEvent):
    """An event of the application."""


@phase
async def double(number: int) -> int:
    return 2 * number


async def doubled(number: int) -> int:
    return 2 * number


class Late(SqlStorage):
    """Loses its connection in the midst of one commit, which lands when it is told to, or before the next one."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.loses = False
        self.under_way: Sequence[Unit] = ()
        self.landed: list[Outcome] = []

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if self.loses:
            self.loses, self.under_way = False, units
            raise StorageUnavailableError(repr(self), "the connection was lost", "wait for it")
        self.land()
        return super().commit(units)

    def land(self) -> None:
        units, self.under_way = self.under_way, ()
        if units:
            self.landed += super().commit(units)


def late(tmp_path: Path) -> Late:
    return Late(f"sqlite:///{tmp_path / 'runs.db'}")


@pytest.mark.parametrize("forgotten", [True, False])
async def test_a_start_that_lands_late_is_carried_out(tmp_path: Path, *, forgotten: bool) -> None:
    """Its caller was told of the outage, so nobody here knows of the run that is held in this worker's name."""
    called: list[int] = []

    @phase
    async def body(number: int) -> int:
        called.append(number)
        return number

    pipeline, storage = Pipeline("one", body), late(tmp_path)
    async with Runtime(storage, pipelines=[pipeline], lease=SHORT) as runtime:
        storage.loses = True
        with pytest.raises(StorageUnavailableError):
            await runtime.start(pipeline, 7)
        with anyio.fail_after(PATIENCE):
            while forgotten and runtime.runner.live:  # noqa: ASYNC110  # nothing tells what a sweep forgets
                await anyio.sleep(0.01)
        await in_thread(storage.land)
        (run,) = await in_thread(partial(storage.find, "default", limit=2))
        handle = await runtime.get(run.id, pipeline)
        assert await handle.result(timedelta(seconds=PATIENCE)) == 7
        await in_thread(check, storage)
    assert (storage.landed, called) == ([Outcome.COMMITTED], [7])


async def test_what_lands_late_is_not_done_twice(tmp_path: Path) -> None:
    """What was emitted before a step, and a note, are there once."""
    storage = late(tmp_path)

    @phase
    async def pay(number: int, ctx: Context) -> int:
        ctx.emit(Paid())
        storage.loses = True
        return await ctx.step("twice", doubled, number)

    pipeline = Pipeline("pay", pay)
    async with Runtime(storage, pipelines=[pipeline]) as runtime:
        handle = await runtime.start(pipeline, 7)
        assert await handle.result(timedelta(seconds=PATIENCE)) == 14
        names = [event.type async for event in handle.events() if event.type == "PAID"]
        await in_thread(check, storage)
    assert (storage.landed, names) == ([Outcome.COMMITTED], ["PAID"])


class Shut(SqlStorage):
    """Can be read; but that it cannot be written, it says after a while."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_shut = False
        self.asked, self.may_answer = threading.Event(), threading.Event()

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        if self.is_shut:
            self.asked.set()
            self.may_answer.wait(PATIENCE)
            raise StorageUnavailableError(repr(self), "the disk is full", "make room")
        return super().commit(units)


async def test_who_comes_while_a_write_fails_is_told_too(tmp_path: Path) -> None:
    """Of two commands to one run, the second comes while the first is being written."""
    pipeline = Pipeline("one", double)
    storage = Shut(f"sqlite:///{tmp_path / 'runs.db'}")
    told: list[str] = []

    async def note(reason: str) -> None:
        with pytest.raises(StorageUnavailableError):
            await handle.annotate(reason)
        told.append(reason)

    async with Runtime(storage, pipelines=[pipeline], serve=False) as runtime:
        handle = await runtime.start(pipeline, 1, delay=timedelta(hours=1))
        storage.is_shut = True
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(note, "first")
                while not storage.asked.is_set():  # noqa: ASYNC110  # it is a thread that is asked
                    await anyio.sleep(0.001)
                tasks.start_soon(note, "second")
                await anyio.wait_all_tasks_blocked()
                storage.may_answer.set()
        storage.is_shut = False
    assert sorted(told) == ["first", "second"]


def spoil(path: Path, waits: str, lost: str, over: str) -> None:
    """Make the rows of runs unreadable; the second is held by a worker that is gone, the time of the third is over."""
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "UPDATE phaseline_phase_execution SET progress = '{broken' WHERE run_id IN (?, ?, ?)",
            (waits, lost, over),
        )
        database.execute(
            "UPDATE phaseline_phase_execution SET state = 'RUNNING', worker = 'gone', lease_expires = 1, lane = NULL, "
            "fence = 1, attempt = 1, first_started_at = 1, started_at = 1 WHERE run_id = ?",
            (lost,),
        )
        changed = database.execute("UPDATE phaseline_pipeline_run SET expires_at = 1 WHERE id = ?", (over,))
        assert changed.rowcount == 1
        database.commit()


async def test_a_run_that_cannot_be_read_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it waits, was held by a worker that is gone, or its time is over: the others go on."""
    pipeline = Pipeline("one", double)
    path = tmp_path / "runs.db"
    storage = SqlStorage(f"sqlite:///{path}")
    async with Runtime(storage, pipelines=[pipeline], serve=False) as runtime:
        waits, lost, whole = [await runtime.start(pipeline, number) for number in range(3)]
        over = await runtime.start(pipeline, 3, deadline=timedelta(hours=1))
    await in_thread(spoil, path, waits.id, lost.id, over.id)
    async with Runtime(SqlStorage(f"sqlite:///{path}"), pipelines=[pipeline]) as runtime:
        handle = await runtime.get(whole.id, pipeline)
        assert await handle.result(timedelta(seconds=PATIENCE)) == 4
    for run in (waits, lost, over):
        assert any(run.id in record.getMessage() for record in caplog.records if record.levelname == "ERROR")
